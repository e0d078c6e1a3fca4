//! Where a queue tells whoever watches what it delivers. Not who watches (see `vhost/taps.rs`).

use std::sync::Arc;

use super::{Consumer, Inside, Queue};
use crate::message::MessageView;
use crate::outbox::{Delivery, Outbox};
use crate::trace::{Happening, TRACE_EXCHANGE, Tap};

/// What a queue's lock holds while somebody watches.
pub(super) struct QueueTap {
    tap: Arc<Tap>,
    queue: Arc<str>,
}

impl QueueTap {
    #[cold]
    pub fn consumed(&self, consumer: &Consumer, message: MessageView<'_>, redelivered: bool) {
        self.tell(&consumer.outbox, consumer.channel, message, redelivered);
    }

    #[cold]
    pub fn delivered(&self, outbox: &Outbox, delivery: &Delivery<'_>) {
        let Delivery {
            channel,
            message,
            redelivered,
            ..
        } = delivery;
        self.tell(outbox, *channel, *message, *redelivered);
    }

    fn tell(&self, outbox: &Outbox, channel: u16, message: MessageView<'_>, redelivered: bool) {
        let Some(party) = outbox.party() else { return };
        if **message.exchange == *TRACE_EXCHANGE {
            return;
        }
        self.tap.tell(Happening::Delivered {
            to: party.clone(),
            channel,
            message: message.to_message(),
            queue: Arc::clone(&self.queue),
            redelivered,
        });
    }
}

/// An answer to basic.get.
pub(super) fn tell(tap: &Option<Box<QueueTap>>, outbox: &Outbox, got: &Delivery<'_>) {
    if let Some(tap) = tap {
        tap.delivered(outbox, got);
    }
}

impl Queue {
    /// From now on: what is delivered under its lock afterwards is told there, or to nobody.
    pub fn set_tap(&self, tap: Option<&Arc<Tap>>) {
        let tap = tap.map(|tap| {
            Box::new(QueueTap {
                tap: Arc::clone(tap),
                queue: Arc::clone(&self.name),
            })
        });
        match &self.inside {
            Inside::Line(state) => state.lock().tap = tap,
            Inside::Stream(stream) => stream.lock().tap = tap,
        }
    }
}
