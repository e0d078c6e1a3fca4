//! Channels.

use std::sync::Arc;

use hashbrown::HashMap;
use serde_json::{Value, json};

use super::about::object;
use super::answer::Failure;
use super::call::{Call, Handled};
use super::connections;
use super::consumers;
use super::listing::{listed, one};
use super::samples::Subject;
use super::stats::Shown;
use crate::tally::Messages;
use crate::vhost::{ChannelFacts, ChannelMode, ConnectionFacts};

struct Listed {
    name: String,
    connection: Arc<ConnectionFacts>,
    channel: Arc<ChannelFacts>,
}

/// How many consumers each channel has, by its connection's outbox and its number.
type ConsumerCounts = HashMap<(usize, u16), u64>;

pub(super) fn name(connection: &ConnectionFacts, number: u16) -> String {
    format!("{} ({number})", connection.name())
}

fn consumer_counts(call: &Call) -> ConsumerCounts {
    let mut counts = ConsumerCounts::new();
    for vhost in call.house.broker.vhosts() {
        for queue in vhost.queues() {
            for listed in queue.consumers() {
                let owner = Arc::as_ptr(&listed.consumer.outbox).addr();
                *counts.entry((owner, listed.consumer.channel)).or_default() += 1;
            }
        }
    }
    counts
}

fn row(call: &Call, listed: &Listed, counts: &ConsumerCounts) -> Value {
    let Listed {
        name,
        connection,
        channel,
    } = listed;
    let look = connection
        .outbox
        .look_at(channel.number, channel.incarnation);
    let look = look.unwrap_or_default();
    let owner = Arc::as_ptr(&connection.outbox).addr();
    let consumers = counts.get(&(owner, channel.number)).copied().unwrap_or(0);
    let mut map = object([
        ("name", json!(name)),
        ("number", json!(channel.number)),
        ("vhost", json!(*connection.vhost)),
        ("user", json!(*connection.user)),
        ("user_who_performed_action", json!(*connection.user)),
        ("node", json!(call.house.node.name())),
        ("state", json!("running")),
        ("confirm", json!(channel.mode() == ChannelMode::Confirm)),
        (
            "transactional",
            json!(channel.mode() == ChannelMode::Transactional),
        ),
        ("consumer_count", json!(consumers)),
        ("prefetch_count", json!(channel.prefetch())),
        ("global_prefetch_count", json!(look.prefetch)),
        ("messages_unacknowledged", json!(look.unacked)),
        ("messages_unconfirmed", json!(look.unconfirmed)),
        (
            "messages_uncommitted",
            json!(channel.uncommitted_messages.get()),
        ),
        ("acks_uncommitted", json!(channel.uncommitted_acks.get())),
        ("pending_raft_commands", json!(0)),
        (
            "connection_details",
            json!({
                "name": connection.name(),
                "peer_host": connection.peer.ip().to_string(),
                "peer_port": connection.peer.port(),
            }),
        ),
    ]);
    let shown = Shown {
        house: &call.house,
        request: &call.request,
        subject: Subject::Channel(connection.id, channel.number, channel.incarnation),
    };
    let stats = shown.message_stats(&Messages::of(&channel.requests, look.deliveries), true);
    map.extend(stats.map(|stats| ("message_stats".to_owned(), stats)));
    Value::Object(map)
}

fn rows(call: &Call, wanted: impl Fn(&ConnectionFacts) -> bool) -> Handled {
    let counts = consumer_counts(call);
    let mut all = Vec::new();
    for connection in call.house.broker.connections().list() {
        if call.sees_connection(&connection) && wanted(&connection) {
            all.extend(connection.channels().into_iter().map(|channel| Listed {
                name: name(&connection, channel.number),
                connection: Arc::clone(&connection),
                channel,
            }));
        }
    }
    listed(
        call,
        all,
        |listed| &listed.name,
        |listed| row(call, listed, &counts),
    )
}

/// What is told of the first channel of a connection that consumes nothing.
pub(super) fn first_of(call: &Call, connection: &Arc<ConnectionFacts>) -> Option<Value> {
    let channel = connection.channels().into_iter().next()?;
    let listed = Listed {
        name: name(connection, channel.number),
        connection: Arc::clone(connection),
        channel,
    };
    Some(row(call, &listed, &ConsumerCounts::new()))
}

pub(super) fn list(call: &Call) -> Handled {
    rows(call, |_| true)
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    rows(call, |connection| *connection.vhost == *vhost.name)
}

pub(super) fn list_of_connection(call: &Call) -> Handled {
    let of = connections::find(call)?;
    rows(call, |connection| connection.id == of.id)
}

pub(super) fn show(call: &Call) -> Handled {
    let wanted = call.part(0);
    for connection in call.house.broker.connections().list() {
        if !wanted.starts_with(&connection.name()) || !call.sees_connection(&connection) {
            continue;
        }
        let channels = connection.channels();
        let found = channels
            .into_iter()
            .find(|one| name(&connection, one.number) == wanted);
        let Some(channel) = found else { continue };
        let number = channel.number;
        let listed = Listed {
            name: wanted.to_owned(),
            connection: Arc::clone(&connection),
            channel,
        };
        let mut row = row(call, &listed, &consumer_counts(call));
        if let Value::Object(map) = &mut row {
            let consumers = consumers::of_channel(call, &connection, number);
            map.insert("consumer_details".to_owned(), Value::Array(consumers));
            // RabbitMQ fills these in its detailed mode of rates only.
            map.insert("deliveries".to_owned(), json!([]));
            map.insert("publishes".to_owned(), json!([]));
        }
        return one(call, row);
    }
    Err(Failure::NotFound)
}
