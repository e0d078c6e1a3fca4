//! The rows of `entries` that the commit thread has at hand: those it wrote or changed lately, and
//! the way to the others. Bounded; the disk has them all.

use std::collections::{BTreeMap, VecDeque};

use fjall::Readable;
use hashbrown::HashMap;

use crate::names::{QueueId, Seq};

use super::batch::Batch;
use super::bodies::Bodies;
use super::disk::Disk;
use super::error::StoreError;
use super::layout::{PACK_SPAN, pack_key, read_pack_key};
use super::row::Row;

/// Rows at hand, all queues together; one takes 150 to 700 bytes.
const KEPT_ROWS: usize = 16 * 1024;

/// When packs are small their neighbours are read along: their numbers come next.
const SMALL_PACK: u32 = 16;
const READ_ALONG: usize = 32;

struct Kept {
    row: Row,
    changed: bool,
}

type Kin = BTreeMap<Seq, Kept>;

#[derive(Default)]
pub(super) struct Rows {
    queues: HashMap<QueueId, Kin, foldhash::fast::RandomState>,
    age: VecDeque<(QueueId, Seq)>,
    changed: Vec<(QueueId, Seq)>,
    scratch: Vec<u8>,
    /// Packs that are gone, not yet asked for.
    removed: u64,
}

/// What happens to the messages named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Settle,
    Redelivered,
}

impl Rows {
    /// A pack that this batch writes.
    pub(super) fn add(
        &mut self,
        disk: &Disk,
        batch: &mut Batch,
        (queue, first): (QueueId, Seq),
        row: Row,
    ) {
        self.scratch.clear();
        row.encode(&mut self.scratch);
        batch.insert(
            &disk.entries,
            pack_key(queue, first),
            self.scratch.as_slice(),
        );
        self.keep(queue, first, row);
    }

    fn keep(&mut self, queue: QueueId, first: Seq, row: Row) {
        let kept = Kept {
            row,
            changed: false,
        };
        self.queues.entry(queue).or_default().insert(first, kept);
        self.age.push_back((queue, first));
    }

    /// Changes messages that were written in earlier batches. Sorts `seqs`; numbers that are not
    /// there (any more) are passed over.
    pub(super) fn change(
        &mut self,
        disk: &Disk,
        bodies: &mut Bodies,
        queue: QueueId,
        seqs: &mut [Seq],
        change: Change,
    ) -> Result<(), StoreError> {
        seqs.sort_unstable();
        let mut rest = &*seqs;
        while let Some(&seq) = rest.first() {
            let Some(first) = self.find(disk, queue, seq)? else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let Some(kept) = self
                .queues
                .get_mut(&queue)
                .and_then(|kin| kin.get_mut(&first))
            else {
                break;
            };
            let mut done = 0;
            let mut touched = false;
            for &seq in rest {
                let offset = seq - first;
                if offset >= PACK_SPAN || !kept.row.is_live(offset) {
                    break;
                }
                done += 1;
                match change {
                    Change::Settle => {
                        touched = true;
                        if let Some(body) = kept.row.settle(offset) {
                            bodies.release(body, queue, seq);
                        }
                    }
                    Change::Redelivered => touched |= kept.row.mark_redelivered(offset),
                }
            }
            if touched && !std::mem::replace(&mut kept.changed, true) {
                self.changed.push((queue, first));
            }
            rest = rest.get(done..).unwrap_or_default();
        }
        Ok(())
    }

    /// How often a message that was written in an earlier batch came back.
    pub(super) fn count_returns(
        &mut self,
        disk: &Disk,
        queue: QueueId,
        seq: Seq,
        count: u32,
    ) -> Result<(), StoreError> {
        let Some(first) = self.find(disk, queue, seq)? else {
            return Ok(());
        };
        let kin = self.queues.get_mut(&queue);
        if let Some(kept) = kin.and_then(|kin| kin.get_mut(&first)) {
            kept.row.count_returns(seq - first, count);
            if !std::mem::replace(&mut kept.changed, true) {
                self.changed.push((queue, first));
            }
        }
        Ok(())
    }

    /// The beginning of the pack in which `seq` is live; its row is at hand afterwards.
    fn find(&mut self, disk: &Disk, queue: QueueId, seq: Seq) -> Result<Option<Seq>, StoreError> {
        let lowest = seq.saturating_sub(PACK_SPAN - 1);
        if let Some(kin) = self.queues.get(&queue) {
            // Packs of later moves may lie between the beginning of a pack and its last number.
            for (first, kept) in kin.range(lowest..=seq).rev() {
                if kept.row.is_live(seq - first) {
                    return Ok(Some(*first));
                }
            }
        }
        let Some((first, row)) = find_row(&disk.snapshot(), disk, queue, seq, |first| {
            self.has(queue, first)
        })?
        else {
            return Ok(None);
        };
        let small = row.count() < SMALL_PACK;
        self.keep(queue, first, row);
        if small {
            self.read_along(disk, queue, first)?;
        }
        Ok(Some(first))
    }

    fn has(&self, queue: QueueId, first: Seq) -> bool {
        self.queues
            .get(&queue)
            .is_some_and(|kin| kin.contains_key(&first))
    }

    fn read_along(&mut self, disk: &Disk, queue: QueueId, after: Seq) -> Result<(), StoreError> {
        let next = after.saturating_add(1);
        let range = pack_key(queue, next)..=pack_key(queue, next.saturating_add(PACK_SPAN));
        for guard in disk.entries.range(range).take(READ_ALONG) {
            let (key, value) = guard.into_inner()?;
            let (_, first) = read_pack_key(&key).ok_or(StoreError::Corrupt("entry key"))?;
            if !self.has(queue, first) {
                self.keep(queue, first, Row::decode(&value)?);
            }
        }
        Ok(())
    }

    /// Takes a row that a sweep read from disk, unless a newer one is at hand, and settles in it
    /// what `dead` says.
    pub(super) fn sweep(
        &mut self,
        bodies: &mut Bodies,
        (queue, first): (QueueId, Seq),
        read: &[u8],
        dead: impl Fn(Seq) -> bool,
    ) -> Result<(), StoreError> {
        if !self.has(queue, first) {
            self.keep(queue, first, Row::decode(read)?);
        }
        let Some(kept) = self
            .queues
            .get_mut(&queue)
            .and_then(|kin| kin.get_mut(&first))
        else {
            return Ok(());
        };
        let offsets: Vec<u64> = kept.row.live().filter(|at| dead(first + at)).collect();
        for &offset in &offsets {
            if let Some(body) = kept.row.settle(offset) {
                bodies.release(body, queue, first + offset);
            }
        }
        if !offsets.is_empty() && !std::mem::replace(&mut kept.changed, true) {
            self.changed.push((queue, first));
        }
        Ok(())
    }

    /// Puts every changed row into the batch, once.
    pub(super) fn write(&mut self, disk: &Disk, batch: &mut Batch) {
        for (queue, first) in self.changed.drain(..) {
            let Some(kin) = self.queues.get_mut(&queue) else {
                continue;
            };
            let Some(kept) = kin.get_mut(&first) else {
                continue;
            };
            let key = pack_key(queue, first);
            if kept.row.is_empty() {
                batch.remove(&disk.entries, key);
                // Written once, under a key that never comes again.
                batch.remove_weak(&disk.packs, key);
                self.removed += 1;
                kin.remove(&first);
                if kin.is_empty() {
                    self.queues.remove(&queue);
                }
                continue;
            }
            kept.changed = false;
            self.scratch.clear();
            kept.row.encode(&mut self.scratch);
            batch.insert(&disk.entries, key, self.scratch.as_slice());
        }
    }

    /// How many packs are gone since the last time.
    pub(super) fn take_removed(&mut self) -> u64 {
        std::mem::take(&mut self.removed)
    }

    /// Lets the oldest rows go. Only between batches: then the disk has them as they are here.
    pub(super) fn shrink(&mut self) {
        while self.age.len() > KEPT_ROWS {
            let Some((queue, first)) = self.age.pop_front() else {
                return;
            };
            if let Some(kin) = self.queues.get_mut(&queue) {
                kin.remove(&first);
                if kin.is_empty() {
                    self.queues.remove(&queue);
                }
            }
        }
    }
}

/// The pack on disk in which `seq` is live, passing over those that `skip` knows better.
pub(super) fn find_row(
    snapshot: &fjall::Snapshot,
    disk: &Disk,
    queue: QueueId,
    seq: Seq,
    skip: impl Fn(Seq) -> bool,
) -> Result<Option<(Seq, Row)>, StoreError> {
    let lowest = seq.saturating_sub(PACK_SPAN - 1);
    let range = pack_key(queue, lowest)..=pack_key(queue, seq);
    for guard in snapshot.range(&disk.entries, range).rev() {
        let (key, value) = guard.into_inner()?;
        let (_, first) = read_pack_key(&key).ok_or(StoreError::Corrupt("entry key"))?;
        if skip(first) {
            continue;
        }
        let row = Row::decode(&value)?;
        if row.is_live(seq - first) {
            return Ok(Some((first, row)));
        }
    }
    Ok(None)
}
