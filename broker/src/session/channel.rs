//! A channel's state, and how channels begin and end.

use std::sync::Arc;

use hashbrown::HashMap;

use super::content::Content;
use super::dispatch::not_for_servers;
use super::tx::TxState;
use super::{Flow, Phase, Session};
use crate::amqp::reply::ReplyCode;
use crate::amqp::{AMQPClass, channel, confirm, write};
use crate::error::Refusal;
use crate::names::QueueId;
use crate::outbox::{ConsumerKey, Outbox, Unacked};
use crate::queue::{Back, Effects, Left, Queue, Returned};
use crate::store::ConfirmSink;
use crate::vhost::{ChannelFacts, ChannelMode, bound};

pub(super) struct Channel {
    pub mode: Mode,
    pub content: Content,
    pub consumers: HashMap<String, ChannelConsumer>,
    /// For consumers to come; 0 is unlimited.
    pub prefetch: u32,
    /// What an empty queue name means: the queue declared last.
    pub last_queue: Option<String>,
    pub reply: Option<ReplyConsumer>,
    pub incarnation: u64,
    pub facts: Arc<ChannelFacts>,
    stage: Stage,
}

pub(super) enum Mode {
    Plain,
    Confirm(Arc<ChannelConfirms>),
    Tx(TxState),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// We have sent channel.close: everything but close-ok is ignored.
    Closing,
}

/// Consumes replies that come without a queue.
pub(super) struct ReplyConsumer {
    pub tag: String,
    /// What others reply to.
    pub name: String,
}

pub(super) struct ChannelConsumer {
    pub queue: Arc<Queue>,
    pub key: ConsumerKey,
}

/// A channel in confirm mode, as the store sees it.
pub(super) struct ChannelConfirms {
    outbox: Arc<Outbox>,
    channel: u16,
    incarnation: u64,
}

impl ConfirmSink for ChannelConfirms {
    fn confirmed(&self, publishes: &[u64]) {
        if self
            .outbox
            .resolve(self.channel, Some(self.incarnation), publishes, true)
        {
            self.outbox.wake();
        }
    }
}

impl Channel {
    pub fn has_consumer(&self, tag: &str) -> bool {
        self.consumers.contains_key(tag)
            || self.reply.as_ref().is_some_and(|reply| reply.tag == tag)
    }

    pub fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    /// Whether there may be a consumer of this tag more. `limit`: 0 is none.
    pub fn check_consumer(&mut self, tag: &str, limit: u32) -> Result<(), Refusal> {
        let is_there = |consumer: &ChannelConsumer| {
            !consumer.queue.is_deleted() && consumer.queue.knows(consumer.key)
        };
        let is_full = limit != 0 && self.consumers.len() >= limit as usize;
        // Not every time: a channel may have as many consumers as there are queues.
        if is_full || self.consumers.len() == self.consumers.capacity() {
            self.consumers.retain(|_, consumer| is_there(consumer));
            self.consumers.reserve(self.consumers.len() + 1);
        } else if self.consumers.get(tag).is_some_and(|same| !is_there(same)) {
            self.consumers.remove(tag);
        }
        let text = if self.has_consumer(tag) {
            format!("attempt to reuse consumer tag '{tag}'")
        } else if limit != 0 && self.consumers.len() >= limit as usize {
            format!("reached maximum ({limit}) of consumers per channel")
        } else {
            return Ok(());
        };
        Err(Refusal::connection(ReplyCode::NotAllowed, text))
    }
}

impl Session {
    pub(super) fn channel_open(&mut self, number: u16) -> Result<Flow, Refusal> {
        let Phase::Running(running) = &mut self.phase else {
            return Ok(Flow::Done);
        };
        let channel_max = running.channel_max;
        let count = self.channels.len();
        if channel_max != 0 && count >= usize::from(channel_max) {
            let text = format!(
                "number of channels opened ({count}) has reached the negotiated channel_max \
                 ({channel_max})"
            );
            return Err(Refusal::connection(ReplyCode::NotAllowed, text));
        }
        let limit = bound(self.users.limits(&running.user).max_channels);
        let incarnation = self.last_incarnation + 1;
        let facts = Arc::new(ChannelFacts::new(number, incarnation));
        if let Err(limit) = running.presence.open_channel(&facts, limit) {
            let text = format!(
                "number of channels opened for user '{}' has reached the maximum allowed user \
                 limit of ({limit})",
                running.user
            );
            return Err(Refusal::connection(ReplyCode::NotAllowed, text));
        }
        self.last_incarnation = incarnation;
        self.outbox.open_channel(number, incarnation);
        let channel = Channel {
            mode: Mode::Plain,
            content: Content::Idle,
            consumers: HashMap::new(),
            prefetch: 0,
            last_queue: None,
            reply: None,
            incarnation,
            facts,
            stage: Stage::Open,
        };
        self.channels.insert(number, channel);
        self.outbox.write(|out, _| {
            let ok = channel::AMQPMethod::OpenOk(channel::OpenOk {});
            write::method(out, number, AMQPClass::Channel(ok));
        });
        Ok(Flow::Done)
    }

    /// Ends what the channel was doing; its number is free afterwards.
    pub(super) fn end_channel(&mut self, number: u16, effects: &mut Effects) {
        self.write_counted();
        if let Some(channel) = self.channels.remove(&number) {
            self.release_channels([(number, channel)], effects);
        }
    }

    /// Ends what the channel was doing; its number is taken until the client confirms.
    pub(super) fn shut_channel(&mut self, number: u16, effects: &mut Effects) {
        self.write_counted();
        let Some(channel) = self.channels.remove(&number) else {
            return;
        };
        let incarnation = channel.incarnation;
        let facts = Arc::clone(&channel.facts);
        self.release_channels([(number, channel)], effects);
        let channel = Channel {
            mode: Mode::Plain,
            content: Content::Idle,
            consumers: HashMap::new(),
            prefetch: 0,
            last_queue: None,
            reply: None,
            incarnation,
            facts,
            stage: Stage::Closing,
        };
        self.channels.insert(number, channel);
    }

    /// Ends channels together: what one gives back is not handed to another.
    pub(super) fn release_channels(
        &mut self,
        channels: impl IntoIterator<Item = (u16, Channel)>,
        effects: &mut Effects,
    ) {
        let mut unacked: Vec<Unacked> = Vec::new();
        let mut consumers: Vec<ChannelConsumer> = Vec::new();
        for (number, mut channel) in channels {
            if let Phase::Running(running) = &mut self.phase {
                running.presence.close_channel(number);
            }
            if let Some(reply) = channel.reply.take() {
                self.broker.forget_replies(&reply.name);
            }
            for (tag, consumer) in channel.consumers.drain() {
                let broker = &self.broker;
                broker.tell_consumer_gone(&self.outbox, number, &consumer.queue, &tag);
                consumers.push(consumer);
            }
            unacked.extend(self.outbox.close_channel(number));
            if let Mode::Tx(tx) = channel.mode {
                unacked.extend(tx.into_unacked());
            }
        }
        consumers.sort_unstable_by_key(|consumer| (consumer.queue.id, consumer.key.serial));
        for group in consumers.chunk_by(|one, next| one.queue.id == next.queue.id) {
            let Some(ChannelConsumer { queue, .. }) = group.first() else {
                continue;
            };
            let keys: Vec<ConsumerKey> = group.iter().map(|consumer| consumer.key).collect();
            let of_queue = |unacked: &mut Unacked| unacked.queue == queue.id;
            let returned = unacked
                .extract_if(.., of_queue)
                .map(Returned::from)
                .collect();
            if let Left::Last(returned) = queue.leave(&keys, returned, effects) {
                // Somebody may have begun to consume in this moment: then it stays.
                self.drop_queue(queue, true);
                queue.requeue(returned, Back::Failed, effects);
            }
        }
        self.requeue(unacked, Back::Failed, effects);
        // What is deleted has nothing to settle any more.
        self.queues.retain(|_, queue| !queue.is_deleted());
    }

    /// Stops a consumer; its queue may go with it.
    pub(super) fn end_consumer(
        &mut self,
        (channel, tag): (u16, &str),
        consumer: &ChannelConsumer,
        effects: &mut Effects,
    ) {
        let queue = &consumer.queue;
        self.broker
            .tell_consumer_gone(&self.outbox, channel, queue, tag);
        let last = consumer.queue.cancel(consumer.key, effects);
        if last && consumer.queue.attributes.auto_delete {
            // Somebody may have begun to consume in this moment: then it stays.
            self.drop_queue(&Arc::clone(&consumer.queue), true);
        }
    }

    /// Gives messages back to their queues.
    pub(super) fn requeue(&mut self, mut unacked: Vec<Unacked>, back: Back, effects: &mut Effects) {
        unacked.sort_by_key(|unacked| unacked.queue);
        let mut group: Vec<Returned> = Vec::new();
        let mut current: Option<QueueId> = None;
        for message in unacked {
            if current.is_some_and(|queue| queue != message.queue) {
                self.requeue_group(current, std::mem::take(&mut group), back, effects);
            }
            current = Some(message.queue);
            group.push(message.into());
        }
        self.requeue_group(current, group, back, effects);
    }

    fn requeue_group(
        &self,
        queue: Option<QueueId>,
        group: Vec<Returned>,
        back: Back,
        effects: &mut Effects,
    ) {
        if let Some(queue) = queue.and_then(|id| self.queues.get(&id)) {
            queue.requeue(group, back, effects);
        }
    }

    /// On a channel that we have closed, only the client's confirmation (or its own close) counts;
    /// its number is free after that.
    pub(super) fn on_closing_channel(
        &mut self,
        number: u16,
        ids: (u16, u16),
    ) -> Result<(), Refusal> {
        match ids {
            (20, 10) => return Err(super::dispatch::second_open()),
            (20, 41) => drop(self.channels.remove(&number)),
            (20, 40) => self.outbox.write(|out, _| {
                let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                write::method(out, number, AMQPClass::Channel(ok));
            }),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn confirm_method(
        &mut self,
        number: u16,
        method: confirm::AMQPMethod,
    ) -> Result<Flow, Refusal> {
        let select = match method {
            confirm::AMQPMethod::Select(select) => select,
            confirm::AMQPMethod::SelectOk(_) => return Err(not_for_servers()),
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Flow::Done);
        };
        match &channel.mode {
            Mode::Tx(_) => {
                return Err(Refusal::precondition(
                    "cannot switch from tx to confirm mode",
                ));
            }
            Mode::Confirm(_) => {}
            Mode::Plain => {
                channel.mode = Mode::Confirm(Arc::new(ChannelConfirms {
                    outbox: Arc::clone(&self.outbox),
                    channel: number,
                    incarnation: channel.incarnation,
                }));
                channel.facts.set_mode(ChannelMode::Confirm);
                self.outbox.start_confirms(number);
            }
        }
        if !select.nowait {
            self.outbox.write(|out, _| {
                let ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
                write::method(out, number, AMQPClass::Confirm(ok));
            });
        }
        Ok(Flow::Done)
    }
}
