//! A queue as it is at one moment, for whoever lists it. Nothing here changes anything.

use super::{Consumer, Counts, Inside, Options, Queue, Streaming};
use crate::clock::Millis;
use crate::tally::Messages;

#[derive(Clone, Debug, Default)]
pub struct QueueLook {
    pub counts: Counts,
    /// Of bodies that are ready.
    pub ready_bytes: u64,
    /// Of bodies that are in consumers' hands.
    pub unacked_bytes: u64,
    pub counted: Messages,
    pub options: Options,
    /// When somebody last declared it, read from it or consumed.
    pub used_at: Option<Millis>,
}

/// A consumer and whether its turn can come.
pub struct ListedConsumer {
    pub consumer: Consumer,
    /// Of a queue with a single active consumer: this is the one.
    pub active: bool,
}

impl Queue {
    pub fn look(&self) -> QueueLook {
        let state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => return Streaming::of(self, stream).look(),
        };
        QueueLook {
            counts: state.counts(),
            ready_bytes: state.backlog.bytes(),
            unacked_bytes: state.unacked_bytes,
            counted: state.counted,
            options: state.options.clone(),
            used_at: Some(state.used_at),
        }
    }

    pub fn consumers(&self) -> Vec<ListedConsumer> {
        match &self.inside {
            Inside::Line(state) => state.lock().consumers.listed(),
            Inside::Stream(stream) => Streaming::of(self, stream).listed(),
        }
    }
}
