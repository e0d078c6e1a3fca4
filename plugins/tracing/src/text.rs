//! A record as RabbitMQ's tracing plugin writes it for humans.

use warren_plugin_sdk::erlang::Term;

use crate::firehose::properties;
use crate::record::{Record, Way};

/// Where the values of all lines but two begin.
const COLUMN: usize = 14;
const ROUTED_COLUMN: usize = 15;

pub fn write(out: &mut Vec<u8>, node: &str, record: &Record, payload: &[u8]) {
    let head = text(node, record);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(payload);
    out.push(b'\n');
}

fn text(node: &str, record: &Record) -> String {
    let what = match record.way {
        Way::Published { .. } => "published",
        Way::Delivered { .. } => "received",
    };
    let keys = texts(&record.message.routing_keys).pretty(COLUMN);
    let queue = match record.way {
        Way::Published { queues } => {
            let queues = texts(queues).pretty(ROUTED_COLUMN);
            format!("Routed queues: {queues}\n")
        }
        Way::Delivered { queue, .. } => format!("Queue:        {queue}\n"),
    };
    let properties = properties(&record.message.properties);
    let properties = Term::table(properties.as_table()).pretty(COLUMN);
    format!(
        "\n{}\n{}: Message {what}\n\nNode:         {node}\nConnection:   {}\n\
         Virtual host: {}\nUser:         {}\nChannel:      {}\nExchange:     {}\n\
         Routing keys: {keys}\n{queue}Properties:   {properties}\nPayload: \n",
        "=".repeat(80),
        record.time(),
        record.party.connection,
        record.vhost,
        record.party.user,
        record.party.channel,
        record.message.exchange,
    )
}

fn texts(list: &[String]) -> Term {
    Term::List(list.iter().map(|text| Term::text(text)).collect())
}
