//! The commit thread: everything that waits becomes one batch and is written. Not the contents of the
//! batch (see `stage.rs`, `writer.rs`), and not the sync (see `sync.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::StoreEvents;
use super::error::StoreError;
use super::handle::Shared;
use super::mailbox::{Item, Taken};
use super::reclaim::{QUIET, Reclaim};
use super::stage::Stage;
use super::sweep::Purge;
use super::vigil::Vigil;
use super::writer::Writer;
use crate::names::QueueId;

/// A batch ends here, so that one burst neither overfills a memtable nor makes its first message
/// wait for all others.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// While publishers are stopped by the database's buffer, nobody else says when it has room.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(super) struct Committer {
    shared: Arc<Shared>,
    events: Arc<dyn StoreEvents>,
    stage: Stage,
    writer: Writer,
    reclaim: Reclaim,
}

impl Committer {
    pub(super) fn new(
        shared: Arc<Shared>,
        events: Arc<dyn StoreEvents>,
        unfinished: Vec<(QueueId, Purge)>,
    ) -> Committer {
        let mut writer = Writer::new(shared.run);
        for (queue, purge) in unfinished {
            writer.sweeps.resume(queue, purge);
        }
        Committer {
            shared,
            events,
            stage: Stage::default(),
            writer,
            reclaim: Reclaim::new(),
        }
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.serve() {
            self.shared.fail(&error);
        }
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        let mut items = Vec::new();
        let mut vigil = Vigil::default();
        loop {
            let shared = &self.shared;
            let is_syncing = || shared.syncs.is_syncing();
            let patience = self.patience();
            if patience != Some(Duration::ZERO) {
                vigil.keep(|| shared.mailbox.has_a_batch(is_syncing));
            }
            match shared.mailbox.take(&mut items, patience, is_syncing) {
                Taken::Items => {
                    let mut waiting = items.drain(..);
                    while waiting.len() > 0 {
                        self.one_batch(&mut waiting)?;
                    }
                }
                Taken::Idle => {
                    shared.disk.look();
                    if !self.writer.sweeps.is_idle() {
                        self.one_batch(&mut std::iter::empty())?;
                    } else if self.reclaim.is_due() && self.patience() == Some(QUIET) {
                        self.reclaim.begin(&self.shared);
                    }
                    self.let_go_on();
                }
                Taken::Closed => {
                    shared.syncs.close()?;
                    return shared.disk.write_run(shared.run, true);
                }
                Taken::Abandoned => return Ok(()),
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        if !self.writer.sweeps.is_idle() {
            Some(Duration::ZERO)
        } else if self.shared.mailbox.has_stopped() {
            Some(LOOK_AGAIN)
        } else if self.reclaim.is_due() {
            Some(QUIET)
        } else {
            None
        }
    }

    fn one_batch(&mut self, items: &mut dyn Iterator<Item = Item>) -> Result<(), StoreError> {
        let mut bytes = 0;
        for item in items {
            bytes += item.bytes();
            self.stage_item(item);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        let shared = Arc::clone(&self.shared);
        let counts = &shared.counts;
        let by_ack = self.stage.early.places();
        counts.confirmed_by_ack.fetch_add(by_ack, Ordering::Relaxed);
        self.stage.early.resolve();
        let batch = self
            .writer
            .build(&shared.disk, &shared.timers, &mut self.stage)?;
        if !batch.is_empty() {
            shared.disk.write(batch)?;
            counts.batches.fetch_add(1, Ordering::Relaxed);
        }
        self.reclaim.removed(self.writer.take_removed());
        self.writer.rows.shrink();
        for (queue, purge) in self.writer.sweeps.news() {
            let mut purges = shared.purges.lock();
            match purge {
                Some(purge) => purges.insert(queue, purge),
                None => purges.remove(&queue),
            };
        }
        shared.mailbox.written(bytes);
        self.pass_on()?;
        self.stage.clear();
        self.let_go_on();
        Ok(())
    }

    fn stage_item(&mut self, item: Item) {
        match item {
            Item::Append(append) => self.stage.append(append),
            Item::Gone { queue, seqs, why } => {
                for seq in seqs {
                    self.stage.gone(queue, seq, why);
                }
            }
            Item::Redelivered { queue, seqs } => {
                for seq in seqs {
                    self.stage.redelivered(queue, seq);
                }
            }
            Item::Returned { queue, counts } => {
                for (seq, count) in counts {
                    self.stage.returned(queue, seq, count);
                }
            }
            Item::Hold(hold) => self.stage.holds.push(*hold),
            Item::Move(change) => self.stage.change(*change),
            Item::Purge { queue, first, last } => {
                self.stage.purge(queue, first, last);
                self.writer.sweeps.purge(queue, first, last);
            }
            Item::Forget(queue) => self.writer.sweeps.forget(queue),
            Item::SweepUnknown(known) => {
                for queue in self.shared.found_at_start() {
                    if !known.contains(&queue) {
                        self.writer.sweeps.forget(queue);
                    }
                }
            }
        }
    }

    /// The batch is written. What has to be synced, and all that comes behind it, is the sync thread's.
    fn pass_on(&mut self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let counts = &shared.counts;
        counts
            .messages_written
            .fetch_add(self.writer.written, Ordering::Relaxed);
        counts
            .messages_cancelled
            .fetch_add(self.stage.cancelled, Ordering::Relaxed);
        let mut tidings = shared.syncs.blank();
        self.stage.report(&mut tidings);
        tidings.first_timer = self.writer.first_timer;
        if tidings.synced || shared.syncs.is_behind() {
            return shared.syncs.give(tidings);
        }
        tidings.tell(shared, &*self.events);
        shared.syncs.give_back(tidings);
        Ok(())
    }

    fn let_go_on(&self) {
        if self
            .shared
            .mailbox
            .may_go_on(self.shared.write_buffer_full())
        {
            self.events.drained();
        }
    }
}
