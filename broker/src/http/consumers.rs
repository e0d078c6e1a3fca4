//! Consumers, whose home is their queue.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::{Call, Handled};
use super::listing::all;
use super::{channels, fields};
use crate::queue::{ListedConsumer, Queue};
use crate::vhost::{ConnectionFacts, Vhost};

fn row(
    call: &Call,
    queue: &Queue,
    listed: &ListedConsumer,
    connections: &[Arc<ConnectionFacts>],
) -> Value {
    let consumer = &listed.consumer;
    let owner = connections
        .iter()
        .find(|connection| Arc::ptr_eq(&connection.outbox, &consumer.outbox));
    let details = owner.map_or(json!([]), |connection| {
        json!({
            "name": channels::name(connection, consumer.channel),
            "number": consumer.channel,
            "connection_name": connection.name(),
            "node": call.house.node.name(),
            "peer_host": connection.peer.ip().to_string(),
            "peer_port": connection.peer.port(),
            "user": *connection.user,
        })
    });
    json!({
        "consumer_tag": *consumer.tag,
        "queue": {"name": *queue.name, "vhost": *queue.vhost},
        "channel_details": details,
        "ack_required": !consumer.no_ack,
        "exclusive": consumer.exclusive,
        "active": listed.active,
        "activity_status": if listed.active { "up" } else { "waiting" },
        "prefetch_count": consumer.prefetch,
        "arguments": fields::table(&consumer.arguments),
        "consumer_timeout": consumer.timeout,
    })
}

pub(super) fn of_queue(call: &Call, queue: &Queue) -> Vec<Value> {
    let connections = call.house.broker.connections().list();
    let consumers = queue.consumers();
    let rows = consumers.iter();
    rows.map(|listed| row(call, queue, listed, &connections))
        .collect()
}

pub(super) fn of_channel(call: &Call, connection: &ConnectionFacts, number: u16) -> Vec<Value> {
    let connections = call.house.broker.connections().list();
    let mut rows = Vec::new();
    if let Some(vhost) = call.house.broker.vhost(&connection.vhost) {
        for queue in vhost.queues() {
            for listed in queue.consumers() {
                let consumer = &listed.consumer;
                let same = Arc::ptr_eq(&consumer.outbox, &connection.outbox);
                if same && consumer.channel == number {
                    rows.push(row(call, &queue, &listed, &connections));
                }
            }
        }
    }
    rows
}

/// Who monitors sees all consumers, everybody else their own.
fn sees(call: &Call, listed: &ListedConsumer, connections: &[Arc<ConnectionFacts>]) -> bool {
    let outbox = &listed.consumer.outbox;
    let owner = connections
        .iter()
        .find(|connection| Arc::ptr_eq(&connection.outbox, outbox));
    call.user.is_monitoring() || owner.is_some_and(|owner| *owner.user == *call.user.name)
}

fn rows(call: &Call, vhosts: &[Arc<Vhost>]) -> Handled {
    let connections = call.house.broker.connections().list();
    let mut rows = Vec::new();
    for vhost in vhosts {
        let mut queues = vhost.queues();
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        for queue in queues {
            let consumers = queue.consumers();
            let seen = consumers.iter().filter(|one| sees(call, one, &connections));
            rows.extend(seen.map(|one| row(call, &queue, one, &connections)));
        }
    }
    all(call, rows)
}

pub(super) fn list(call: &Call) -> Handled {
    rows(call, &call.visible_vhosts())
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    rows(call, &[call.vhost()?])
}
