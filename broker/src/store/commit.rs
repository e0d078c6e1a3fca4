//! The commit thread: everything that waits becomes one batch, is written, and only then anybody is
//! told. Not the contents of the batch (see `stage.rs`, `writer.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::StoreEvents;
use super::error::StoreError;
use super::gather::Company;
use super::handle::Shared;
use super::mailbox::{Item, Taken};
use super::stage::Stage;
use super::sweep::Purge;
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
    company: Company,
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
            company: Company::default(),
        }
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.serve() {
            self.shared.fail(&error);
        }
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        let mut items = Vec::new();
        loop {
            let gather = self.company.gather();
            let taken = self
                .shared
                .mailbox
                .take(&mut items, self.patience(), gather);
            match taken {
                Taken::Items => {
                    self.company.came(items.len());
                    let mut waiting = items.drain(..);
                    while waiting.len() > 0 {
                        self.one_batch(&mut waiting)?;
                    }
                }
                Taken::Idle => {
                    if !self.writer.sweeps.is_idle() {
                        self.one_batch(&mut std::iter::empty())?;
                    }
                    self.let_go_on();
                }
                Taken::Closed => return self.shared.disk.write_run(self.shared.run, true),
                Taken::Abandoned => return Ok(()),
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        if !self.writer.sweeps.is_idle() {
            Some(Duration::ZERO)
        } else if self.shared.mailbox.has_stopped() {
            Some(LOOK_AGAIN)
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
        if !batch.is_empty() || self.stage.synced {
            let begun = Instant::now();
            shared.disk.commit(batch, self.stage.synced)?;
            let took = begun.elapsed();
            counts.batches.fetch_add(1, Ordering::Relaxed);
            let synced = u64::from(self.stage.synced);
            counts.syncs.fetch_add(synced, Ordering::Relaxed);
            if self.stage.synced {
                let confirmed = self.stage.late.places();
                let waiting = shared.mailbox.waiting_items();
                self.company.expect(confirmed, waiting, took);
            }
        }
        self.writer.rows.shrink();
        for (queue, purge) in self.writer.sweeps.news() {
            let mut purges = shared.purges.lock();
            match purge {
                Some(purge) => purges.insert(queue, purge),
                None => purges.remove(&queue),
            };
        }
        shared.mailbox.written(bytes);
        self.tell();
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

    /// The batch is where it has to be: confirms, then queues, then moves, in order.
    fn tell(&mut self) {
        let counts = &self.shared.counts;
        let by_sync = self.stage.late.places();
        counts
            .confirmed_by_sync
            .fetch_add(by_sync, Ordering::Relaxed);
        counts
            .messages_written
            .fetch_add(self.writer.written, Ordering::Relaxed);
        counts
            .messages_cancelled
            .fetch_add(self.stage.cancelled, Ordering::Relaxed);
        self.stage.late.resolve();
        for queue in self.stage.queues() {
            for upto in queue.upto.drain(..) {
                self.events.written(queue.queue, upto);
            }
        }
        self.shared
            .timers
            .written(self.writer.first_timer, &self.stage.released);
        for done in self.stage.done.drain(..) {
            done();
        }
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
