//! What a queue's lock protects. Pure: no clock, no disk, no socket.

use super::Counts;
use super::backlog::Backlogged;
use super::consumers::Consumers;
use crate::names::Seq;
use crate::store::Backlog;

/// Low bits of a sequence number that count within one run: a trillion messages.
const RUN_SHIFT: u32 = 40;

pub(super) struct QueueState {
    next_seq: Seq,
    pub backlog: Backlogged,
    pub consumers: Consumers,
    pub unacked: u64,
    pub loading: Loading,
    /// Told once, when messages that were being read back have arrived (basic.get waits for that).
    pub getters: Vec<Box<dyn FnOnce() + Send>>,
}

/// What is being read back from the store; one request at a time.
pub(super) enum Loading {
    Idle,
    /// The next part of what is only on disk.
    Page,
    /// Single messages that came back from a consumer without their bodies.
    Bodies(Vec<Seq>),
}

impl QueueState {
    pub fn new(run: u64, recovered: Backlog, all_redelivered: bool) -> QueueState {
        let base = (run << RUN_SHIFT) + 1;
        let next_seq = base.max(recovered.last + 1);
        QueueState {
            next_seq,
            backlog: Backlogged::recovered(recovered, all_redelivered),
            consumers: Consumers::default(),
            unacked: 0,
            loading: Loading::Idle,
            getters: Vec::new(),
        }
    }

    pub fn take_seq(&mut self) -> Seq {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.backlog.len(),
            unacked: self.unacked,
            consumers: self.consumers.len(),
        }
    }
}
