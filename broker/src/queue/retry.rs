//! Messages of a quorum queue that came back and wait before they are delivered again
//! (x-delayed-retry-type). They keep their rows in the store, so a stop shortens the wait and loses
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::backlog::{Body, Entry};
use super::state::QueueState;
use super::{Back, Queue, Retry, RetryOf};
use crate::clock::Millis;
use crate::names::Seq;
use crate::outbox::Place;

#[derive(Default)]
pub(super) struct Retries(BTreeMap<(Millis, Seq), Waiting>);

/// Very many may wait, so the bytes of those that the store has are not kept.
struct Waiting {
    entry: Entry,
    place: Option<Place>,
}

impl Waiting {
    fn new(mut entry: Entry) -> Waiting {
        let size = entry.body.size() as u32;
        let place = match &entry.body {
            Body::Here(message) if entry.stored => Some(Place::Store(Arc::downgrade(message))),
            Body::Here(_) | Body::Disk { .. } => None,
        };
        if place.is_some() {
            entry.body = Body::Disk { size };
        }
        Waiting { entry, place }
    }

    fn over(self) -> Entry {
        let Waiting { mut entry, place } = self;
        if let Some(place) = place {
            entry.body = Body::from_place(place, entry.body.size() as u32);
        }
        entry
    }
}

impl Retries {
    /// What has waited long enough, in the order of the queue.
    fn take_due(&mut self, now: Millis) -> Vec<Entry> {
        let later = self.0.split_off(&(now + 1, 0));
        let due = std::mem::replace(&mut self.0, later);
        let mut entries: Vec<Entry> = due.into_values().map(Waiting::over).collect();
        entries.sort_by_key(|entry| entry.seq);
        entries
    }

    fn next(&self) -> Option<Millis> {
        self.0.first_key_value().map(|((due, _), _)| *due)
    }

    pub fn stored(&self) -> impl Iterator<Item = Seq> + '_ {
        let stored = self.0.values().filter(|waiting| waiting.entry.stored);
        stored.map(|waiting| waiting.entry.seq)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Retry {
    fn is_for(self, back: Back) -> bool {
        match (self.of, back) {
            (RetryOf::All, Back::Returned | Back::Failed)
            | (RetryOf::Failed, Back::Failed)
            | (RetryOf::Returned, Back::Returned) => true,
            (RetryOf::Failed, Back::Returned) | (RetryOf::Returned, Back::Failed) => false,
        }
    }

    /// Longer each time, up to a bound.
    fn wait(self, returns: u32) -> Millis {
        let wait = self.min.saturating_mul(u64::from(returns.max(1)));
        self.max.map_or(wait, |max| wait.min(max))
    }
}

impl Queue {
    /// Those that need not wait.
    pub(super) fn put_off(
        &self,
        state: &mut QueueState,
        entries: Vec<Entry>,
        back: Back,
    ) -> Vec<Entry> {
        let Some(retry) = state.options.retry.filter(|retry| retry.is_for(back)) else {
            return entries;
        };
        let now = self.home.clock.now();
        for entry in entries {
            let due = now.saturating_add(retry.wait(entry.returns));
            state
                .retries
                .0
                .insert((due, entry.seq), Waiting::new(entry));
        }
        self.watch_for_retries(state);
        Vec::new()
    }

    /// Back into the line with what has waited long enough.
    pub(super) fn retry(&self, state: &mut QueueState, now: Millis) {
        let due = state.retries.take_due(now);
        state.backlog.take_back(due);
        self.watch_for_retries(state);
    }

    fn watch_for_retries(&self, state: &mut QueueState) {
        if let Some(next) = state.retries.next() {
            self.call_at(state, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_each_return_up_to_its_bound() {
        let retry = Retry {
            of: RetryOf::Failed,
            min: 100,
            max: Some(250),
        };
        assert_eq!(
            [1, 2, 3, 9].map(|returns| retry.wait(returns)),
            [100, 200, 250, 250]
        );
        assert!(retry.is_for(Back::Failed) && !retry.is_for(Back::Returned));
    }
}
