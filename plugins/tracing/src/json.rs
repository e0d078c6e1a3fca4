//! A record as RabbitMQ's tracing plugin writes it for programs: one object a line, keys in their
//! alphabetical order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use warren_plugin_sdk::{Table, Value};

use crate::firehose::properties;
use crate::record::{Record, Way};

pub fn write(out: &mut Vec<u8>, node: &str, record: &Record, payload: &[u8]) {
    let (what, queue, routed) = match record.way {
        Way::Published { queues } => ("published", json!("none"), json!(queues)),
        Way::Delivered { queue, .. } => ("received", json!(queue), json!("none")),
    };
    let properties = properties(&record.message.properties);
    let line = json!({
        "channel": record.party.channel,
        "connection": record.party.connection,
        "exchange": record.message.exchange,
        "node": node,
        "payload": STANDARD.encode(payload),
        "properties": object(properties.as_table()),
        "queue": queue,
        "routed_queues": routed,
        "routing_keys": record.message.routing_keys,
        "timestamp": record.time(),
        "type": what,
        "user": record.party.user,
        "vhost": record.vhost,
    });
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

fn object(table: Table<'_>) -> Json {
    let fields = table.fields();
    let fields = fields.map(|(name, value)| (name.to_owned(), plain(value)));
    Json::Object(fields.collect::<Map<String, Json>>())
}

fn plain(value: Value<'_>) -> Json {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Int8(int) => json!(int),
        Value::UInt8(int) => json!(int),
        Value::Int16(int) => json!(int),
        Value::UInt16(int) => json!(int),
        Value::Int32(int) => json!(int),
        Value::UInt32(int) => json!(int),
        Value::Int64(int) => json!(int),
        Value::Float(float) => json!(float),
        Value::Double(float) => json!(float),
        Value::Decimal { scale, value } => json!([scale, value]),
        Value::LongString(octets) | Value::Bytes(octets) => json!(text(octets)),
        Value::Array(array) => Json::Array(array.items().map(plain).collect()),
        Value::Timestamp(seconds) => json!(seconds),
        Value::Table(table) => object(table),
        Value::Void => json!("undefined"),
    }
}

/// What is no text is said to be none, in RabbitMQ's words.
fn text(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("Not UTF-8, base64 is: {}", STANDARD.encode(octets)),
    }
}
