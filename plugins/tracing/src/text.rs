//! A record as RabbitMQ's tracing plugin writes it for humans.

use warren_plugin_sdk::erlang::{Term, latin1};

use crate::firehose::properties;
use crate::record::{Record, Way};

/// Where the values of all lines but two begin.
const COLUMN: usize = 14;
const ROUTED_COLUMN: usize = 15;

pub fn write(out: &mut Vec<u8>, node: &str, record: &Record, payload: &[u8]) {
    let what = match record.way {
        Way::Published { .. } => "published",
        Way::Delivered { .. } => "received",
    };
    let head = format!(
        "\n{}\n{}: Message {what}\n\nNode:         {node}\nConnection:   {}\n\
         Virtual host: {}\nUser:         {}\nChannel:      {}\nExchange:     {}\n\
         Routing keys: ",
        "=".repeat(80),
        record.time(),
        record.party.connection,
        record.vhost,
        record.party.user,
        record.party.channel,
        record.message.exchange,
    );
    out.extend_from_slice(head.as_bytes());
    let keys = texts(&record.message.routing_keys).pretty(COLUMN);
    out.extend_from_slice(&latin1(&keys));
    match record.way {
        Way::Published { queues } => {
            out.extend_from_slice(b"\nRouted queues: ");
            out.extend_from_slice(&latin1(&texts(queues).pretty(ROUTED_COLUMN)));
        }
        Way::Delivered { queue, .. } => {
            out.extend_from_slice(b"\nQueue:        ");
            out.extend_from_slice(queue.as_bytes());
        }
    }
    let properties = properties(&record.message.properties);
    let properties = Term::table(properties.as_table()).pretty(COLUMN);
    out.extend_from_slice(b"\nProperties:   ");
    out.extend_from_slice(&latin1(&properties));
    out.extend_from_slice(b"\nPayload: \n");
    out.extend_from_slice(payload);
    out.push(b'\n');
}

fn texts(list: &[String]) -> Term {
    Term::List(list.iter().map(|text| Term::text(text)).collect())
}
