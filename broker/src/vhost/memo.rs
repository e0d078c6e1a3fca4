//! What exchanges have answered before, remembered by exactly what the answer depends on.
//! One per connection, so that nobody waits for a lock. Not the walk over exchanges (`router.rs`).

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::exchange::{Stage, Targets};
use super::exchange_type::Inputs;
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
