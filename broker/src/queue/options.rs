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

/// x-delayed-retry-type and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    pub of: RetryOf,
    /// After the first return; after the second twice as much, and so on.
    pub min: Millis,
    pub max: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOf {
    All,
    Failed,
    Returned,
}

impl RetryOf {
    /// None for 'disabled' and what is not known.
    pub fn read(name: &str) -> Option<RetryOf> {
        match name {
            "all" => Some(RetryOf::All),
            "failed" => Some(RetryOf::Failed),
            "returned" => Some(RetryOf::Returned),
            _ => None,
        }
    }
}

/// What a policy can change while the queue lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub message_ttl: Option<Millis>,
    /// The queue goes when nobody has used it for this long.
    pub expires: Option<Millis>,
    /// Of ready messages, here and below.
    pub max_length: Option<u64>,
    /// Of their bodies. A stream drops what is over, in segments.
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    pub dead_letter: Option<Arc<DeadLetterTo>>,
    /// A message that has come back more often than this is not delivered again.
    pub delivery_limit: Option<u32>,
    /// A quorum queue's consumer may hold a message this long.
    pub consumer_timeout: Option<Millis>,
    /// Messages that come back wait before they are delivered again.
    pub retry: Option<Retry>,
    /// Of a stream: how long its messages stay.
    pub max_age: Option<Millis>,
    /// Of a stream: by how much at once, at most, it is dropped.
    pub max_segment_bytes: Option<u64>,
}
