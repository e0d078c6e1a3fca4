//! What makes one queue behave differently from another: its type and, changeable while it lives,
//! its limits. Not where these come from (arguments and policies, see `vhost/`).

use std::sync::Arc;

use crate::clock::Millis;

/// x-queue-type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueType {
    #[default]
    Classic,
    /// As classic here, where every confirm means fsynced; what differs is a limit of deliveries and
    /// what may be declared.
    Quorum,
    Stream,
}

impl QueueType {
    pub fn name(self) -> &'static str {
        match self {
            QueueType::Classic => "classic",
            QueueType::Quorum => "quorum",
            QueueType::Stream => "stream",
        }
    }
}

/// What happens to a message that does not fit any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    #[default]
    DropHead,
    RejectPublish,
    RejectPublishDlx,
}

/// Where messages go that the queue does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTo {
    pub exchange: Arc<str>,
    /// None: the key that the message was published with, and its CC.
    pub routing_key: Option<Arc<str>>,
}

/// What a policy can change while the queue lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub message_ttl: Option<Millis>,
    /// The queue goes when nobody has used it for this long.
    pub expires: Option<Millis>,
    /// Of ready messages, here and below.
    pub max_length: Option<u64>,
    /// Of their bodies.
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    pub dead_letter: Option<Arc<DeadLetterTo>>,
    /// A message that has come back more often than this is not delivered again.
    pub delivery_limit: Option<u32>,
}
