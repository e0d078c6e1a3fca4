//! What a queue's lock protects. Pure: no clock, no disk, no socket.

use super::consumers::Consumers;
use super::crowd::Crowd;
use super::lanes::Lanes;
use super::retry::Retries;
use super::tap::QueueTap;
use super::unwritten::Unwritten;
use super::{Counts, Effects, Options};
use crate::clock::Millis;
use crate::names::{QueueId, Seq, count_of, in_lane};
use crate::store::Backlogs;
use crate::tally::Messages;

/// From so many waiting messages, or octets of them, on, publishers give consumers time. Well before
/// a queue goes on to disk, and little enough to stay in the processor's cache until it is delivered:
/// who rests is told when half of it is gone.
const CROWDED: u64 = 2048;
const CROWDED_BYTES: u64 = 256 * 1024;

/// Low bits of a sequence number that count within one run: sixty billion messages.
const RUN_SHIFT: u32 = 36;

pub(super) struct QueueState {
    next_count: u64,
    pub backlog: Lanes,
    pub consumers: Consumers,
    pub unacked: u64,
    pub unwritten: Unwritten,
    pub crowd: Crowd,
    /// Of their bodies.
    pub unacked_bytes: u64,
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
    pub counted: Messages,
    /// There while somebody watches.
    pub tap: Option<Box<QueueTap>>,
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
            unwritten: Unwritten::default(),
            crowd: Crowd::default(),
            unacked_bytes: 0,
            retries: Retries::default(),
            loading: Loading::Idle,
            getters: Vec::new(),
            options,
            counts_returns,
            now: None,
            used_at: now,
            called_at: None,
            counted: Messages::default(),
            tap: None,
        }
    }

    pub fn take_seq(&mut self, priority: u8) -> Seq {
        let count = self.next_count;
        self.next_count += 1;
        in_lane(priority, count)
    }

    /// A message of this size has joined the line.
    pub fn crowded_by(&mut self, id: QueueId, size: usize, effects: &mut Effects) {
        if self.backlog.len() >= CROWDED || self.backlog.bytes() >= CROWDED_BYTES {
            self.crowd.joined(id, size, effects);
        }
    }

    /// Lets publishers go on once half of the crowd is gone.
    pub fn ease(&mut self, effects: &mut Effects) {
        let is_eased =
            || self.backlog.len() < CROWDED / 2 && self.backlog.bytes() < CROWDED_BYTES / 2;
        if self.crowd.has_resting() && is_eased() {
            self.crowd.ease(effects);
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.backlog.len(),
            unacked: self.unacked,
            consumers: self.consumers.len(),
        }
    }

    /// With one more message of this length the queue would be longer than it may be. What a move is
    /// about to bring is as good as there, unless somebody waits for it.
    pub fn would_overflow(&self, length: u64) -> bool {
        let (count, bytes) = self.standing();
        let too_long = |max| count + 1 > max;
        let too_large = |max| bytes + length > max;
        self.options.max_length.is_some_and(too_long)
            || self.options.max_length_bytes.is_some_and(too_large)
    }

    /// Messages and bytes that stand in the queue or will.
    fn standing(&self) -> (u64, u64) {
        let (count, bytes) = (self.backlog.len(), self.backlog.bytes());
        let reserved = self.backlog.reserved();
        if reserved == 0 {
            return (count, bytes);
        }
        match reserved.saturating_sub(self.consumers.room()) {
            0 => (count, bytes),
            staying => (count + staying, bytes + self.backlog.reserved_bytes()),
        }
    }

    #[inline]
    pub fn has_overflown(&self) -> bool {
        let too_long = |max| self.backlog.len() > max;
        let too_large = |max| self.backlog.bytes() > max;
        self.options.max_length.is_some_and(too_long)
            || self.options.max_length_bytes.is_some_and(too_large)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Expiry;
    use crate::message::Message;
    use crate::outbox::Outbox;
    use crate::queue::backlog::{Body, Entry};

    fn state() -> QueueState {
        let beginning = Beginning {
            recovered: &Backlogs::new(),
            all_redelivered: false,
            max_priority: 0,
            single_active_consumer: false,
            counts_returns: false,
            options: Options::default(),
        };
        QueueState::new(1, 0, beginning)
    }

    /// As a publish that joins the line.
    fn publish(state: &mut QueueState, length: usize, effects: &mut Effects) {
        let data = vec![0; length];
        let message = Message::from_parts(Arc::from(""), 0, 0, data).expect("a message");
        let size = message.size();
        let seq = state.take_seq(0);
        state.backlog.push(Entry {
            seq,
            body: Body::Here(Arc::new(message)),
            redelivered: false,
            stored: false,
            persistent: false,
            returns: 0,
            expires: Expiry::NEVER,
        });
        state.crowded_by(QueueId(1), size, effects);
    }

    #[test]
    fn a_publisher_rests_in_a_crowd_and_goes_on_when_half_of_it_is_gone() {
        const LENGTH: usize = 1024;
        let publisher = Arc::new(Outbox::new());
        let mut effects = Effects::of(&publisher);
        let mut state = state();
        (0..64).for_each(|_| state.crowd.taken());
        while !publisher.is_resting() {
            publish(&mut state, LENGTH, &mut effects);
            assert!(state.backlog.bytes() <= CROWDED_BYTES + 128 * 1024);
        }
        assert!(effects.take_rest().is_some());
        while state.backlog.bytes() >= CROWDED_BYTES / 2 {
            state.ease(&mut effects);
            effects.apply();
            assert!(publisher.is_resting());
            state.backlog.pop();
        }
        state.ease(&mut effects);
        effects.apply();
        assert!(!publisher.is_resting());
    }

    #[test]
    fn nobody_rests_for_consumers_that_take_nothing() {
        let publisher = Arc::new(Outbox::new());
        let mut effects = Effects::of(&publisher);
        let mut state = state();
        for _ in 0..2 * CROWDED {
            publish(&mut state, 1024, &mut effects);
        }
        assert!(!publisher.is_resting() && effects.take_rest().is_none());
    }
}
