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

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// Nothing at the front is over its time.
    All,
    /// There may be more; the schedule calls again.
    Some,
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

    pub(super) fn call_at(&self, state: &mut QueueState, at: Millis) {
        if state.called_at.is_none_or(|called| called > at) {
            state.called_at = Some(at);
            self.home.schedule.call(self.id, at);
        }
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
        let unused = |period| state.consumers.len() == 0 && now >= state.used_at + period;
        if state.options.expires.is_some_and(unused) {
            return Called::Unused;
        }
        self.watch_for_disuse(&mut state);
        self.time_out(&mut state, now, effects);
        self.retry(&mut state, now);
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
            if left == 0 {
                self.remove(gone);
                self.call_at(state, now);
                return Expired::Some;
            }
            left -= 1;
            if let Some(entry) = state.backlog.pop() {
                self.discard(state, entry, Reason::Expired, &mut gone, effects);
            }
        };
        self.remove(gone);
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
        self.remove(gone);
    }

    /// A message leaves without having been acknowledged. `gone`: what the store is to forget.
    pub(super) fn discard(
        &self,
        state: &QueueState,
        entry: Entry,
        reason: Reason,
        gone: &mut Vec<Seq>,
        effects: &mut Effects,
    ) {
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

    pub(super) fn remove(&self, gone: Vec<Seq>) {
        if !gone.is_empty() {
            self.home.store.remove(self.id, &gone);
        }
    }
}
