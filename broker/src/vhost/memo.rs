//! What exchanges have answered before, remembered by exactly what the answer depends on.
//! One per connection, so that nobody waits for a lock. Not the walk over exchanges (`router.rs`).

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::exchange::{Exchange, Targets};
use super::exchange_type::Inputs;
use super::live::Stage;
use crate::amqp::properties::Properties;
use crate::message::MessageView;

/// A connection remembers this many answers, then starts anew: about half a megabyte at worst.
const MEMO_ENTRIES: usize = 4096;

/// What an answer depends on is kept whole, so it must be short.
const MEMO_KEY_BYTES: usize = 256;

#[derive(Default)]
pub struct Memo {
    hasher: RandomState,
    entries: HashTable<Entry>,
    key: SmallVec<[u8; 64]>,
    /// Not yet told to anybody.
    hits: SmallVec<[Hits; HIT_PLACES]>,
}

/// Exchanges that one batch is counted for without telling: counters that all connections share
/// would be written to by all of them for every message.
const HIT_PLACES: usize = 4;

struct Hits {
    exchange: Arc<Exchange>,
    stage: Stage,
    count: u64,
}

struct Entry {
    exchange: u64,
    stage: Stage,
    key: Box<[u8]>,
    generation: u64,
    remembered: Remembered,
}

/// An exchange's own answer, with its slots looked up.
pub enum Remembered {
    To(Targets),
    Delegate,
    Reject(String),
}

/// What a question is remembered by; `None` where the answer may depend on anything.
#[derive(Clone, Copy)]
pub struct Question {
    exchange: u64,
    stage: Stage,
    hash: u64,
}

impl Memo {
    /// Works out what this question is remembered by. The key stays in `self` until the next call.
    pub fn question(
        &mut self,
        exchange: u64,
        stage: Stage,
        inputs: &Inputs,
        message: &MessageView<'_>,
    ) -> Option<Question> {
        self.key.clear();
        match inputs {
            Inputs::Anything => return None,
            Inputs::Nothing => {}
            Inputs::RoutingKey => self.key.extend_from_slice(message.routing_key.as_bytes()),
            Inputs::Headers(names) => {
                let headers = Properties::new(message.properties).headers();
                for name in names.iter() {
                    match headers.and_then(|headers| headers.get_encoded(name)) {
                        Some(encoded) => {
                            self.key
                                .extend_from_slice(&(encoded.len() as u32 + 1).to_be_bytes());
                            self.key.extend_from_slice(encoded);
                        }
                        None => self.key.extend_from_slice(&[0; 4]),
                    }
                    if self.key.len() > MEMO_KEY_BYTES {
                        return None;
                    }
                }
            }
        }
        if self.key.len() > MEMO_KEY_BYTES {
            return None;
        }
        let hash = self.hasher.hash_one((exchange, stage, self.key.as_slice()));
        Some(Question {
            exchange,
            stage,
            hash,
        })
    }

    pub fn recall(&self, question: Question, generation: u64) -> Option<&Remembered> {
        let same = |entry: &Entry| {
            entry.exchange == question.exchange
                && entry.stage == question.stage
                && *entry.key == *self.key
        };
        let entry = self.entries.find(question.hash, same)?;
        (entry.generation == generation).then_some(&entry.remembered)
    }

    /// What was recalled was of use.
    pub(super) fn hit(&mut self, exchange: &Arc<Exchange>, stage: Stage) {
        let mut places = self.hits.iter_mut();
        let same = |hits: &&mut Hits| hits.exchange.id == exchange.id && hits.stage == stage;
        if let Some(hits) = places.find(same) {
            hits.count += 1;
            return;
        }
        if self.hits.len() == HIT_PLACES {
            self.tell_hits();
        }
        self.hits.push(Hits {
            exchange: Arc::clone(exchange),
            stage,
            count: 1,
        });
    }

    /// To be called at the end of a batch.
    pub fn tell_hits(&mut self) {
        for hits in self.hits.drain(..) {
            if let Some(instance) = hits.exchange.live().instance(hits.stage) {
                instance.remembered(hits.count);
            }
        }
    }

    pub fn remember(&mut self, question: Question, generation: u64, remembered: Remembered) {
        if self.entries.len() >= MEMO_ENTRIES {
            self.entries.clear();
        }
        let Question {
            exchange,
            stage,
            hash,
        } = question;
        let key = self.key.as_slice();
        let same = |entry: &Entry| {
            entry.exchange == exchange && entry.stage == stage && *entry.key == *key
        };
        match self.entries.find_mut(hash, same) {
            Some(entry) => {
                entry.generation = generation;
                entry.remembered = remembered;
            }
            None => {
                let key = key.into();
                let entry = Entry {
                    exchange,
                    stage,
                    key,
                    generation,
                    remembered,
                };
                let hasher = &self.hasher;
                self.entries.insert_unique(hash, entry, |entry| {
                    hasher.hash_one((entry.exchange, entry.stage, &*entry.key))
                });
            }
        }
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        self.tell_hits();
    }
}
