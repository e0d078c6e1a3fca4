//! What a queue's lock protects. Pure: no clock, no disk, no socket.

use super::consumers::Consumers;
use super::lanes::Lanes;
use super::retry::Retries;
use super::{Counts, Options};
use crate::clock::Millis;
use crate::names::{Seq, count_of, in_lane};
use crate::store::Backlogs;

/// Low bits of a sequence number that count within one run: sixty billion messages.
const RUN_SHIFT: u32 = 36;

pub(super) struct QueueState {
    next_count: u64,
    pub backlog: Lanes,
    pub consumers: Consumers,
    pub unacked: u64,
    /// Neither ready nor in somebody's hands.
    pub retries: Retries,
    pub loading: Loading,
    /// Told once, when messages that were being read back have arrived (basic.get waits for that).
    pub getters: Vec<Box<dyn FnOnce() + Send>>,
    pub options: Options,
    /// Quorum queues tell how often a message came back, and may give it up.
    pub counts_returns: bool,
    /// Some message here has, or had, a time when it expires.
    pub expiring: bool,
    /// The time, where consumers are timed; told to the state before it delivers.
    pub now: Option<Millis>,
    /// When somebody last declared, read or consumed.
    pub used_at: Millis,
    /// The earliest time at which the schedule will call.
    pub called_at: Option<Millis>,
}

/// What is being read back from the store; one request at a time.
pub(super) enum Loading {
    Idle,
    /// The next part of what is only on disk, from this number on.
    Page(Seq),
    /// Single messages that came back from a consumer without their bodies.
    Bodies(Vec<Seq>),
}

/// What a queue begins with.
pub struct Beginning<'a> {
    pub recovered: &'a Backlogs,
    /// The last run ended unclean: anything may have been delivered before.
    pub all_redelivered: bool,
    pub max_priority: u8,
    pub single_active_consumer: bool,
    pub counts_returns: bool,
    pub options: Options,
}

impl QueueState {
    pub fn new(run: u64, now: Millis, beginning: Beginning<'_>) -> QueueState {
        let Beginning {
            recovered,
            all_redelivered,
            max_priority,
            single_active_consumer,
            counts_returns,
            options,
        } = beginning;
        let last = recovered.iter().map(|part| count_of(part.last)).max();
        let base = (run << RUN_SHIFT) + 1;
        let backlog = Lanes::recovered(max_priority, recovered, all_redelivered);
        QueueState {
            next_count: base.max(last.unwrap_or(0) + 1),
            expiring: backlog.has_unseen_expiry(),
            backlog,
            consumers: Consumers::new(single_active_consumer),
            unacked: 0,
            retries: Retries::default(),
            loading: Loading::Idle,
            getters: Vec::new(),
            options,
            counts_returns,
            now: None,
            used_at: now,
            called_at: None,
        }
    }

    pub fn take_seq(&mut self, priority: u8) -> Seq {
        let count = self.next_count;
        self.next_count += 1;
        in_lane(priority, count)
    }

    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.backlog.len(),
            unacked: self.unacked,
            consumers: self.consumers.len(),
        }
    }

    /// With one more message of this length the queue would be longer than it may be. What a move is
    /// about to bring is as good as there.
    pub fn would_overflow(&self, length: u64) -> bool {
        let too_long = |max| self.backlog.len() + self.backlog.reserved() + 1 > max;
        let too_large = |max| self.backlog.bytes() + length > max;
        self.options.max_length.is_some_and(too_long)
            || self.options.max_length_bytes.is_some_and(too_large)
    }

    #[inline]
    pub fn has_overflown(&self) -> bool {
        let too_long = |max| self.backlog.len() > max;
        let too_large = |max| self.backlog.bytes() > max;
        self.options.max_length.is_some_and(too_long)
            || self.options.max_length_bytes.is_some_and(too_large)
    }
}
