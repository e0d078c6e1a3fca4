//! A queue where more waits than its consumers keep up with: which publishers rest, and how much of
//! the time. Not what wakes a connection (see `outbox/resting.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

use super::Effects;
use crate::names::QueueId;
use crate::outbox::Outbox;

/// Publishers rest after each such part that joins the crowd, counted with this much for every message.
const STEP: usize = 64 * 1024;
const EACH: usize = 64;

/// Consumers that take fewer messages than this from one step of a publisher to its next wait for
/// something else.
const SLOW_CONSUMERS: u64 = 64;

/// More publishers than this are not remembered; they go on by themselves when their rest is over.
const MOST_RESTING: usize = 1024;

/// So many go on when there is room: more of them fill it again at once.
const GO_ON: usize = 16;

/// A publisher to more crowded queues than this takes one of them for a new one now and then.
const MOST_SEEN: usize = 32;

#[derive(Default)]
pub(super) struct Crowd {
    /// Octets since somebody was last told to rest.
    joined: usize,
    /// Messages that consumers have taken.
    taken: u64,
    /// The longest first. Some have gone on since, by themselves.
    resting: VecDeque<Arc<Outbox>>,
    at_rest: Arc<AtomicU32>,
}

/// A publisher is one of those that rest, until this is dropped.
pub struct Rest(Arc<AtomicU32>);

impl Rest {
    fn among(at_rest: &Arc<AtomicU32>) -> Rest {
        at_rest.fetch_add(1, Ordering::Relaxed);
        Rest(Arc::clone(at_rest))
    }

    /// Of nobody else.
    pub(super) fn alone() -> Rest {
        Rest::among(&Arc::default())
    }

    /// How many publishers share the time that one alone would have: with each of them resting as long
    /// as one does, consumers would have none of it.
    pub fn sharers(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What consumers had taken from each queue when a publisher was last in its crowd.
#[derive(Default)]
pub(super) struct Seen(SmallVec<[(QueueId, u64); 2]>);

impl Seen {
    fn taken_since(&mut self, queue: QueueId, taken: u64) -> u64 {
        let mut known = self.0.iter_mut();
        if let Some((_, before)) = known.find(|(known, _)| *known == queue) {
            return taken.saturating_sub(std::mem::replace(before, taken));
        }
        if self.0.len() == MOST_SEEN {
            self.0.remove(0);
        }
        self.0.push((queue, taken));
        taken
    }
}

impl Crowd {
    #[inline]
    pub fn taken(&mut self) {
        self.taken += 1;
    }

    /// A message has joined those that wait, who are a crowd. Its publisher may have to give the
    /// consumers time: otherwise all that it publishes goes to the disk and comes back.
    #[inline]
    pub fn joined(&mut self, queue: QueueId, size: usize, effects: &mut Effects) {
        self.joined += size + EACH;
        if self.joined >= STEP {
            self.joined = 0;
            self.step(queue, effects);
        }
    }

    fn step(&mut self, queue: QueueId, effects: &mut Effects) {
        // Since this publisher was last here, and not any: consumers have their turn after all that
        // publish at once.
        if effects.seen.taken_since(queue, self.taken) < SLOW_CONSUMERS {
            return;
        }
        if let Some(publisher) = effects.crowd(Rest::among(&self.at_rest))
            && self.resting.len() < MOST_RESTING
        {
            self.resting.push_back(publisher);
        }
    }

    #[inline]
    pub fn has_resting(&self) -> bool {
        !self.resting.is_empty()
    }

    /// There is room again.
    pub fn ease(&mut self, effects: &mut Effects) {
        let mut left = GO_ON;
        while left > 0
            && let Some(publisher) = self.resting.pop_front()
        {
            if publisher.is_resting() {
                effects.rested.push(publisher);
                left -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: QueueId = QueueId(1);

    fn take(crowd: &mut Crowd, count: u64) {
        (0..count).for_each(|_| crowd.taken());
    }

    #[test]
    fn each_of_many_publishers_rests_although_consumers_had_one_turn_for_all_of_them() {
        let mut crowd = Crowd::default();
        let mut publishers: Vec<Effects> = (0..100)
            .map(|_| Effects::of(&Arc::new(Outbox::new())))
            .collect();
        take(&mut crowd, SLOW_CONSUMERS);
        let mut rests = Vec::new();
        for effects in &mut publishers {
            crowd.joined(HERE, STEP, effects);
            rests.extend(effects.take_rest());
        }
        let sharers: Vec<u32> = rests.iter().map(Rest::sharers).collect();
        assert_eq!(sharers, [100; 100]);
        drop(rests);
        // Nothing was taken since.
        for effects in &mut publishers {
            crowd.joined(HERE, STEP, effects);
            assert!(effects.take_rest().is_none());
        }
        assert_eq!(crowd.at_rest.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn some_go_on_when_there_is_room_who_have_rested_longest_and_not_those_that_went_by_themselves()
    {
        let mut crowd = Crowd::default();
        take(&mut crowd, SLOW_CONSUMERS);
        let outboxes: Vec<Arc<Outbox>> = (0..40).map(|_| Arc::new(Outbox::new())).collect();
        for outbox in &outboxes {
            crowd.joined(HERE, STEP, &mut Effects::of(outbox));
        }
        outboxes.iter().take(10).for_each(|outbox| outbox.rested());
        let mut effects = Effects::default();
        crowd.ease(&mut effects);
        effects.apply();
        let resting: Vec<bool> = outboxes.iter().map(|outbox| outbox.is_resting()).collect();
        let expected: Vec<bool> = (0..40).map(|place| place >= 10 + GO_ON).collect();
        assert_eq!(resting, expected);
    }
}
