//! Messages that leave a queue without having been acknowledged, on their way to where such messages
//! go. Not that way itself (see `vhost/dead_letter.rs`).

use std::sync::{Arc, OnceLock, Weak};

use super::DeadLetterTo;
use super::backlog::{Body, Entry};
use crate::message::Message;
use crate::names::{QueueId, Seq};

/// Why a message is not kept; the words stand in x-death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLength => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// A message that is out of its queue's hands, but whose row there (if it has one) is still live:
/// whoever takes it over settles that row in the batch that gives it a new place.
pub struct DeadLetter {
    pub vhost: Arc<str>,
    pub queue: QueueId,
    pub queue_name: Arc<str>,
    pub to: Arc<DeadLetterTo>,
    pub reason: Reason,
    pub seq: Seq,
    pub stored: bool,
    /// None: only the store has it.
    pub message: Option<Arc<Message>>,
}

/// Takes dead letters further. Called without a lock held.
pub trait DeadLetters: Send + Sync {
    fn take(self: Arc<Self>, letters: Vec<DeadLetter>);
}

/// Who takes a broker's dead letters; known only once everything is put together.
#[derive(Default)]
pub struct Office(OnceLock<Weak<dyn DeadLetters>>);

impl Office {
    /// Once.
    pub fn open(&self, taker: Weak<dyn DeadLetters>) {
        if self.0.set(taker).is_err() {
            tracing::error!("dead letters already have a taker");
        }
    }

    pub(super) fn taker(&self) -> Option<Arc<dyn DeadLetters>> {
        self.0.get()?.upgrade()
    }
}

/// What is needed to write a letter, besides the message.
pub(super) struct Sender<'a> {
    pub vhost: &'a Arc<str>,
    pub queue: QueueId,
    pub name: &'a Arc<str>,
    pub to: &'a Arc<DeadLetterTo>,
}

impl Sender<'_> {
    pub fn letter(&self, entry: Entry, reason: Reason) -> DeadLetter {
        DeadLetter {
            vhost: Arc::clone(self.vhost),
            queue: self.queue,
            queue_name: Arc::clone(self.name),
            to: Arc::clone(self.to),
            reason,
            seq: entry.seq,
            stored: entry.stored,
            message: match entry.body {
                Body::Here(message) => Some(message),
                Body::Disk { .. } => None,
            },
        }
    }
}
