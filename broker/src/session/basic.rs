//! The basic class without publishing and settling: qos, consume, cancel, get, recover.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::access::Kind;
use super::channel::{ChannelConsumer, ReplyConsumer};
use super::{Flow, Phase, Session, Wait, resume_from};
use crate::amqp::reply::ReplyCode;
use crate::amqp::table::{self, Table, Value};
use crate::amqp::{AMQPClass, basic, short_string, write};
use crate::auth::Access;
use crate::error::Refusal;
use crate::queue::{ConsumeRefusal, Consumer, Effects, Got, Queue, QueueType};
use crate::vhost::REPLY_TO;

/// basic.get of a message that must be read from the disk first.
pub struct PausedGet {
    channel: u16,
    queue: Arc<Queue>,
    no_ack: bool,
}

impl Session {
    pub(super) fn basic_method(
        &mut self,
        number: u16,
        method: basic::AMQPMethod,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        use basic::AMQPMethod;
        match method {
            AMQPMethod::Qos(qos) => self.qos(number, &qos, payload, effects),
            AMQPMethod::Consume(consume) => self.consume(number, consume, effects),
            AMQPMethod::Cancel(cancel) => {
                let tag = cancel.consumer_tag.as_str();
                self.cancel(number, tag, effects);
                if !cancel.nowait {
                    let consumer_tag = cancel.consumer_tag;
                    let ok = AMQPMethod::CancelOk(basic::CancelOk { consumer_tag });
                    self.reply(number, AMQPClass::Basic(ok));
                }
                Ok(Flow::Done)
            }
            AMQPMethod::Get(get) => self.get(number, &get, effects),
            AMQPMethod::Recover(recover) => {
                may_recover(recover.requeue)?;
                // What is delivered again comes after it.
                let ok = AMQPMethod::RecoverOk(basic::RecoverOk {});
                self.reply(number, AMQPClass::Basic(ok));
                self.recover(number, effects);
                Ok(Flow::Done)
            }
            AMQPMethod::RecoverAsync(recover) => {
                may_recover(recover.requeue)?;
                self.recover(number, effects);
                Ok(Flow::Done)
            }
            AMQPMethod::Publish(_)
            | AMQPMethod::Ack(_)
            | AMQPMethod::Nack(_)
            | AMQPMethod::Reject(_)
            | AMQPMethod::QosOk(_)
            | AMQPMethod::ConsumeOk(_)
            | AMQPMethod::CancelOk(_)
            | AMQPMethod::Return(_)
            | AMQPMethod::Deliver(_)
            | AMQPMethod::GetOk(_)
            | AMQPMethod::GetEmpty(_)
            | AMQPMethod::RecoverOk(_) => Err(self.not_for_servers()),
        }
    }

    fn cancel(&mut self, number: u16, tag: &str, effects: &mut Effects) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        if let Some(consumer) = channel.consumers.remove(tag) {
            self.end_consumer(&consumer, effects);
        } else if let Some(reply) = channel.reply.take_if(|reply| reply.tag == tag) {
            self.broker.forget_replies(&reply.name);
        }
    }

    pub(super) fn reply(&self, number: u16, method: AMQPClass) {
        self.outbox
            .write(|out, _| write::method(out, number, method));
    }

    fn qos(
        &mut self,
        number: u16,
        qos: &basic::Qos,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        // prefetch-size, which no broker implements, stands first in the arguments.
        let size = payload.get(4..8).and_then(|octets| octets.try_into().ok());
        let size = size.map_or(0, u32::from_be_bytes);
        if size != 0 {
            let text = format!("prefetch_size!=0 ({size})");
            return Err(Refusal::connection(ReplyCode::NotImplemented, text));
        }
        if qos.global {
            self.outbox.set_prefetch(number, qos.prefetch_count.into());
        } else if let Some(channel) = self.channels.get_mut(&number) {
            channel.prefetch = qos.prefetch_count.into();
        }
        self.reply(
            number,
            AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})),
        );
        if qos.global {
            self.resume_channel(number, effects);
        }
        Ok(Flow::Done)
    }

    /// The channel's own prefetch has room again: every queue it consumes from is asked.
    pub(super) fn resume_channel(&mut self, number: u16, effects: &mut Effects) {
        let first = self.next_turn();
        if let Some(channel) = self.channels.get(&number) {
            resume_from(first, channel.consumers.values(), effects);
        }
    }

    fn consume(
        &mut self,
        number: u16,
        consume: basic::Consume,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        if consume.queue.as_str() == REPLY_TO {
            return self.consume_replies(number, &consume);
        }
        self.check_tag(number, consume.consumer_tag.as_str())?;
        let name = self.queue_name(number, consume.queue.as_str())?;
        self.check_access(Access::Read, Kind::Queue, &name)?;
        let vhost = self.vhost()?;
        let queue = vhost.queue_for(&name, self.id)?;
        let quorum = queue.attributes.queue_type == QueueType::Quorum;
        if quorum && self.outbox.channel_is_limited(number) {
            return Err(no_global_prefetch(&name, &vhost.name));
        }
        let priority = consumer_priority(&consume, &name, &vhost.name, quorum)?;
        // Before the first delivery can come back as an acknowledgement.
        self.remember_queue(&queue);
        let Phase::Running(running) = &self.phase else {
            return Ok(Flow::Done);
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Flow::Done);
        };
        let tag = match consume.consumer_tag.as_str() {
            "" => self.broker.random_name("amq.ctag-"),
            tag => tag.to_owned(),
        };
        channel.check_consumers(self.limits.consumer_max_per_channel)?;
        let consumer = Consumer {
            tag: Arc::from(tag.as_str()),
            channel: number,
            incarnation: channel.incarnation,
            outbox: Arc::clone(&self.outbox),
            no_ack: consume.no_ack,
            // Quorum queues know only single active consumers.
            exclusive: consume.exclusive && !quorum,
            prefetch: channel.prefetch,
            cancel_notify: running.capabilities.cancel_notify,
            priority,
        };
        let consume_ok = || {
            if !consume.nowait {
                let consumer_tag = short_string(&tag);
                let ok = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag });
                self.outbox
                    .write(|out, _| write::method(out, number, AMQPClass::Basic(ok)));
            }
        };
        match queue.consume(consumer, consume_ok, effects) {
            Ok(key) => {
                channel
                    .consumers
                    .insert(tag, ChannelConsumer { queue, key });
                Ok(Flow::Done)
            }
            Err(ConsumeRefusal::ExclusiveUse) => {
                let text = format!("queue '{name}' in vhost '{}' in exclusive use", vhost.name);
                Err(Refusal::access(text))
            }
            Err(ConsumeRefusal::Deleted) => Err(Refusal::not_found("queue", &name, &vhost.name)),
        }
    }

    /// RabbitMQ looks at the tag before it looks for the queue.
    fn check_tag(&mut self, number: u16, tag: &str) -> Result<(), Refusal> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        channel
            .consumers
            .retain(|_, consumer| !consumer.queue.is_deleted());
        match channel.has_consumer(tag) {
            true => {
                let text = format!("attempt to reuse consumer tag '{tag}'");
                Err(Refusal::connection(ReplyCode::NotAllowed, text))
            }
            false => Ok(()),
        }
    }

    /// Direct reply-to: a consumer without a queue.
    fn consume_replies(&mut self, number: u16, consume: &basic::Consume) -> Result<Flow, Refusal> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Flow::Done);
        };
        let tag = match consume.consumer_tag.as_str() {
            "" => self.broker.random_name("amq.ctag-"),
            tag => tag.to_owned(),
        };
        if channel.has_consumer(&tag) {
            let text = format!("attempt to reuse consumer tag '{tag}'");
            return Err(Refusal::connection(ReplyCode::NotAllowed, text));
        }
        if !consume.no_ack {
            return Err(Refusal::precondition("reply consumer cannot acknowledge"));
        }
        if channel.reply.is_some() {
            return Err(Refusal::precondition("reply consumer already set"));
        }
        let consumer_tag = short_string(&tag);
        if !consume.nowait {
            let ok = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag });
            self.outbox
                .write(|out, _| write::method(out, number, AMQPClass::Basic(ok)));
        }
        let name = self.broker.expect_replies(&self.outbox, number, &tag);
        channel.reply = Some(ReplyConsumer { tag, name });
        Ok(Flow::Done)
    }

    fn get(
        &mut self,
        number: u16,
        get: &basic::Get,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let name = self.queue_name(number, get.queue.as_str())?;
        self.check_access(Access::Read, Kind::Queue, &name)?;
        let vhost = self.vhost()?;
        let queue = vhost.queue_for(&name, self.id)?;
        if queue.attributes.queue_type == QueueType::Quorum
            && queue.attributes.single_active_consumer
        {
            let text = format!(
                "cannot obtain access to locked queue '{name}' in vhost '{}'. basic.get operations \
                 are not supported by quorum queues with single active consumer",
                vhost.name
            );
            return Err(Refusal::channel(ReplyCode::ResourceLocked, text));
        }
        self.remember_queue(&queue);
        let get = PausedGet {
            channel: number,
            queue,
            no_ack: get.no_ack,
        };
        self.try_get(get, effects)
    }

    fn try_get(&mut self, get: PausedGet, effects: &mut Effects) -> Result<Flow, Refusal> {
        let PausedGet {
            channel,
            queue,
            no_ack,
        } = &get;
        let mut loaded = None;
        let when_loaded = || {
            let (done, waiting) = oneshot::channel();
            loaded = Some(waiting);
            Box::new(move || {
                // Nobody waits any more when the connection is gone.
                let _ = done.send(());
            }) as Box<dyn FnOnce() + Send>
        };
        let got = queue.get(&self.outbox, *channel, *no_ack, when_loaded, effects);
        match (got, loaded) {
            (Got::Loading, Some(done)) => Ok(Flow::Wait(Wait::Loaded { done, get })),
            // A small request with a large answer: one read may hold thousands of them.
            (Got::Sent, _) if self.outbox.over_reply_bound() => Ok(Flow::Full),
            (Got::Sent, _) => Ok(Flow::Done),
            (Got::Empty | Got::Loading, _) => {
                let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
                self.reply(*channel, AMQPClass::Basic(empty));
                Ok(Flow::Done)
            }
            (Got::Deleted, _) => {
                let vhost = self.vhost()?;
                Err(Refusal::not_found("queue", &queue.name, &vhost.name))
            }
        }
    }

    pub(super) fn get_again(
        &mut self,
        get: PausedGet,
        effects: &mut Effects,
    ) -> Result<Flow, (u16, Refusal)> {
        let channel = get.channel;
        effects.apply();
        self.try_get(get, effects)
            .map_err(|refusal| (channel, refusal))
    }

    /// Everything unacknowledged on the channel is delivered again.
    fn recover(&mut self, number: u16, effects: &mut Effects) {
        let unacked = self.outbox.take_all_unacked(number);
        self.requeue(unacked, effects);
        self.resume_channel(number, effects);
    }
}

/// Delivering to the same consumer again is not implemented, as in RabbitMQ.
fn may_recover(requeue: bool) -> Result<(), Refusal> {
    match requeue {
        true => Ok(()),
        false => Err(Refusal::connection(
            ReplyCode::NotImplemented,
            "requeue=false",
        )),
    }
}

fn no_global_prefetch(queue: &str, vhost: &str) -> Refusal {
    let text = format!("queue '{queue}' in vhost '{vhost}' does not support global qos");
    Refusal::connection(ReplyCode::NotImplemented, text)
}

/// The argument x-priority; others are not the broker's business.
fn consumer_priority(
    consume: &basic::Consume,
    queue: &str,
    vhost: &str,
    quorum: bool,
) -> Result<i64, Refusal> {
    let arguments = table::encode(&consume.arguments);
    let arguments = Table::new(&arguments);
    let wrong = |name, reason| {
        let text = format!("invalid arg '{name}' for queue '{queue}' in vhost '{vhost}': {reason}");
        Err(Refusal::precondition(text))
    };
    match arguments.get("x-cancel-on-ha-failover") {
        Some(_) if quorum => {
            let text = format!(
                "invalid arg 'x-cancel-on-ha-failover' for queue '{queue}' in vhost '{vhost}' of \
                 queue type rabbit_quorum_queue"
            );
            return Err(Refusal::precondition(text));
        }
        None | Some(Value::Bool(_)) => {}
        Some(other) => {
            let reason = format!("{{unacceptable_type,{}}}", other.type_name());
            return wrong("x-cancel-on-ha-failover", reason);
        }
    }
    let Some(priority) = arguments.get("x-priority") else {
        return Ok(0);
    };
    match priority.as_integer() {
        Some(priority) => Ok(priority),
        None => {
            let reason = format!("\"expected integer, got {}\"", priority.type_name());
            wrong("x-priority", reason)
        }
    }
}
