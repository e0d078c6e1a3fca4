//! Queues.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::about::object;
use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome, after};
use super::consumers;
use super::fields;
use super::listing::{listed, one};
use super::samples::Subject;
use super::stats::{Depth, Shown};
use crate::auth::Access;
use crate::names::ConnectionId;
use crate::queue::{Queue, QueueType};
use crate::vhost::{QueueRequest, Vhost};

/// Nobody's: a queue that is declared here is never exclusive.
const NOBODY: ConnectionId = ConnectionId(0);

type Listed = (Arc<Vhost>, Arc<Queue>);

fn row(call: &Call, (vhost, queue): &Listed) -> Map<String, Value> {
    let look = queue.look();
    let in_force = vhost.policies_of_queue(queue);
    let attributes = &queue.attributes;
    let node = call.house.node.name();
    let mut map = object([
        ("name", json!(*queue.name)),
        ("vhost", json!(*vhost.name)),
        ("type", json!(attributes.queue_type.name())),
        ("durable", json!(attributes.durable)),
        ("auto_delete", json!(attributes.auto_delete)),
        ("exclusive", json!(attributes.exclusive.is_some())),
        ("arguments", fields::table(&attributes.arguments)),
        ("node", json!(node)),
        ("state", json!("running")),
        ("policy", json!(in_force.policy)),
        ("operator_policy", json!(in_force.operator)),
        (
            "effective_policy_definition",
            Value::Object(vhost.effective_policy_definition(&in_force)),
        ),
        ("consumers", json!(look.counts.consumers)),
        // Of the time since the last sample nobody keeps how much of it consumers had credit.
        (
            "consumer_capacity",
            json!(u8::from(look.counts.consumers > 0)),
        ),
        (
            "consumer_utilisation",
            json!(u8::from(look.counts.consumers > 0)),
        ),
        (
            "message_bytes",
            json!(look.ready_bytes + look.unacked_bytes),
        ),
        ("message_bytes_ready", json!(look.ready_bytes)),
        ("message_bytes_unacknowledged", json!(look.unacked_bytes)),
        ("head_message_timestamp", Value::Null),
    ]);
    put_by_type(&mut map, queue, node);
    let now = call.house.node.now();
    if let Some(used_at) = look
        .used_at
        .filter(|at| *at + 1000 < now && look.counts.ready == 0)
    {
        map.insert("idle_since".to_owned(), json!(timestamp(used_at)));
    }
    let shown = Shown {
        house: &call.house,
        request: &call.request,
        subject: Subject::Queue(queue.id),
    };
    shown.put_depth(&mut map, Depth::of(&look));
    let stats = shown.message_stats(&look.counted, false);
    map.extend(stats.map(|stats| ("message_stats".to_owned(), stats)));
    if let Some(owner) = attributes.exclusive
        && let Some(connection) = call.house.broker.connections().get(owner)
    {
        let details = json!({
            "name": connection.name(),
            "peer_host": connection.peer.ip().to_string(),
            "peer_port": connection.peer.port(),
        });
        map.insert("owner_pid_details".to_owned(), details);
    }
    map
}

/// What only queues of some type have.
fn put_by_type(map: &mut Map<String, Value>, queue: &Queue, node: &str) {
    match queue.attributes.queue_type {
        QueueType::Classic => {
            map.insert("exclusive_consumer_tag".to_owned(), Value::Null);
            map.insert("single_active_consumer_tag".to_owned(), active_tag(queue));
        }
        QueueType::Quorum | QueueType::Stream => {
            if queue.attributes.queue_type == QueueType::Quorum {
                map.insert("single_active_consumer_ctag".to_owned(), active_tag(queue));
            }
            map.insert("leader".to_owned(), json!(node));
            map.insert("members".to_owned(), json!([node]));
            map.insert("online".to_owned(), json!([node]));
        }
    }
}

/// ISO 8601, as RabbitMQ writes it.
pub(super) fn timestamp(at: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at);
    let text = humantime::format_rfc3339_millis(time).to_string();
    text.replace('Z', "+00:00")
}

fn active_tag(queue: &Queue) -> Value {
    if !queue.attributes.single_active_consumer {
        return Value::Null;
    }
    let consumers = queue.consumers();
    let active = consumers.iter().find(|listed| listed.active);
    json!(active.map(|listed| &*listed.consumer.tag))
}

/// By vhost and name.
fn queues_of(vhost: &Arc<Vhost>) -> Vec<Listed> {
    let mut queues = vhost.queues();
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    queues
        .into_iter()
        .map(|queue| (Arc::clone(vhost), queue))
        .collect()
}

pub(super) fn list(call: &Call) -> Handled {
    rows(
        call,
        call.visible_vhosts().iter().flat_map(queues_of).collect(),
    )
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    rows(call, queues_of(&call.vhost()?))
}

fn rows(call: &Call, queues: Vec<Listed>) -> Handled {
    listed(
        call,
        queues,
        |(_, queue)| &queue.name,
        |queue| Value::Object(row(call, queue)),
    )
}

pub(super) fn find(call: &Call) -> Result<Listed, Failure> {
    let vhost = call.vhost()?;
    let queue = vhost.queue(call.part(1)).ok_or(Failure::NotFound)?;
    Ok((vhost, queue))
}

pub(super) fn show(call: &Call) -> Handled {
    let found = find(call)?;
    let mut map = row(call, &found);
    let consumers = consumers::of_queue(call, &found.1);
    map.insert("consumer_details".to_owned(), Value::Array(consumers));
    // RabbitMQ fills these in its detailed mode of rates only.
    map.insert("deliveries".to_owned(), json!([]));
    map.insert("incoming".to_owned(), json!([]));
    one(call, Value::Object(map))
}

pub(super) fn put(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let name = call.part(1);
    let request = call.fields()?;
    call.check_access(&vhost.name, Access::Configure, name)?;
    let arguments = request.table("arguments")?;
    if let Some(Value::String(exchange)) = arguments.get("x-dead-letter-exchange") {
        call.check_access(&vhost.name, Access::Read, name)?;
        call.check_access(&vhost.name, Access::Write, exchange)?;
    }
    let is_new = vhost.queue(name).is_none();
    let (_, saved) = vhost.declare_queue(
        QueueRequest {
            name,
            server_named: false,
            durable: request.flag("durable")?,
            exclusive: false,
            auto_delete: request.flag("auto_delete")?,
            arguments: fields::encode(&arguments)?,
        },
        NOBODY,
    )?;
    after(saved, Answer::put(is_new))
}

/// An exclusive queue is its connection's alone.
pub(super) fn not_locked(vhost: &Vhost, queue: &Queue) -> Result<(), Failure> {
    Ok(vhost.queue_for(&queue.name, NOBODY).map(drop)?)
}

pub(super) fn delete(call: &Call) -> Handled {
    let (vhost, queue) = find(call)?;
    call.check_access(&vhost.name, Access::Configure, &queue.name)?;
    not_locked(&vhost, &queue)?;
    let (if_unused, if_empty) = (
        call.request.says("if-unused"),
        call.request.says("if-empty"),
    );
    let (deleted, saved) = vhost.delete_queue(&queue, if_unused, if_empty)?;
    crate::vhost::tell_consumers(deleted.consumers);
    after(saved, Answer::no_content())
}

pub(super) fn purge(call: &Call) -> Handled {
    let (vhost, queue) = find(call)?;
    call.check_access(&vhost.name, Access::Read, &queue.name)?;
    not_locked(&vhost, &queue)?;
    if queue.attributes.queue_type == QueueType::Stream {
        let name = &queue.name;
        let text = format!(
            "queue.purge not supported by stream queue '{name}' in vhost '{}'",
            vhost.name
        );
        return Err(Failure::bad(text));
    }
    queue.purge();
    after(vhost.purge_saved(&queue), Answer::no_content())
}

/// What RabbitMQ does with mirrors has nothing to do here.
pub(super) fn act(call: &Call) -> Handled {
    find(call)?;
    let fields = call.fields()?;
    fields.require(&["action"])?;
    match fields.text("action")?.unwrap_or_default() {
        "sync" | "cancel_sync" => Ok(Outcome::Now(Answer::no_content())),
        other => Err(Failure::bad(json!(["unknown", other]))),
    }
}

/// As it is exported; not what ends with its connection.
pub(super) fn definition(queue: &Queue) -> Option<Value> {
    let attributes = &queue.attributes;
    attributes.exclusive.is_none().then(|| {
        json!({
            "name": *queue.name,
            "durable": attributes.durable,
            "auto_delete": attributes.auto_delete,
            "arguments": fields::table(&attributes.arguments),
        })
    })
}
