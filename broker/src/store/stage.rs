//! What the items of one batch come to, queue by queue, before anything is written: here an
//! acknowledgement overtakes the append it belongs to. Not the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::clock::Expiry;
use crate::message::Message;
use crate::names::{QueueId, Seq, lane_of};

use super::confirms::ConfirmBatch;
use super::mailbox::Gone;
use super::sync::Tidings;
use super::{Append, Confirm, DefinitionChange, Hold, Move, TimerKey};

/// More queue places than this are not kept between batches.
const KEPT_QUEUES: usize = 1024;

/// An append that is not yet written.
pub(super) struct Pending {
    pub(super) seq: Seq,
    /// None: it left before it was written.
    pub(super) message: Option<Arc<Message>>,
    pub(super) persistent: bool,
    pub(super) redelivered: bool,
    pub(super) returns: u32,
    pub(super) expires: Expiry,
    pub(super) confirm: Option<Confirm>,
}

pub(super) struct QueueStage {
    pub(super) queue: QueueId,
    pub(super) appends: Vec<Pending>,
    ascending: bool,
    /// Left, and were written in an earlier batch.
    pub(super) gone: Vec<Seq>,
    pub(super) redelivered: Vec<Seq>,
    pub(super) returned: Vec<(Seq, u32)>,
    /// The highest number that was brought, one for each priority.
    pub(super) upto: SmallVec<[Seq; 1]>,
}

impl QueueStage {
    fn new(queue: QueueId) -> QueueStage {
        QueueStage {
            queue,
            appends: Vec::new(),
            ascending: true,
            gone: Vec::new(),
            redelivered: Vec::new(),
            returned: Vec::new(),
            upto: SmallVec::new(),
        }
    }

    fn reset(&mut self, queue: QueueId) {
        self.queue = queue;
        self.appends.clear();
        self.ascending = true;
        self.gone.clear();
        self.redelivered.clear();
        self.returned.clear();
        self.upto.clear();
    }

    fn brought(&mut self, seq: Seq) {
        match self
            .upto
            .iter_mut()
            .find(|upto| lane_of(**upto) == lane_of(seq))
        {
            Some(upto) => *upto = (*upto).max(seq),
            None => self.upto.push(seq),
        }
    }

    /// Moves bring lower numbers later than higher ones.
    pub(super) fn sort(&mut self) {
        if !self.ascending {
            self.appends.sort_by_key(|pending| pending.seq);
            self.ascending = true;
        }
    }

    fn find(&mut self, seq: Seq) -> Option<&mut Pending> {
        self.sort();
        let at = self
            .appends
            .binary_search_by_key(&seq, |pending| pending.seq)
            .ok()?;
        self.appends
            .get_mut(at)
            .filter(|pending| pending.message.is_some())
    }
}

#[derive(Default)]
pub(super) struct Stage {
    by_queue: HashMap<QueueId, usize, foldhash::fast::RandomState>,
    queues: Vec<QueueStage>,
    used: usize,
    /// Paid at once.
    pub(super) early: ConfirmBatch,
    /// Paid after the batch.
    pub(super) late: ConfirmBatch,
    /// The batch must be synced.
    pub(super) synced: bool,
    pub(super) cancelled: u64,
    pub(super) holds: Vec<Hold>,
    pub(super) released: Vec<TimerKey>,
    /// The last change of each key: a key may stand in a batch only once.
    pub(super) definitions: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(super) done: Vec<Box<dyn FnOnce() + Send>>,
}

impl Stage {
    pub(super) fn clear(&mut self) {
        self.by_queue.clear();
        self.queues.truncate(KEPT_QUEUES);
        // Released now, not when the place is used again: messages are memory.
        for stage in self.queues.iter_mut().take(self.used) {
            stage.appends.clear();
        }
        self.used = 0;
        self.early.forget();
        self.late.forget();
        self.synced = false;
        self.cancelled = 0;
        self.holds.clear();
        self.released.clear();
        self.definitions.clear();
        self.done.clear();
    }

    /// What is to be told of this batch. Confirms take their memory with them and leave other in its
    /// place.
    pub(super) fn report(&mut self, tidings: &mut Tidings) {
        tidings.synced = self.synced;
        std::mem::swap(&mut tidings.confirms, &mut self.late);
        for queue in self.queues.iter_mut().take(self.used) {
            let brought = queue.upto.drain(..);
            tidings
                .written
                .extend(brought.map(|upto| (queue.queue, upto)));
        }
        tidings.released.append(&mut self.released);
        tidings.done.append(&mut self.done);
    }

    fn queue(&mut self, queue: QueueId) -> Option<&mut QueueStage> {
        let used = &mut self.used;
        let queues = &mut self.queues;
        let index = *self.by_queue.entry(queue).or_insert_with(|| {
            match queues.get_mut(*used) {
                Some(stage) => stage.reset(queue),
                None => queues.push(QueueStage::new(queue)),
            }
            *used += 1;
            *used - 1
        });
        self.queues.get_mut(index)
    }

    pub(super) fn queues(&mut self) -> &mut [QueueStage] {
        self.queues.get_mut(..self.used).unwrap_or_default()
    }

    pub(super) fn append(&mut self, append: Append) {
        let Some(stage) = self.queue(append.queue) else {
            return;
        };
        stage.ascending &= stage
            .appends
            .last()
            .is_none_or(|last| last.seq < append.seq);
        stage.brought(append.seq);
        stage.appends.push(Pending {
            seq: append.seq,
            message: Some(append.message),
            persistent: append.persistent,
            redelivered: false,
            returns: 0,
            expires: append.expires,
            confirm: append.confirm,
        });
    }

    pub(super) fn gone(&mut self, queue: QueueId, seq: Seq, why: Gone) {
        let Some(stage) = self.queue(queue) else {
            return;
        };
        let Some(pending) = stage.find(seq) else {
            stage.gone.push(seq);
            return;
        };
        pending.message = None;
        let confirm = pending.confirm.take();
        self.cancelled += 1;
        self.owe_cancelled(confirm, why);
    }

    /// What a move takes away it takes before it brings anything.
    pub(super) fn change(&mut self, change: Move) {
        self.synced |= change.synced;
        for (queue, seq) in change.settles {
            self.gone(queue, seq, Gone::Removed);
        }
        self.released.extend(change.timers);
        for append in change.appends {
            self.append(append);
        }
        self.holds.extend(change.holds);
        for definition in change.definitions {
            match definition {
                DefinitionChange::Put { key, value } => self.definitions.insert(key, Some(value)),
                DefinitionChange::Remove { key } => self.definitions.insert(key, None),
            };
        }
        self.done.extend(change.done);
    }

    fn owe_cancelled(&mut self, confirm: Option<Confirm>, why: Gone) {
        match (confirm, why) {
            (None, Gone::Acknowledged | Gone::Removed) => {}
            (Some(confirm), Gone::Acknowledged) => self.early.owe(confirm),
            (Some(confirm), Gone::Removed) => {
                // What took its place, such as a dead-lettered copy, is in this batch.
                self.synced = true;
                self.late.owe(confirm);
            }
        }
    }

    pub(super) fn redelivered(&mut self, queue: QueueId, seq: Seq) {
        let Some(stage) = self.queue(queue) else {
            return;
        };
        match stage.find(seq) {
            Some(pending) => pending.redelivered = true,
            None => stage.redelivered.push(seq),
        }
    }

    pub(super) fn returned(&mut self, queue: QueueId, seq: Seq, count: u32) {
        let Some(stage) = self.queue(queue) else {
            return;
        };
        match stage.find(seq) {
            Some(pending) => pending.returns = count,
            None => stage.returned.push((seq, count)),
        }
    }

    /// Appends that came before a purge go with it.
    pub(super) fn purge(&mut self, queue: QueueId, first: Seq, last: Seq) {
        let Some(stage) = self.queue(queue) else {
            return;
        };
        let mut confirms = Vec::new();
        let mut cancelled = 0;
        for pending in &mut stage.appends {
            if (first..=last).contains(&pending.seq) {
                cancelled += u64::from(pending.message.take().is_some());
                confirms.extend(pending.confirm.take());
            }
        }
        self.cancelled += cancelled;
        for confirm in confirms {
            self.owe_cancelled(Some(confirm), Gone::Removed);
        }
    }
}
