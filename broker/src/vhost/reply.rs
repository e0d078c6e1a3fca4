//! Direct reply-to: names that lead straight to a consumer, without a queue. At most once, kept
//! nowhere. Not who may use them (see `session/`).

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::Broker;
use crate::clock::Expiry;
use crate::message::MessageView;
use crate::outbox::{Delivered, Delivery, NO_QUEUE, Outbox};
use crate::queue::Effects;

/// The name that a client consumes from, and sets as reply-to.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";
const PREFIX: &str = "amq.rabbitmq.reply-to.";

#[derive(Default)]
pub(super) struct Replies {
    consumers: RwLock<HashMap<String, ReplyConsumer>>,
}

#[derive(Clone)]
struct ReplyConsumer {
    outbox: Arc<Outbox>,
    channel: u16,
    tag: Arc<str>,
}

/// Whether this can only be such a name.
pub fn is_reply_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

impl Broker {
    /// The name that replies to this consumer go to.
    pub fn expect_replies(&self, outbox: &Arc<Outbox>, channel: u16, tag: &str) -> String {
        let name = self.random_name(PREFIX);
        let consumer = ReplyConsumer {
            outbox: Arc::clone(outbox),
            channel,
            tag: Arc::from(tag),
        };
        self.replies
            .consumers
            .write()
            .insert(name.clone(), consumer);
        name
    }

    pub fn forget_replies(&self, name: &str) {
        self.replies.consumers.write().remove(name);
    }

    pub fn expects_replies(&self, name: &str) -> bool {
        self.replies.consumers.read().contains_key(name)
    }

    /// Hands the message to whoever waits for it under its routing key. Nobody may.
    pub fn reply(&self, message: MessageView<'_>, effects: &mut Effects) {
        let consumer = self
            .replies
            .consumers
            .read()
            .get(message.routing_key)
            .cloned();
        let Some(consumer) = consumer else { return };
        let delivered = consumer.outbox.deliver(Delivery {
            channel: consumer.channel,
            consumer_tag: &consumer.tag,
            consumer: None,
            no_ack: true,
            redelivered: false,
            message,
            queue: NO_QUEUE,
            seq: 0,
            place: None,
            persistent: false,
            returns: 0,
            expires: Expiry::NEVER,
        });
        match delivered {
            Delivered::Yes { wake: true, .. } => effects.wake(&consumer.outbox),
            Delivered::Yes { wake: false, .. } => {}
            Delivered::Full | Delivered::NoCredit | Delivered::Gone => {
                tracing::debug!(key = message.routing_key, "a reply had nowhere to go");
            }
        }
    }
}
