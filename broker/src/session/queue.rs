//! The queue class: declare, bind, unbind, purge, delete.

use std::borrow::Cow;
use std::sync::Arc;

use super::access::Kind;
use super::consumer_arguments::not_supported;
use super::dispatch::not_for_servers;
use super::exchange::{not_default, without_line_ends};
use super::{Flow, Session, Then, Wait};
use crate::amqp::reply::ReplyCode;
use crate::amqp::table::{self, Table, Value};
use crate::amqp::{AMQPClass, queue, short_string};
use crate::auth::Access;
use crate::error::Refusal;
use crate::names::Destination;
use crate::queue::{Effects, Queue, QueueType};
pub(super) use crate::vhost::tell_consumers;
use crate::vhost::{BindingRequest, QueueRequest, REPLY_TO, Saved, is_reply_name};

impl Session {
    pub(super) fn queue_method(
        &mut self,
        number: u16,
        method: queue::AMQPMethod,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        use queue::AMQPMethod;
        match method {
            AMQPMethod::Declare(declare) => self.queue_declare(number, declare),
            AMQPMethod::Bind(bind) => {
                let request = self.queue_binding(
                    number,
                    bind.queue.as_str(),
                    bind.exchange.as_str(),
                    bind.routing_key.as_str(),
                    table::encode(&bind.arguments),
                )?;
                self.check_not_locked(&request)?;
                let saved = self.vhost()?.bind(&request)?;
                let ok = AMQPClass::Queue(AMQPMethod::BindOk(queue::BindOk {}));
                Ok(self.reply_saved(number, saved, bind.nowait, ok))
            }
            AMQPMethod::Unbind(unbind) => {
                let request = self.queue_binding(
                    number,
                    unbind.queue.as_str(),
                    unbind.exchange.as_str(),
                    unbind.routing_key.as_str(),
                    table::encode(&unbind.arguments),
                )?;
                // As in RabbitMQ: what is not bound can be unbound by anybody.
                if self.vhost()?.is_bound(&request) {
                    self.check_not_locked(&request)?;
                }
                let saved = self.vhost()?.unbind(&request)?;
                let ok = AMQPClass::Queue(AMQPMethod::UnbindOk(queue::UnbindOk {}));
                Ok(self.reply_saved(number, saved, false, ok))
            }
            AMQPMethod::Purge(purge) => {
                let name = self.queue_name(number, purge.queue.as_str())?;
                self.check_access(Access::Read, Kind::Queue, &name)?;
                let vhost = self.vhost()?;
                let queue = vhost.queue_for(&name, self.id)?;
                if queue.attributes.queue_type == QueueType::Stream {
                    return Err(not_supported("queue.purge", &name, &vhost.name));
                }
                let message_count = count(queue.purge());
                let ok = AMQPMethod::PurgeOk(queue::PurgeOk { message_count });
                // A purge that the client has heard of is not undone by a crash.
                let saved = self.vhost()?.purge_saved(&queue);
                Ok(self.reply_saved(number, saved, purge.nowait, AMQPClass::Queue(ok)))
            }
            AMQPMethod::Delete(delete) => self.queue_delete(number, delete, effects),
            AMQPMethod::DeclareOk(_)
            | AMQPMethod::BindOk(_)
            | AMQPMethod::UnbindOk(_)
            | AMQPMethod::PurgeOk(_)
            | AMQPMethod::DeleteOk(_) => Err(not_for_servers()),
        }
    }

    /// An empty name is the queue that was declared last on the channel.
    pub(super) fn queue_name(&self, number: u16, name: &str) -> Result<String, Refusal> {
        if !name.is_empty() {
            return Ok(name.to_owned());
        }
        let last = self
            .channels
            .get(&number)
            .and_then(|channel| channel.last_queue.clone());
        last.ok_or_else(|| Refusal::channel(ReplyCode::NotFound, "no previously declared queue"))
    }

    fn queue_declare(&mut self, number: u16, declare: queue::Declare) -> Result<Flow, Refusal> {
        let vhost = self.vhost()?;
        let name = without_line_ends(declare.queue.as_str());
        if name == REPLY_TO || is_reply_name(&name) {
            return self.reply_queue_declare(number, &name, declare.nowait);
        }
        let (queue, saved) = if declare.passive {
            // An empty name is not the queue declared last here, as RabbitMQ has it.
            (vhost.queue_for(&name, self.id)?, Saved::Nothing)
        } else {
            let server_named = name.is_empty();
            let name = match server_named {
                true => self.broker.random_name("amq.gen-"),
                false => name,
            };
            self.check_access(Access::Configure, Kind::Queue, &name)?;
            let arguments = table::encode(&declare.arguments);
            if vhost.queue(&name).is_none() {
                self.check_dead_letters(&name, &arguments)?;
            }
            let request = QueueRequest {
                name: &name,
                server_named,
                durable: declare.durable,
                exclusive: declare.exclusive,
                auto_delete: declare.auto_delete,
                arguments,
            };
            vhost.declare_queue(request, self.id)?
        };
        if queue.attributes.exclusive.is_some()
            && !self.exclusive.iter().any(|known| known.id == queue.id)
        {
            self.exclusive.retain(|known| !known.is_deleted());
            self.exclusive.push(Arc::clone(&queue));
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.last_queue = Some(queue.name.to_string());
        }
        let counts = queue.counts();
        let ok = queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: short_string(&queue.name),
            message_count: count(counts.ready),
            consumer_count: counts.consumers,
        });
        Ok(self.reply_saved(number, saved, declare.nowait, AMQPClass::Queue(ok)))
    }

    /// Whoever lets a queue publish its dead letters must be allowed to do both ends of that.
    fn check_dead_letters(&mut self, name: &str, arguments: &[u8]) -> Result<(), Refusal> {
        const ARGUMENT: &str = "x-dead-letter-exchange";
        match Table::new(arguments).get(ARGUMENT) {
            None => Ok(()),
            Some(Value::Str(exchange)) => {
                self.check_access(Access::Read, Kind::Queue, name)?;
                let exchange = String::from_utf8_lossy(exchange);
                self.check_access(Access::Write, Kind::Exchange, &exchange)
            }
            Some(other) => Err(Refusal::precondition(format!(
                "invalid type '{}' for arg '{ARGUMENT}' in queue '{name}' in vhost '{}'",
                other.type_name(),
                self.vhost()?.name
            ))),
        }
    }

    /// Not a queue, but a name that stands for a consumer; it tells whether that is still there.
    fn reply_queue_declare(
        &mut self,
        number: u16,
        name: &str,
        nowait: bool,
    ) -> Result<Flow, Refusal> {
        if name != REPLY_TO && !self.broker.expects_replies(name) {
            return Err(Refusal::not_found("queue", name, &self.vhost()?.name));
        }
        let ok = queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: short_string(name),
            message_count: 0,
            consumer_count: 1,
        });
        Ok(self.reply_saved(number, Saved::Nothing, nowait, AMQPClass::Queue(ok)))
    }

    fn queue_binding<'a>(
        &mut self,
        number: u16,
        queue: &str,
        source: &str,
        routing_key: &'a str,
        arguments: Vec<u8>,
    ) -> Result<BindingRequest<'a>, Refusal> {
        let source = without_line_ends(source);
        let name = without_line_ends(&self.queue_name(number, queue)?);
        let routing_key = match (queue, routing_key) {
            // With neither a queue nor a key, the key is the name of the queue declared last.
            ("", "") => Cow::Owned(name.clone()),
            (_, key) => Cow::Borrowed(key),
        };
        not_default(&source)?;
        self.check_access(Access::Write, Kind::Queue, &name)?;
        self.check_access(Access::Read, Kind::Exchange, &source)?;
        self.check_topic(Access::Read, &source, &routing_key)?;
        let destination = Destination::Queue(name);
        Ok(BindingRequest {
            source,
            destination,
            routing_key,
            arguments,
        })
    }

    fn check_not_locked(&self, request: &BindingRequest<'_>) -> Result<(), Refusal> {
        let Destination::Queue(name) = &request.destination else {
            return Ok(());
        };
        let vhost = self.vhost()?;
        // What is missing, queue or exchange, is told before what is locked.
        if vhost.queue(name).is_some() && vhost.exchange(&request.source).is_some() {
            vhost.queue_for(name, self.id)?;
        }
        Ok(())
    }

    fn queue_delete(
        &mut self,
        number: u16,
        delete: queue::Delete,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let name = without_line_ends(&self.queue_name(number, delete.queue.as_str())?);
        self.check_access(Access::Configure, Kind::Queue, &name)?;
        let vhost = self.vhost()?;
        let ok = |messages| {
            let message_count = count(messages);
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk {
                message_count,
            }))
        };
        if vhost.queue(&name).is_none() {
            return Ok(self.reply_saved(number, Saved::Nothing, delete.nowait, ok(0)));
        }
        let queue = vhost.queue_for(&name, self.id)?;
        if queue.attributes.queue_type == QueueType::Quorum {
            check_unconditional(&delete, &name, &vhost.name)?;
        }
        let (deleted, saved) = vhost.delete_queue(&queue, delete.if_unused, delete.if_empty)?;
        let (own, others) = deleted
            .consumers
            .into_iter()
            .partition(|consumer| Arc::ptr_eq(&consumer.outbox, &self.outbox));
        tell_consumers(others);
        self.exclusive.retain(|known| known.id != queue.id);
        self.forget_consumers_of(&queue);
        effects.apply();
        // Here delete-ok comes first, as in RabbitMQ.
        let mut flow = self.reply_saved(number, saved, delete.nowait, ok(deleted.messages));
        if let Flow::Wait(wait) = &mut flow
            && let Wait::Saved { then, .. } = &mut **wait
        {
            let first = std::mem::replace(then, Then::Nothing);
            *then = Then::Cancelled(Box::new(first), own);
        } else {
            tell_consumers(own);
        }
        Ok(flow)
    }

    fn forget_consumers_of(&mut self, queue: &Queue) {
        for channel in self.channels.values_mut() {
            channel
                .consumers
                .retain(|_, consumer| consumer.queue.id != queue.id);
        }
    }
}

pub(super) fn count(messages: u64) -> u32 {
    u32::try_from(messages).unwrap_or(u32::MAX)
}

/// RabbitMQ's quorum queues cannot say at the moment of their end what they hold.
fn check_unconditional(delete: &queue::Delete, name: &str, vhost: &str) -> Result<(), Refusal> {
    let flag = match (delete.if_unused, delete.if_empty) {
        (true, _) => "if-unused",
        (false, true) => "if-empty",
        (false, false) => return Ok(()),
    };
    let text = format!(
        "cannot delete queue '{name}' in vhost '{vhost}'. queue.delete operations with {flag} flag \
         set are not supported by quorum queues"
    );
    Err(Refusal::connection(ReplyCode::NotImplemented, text))
}
