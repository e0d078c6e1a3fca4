//! A record as the message of RabbitMQ's firehose: its headers, in their order and with their types.

use warren_plugin_sdk::tracer::{Outgoing, Payload};
use warren_plugin_sdk::{ArrayBuf, Properties, PropertiesBuf, TableBuf, Value};

use crate::record::{Record, Way};

const EXCHANGE: &str = "amq.rabbitmq.trace";

pub fn message(node: &str, event: u32, record: &Record, routing_key: String) -> Outgoing {
    let headers = headers(node, record);
    let properties = PropertiesBuf {
        headers,
        ..PropertiesBuf::default()
    };
    Outgoing {
        vhost: record.vhost.to_owned(),
        exchange: EXCHANGE.to_owned(),
        routing_key,
        properties: properties.into_bytes(),
        payload: Payload::OfEvent(event),
    }
}

fn headers(node: &str, record: &Record) -> TableBuf {
    let keys = texts(&record.message.routing_keys);
    let properties = properties(&record.message.properties);
    let mut headers = TableBuf::new()
        .with("exchange_name", record.message.exchange.as_str())
        .with("routing_keys", keys.as_array())
        .with("properties", properties.as_table())
        .with("node", node);
    if let Way::Delivered { redelivered, .. } = record.way {
        headers = headers.with("redelivered", i32::from(redelivered));
    }
    headers = headers
        .with("vhost", record.vhost)
        .with("connection", record.party.connection.as_str())
        .with("channel", i32::from(record.party.channel))
        .with("user", record.party.user.as_str());
    if let Way::Published { queues } = record.way {
        headers = headers.with("routed_queues", texts(queues).as_array());
    }
    headers
}

fn texts(list: &[String]) -> ArrayBuf {
    let list = list.iter();
    list.fold(ArrayBuf::new(), |array, text| array.with(text.as_str()))
}

/// The properties as a table: backwards, and every number a signed integer, as RabbitMQ does.
pub fn properties(bytes: &[u8]) -> TableBuf {
    let set: Vec<(&str, Value)> = Properties(bytes).iter().collect();
    let set = set.into_iter().rev();
    set.fold(TableBuf::new(), |table, (name, value)| {
        table.with(name, as_rabbitmq_types(value))
    })
}

fn as_rabbitmq_types(value: Value<'_>) -> Value<'_> {
    let number = match value {
        Value::UInt8(octet) => i64::from(octet),
        // What does not fit into RabbitMQ's type keeps its value.
        Value::Timestamp(seconds) => i64::try_from(seconds).unwrap_or(i64::MAX),
        other => return other,
    };
    match i32::try_from(number) {
        Ok(small) => Value::Int32(small),
        Err(_) => Value::Int64(number),
    }
}
