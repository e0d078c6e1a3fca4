//! What the store says, handed to whom it concerns.

use std::sync::Arc;

use crate::names::{QueueId, Seq};
use crate::net::Gate;
use crate::store::{Held, StoreEvents, Stored};
use crate::vhost::Broker;

pub(super) struct Events {
    pub broker: Arc<Broker>,
    pub gate: Arc<Gate>,
}

impl StoreEvents for Events {
    fn written(&self, queue: QueueId, upto: Seq) {
        self.broker.written(queue, upto);
    }

    fn loaded(&self, queue: QueueId, messages: Vec<Stored>) {
        self.broker.loaded(queue, messages);
    }

    fn fetched(&self, queue: QueueId, messages: Vec<Stored>) {
        self.broker.loaded(queue, messages);
    }

    fn due(&self, held: Vec<Held>) {
        self.broker.release(held);
    }

    fn drained(&self) {
        self.gate.wake_all();
    }

    fn failed(&self, what: &str) {
        tracing::error!(
            reason = what,
            "the disk has failed; nothing is confirmed any more"
        );
        self.gate.fail();
    }
}
