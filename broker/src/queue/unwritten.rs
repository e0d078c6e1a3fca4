//! Persistent messages of one queue that are not on their way to the disk yet: a consumer may well
//! acknowledge them first, and then they never go there, and their publisher is told at once. Not
//! the store's mailbox, where the others are.

use std::collections::VecDeque;

use super::state::QueueState;
use super::{Effects, Inside, Queue};
use crate::clock::Millis;
use crate::names::Seq;
use crate::store::{Append, ConfirmBatch};

/// A publisher that waits for a confirm waits this much longer for it at least, and twice that at
/// most, should no acknowledgement come: about what a busy disk takes to sync.
const PATIENCE: Millis = 5;

/// Nobody waits for what is published without confirms; it may only not stay in memory for long.
const PATIENCE_UNCONFIRMED: Millis = 50;

/// At most this much is kept here, in messages and in octets of their bodies.
const MOST_MESSAGES: usize = 16 * 1024;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Trust in the consumers, for publishers who wait. It falls faster than it grows, and is given
/// again now and then to see whether they are quick by now.
const TRUST_AT_FIRST: u32 = 64;
const MOST_TRUST: u32 = 1024;
const DISAPPOINTMENT: u32 = 8;
const NEXT_CHANCE: u32 = 1024;

/// Room for this many is kept when all are gone.
const KEPT_CAPACITY: usize = 1024;

pub(super) struct Unwritten {
    /// In the order of their numbers. Those that were acknowledged are gone from between.
    appends: VecDeque<(Seq, Option<Append>)>,
    bytes: usize,
    /// How many of them somebody waits for.
    awaited: usize,
    trust: u32,
    distrusted: u32,
    watch: Watch,
}

enum Watch {
    /// Nothing was here when somebody last looked.
    No,
    /// Everything up to `mark` is written when somebody looks at `at` or later.
    Until { at: Millis, mark: Seq },
}

/// What acknowledgements have saved.
#[derive(Default)]
pub(super) struct Saved {
    pub messages: u64,
    pub confirms: u64,
}

impl Default for Unwritten {
    fn default() -> Unwritten {
        Unwritten {
            appends: VecDeque::new(),
            bytes: 0,
            awaited: 0,
            trust: TRUST_AT_FIRST,
            distrusted: 0,
            watch: Watch::No,
        }
    }
}

impl Unwritten {
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.appends.len() >= MOST_MESSAGES || self.bytes >= MOST_BYTES
    }

    /// Whether waiting for an acknowledgement is worth while.
    fn is_worth_while(&mut self, append: &Append) -> bool {
        if append.confirm.is_none() || self.trust > 0 {
            return true;
        }
        self.distrusted += 1;
        if self.distrusted == NEXT_CHANCE {
            self.distrusted = 0;
            self.trust = TRUST_AT_FIRST;
        }
        false
    }

    fn push(&mut self, append: Append) {
        self.bytes += append.message.size();
        self.awaited += usize::from(append.confirm.is_some());
        self.appends.push_back((append.seq, Some(append)));
    }

    fn patience(&self) -> Millis {
        match self.awaited {
            0 => PATIENCE_UNCONFIRMED,
            _ => PATIENCE,
        }
    }

    /// When somebody has to look, if nobody knows yet.
    fn wants_look(&mut self, now: impl FnOnce() -> Millis) -> Option<Millis> {
        let last = self.appends.back()?.0;
        match self.watch {
            // What is awaited must not wait for the longer time.
            Watch::Until { .. } if self.awaited != 1 => None,
            Watch::Until { at, mark } => {
                let sooner = now() + PATIENCE;
                (sooner < at).then(|| {
                    self.watch = Watch::Until { at: sooner, mark };
                    sooner
                })
            }
            Watch::No => {
                let at = now() + self.patience();
                self.watch = Watch::Until { at, mark: last };
                Some(at)
            }
        }
    }

    /// Keeps in `seqs` those that the store knows.
    pub fn acknowledge(&mut self, seqs: &mut Vec<Seq>, confirms: &mut ConfirmBatch) -> Saved {
        let mut saved = Saved::default();
        if self.appends.is_empty() {
            return saved;
        }
        seqs.retain(|seq| match self.take(*seq) {
            Some(append) => {
                saved.messages += 1;
                if let Some(confirm) = append.confirm {
                    saved.confirms += 1;
                    confirms.owe(confirm);
                }
                false
            }
            None => true,
        });
        if saved.confirms > 0 {
            self.trust = MOST_TRUST.min(self.trust + saved.confirms as u32);
        }
        self.tidy();
        saved
    }

    fn take(&mut self, seq: Seq) -> Option<Append> {
        let first = self.appends.front()?.0;
        let append = match seq {
            // Mostly in order.
            _ if seq == first => self.appends.pop_front()?.1?,
            _ if seq < first => return None,
            _ => {
                let appends = &mut self.appends;
                let index = appends.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
                appends.get_mut(index)?.1.take()?
            }
        };
        self.bytes -= append.message.size();
        self.awaited -= usize::from(append.confirm.is_some());
        Some(append)
    }

    /// Nothing acknowledged stands in front.
    fn tidy(&mut self) {
        while let Some((_, None)) = self.appends.front() {
            self.appends.pop_front();
        }
        if self.appends.is_empty() && self.appends.capacity() > KEPT_CAPACITY {
            self.appends = VecDeque::new();
        }
    }

    /// Everything up to this number has to be written now.
    fn take_upto(&mut self, upto: Seq) -> Vec<Append> {
        let count = self.appends.partition_point(|(seq, _)| *seq <= upto);
        let taken: Vec<Append> = self
            .appends
            .drain(..count)
            .filter_map(|(_, append)| append)
            .collect();
        for append in &taken {
            self.bytes -= append.message.size();
            self.awaited -= usize::from(append.confirm.is_some());
        }
        self.tidy();
        taken
    }

    /// What was here when somebody last looked, if it is time. Then the next look, if one is needed.
    fn look(&mut self, now: Millis) -> (Vec<Append>, Option<Millis>) {
        let Watch::Until { at, mark } = self.watch else {
            return (Vec::new(), None);
        };
        if now < at {
            // Somebody else comes at that time.
            return (Vec::new(), None);
        }
        let late = self.take_upto(mark);
        let awaited = late.iter().filter(|late| late.confirm.is_some()).count() as u32;
        self.trust = self
            .trust
            .saturating_sub(DISAPPOINTMENT.saturating_mul(awaited));
        self.watch = Watch::No;
        let next = self.wants_look(|| now);
        (late, next)
    }
}

impl Queue {
    /// Hands a message to the store, now or when nobody has acknowledged it in time. Under the lock,
    /// before a later message of this queue.
    pub(super) fn keep(&self, state: &mut QueueState, append: Append) {
        let may_wait = append.persistent
            && self.attributes.max_priority == 0
            && state.consumers.len() > 0
            && !state.unwritten.is_full()
            && !state.backlog.pages(append.seq)
            && !self.home.pressure.is_on();
        if !may_wait || !state.unwritten.is_worth_while(&append) {
            self.write_all(state);
            self.home.store.append(append);
            return;
        }
        state.unwritten.push(append);
        let uptime = &self.home.uptime;
        if let Some(at) = state.unwritten.wants_look(|| uptime.now()) {
            self.home.unwritten.call(self.id, at);
        }
    }

    /// To be called before the store hears of anything else about messages that may be here, but
    /// that a consumer has acknowledged them.
    #[inline]
    pub(super) fn write_all(&self, state: &mut QueueState) {
        if !state.unwritten.is_empty() {
            self.hand_in(state.unwritten.take_upto(Seq::MAX));
        }
    }

    fn hand_in(&self, appends: Vec<Append>) {
        for append in appends {
            self.home.store.append(append);
        }
    }

    /// What waits for an acknowledgement may have waited long enough.
    pub fn write_late(&self) {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(_) => return,
        };
        let (late, next) = state.unwritten.look(self.home.uptime.now());
        self.hand_in(late);
        if let Some(at) = next {
            self.home.unwritten.call(self.id, at);
        }
    }

    /// A consumer has taken responsibility for these.
    pub(super) fn acknowledge(
        &self,
        state: &mut QueueState,
        seqs: &mut Vec<Seq>,
        effects: &mut Effects,
    ) {
        let saved = state.unwritten.acknowledge(seqs, &mut effects.confirms);
        if saved.messages > 0 {
            self.home.store.saved(saved.messages, saved.confirms);
        }
        if !seqs.is_empty() {
            self.home.store.settle(self.id, seqs);
        }
    }
}

#[cfg(test)]
#[path = "unwritten_tests.rs"]
mod tests;
