//! basic.cancel from the server: consumers hear that their queue is gone.

use crate::amqp::{AMQPClass, basic, short_string, write};
use crate::queue::Consumer;

/// Those whose client has said that it wants to know.
pub fn tell_consumers(consumers: Vec<Consumer>) {
    for consumer in consumers {
        if !consumer.cancel_notify {
            continue;
        }
        let wake = consumer.outbox.write_from_elsewhere(|out, _| {
            let cancel = basic::AMQPMethod::Cancel(basic::Cancel {
                consumer_tag: short_string(&consumer.tag),
                nowait: true,
            });
            write::method(out, consumer.channel, AMQPClass::Basic(cancel));
        });
        if wake {
            consumer.outbox.wake();
        }
    }
}
