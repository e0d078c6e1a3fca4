//! What a queue does not keep: messages whose time is over, messages that do not fit, and in the end
//! itself. Everything here happens under the queue's lock.

use super::backlog::{Entry, Front};
use super::dead_letter::Sender;
use super::state::QueueState;
use super::{DeadLetter, Effects, Inside, Options, Overflow, Queue, Reason, Streaming};
use crate::clock::{Expiry, Millis};
use crate::names::Seq;

/// At most this many messages expire while the lock is held once; the rest after others had a turn.
const EXPIRE_AT_ONCE: usize = 1024;

/// Nothing stands in the schedule for longer than this.
const LONGEST_CALL: Millis = 10 * 60 * 1000;

/// When the disk is behind, dead letters are looked at again after this long.
const BEHIND_PAUSE: Millis = 20;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// Nothing at the front is over its time.
    All,
    /// There may be more; the schedule calls again.
    Some,
    /// There is more, but it has to wait for the disk; the schedule calls again.
    Behind,
}

/// What the schedule's call has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    Fine,
    /// Nobody has used the queue for as long as it lives unused: it is to be deleted.
    Unused,
}

impl Queue {
    /// When a message that is published now expires. `own`: its own time to live.
    #[inline]
    pub(super) fn expiry(&self, state: &mut QueueState, own: Option<Millis>) -> Expiry {
        let ttl = match (own, state.options.message_ttl) {
            (None, None) => return Expiry::NEVER,
            (Some(own), Some(all)) => own.min(all),
            (Some(only), None) | (None, Some(only)) => only,
        };
        state.expiring = true;
        Expiry::at(self.home.clock.now().saturating_add(ttl))
    }

    /// A policy or its absence: from now on these hold.
    pub fn set_options(&self, options: Options, effects: &mut Effects) {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => return Streaming::of(self, stream).set_options(&options),
        };
        state.options = options;
        self.shed(&mut state, effects);
        self.watch_for_disuse(&mut state);
        self.drain(&mut state, effects);
    }

    /// Somebody has declared the queue, read from it or stopped to consume.
    pub(super) fn used(&self, state: &mut QueueState) {
        if state.options.expires.is_some() {
            state.used_at = self.home.clock.now();
            self.watch_for_disuse(state);
        }
    }

    pub fn redeclared(&self) {
        match &self.inside {
            Inside::Line(state) => self.used(&mut state.lock()),
            Inside::Stream(_) => {}
        }
    }

    pub(super) fn watch_for_disuse(&self, state: &mut QueueState) {
        if let Some(period) = state.options.expires
            && state.consumers.len() == 0
        {
            self.call_at(state, state.used_at.saturating_add(period));
        }
    }

    /// Whoever is called looks again, so a time far away is asked for in steps: what stands in the
    /// schedule outlives the queue, and must not for years.
    pub(super) fn call_at(&self, state: &mut QueueState, at: Millis) {
        if state.called_at.is_some_and(|called| called <= at) {
            return;
        }
        let at = at.min(self.home.clock.now().saturating_add(LONGEST_CALL));
        if state.called_at.is_none_or(|called| called > at) {
            state.called_at = Some(at);
            self.home.schedule.call(self.id, at);
        }
    }

    /// The disk is behind: what is moved now would only wait in memory.
    fn is_behind(&self, state: &mut QueueState, now: Millis) -> bool {
        let behind = state.options.dead_letter.is_some() && self.home.store.over_bound();
        if behind {
            self.call_at(state, now.saturating_add(BEHIND_PAUSE));
        }
        behind
    }

    /// The time that was asked for has come.
    pub fn called(&self, effects: &mut Effects) -> Called {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                Streaming::of(self, stream).called();
                return Called::Fine;
            }
        };
        if self.is_deleted() {
            return Called::Fine;
        }
        state.called_at = None;
        let now = self.home.clock.now();
        let unused =
            |period| state.consumers.len() == 0 && now >= state.used_at.saturating_add(period);
        if state.options.expires.is_some_and(unused) {
            return Called::Unused;
        }
        self.watch_for_disuse(&mut state);
        self.time_out(&mut state, now, effects);
        self.retry(&mut state, now);
        self.shed(&mut state, effects);
        self.drain(&mut state, effects);
        Called::Fine
    }

    /// Takes out what stands in front and is over its time. As in RabbitMQ, a message with a time of
    /// its own waits for those before it.
    #[inline]
    pub(super) fn expire(&self, state: &mut QueueState, effects: &mut Effects) -> Expired {
        match state.expiring {
            true => self.expire_due(state, effects),
            false => Expired::All,
        }
    }

    /// The same without an end: as many as there are.
    pub(super) fn expire_all(&self, state: &mut QueueState, effects: &mut Effects) -> Expired {
        loop {
            match self.expire(state, effects) {
                Expired::Some => {}
                end @ (Expired::All | Expired::Behind) => return end,
            }
        }
    }

    fn expire_due(&self, state: &mut QueueState, effects: &mut Effects) -> Expired {
        let now = self.home.clock.now();
        let mut gone = Vec::new();
        let mut left = EXPIRE_AT_ONCE;
        let next = loop {
            match state.backlog.front() {
                Front::Empty => {
                    state.expiring = state.options.message_ttl.is_some();
                    break None;
                }
                Front::Page => {
                    self.load(state);
                    break None;
                }
                Front::Here | Front::Bodies(_) => {}
            }
            let Some(first) = state.backlog.first() else {
                break None;
            };
            if !first.expires.is_due(now) {
                break first.expires.time();
            }
            if left == EXPIRE_AT_ONCE && self.is_behind(state, now) {
                return Expired::Behind;
            }
            if left == 0 {
                self.remove(state, gone);
                self.call_at(state, now);
                return Expired::Some;
            }
            left -= 1;
            if let Some(entry) = state.backlog.pop() {
                self.discard(state, entry, Reason::Expired, &mut gone, effects);
            }
        };
        self.remove(state, gone);
        if let Some(next) = next {
            self.call_at(state, next);
        }
        Expired::All
    }

    /// Drops from the front what does not fit any more, where the queue is told to.
    #[inline]
    pub(super) fn shed(&self, state: &mut QueueState, effects: &mut Effects) {
        // Most queues have no bounds, and every publish comes by here.
        if state.has_overflown() {
            self.shed_overflown(state, effects);
        }
    }

    fn shed_overflown(&self, state: &mut QueueState, effects: &mut Effects) {
        match state.options.overflow {
            Overflow::DropHead => {}
            Overflow::RejectPublish | Overflow::RejectPublishDlx => return,
        }
        if self.is_behind(state, self.home.clock.now()) {
            return;
        }
        let mut gone = Vec::new();
        while state.has_overflown() {
            match state.backlog.front() {
                Front::Empty => break,
                Front::Page => {
                    self.load(state);
                    break;
                }
                Front::Here | Front::Bodies(_) => {}
            }
            match state.backlog.pop() {
                Some(entry) => self.discard(state, entry, Reason::MaxLength, &mut gone, effects),
                None => break,
            }
        }
        self.remove(state, gone);
    }

    /// A message leaves without having been acknowledged. `gone`: what the store is to forget.
    pub(super) fn discard(
        &self,
        state: &mut QueueState,
        entry: Entry,
        reason: Reason,
        gone: &mut Vec<Seq>,
        effects: &mut Effects,
    ) {
        if entry.stored {
            // The move that takes it away must find it in the store.
            self.write_all(state);
        }
        match self.letter(state, entry, reason) {
            Ok(letter) => effects.dead_letter(&self.home.office, letter),
            Err(entry) if entry.stored => gone.push(entry.seq),
            Err(_) => {}
        }
    }

    fn letter(
        &self,
        state: &QueueState,
        entry: Entry,
        reason: Reason,
    ) -> Result<DeadLetter, Entry> {
        let Some(to) = &state.options.dead_letter else {
            return Err(entry);
        };
        let sender = Sender {
            vhost: &self.vhost,
            queue: self.id,
            name: &self.name,
            to,
        };
        Ok(sender.letter(entry, reason))
    }

    pub(super) fn remove(&self, state: &mut QueueState, gone: Vec<Seq>) {
        if !gone.is_empty() {
            self.write_all(state);
            self.home.store.remove(self.id, &gone);
        }
    }
}
