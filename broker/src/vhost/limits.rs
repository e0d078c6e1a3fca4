//! What a virtual host says to a declaration before it is looked at: whether there is room for one
//! more queue, and which type a queue has that names none. Not the declaration (see
//! `queue_declare.rs`).

use parking_lot::MutexGuard;

use super::{DoorError, Incoming, QueueRequest, Vhost, bound};
use crate::amqp::table::Table;
use crate::error::Refusal;

impl Vhost {
    /// Held while the topology changes. A deleted vhost does not change any more.
    pub(super) fn change(&self) -> Result<MutexGuard<'_, Incoming>, Refusal> {
        let changing = self.changing.lock();
        if self.is_deleted() {
            let text = format!("vhost '{}' is deleted", self.name);
            let code = crate::amqp::reply::ReplyCode::ConnectionForced;
            return Err(Refusal::connection(code, text));
        }
        Ok(changing)
    }

    pub(super) fn missing(&self) -> DoorError {
        DoorError::NoSuchVhost(self.name.to_string())
    }

    /// Callers hold `changing`, and there is no queue of this name.
    pub(super) fn check_queue_limit(&self, name: &str) -> Result<(), Refusal> {
        let Some(limit) = bound(self.limits.read().max_queues) else {
            return Ok(());
        };
        if (self.queues.read().len() as u64) < limit {
            return Ok(());
        }
        Err(Refusal::precondition(format!(
            "cannot declare queue '{name}': queue limit in vhost '{}' ({limit}) is reached",
            self.name
        )))
    }

    /// The type that this vhost gives to queues that name none, where such a queue can have it.
    pub(super) fn with_default_type<'a>(&self, request: QueueRequest<'a>) -> QueueRequest<'a> {
        const NAME: &str = "x-queue-type";
        let metadata = self.metadata.read();
        let Some(default) = &metadata.default_queue_type else {
            return request;
        };
        let replicable = request.durable && !request.exclusive && !request.auto_delete;
        let named = Table::new(&request.arguments).get(NAME).is_some();
        if named || (default != "classic" && !replicable) {
            return request;
        }
        let mut arguments = request.arguments;
        arguments.push(NAME.len() as u8);
        arguments.extend_from_slice(NAME.as_bytes());
        arguments.push(b'S');
        arguments.extend_from_slice(&(default.len() as u32).to_be_bytes());
        arguments.extend_from_slice(default.as_bytes());
        QueueRequest {
            arguments,
            ..request
        }
    }
}
