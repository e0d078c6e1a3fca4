//! What comes back to a queue: acknowledgements, messages returned, messages made visible by a move.

use super::backlog::{Body, Entry};
use super::{Effects, Queue};
use crate::names::Seq;
use crate::outbox::{Place, Unacked, Unsent};

/// A message that a consumer gives back.
pub struct Returned {
    pub seq: Seq,
    pub place: Place,
    pub size: u32,
    pub persistent: bool,
    pub consumer: Option<crate::outbox::ConsumerKey>,
}

impl From<Unacked> for Returned {
    fn from(unacked: Unacked) -> Returned {
        let Unacked {
            seq,
            place,
            size,
            persistent,
            consumer,
            ..
        } = unacked;
        Returned {
            seq,
            place,
            size,
            persistent,
            consumer,
        }
    }
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
}

impl Queue {
    /// These messages of this queue are settled, and their consumers may get others.
    pub fn settle(&self, settled: &[Unacked], how: Settle, effects: &mut Effects) {
        let mut state = self.state.lock();
        state.unacked = state.unacked.saturating_sub(settled.len() as u64);
        for key in settled.iter().filter_map(|unacked| unacked.consumer) {
            state.consumers.acked(key);
        }
        let places = settled.iter().map(|unacked| (&unacked.place, unacked.seq));
        match how {
            Settle::Acked => self.settle_stored(places, true),
            Settle::Rejected => self.settle_stored(places, false),
            Settle::Committed => {}
        }
        self.drain(&mut state, effects);
    }

    /// Deliveries without acknowledgement that are in the socket now.
    pub fn sent(&self, sent: &[Unsent]) {
        self.settle_stored(sent.iter().map(|unsent| (&unsent.place, unsent.seq)), true);
    }

    fn settle_stored<'a>(&self, places: impl Iterator<Item = (&'a Place, Seq)>, acked: bool) {
        let seqs: Vec<Seq> = places
            .filter_map(|(place, seq)| match place {
                Place::Store(_) => Some(seq),
                Place::Memory(_) => None,
            })
            .collect();
        if seqs.is_empty() || self.is_deleted() {
            return;
        }
        if acked {
            self.store.settle(self.id, &seqs);
        } else {
            self.store.remove(self.id, &seqs);
        }
    }

    /// Messages go back to where they were, and are redelivered from there.
    pub fn requeue(&self, mut returned: Vec<Returned>, effects: &mut Effects) {
        let mut state = self.state.lock();
        state.unacked = state.unacked.saturating_sub(returned.len() as u64);
        returned.sort_by_key(|message| message.seq);
        let mut entries = Vec::with_capacity(returned.len());
        for message in returned {
            if let Some(key) = message.consumer {
                state.consumers.acked(key);
            }
            let stored = match message.place {
                Place::Store(_) => true,
                Place::Memory(_) => false,
            };
            entries.push(Entry {
                seq: message.seq,
                body: Body::from_place(message.place, message.size),
                redelivered: true,
                stored,
                persistent: message.persistent,
            });
        }
        if !self.is_deleted() {
            state.backlog.take_back(entries);
        }
        self.drain(&mut state, effects);
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
                     ..
                 }| Returned {
                    seq,
                    place,
                    size,
                    persistent,
                    consumer: None,
                },
            )
            .collect::<Vec<_>>();
        self.state.lock().unacked += returned.len() as u64;
        self.requeue(returned, effects);
    }

    /// Takes a place for a message that a move will write; `None` when the queue is gone.
    pub fn reserve(&self, persistent: bool) -> Option<Reserved> {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return None;
        }
        let seq = state.take_seq();
        state.backlog.reserve(seq);
        Some(Reserved {
            seq,
            persistent: persistent && self.attributes.outlives_run(),
        })
    }

    /// The move is written: the message can be delivered.
    pub fn reveal(
        &self,
        reserved: &Reserved,
        message: std::sync::Arc<crate::message::Message>,
        effects: &mut Effects,
    ) {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        state.backlog.reveal(Entry {
            seq: reserved.seq,
            body: Body::Here(message),
            redelivered: false,
            stored: true,
            persistent: reserved.persistent,
        });
        self.drain(&mut state, effects);
    }
}
