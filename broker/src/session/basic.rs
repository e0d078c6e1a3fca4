//! The basic class without publishing and settling: qos, consume, cancel, get, recover.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::access::Kind;
use super::channel::{ChannelConsumer, ReplyConsumer};
use super::consumer_arguments::{ChannelLimits, Consumed, not_supported};
use super::dispatch::not_for_servers;
use super::{Flow, Phase, Session, Wait, resume_from};
use crate::amqp::reply::ReplyCode;
use crate::amqp::{AMQPClass, basic, short_string, table, write};
use crate::auth::Access;
use crate::error::Refusal;
use crate::outbox::{Outbox, Unacked};
use crate::queue::{Back, ConsumeRefusal, Consumer, Effects, Got, Queue, QueueType};
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
                let unacked = self.recoverable(number, recover.requeue)?;
                // What is delivered again comes after it.
                let ok = AMQPMethod::RecoverOk(basic::RecoverOk {});
                self.reply(number, AMQPClass::Basic(ok));
                self.recover(number, unacked, effects);
                Ok(Flow::Done)
            }
            AMQPMethod::RecoverAsync(recover) => {
                let unacked = self.recoverable(number, recover.requeue)?;
                self.recover(number, unacked, effects);
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
            | AMQPMethod::RecoverOk(_) => Err(not_for_servers()),
        }
    }

    fn cancel(&mut self, number: u16, tag: &str, effects: &mut Effects) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        if let Some(consumer) = channel.consumers.remove(tag) {
            self.end_consumer((number, tag), &consumer, effects);
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
        let prefetch: u32 = qos.prefetch_count.into();
        let was_limited = self.outbox.channel_is_limited(number);
        if qos.global {
            self.outbox.set_prefetch(number, prefetch);
        } else if let Some(channel) = self.channels.get_mut(&number) {
            channel.prefetch = prefetch;
            channel.facts.set_prefetch(prefetch);
            // A prefetch of each consumer takes the place of one of the channel, as in RabbitMQ.
            self.outbox.set_prefetch(number, 0);
        }
        self.reply(
            number,
            AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})),
        );
        if qos.global || was_limited {
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
        let consumed = Consumed {
            name: &name,
            vhost: &vhost.name,
            queue_type: queue.attributes.queue_type,
            now: vhost.now(),
        };
        let limits = ChannelLimits {
            global: self.outbox.channel_is_limited(number),
            prefetch: self.channels.get(&number).map_or(0, |one| one.prefetch),
        };
        let arguments = consumed.read(&consume, limits)?;
        // Before the first delivery can come back as an acknowledgement.
        self.remember_queue(&queue);
        let tag = self.consumer_tag(&consume);
        let Phase::Running(running) = &self.phase else {
            return Ok(Flow::Done);
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Flow::Done);
        };
        channel.check_consumer(&tag, self.limits.consumer_max_per_channel)?;
        let consumer = Consumer {
            tag: Arc::from(tag.as_str()),
            channel: number,
            incarnation: channel.incarnation,
            outbox: Arc::clone(&self.outbox),
            no_ack: consume.no_ack,
            // Quorum queues know only single active consumers.
            exclusive: consume.exclusive && queue.attributes.queue_type != QueueType::Quorum,
            prefetch: limits.prefetch,
            cancel_notify: running.capabilities.cancel_notify,
            priority: arguments.priority,
            timeout: arguments.timeout,
            reading: arguments.reading,
            arguments: table::encode(&consume.arguments).into(),
        };
        let consume_ok = || {
            if !consume.nowait {
                consume_ok(&self.outbox, number, &tag);
            }
        };
        let told = consumer.clone();
        match queue.consume(consumer, consume_ok, effects) {
            Ok(key) => {
                self.broker.tell_consumer(&self.outbox, &queue, &told);
                let consumer = ChannelConsumer { queue, key };
                channel.consumers.insert(tag, consumer);
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
        match self.channels.get_mut(&number) {
            Some(channel) => channel.check_consumer(tag, 0),
            None => Ok(()),
        }
    }

    /// An empty one is made up.
    fn consumer_tag(&self, consume: &basic::Consume) -> String {
        match consume.consumer_tag.as_str() {
            "" => self.broker.random_name("amq.ctag-"),
            tag => tag.to_owned(),
        }
    }

    /// Direct reply-to: a consumer without a queue.
    fn consume_replies(&mut self, number: u16, consume: &basic::Consume) -> Result<Flow, Refusal> {
        let tag = self.consumer_tag(consume);
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Flow::Done);
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
        if !consume.nowait {
            consume_ok(&self.outbox, number, &tag);
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
        if queue.attributes.queue_type == QueueType::Stream {
            return Err(not_supported("basic.get", &name, &vhost.name));
        }
        check_single_active(&queue)?;
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
            (Got::Loading, Some(done)) => Ok(Flow::Wait(Box::new(Wait::Loaded { done, get }))),
            // A small request with a large answer: one read may hold thousands of them.
            (Got::Sent, _) if self.outbox.over_reply_bound() => Ok(Flow::Full),
            (Got::Sent, _) => Ok(Flow::Done),
            (Got::Empty | Got::Loading, _) => {
                let channel = *channel;
                let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
                self.reply(channel, AMQPClass::Basic(empty));
                self.count_get_empty(channel);
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

    /// Everything unacknowledged on the channel. Delivering it to the same consumer again is not
    /// implemented, as in RabbitMQ.
    fn recoverable(&self, number: u16, requeue: bool) -> Result<Vec<Unacked>, Refusal> {
        if !requeue {
            let text = "requeue=false";
            return Err(Refusal::connection(ReplyCode::NotImplemented, text));
        }
        let unacked = self.outbox.take_all_unacked(number);
        self.none_of_streams(number, unacked, "basic.recover")
    }

    fn recover(&mut self, number: u16, unacked: Vec<Unacked>, effects: &mut Effects) {
        self.requeue(unacked, Back::Returned, effects);
        self.resume_channel(number, effects);
    }
}

/// There is one way to the messages of such a queue, and it is not this one.
fn check_single_active(queue: &Queue) -> Result<(), Refusal> {
    if !queue.attributes.single_active_consumer {
        return Ok(());
    }
    let (name, vhost) = (&queue.name, &queue.vhost);
    let text = format!(
        "cannot obtain access to locked queue '{name}' in vhost '{vhost}'. basic.get operations \
         are not supported by {} queues with single active consumer",
        queue.attributes.queue_type.name()
    );
    Err(Refusal::channel(ReplyCode::ResourceLocked, text))
}

fn consume_ok(outbox: &Outbox, number: u16, tag: &str) {
    let consumer_tag = short_string(tag);
    let ok = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag });
    outbox.write(|out, _| write::method(out, number, AMQPClass::Basic(ok)));
}
