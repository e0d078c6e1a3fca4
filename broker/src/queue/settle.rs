//! What comes back to a queue: acknowledgements, messages returned, messages made visible by a move.

use super::backlog::{Body, Entry};
use super::state::QueueState;
use super::{Accepted, Effects, Inside, Publishing, Queue, Reason, Streaming};
use crate::clock::Expiry;
use crate::names::Seq;
use crate::outbox::{ConsumerKey, Place, Unacked, Unsent};

/// A message that a consumer gives back.
pub struct Returned {
    pub seq: Seq,
    pub place: Place,
    pub size: u32,
    pub persistent: bool,
    pub consumer: Option<ConsumerKey>,
    pub returns: u32,
    pub expires: Expiry,
}

impl From<Unacked> for Returned {
    fn from(unacked: Unacked) -> Returned {
        let Unacked {
            seq,
            place,
            size,
            persistent,
            consumer,
            returns,
            expires,
            ..
        } = unacked;
        Returned {
            seq,
            place,
            size,
            persistent,
            consumer,
            returns,
            expires,
        }
    }
}

impl From<Returned> for Entry {
    fn from(returned: Returned) -> Entry {
        let stored = match returned.place {
            Place::Store(_) => true,
            Place::Memory(_) | Place::Stream => false,
        };
        Entry {
            seq: returned.seq,
            body: Body::from_place(returned.place, returned.size),
            redelivered: true,
            stored,
            persistent: returned.persistent,
            returns: returned.returns,
            expires: returned.expires,
        }
    }
}

/// How messages come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// Somebody else may have them: nack, recover.
    Returned,
    /// Rejected, or their consumer went away.
    Failed,
}

/// What consumers that go leave behind.
pub enum Left {
    /// A queue that stays, and has what they had not acknowledged.
    Others,
    /// A queue that goes with its last consumer. These are not given back to it.
    Last(Vec<Returned>),
}

/// How messages are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    Acked,
    /// Gone, but nobody has taken responsibility for it: it cannot cancel a confirm's write.
    Rejected,
    /// A transaction has already settled it in the store.
    Committed,
}

/// A place in the queue that a move has taken and will make visible.
pub struct Reserved {
    pub seq: Seq,
    pub persistent: bool,
    pub expires: Expiry,
}

impl Queue {
    /// These messages of this queue are settled, and their consumers may get others.
    pub fn settle(&self, settled: &[Unacked], how: Settle, effects: &mut Effects) {
        match &self.inside {
            Inside::Line(state) => {
                let mut state = state.lock();
                self.settle_in(&mut state, settled, how, effects);
                self.drain(&mut state, effects);
            }
            Inside::Stream(stream) => {
                let keys = settled.iter().map(|unacked| unacked.consumer);
                Streaming::of(self, stream).settled(keys, effects);
            }
        }
    }

    /// The same, but nobody is served before `deliver`: others have their turn first.
    pub fn settle_only(&self, settled: &[Unacked], how: Settle, effects: &mut Effects) {
        match &self.inside {
            Inside::Line(state) => self.settle_in(&mut state.lock(), settled, how, effects),
            Inside::Stream(_) => self.settle(settled, how, effects),
        }
    }

    fn settle_in(
        &self,
        state: &mut QueueState,
        settled: &[Unacked],
        how: Settle,
        effects: &mut Effects,
    ) {
        state.unacked = state.unacked.saturating_sub(settled.len() as u64);
        for unacked in settled {
            let size = u64::from(unacked.size);
            state.unacked_bytes = state.unacked_bytes.saturating_sub(size);
            let Some(key) = unacked.consumer else {
                continue;
            };
            if state.counts_returns {
                state.consumers.settled(key, unacked.seq);
            }
            state.consumers.acked(key);
        }
        match how {
            Settle::Acked => {
                state.counted.acked += settled.len() as u64;
                let places = settled.iter().map(|unacked| (&unacked.place, unacked.seq));
                self.settle_stored(state, places, effects);
            }
            Settle::Rejected if !self.is_deleted() => {
                let mut gone = Vec::new();
                for unacked in settled {
                    let entry = Entry::from(Returned::from(unacked.clone()));
                    self.discard(state, entry, Reason::Rejected, &mut gone, effects);
                }
                self.remove(state, gone);
            }
            // The transaction comes behind in the store's mailbox.
            Settle::Committed => self.write_all(state),
            Settle::Rejected => {}
        }
    }

    /// Deliveries without acknowledgement that are in the socket now.
    pub fn sent(&self, sent: &[Unsent], effects: &mut Effects) {
        let places = sent.iter().map(|unsent| (&unsent.place, unsent.seq));
        match &self.inside {
            Inside::Line(state) => self.settle_stored(&mut state.lock(), places, effects),
            Inside::Stream(_) => {}
        }
    }

    fn settle_stored<'a>(
        &self,
        state: &mut QueueState,
        places: impl Iterator<Item = (&'a Place, Seq)>,
        effects: &mut Effects,
    ) {
        let mut seqs: Vec<Seq> = places
            .filter_map(|(place, seq)| match place {
                Place::Store(_) => Some(seq),
                Place::Memory(_) | Place::Stream => None,
            })
            .collect();
        if seqs.is_empty() || self.is_deleted() {
            return;
        }
        self.acknowledge(state, &mut seqs, effects);
    }

    /// Messages go back to where they were, and are redelivered from there.
    pub fn requeue(&self, mut returned: Vec<Returned>, back: Back, effects: &mut Effects) {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                let keys = returned.iter().map(|message| message.consumer);
                return Streaming::of(self, stream).settled(keys, effects);
            }
        };
        returned.sort_by_key(|message| message.seq);
        self.give_back(&mut state, returned, back, effects);
        self.drain(&mut state, effects);
        // Whoever consumes next does not wait for the disk then.
        self.load_returned(&mut state);
    }

    /// Channels have ended: their consumers go, and what they had comes back before anybody else is
    /// served.
    pub fn leave(
        &self,
        keys: &[ConsumerKey],
        mut returned: Vec<Returned>,
        effects: &mut Effects,
    ) -> Left {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                for key in keys {
                    Streaming::of(self, stream).cancel(*key);
                }
                return Left::Others;
            }
        };
        let ended = keys.iter().filter_map(|key| state.consumers.remove(*key));
        if ended.count() > 0 && state.consumers.len() == 0 {
            self.used(&mut state);
            if self.attributes.auto_delete {
                return Left::Last(returned);
            }
        }
        returned.sort_by_key(|message| message.seq);
        self.give_back(&mut state, returned, Back::Failed, effects);
        self.drain(&mut state, effects);
        self.load_returned(&mut state);
        Left::Others
    }

    pub(super) fn give_back(
        &self,
        state: &mut QueueState,
        returned: Vec<Returned>,
        back: Back,
        effects: &mut Effects,
    ) {
        state.unacked = state.unacked.saturating_sub(returned.len() as u64);
        let mut entries = Vec::with_capacity(returned.len());
        for message in returned {
            let size = u64::from(message.size);
            state.unacked_bytes = state.unacked_bytes.saturating_sub(size);
            if let Some(key) = message.consumer {
                if state.counts_returns {
                    state.consumers.settled(key, message.seq);
                }
                state.consumers.acked(key);
            }
            entries.push(Entry::from(message));
        }
        if !self.is_deleted() {
            let entries = self.count_returns(state, entries, effects);
            state.expiring |= entries.iter().any(|entry| entry.expires != Expiry::NEVER);
            let entries = self.put_off(state, entries, back);
            state.backlog.take_back(entries);
            self.shed(state, effects);
        }
    }

    /// Where deliveries are limited: what came back too often does not come back again.
    fn count_returns(
        &self,
        state: &mut QueueState,
        mut entries: Vec<Entry>,
        effects: &mut Effects,
    ) -> Vec<Entry> {
        if !state.counts_returns {
            return entries;
        }
        let limit = state.options.delivery_limit;
        let mut gone = Vec::new();
        let mut kept = Vec::with_capacity(entries.len());
        for mut entry in entries.drain(..) {
            entry.returns += 1;
            if limit.is_some_and(|limit| entry.returns > limit) {
                self.discard(state, entry, Reason::DeliveryLimit, &mut gone, effects);
            } else {
                kept.push(entry);
            }
        }
        self.remove(state, gone);
        let stored = kept.iter().filter(|entry| entry.stored);
        let counts = stored.map(|entry| (entry.seq, entry.returns)).collect();
        self.write_all(state);
        self.home.store.count_returns(self.id, counts);
        kept
    }

    /// No-ack deliveries whose connection went away before the bytes were in the socket.
    pub fn unsent(&self, unsent: Vec<Unsent>, effects: &mut Effects) {
        let returned = unsent
            .into_iter()
            .map(
                |Unsent {
                     seq,
                     place,
                     size,
                     persistent,
                     expires,
                     ..
                 }| Returned {
                    seq,
                    place,
                    size,
                    persistent,
                    consumer: None,
                    returns: 0,
                    expires,
                },
            )
            .collect::<Vec<_>>();
        match &self.inside {
            Inside::Line(state) => state.lock().unacked += returned.len() as u64,
            // Its consumers acknowledge, and nothing comes back.
            Inside::Stream(_) => return,
        }
        self.requeue(returned, Back::Failed, effects);
    }

    /// Takes a place for a message that a move will write, unless the queue is gone or full.
    pub fn reserve(
        &self,
        publishing: &mut Publishing<'_>,
        effects: &mut Effects,
    ) -> Result<Reserved, Accepted> {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                let reserved = Streaming::of(self, stream).reserve(publishing);
                return reserved.ok_or(Accepted::Gone);
            }
        };
        let state = &mut *state;
        if self.is_deleted() {
            return Err(Accepted::Gone);
        }
        if self.turns_away(state, publishing, effects) {
            return Err(Accepted::Rejected);
        }
        let expires = self.expiry(state, publishing.time_to_live());
        let seq = state.take_seq(publishing.priority(self.attributes.max_priority));
        // When the move is written, all before it are taken to be.
        self.write_all(state);
        state.counted.published += 1;
        state.backlog.reserve(seq, publishing.length());
        Ok(Reserved {
            seq,
            persistent: publishing.persistent && self.attributes.outlives_run(),
            expires,
        })
    }

    /// The move is written: the message can be delivered.
    pub fn reveal(
        &self,
        reserved: &Reserved,
        message: std::sync::Arc<crate::message::Message>,
        effects: &mut Effects,
    ) {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                return Streaming::of(self, stream).reveal(reserved, message, effects);
            }
        };
        if self.is_deleted() {
            return;
        }
        // Nobody has counted on it while it was on its way.
        state.expiring |= reserved.expires != Expiry::NEVER;
        state.backlog.reveal(Entry {
            seq: reserved.seq,
            body: Body::Here(message),
            redelivered: false,
            stored: true,
            persistent: reserved.persistent,
            returns: 0,
            expires: reserved.expires,
        });
        // Whoever waits for a message gets it, before limits and times count.
        self.hand_on(&mut state, effects);
        self.shed(&mut state, effects);
        self.drain(&mut state, effects);
    }
}
