//! The reader thread: messages come back from disk, in order, for queues whose head is not in
//! memory. Not the order in which queues ask.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fjall::{Readable, Slice, Snapshot};
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};

use crate::names::{QueueId, Seq};

use super::disk::Disk;
use super::error::StoreError;
use super::handle::Shared;
use super::layout::{PACK_SPAN, pack_key, read_pack_key};
use super::pack::{Body, LastExchange, PackReader, Packed};
use super::row::Row;
use super::rows::find_row;
use super::{StoreEvents, Stored};

pub(super) enum Request {
    Load {
        queue: QueueId,
        from: Seq,
        max_messages: usize,
        max_bytes: usize,
    },
    Fetch {
        queue: QueueId,
        seqs: Vec<Seq>,
    },
}

#[derive(Default)]
struct Inside {
    waiting: VecDeque<Request>,
    stopped: bool,
}

#[derive(Default)]
pub(super) struct ReadDesk {
    inside: Mutex<Inside>,
    filled: Condvar,
}

impl ReadDesk {
    pub(super) fn push(&self, request: Request) {
        let mut inside = self.inside.lock();
        if !inside.stopped {
            inside.waiting.push_back(request);
            self.filled.notify_one();
        }
    }

    fn take(&self) -> Option<Request> {
        let mut inside = self.inside.lock();
        loop {
            if inside.stopped {
                return None;
            }
            if let Some(request) = inside.waiting.pop_front() {
                return Some(request);
            }
            self.filled.wait(&mut inside);
        }
    }

    pub(super) fn stop(&self) {
        let mut inside = self.inside.lock();
        inside.stopped = true;
        inside.waiting.clear();
        self.filled.notify_all();
    }
}

pub(super) fn run(shared: &Shared, events: &Arc<dyn StoreEvents>) {
    while let Some(request) = shared.reads.take() {
        let mut read = Read {
            disk: &shared.disk,
            snapshot: shared.disk.snapshot(),
            exchanges: LastExchange::default(),
        };
        let answer = match request {
            Request::Load {
                queue,
                from,
                max_messages,
                max_bytes,
            } => read
                .load(queue, from, max_messages, max_bytes)
                .map(|messages| events.loaded(queue, messages)),
            Request::Fetch { queue, seqs } => read
                .fetch(queue, &seqs)
                .map(|messages| events.fetched(queue, messages)),
        };
        if let Err(error) = answer {
            shared.fail(&error);
            return;
        }
    }
}

struct Read<'a> {
    disk: &'a Disk,
    snapshot: Snapshot,
    exchanges: LastExchange,
}

impl Read<'_> {
    fn load(
        &mut self,
        queue: QueueId,
        from: Seq,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        // A pack that begins earlier may reach beyond `from`.
        let lowest = from.saturating_sub(PACK_SPAN - 1);
        let all = pack_key(queue, lowest)..=pack_key(queue, Seq::MAX);
        let mut packs = Packs::new(queue);
        let mut found = Vec::new();
        // Read, but a pack that is not yet read may hold lower numbers.
        let mut open: BTreeMap<Seq, Stored> = BTreeMap::new();
        let mut bytes = 0;
        for guard in self.snapshot.range(&self.disk.entries, all) {
            let (key, value) = guard.into_inner()?;
            let (_, first) = read_pack_key(&key).ok_or(StoreError::Corrupt("entry key"))?;
            while let Some(entry) = open.first_entry()
                && *entry.key() < first
            {
                if is_full(found.len(), bytes, max_messages, max_bytes) {
                    return Ok(found);
                }
                bytes += entry.get().message.size();
                found.push(entry.remove());
            }
            // What is open counts too: it will be delivered before anything read from here on.
            if is_full(
                found.len() + open.len(),
                bytes,
                max_messages.saturating_add(open.len()),
                max_bytes,
            ) {
                return Ok(found);
            }
            let row = Row::decode(&value)?;
            if row.last_seq(first).is_none_or(|last| last < from) {
                continue;
            }
            let pack = packs.get(self, first)?;
            self.unpack(
                &pack,
                first,
                &row,
                |seq| seq >= from,
                |stored| {
                    open.insert(stored.seq, stored);
                },
            )?;
        }
        for (_, stored) in open {
            if is_full(found.len(), bytes, max_messages, max_bytes) {
                break;
            }
            bytes += stored.message.size();
            found.push(stored);
        }
        Ok(found)
    }

    fn fetch(&mut self, queue: QueueId, seqs: &[Seq]) -> Result<Vec<Stored>, StoreError> {
        let mut sorted = seqs.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut found: HashMap<Seq, Stored> = HashMap::with_capacity(sorted.len());
        let mut rest = sorted.as_slice();
        while let Some(&seq) = rest.first() {
            rest = rest.get(1..).unwrap_or_default();
            let Some((first, row)) = find_row(&self.snapshot, self.disk, queue, seq, |_| false)?
            else {
                continue;
            };
            let own = rest
                .iter()
                .take_while(|seq| **seq - first < PACK_SPAN && row.is_live(**seq - first))
                .count();
            let (also, later) = rest.split_at(own);
            rest = later;
            let pack = read_pack(self, queue, first)?;
            let wanted = |one: Seq| one == seq || also.binary_search(&one).is_ok();
            self.unpack(&pack, first, &row, wanted, |stored| {
                found.insert(stored.seq, stored);
            })?;
        }
        Ok(seqs.iter().filter_map(|seq| found.remove(seq)).collect())
    }

    fn unpack(
        &mut self,
        pack: &[u8],
        first: Seq,
        row: &Row,
        wanted: impl Fn(Seq) -> bool,
        mut take: impl FnMut(Stored),
    ) -> Result<(), StoreError> {
        let mut reader = PackReader::new(pack)?;
        while let Some(packed) = reader.next()? {
            let seq = first
                .checked_add(packed.offset)
                .ok_or(StoreError::Corrupt("pack"))?;
            if row.is_live(packed.offset) && wanted(seq) {
                take(self.stored(&packed, seq, row)?);
            }
        }
        Ok(())
    }

    fn stored(&mut self, packed: &Packed, seq: Seq, row: &Row) -> Result<Stored, StoreError> {
        let message = match packed.body {
            Body::Here(body) => packed.to_message(body, &mut self.exchanges)?,
            Body::Apart { message, length } => {
                let body = self
                    .snapshot
                    .get(&self.disk.bodies, message.to_be_bytes())?
                    .filter(|body| body.len() == length)
                    .ok_or(StoreError::Corrupt("body"))?;
                packed.to_message(&body, &mut self.exchanges)?
            }
        };
        Ok(Stored {
            seq,
            message,
            persistent: row.run == 0,
            redelivered: row.is_redelivered(packed.offset),
        })
    }
}

/// At least one message is always read, however long it is.
fn is_full(messages: usize, bytes: usize, max_messages: usize, max_bytes: usize) -> bool {
    messages > 0 && (messages >= max_messages || bytes >= max_bytes)
}

fn read_pack(read: &Read, queue: QueueId, first: Seq) -> Result<Slice, StoreError> {
    read.snapshot
        .get(&read.disk.packs, pack_key(queue, first))?
        .ok_or(StoreError::Corrupt("pack"))
}

/// The packs of one load: neighbours are read by one walk, which costs less than asking for each.
struct Packs {
    queue: QueueId,
    walk: Option<fjall::Iter>,
}

impl Packs {
    fn new(queue: QueueId) -> Packs {
        Packs { queue, walk: None }
    }

    fn get(&mut self, read: &Read, first: Seq) -> Result<Slice, StoreError> {
        let range = pack_key(self.queue, first)..=pack_key(self.queue, Seq::MAX);
        let walk = self
            .walk
            .get_or_insert_with(|| read.snapshot.range(&read.disk.packs, range));
        // A pack stands exactly where its entry stands, so the walk seldom has to skip.
        for guard in walk {
            let (key, value) = guard.into_inner()?;
            let (_, at) = read_pack_key(&key).ok_or(StoreError::Corrupt("pack key"))?;
            if at == first {
                return Ok(value);
            }
            if at > first {
                break;
            }
        }
        Err(StoreError::Corrupt("pack"))
    }
}
