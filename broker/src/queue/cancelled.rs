//! basic.cancel from the server: consumers hear that their queue is gone, or that it has had enough
//! of them.

use super::Consumer;
use crate::amqp::{AMQPClass, basic, short_string, write};

/// Those whose client has said that it wants to know.
pub fn tell_consumers(mut consumers: Vec<Consumer>) {
    // The order in which RabbitMQ tells those of one channel.
    consumers.sort_by(|one, other| one.tag.cmp(&other.tag));
    for consumer in consumers {
        if !consumer.cancel_notify {
            continue;
        }
        let (channel, incarnation) = (consumer.channel, consumer.incarnation);
        let wake = consumer.outbox.write_on(channel, incarnation, |out| {
            let cancel = basic::AMQPMethod::Cancel(basic::Cancel {
                consumer_tag: short_string(&consumer.tag),
                nowait: true,
            });
            write::method(out, channel, AMQPClass::Basic(cancel));
        });
        if wake {
            consumer.outbox.wake();
        }
    }
}
