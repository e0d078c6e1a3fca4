//! queue.declare and queue.delete: what a client may ask for and what it is told.

use std::sync::Arc;

use super::binding::remove_bindings_to;
use super::definition::{Arguments, Definition, QueueDefinition, QueueNumber};
use super::{QueueArguments, Saved, Vhost};
use crate::amqp::reply::ReplyCode;
use crate::amqp::table::{Table, Value};
use crate::error::Refusal;
use crate::names::{ConnectionId, Destination};
use crate::queue::{Attributes, DeleteRefusal, Deleted, Queue, QueueType};
use crate::store::Backlogs;

pub struct QueueRequest<'a> {
    pub name: &'a str,
    /// The broker has made up the name, so it may be a reserved one.
    pub server_named: bool,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub arguments: Vec<u8>,
}

impl QueueRequest<'_> {
    /// An exclusive queue ends with its connection, whatever its client says.
    fn is_durable(&self) -> bool {
        self.durable && !self.exclusive
    }
}

/// Arguments that must be the same when a queue is declared again.
const COMPARED: [&str; 16] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-single-active-consumer",
    "x-queue-type",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
];

impl Vhost {
    pub fn declare_queue(
        &self,
        request: QueueRequest<'_>,
        connection: ConnectionId,
    ) -> Result<(Arc<Queue>, Saved), Refusal> {
        let _changing = self.change()?;
        let request = self.with_default_type(request);
        let name = request.name;
        if name.starts_with("amq.") && !request.server_named {
            let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
            return Err(Refusal::access(text));
        }
        if request.server_named
            && let Some(Value::Str(kind @ (b"quorum" | b"stream"))) =
                Table::new(&request.arguments).get("x-queue-type")
        {
            let kind = String::from_utf8_lossy(kind);
            let text = format!("Cannot declare a server-named queue for type rabbit_{kind}_queue");
            return Err(Refusal::precondition(text));
        }
        let churn = self.shared.connections.churn();
        churn.queues_declared.add(1);
        if let Some(queue) = self.queue(name) {
            self.check_equivalent_queue(&queue, &request, connection)?;
            queue.redeclared();
            let saved = match queue.is_saved() {
                true => Saved::Nothing,
                false => self.after_all_before(),
            };
            return Ok((queue, saved));
        }
        self.check_queue_limit(name)?;
        let arguments = QueueArguments::parse(&request.arguments)
            .map_err(|error| Refusal::precondition(error.text(name, &self.name)))?;
        self.check_properties(&request, arguments.queue_type)?;
        let attributes = Attributes {
            durable: request.is_durable(),
            exclusive: request.exclusive.then_some(connection),
            auto_delete: request.auto_delete,
            queue_type: arguments.queue_type,
            max_priority: arguments.max_priority.unwrap_or(0),
            single_active_consumer: arguments.single_active_consumer,
            arguments: request.arguments,
        };
        let id = self.shared.home.store.next_queue_id();
        let queue = self.apply_queue(id, name, attributes, &arguments, &Backlogs::new(), false);
        queue.redeclared();
        churn.queues_created.add(1);
        self.tell_queue(&queue);
        let saved = match self.queue_row(&queue) {
            Some(row) => self.save_new(&queue, row.put()),
            None => Saved::Nothing,
        };
        Ok((queue, saved))
    }

    /// Replicated queues are always durable and belong to nobody.
    fn check_properties(
        &self,
        request: &QueueRequest<'_>,
        queue_type: QueueType,
    ) -> Result<(), Refusal> {
        let wrong = match queue_type {
            QueueType::Classic => return Ok(()),
            QueueType::Quorum | QueueType::Stream if request.auto_delete => "auto-delete",
            QueueType::Quorum | QueueType::Stream if request.exclusive => "exclusive-owner",
            QueueType::Quorum | QueueType::Stream if !request.durable => "non-durable",
            QueueType::Quorum | QueueType::Stream => return Ok(()),
        };
        Err(Refusal::precondition(format!(
            "invalid property '{wrong}' for queue '{}' in vhost '{}'",
            request.name, self.name
        )))
    }

    /// None for what does not outlive this run.
    pub(super) fn queue_row(&self, queue: &Queue) -> Option<Definition> {
        let Attributes {
            durable,
            exclusive,
            auto_delete,
            arguments,
            ..
        } = &queue.attributes;
        (*durable && exclusive.is_none()).then(|| Definition::Queue {
            vhost: self.name.to_string(),
            queue: QueueDefinition {
                name: queue.name.to_string(),
                id: QueueNumber(queue.id.0),
                auto_delete: *auto_delete,
                arguments: Arguments(arguments.clone()),
            },
        })
    }

    /// A queue that this connection may use.
    pub fn queue_for(&self, name: &str, connection: ConnectionId) -> Result<Arc<Queue>, Refusal> {
        let missing = || Refusal::not_found("queue", name, &self.name);
        let queue = self.queue(name).ok_or_else(missing)?;
        match queue.attributes.exclusive {
            Some(owner) if owner != connection => Err(self.locked(name)),
            Some(_) | None => Ok(queue),
        }
    }

    fn locked(&self, name: &str) -> Refusal {
        Refusal::channel(
            ReplyCode::ResourceLocked,
            format!(
                "cannot obtain exclusive access to locked queue '{name}' in vhost '{}'. It could \
                 be originally declared on another connection or the exclusive property value does \
                 not match that of the original declaration.",
                self.name
            ),
        )
    }

    fn check_equivalent_queue(
        &self,
        queue: &Queue,
        request: &QueueRequest<'_>,
        connection: ConnectionId,
    ) -> Result<(), Refusal> {
        let current = &queue.attributes;
        if current.exclusive != request.exclusive.then_some(connection) {
            return Err(self.locked(&queue.name));
        }
        let inequivalent = |field: &str, received: String, current: String| {
            Refusal::precondition(format!(
                "inequivalent arg '{field}' for queue '{}' in vhost '{}': \
                 received {received} but current is {current}",
                queue.name, self.name
            ))
        };
        let flag = |field: &str, received: bool, current: bool| {
            if received == current {
                return Ok(());
            }
            Err(inequivalent(
                field,
                format!("'{received}'"),
                format!("'{current}'"),
            ))
        };
        flag("durable", request.is_durable(), current.durable)?;
        flag("auto_delete", request.auto_delete, current.auto_delete)?;
        for name in COMPARED {
            let received = Table::new(&request.arguments).get(name);
            let current = Table::new(&current.arguments).get(name);
            if same_argument(name, received.as_ref(), current.as_ref()) {
                continue;
            }
            let (received, current) = (describe(received), describe(current));
            return Err(match (received, current) {
                (Described::Value(received), Described::Value(current))
                    if received.kind == current.kind =>
                {
                    let quoted = |text: &str| format!("'{text}'");
                    inequivalent(name, quoted(&received.text), quoted(&current.text))
                }
                (received, current) => {
                    inequivalent(name, received.to_string(), current.to_string())
                }
            });
        }
        Ok(())
    }

    /// When a purge of this queue, already in the store's mailbox, is on disk.
    pub fn purge_saved(&self, queue: &Queue) -> Saved {
        if queue.attributes.outlives_run() {
            self.after_all_before()
        } else {
            Saved::Nothing
        }
    }

    pub fn delete_queue(
        &self,
        queue: &Arc<Queue>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<(Deleted, Saved), Refusal> {
        let mut incoming = self.changing.lock();
        if queue.is_deleted() {
            // Somebody was faster: what has this name now is another queue.
            return Ok((Deleted::default(), Saved::Nothing));
        }
        let deleted = queue.delete(if_unused, if_empty).map_err(|refusal| {
            let what = match refusal {
                DeleteRefusal::InUse => "in use",
                DeleteRefusal::NotEmpty => "not empty",
            };
            let (name, vhost) = (&queue.name, &self.name);
            Refusal::precondition(format!("queue '{name}' in vhost '{vhost}' {what}"))
        })?;
        self.count_gone(queue);
        let mut changes = Vec::new();
        {
            let mut queues = self.queues.write();
            if queues
                .get(&queue.name)
                .is_some_and(|now| now.id == queue.id)
            {
                queues.remove(&queue.name);
            }
        }
        self.shared.registry.remove(queue.id);
        changes.extend(self.queue_row(queue).map(|row| row.remove()));
        let destination = Destination::Queue(queue.name.to_string());
        remove_bindings_to(self, &mut incoming, &destination, &mut changes);
        let saved = self.save(changes);
        queue.forget();
        Ok((deleted, saved))
    }
}

/// Numbers are compared by value, whatever their width on the wire.
fn same_argument(name: &str, received: Option<&Value<'_>>, current: Option<&Value<'_>>) -> bool {
    match (received, current) {
        (None, None) => true,
        (Some(received), Some(current)) => match (received.as_integer(), current.as_integer()) {
            (Some(received), Some(current)) => received == current,
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) => received.encoded() == current.encoded(),
        },
        // A queue declared without a type is a classic one.
        (Some(only), None) | (None, Some(only)) => {
            name == "x-queue-type" && only.as_str() == Some("classic")
        }
    }
}

/// An argument in an error text.
enum Described {
    None,
    Value(DescribedValue),
}

struct DescribedValue {
    text: String,
    kind: &'static str,
}

impl std::fmt::Display for Described {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Described::None => formatter.write_str("none"),
            Described::Value(DescribedValue { text, kind }) => {
                write!(formatter, "the value '{text}' of type '{kind}'")
            }
        }
    }
}

fn describe(value: Option<Value<'_>>) -> Described {
    let Some(value) = value else {
        return Described::None;
    };
    let kind = value.type_name();
    let text = match &value {
        Value::Bool(flag) => flag.to_string(),
        Value::I8(number) => number.to_string(),
        Value::U8(number) => number.to_string(),
        Value::I16(number) => number.to_string(),
        Value::U16(number) => number.to_string(),
        Value::I32(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::Str(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Timestamp(seconds) => seconds.to_string(),
        Value::Decimal { .. }
        | Value::Array(_)
        | Value::Table(_)
        | Value::Bytes(_)
        | Value::Void => String::new(),
    };
    Described::Value(DescribedValue { text, kind })
}
