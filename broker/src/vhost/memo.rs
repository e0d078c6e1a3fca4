//! What exchanges have answered before, remembered by exactly what the answer depends on.
//! One per connection, so that nobody waits for a lock. Not the walk over exchanges (`router.rs`).

mod answers;
mod misses;
mod questions;

use std::sync::Arc;

use smallvec::SmallVec;

use super::exchange::{Exchange, Targets};
use super::exchange_type::Inputs;
use super::live::Stage;
use crate::amqp::properties::Properties;
use crate::message::MessageView;
use answers::Answers;
pub use answers::Room;
use misses::Misses;

/// What an answer depends on is kept whole, so it must be short.
const MEMO_KEY_BYTES: usize = 255;

pub struct Memo {
    answers: Answers,
    key: Vec<u8>,
    declared: Declared,
    /// Not yet told to anybody.
    hits: SmallVec<[Hits; HIT_PLACES]>,
    misses: Misses,
}

/// Exchanges that one batch is counted for without telling: counters that all connections share
/// would be written to by all of them for every message.
const HIT_PLACES: usize = 4;

struct Hits {
    exchange: Arc<Exchange>,
    stage: Stage,
    count: u64,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Subject {
    exchange: u64,
    stage: Stage,
}

/// What the exchange of the last question said that its answers depend on. It says so once a
/// generation: to ask it for every message would be a lock that all connections share.
struct Declared {
    subject: Subject,
    generation: u64,
    inputs: Inputs,
}

/// Of no exchange: their numbers begin with 1.
impl Default for Declared {
    fn default() -> Declared {
        Declared {
            subject: Subject {
                exchange: 0,
                stage: Stage::Outer,
            },
            generation: 0,
            inputs: Inputs::Anything,
        }
    }
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
    subject: Subject,
    hash: u64,
}

impl Memo {
    /// Room for as many answers as `room` has left, besides a few thousand of its own.
    pub fn within(room: Arc<Room>) -> Memo {
        Memo {
            answers: Answers::within(room),
            key: Vec::new(),
            declared: Declared::default(),
            hits: SmallVec::new(),
            misses: Misses::default(),
        }
    }

    /// Works out what this question is remembered by. The key stays in `self` until the next call.
    /// `generation` was read before.
    pub fn question(
        &mut self,
        exchange: &Exchange,
        stage: Stage,
        generation: u64,
        message: &MessageView<'_>,
    ) -> Option<Question> {
        let subject = Subject {
            exchange: exchange.id,
            stage,
        };
        if self.declared.subject != subject || self.declared.generation != generation {
            self.declared = Declared {
                subject,
                generation,
                inputs: exchange.inputs(stage),
            };
        }
        self.key.clear();
        if !write_key(&self.declared.inputs, message, &mut self.key) {
            return None;
        }
        let hash = self.answers.hash(subject, &self.key);
        Some(Question { subject, hash })
    }

    /// Whether it is worth to say early what is asked next.
    #[inline]
    pub fn is_slow(&self) -> bool {
        self.answers.is_large() && self.declared.inputs == Inputs::RoutingKey
    }

    /// A message to the exchange of the last question, with this key, is next.
    pub fn prefetch(&self, routing_key: &str) {
        let hash = self
            .answers
            .hash(self.declared.subject, routing_key.as_bytes());
        self.answers.prefetch(hash);
    }

    /// What the answer to the last question depends on.
    pub fn inputs(&self) -> &Inputs {
        &self.declared.inputs
    }

    pub fn recall(&self, question: Question, generation: u64) -> Option<&Remembered> {
        let Question { subject, hash } = question;
        self.answers.recall((subject, &self.key), hash, generation)
    }

    /// What was recalled was of use.
    pub(super) fn hit(&mut self, exchange: &Arc<Exchange>, stage: Stage) {
        if !self.misses.recalled() {
            return;
        }
        self.answers.hit();
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

    /// Somebody had to be asked, and the answer is remembered now.
    pub(super) fn missed(&mut self) {
        self.misses.missed();
    }

    /// After a message: whether `foresee` is worth it for those behind it.
    pub fn may_foresee(&mut self) -> bool {
        self.misses.take()
    }

    /// See `Misses::foresaw`.
    pub(super) fn foresaw(&mut self, seen: usize, asked: usize, answered: usize) {
        self.misses.foresaw(seen, asked, answered);
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
        let Question { subject, hash } = question;
        self.answers
            .remember((subject, &self.key), hash, generation, remembered);
    }
}

/// False where the answer may depend on more than is worth to be kept.
fn write_key(inputs: &Inputs, message: &MessageView<'_>, key: &mut Vec<u8>) -> bool {
    match inputs {
        Inputs::Anything => return false,
        Inputs::Nothing => {}
        Inputs::RoutingKey => key.extend_from_slice(message.routing_key.as_bytes()),
        Inputs::Headers(names) => {
            let headers = Properties::new(message.properties).headers();
            for name in names.iter() {
                // No two lists of headers read the same: a value says itself where it ends, and none
                // begins with a zero.
                match headers.and_then(|headers| headers.get_encoded(name)) {
                    Some(encoded) => key.extend_from_slice(encoded),
                    None => key.push(0),
                }
                if key.len() > MEMO_KEY_BYTES {
                    return false;
                }
            }
        }
    }
    key.len() <= MEMO_KEY_BYTES
}

/// Without room besides its own.
impl Default for Memo {
    fn default() -> Memo {
        Memo::within(Arc::new(Room::new(0)))
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        self.tell_hits();
    }
}
