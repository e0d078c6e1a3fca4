//! basic.publish: from the method and its content to the queues, with returns and confirms.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::access::Kind;
use super::channel::{Channel, Mode};
use super::content::{Content, PublishBody, PublishStart, check_class};
use super::counted::Published;
use super::{Flow, Session, Wait};
use crate::amqp::content;
use crate::amqp::frame::{self, Cut, FrameKind};
use crate::amqp::method::Publish;
use crate::amqp::properties::Properties;
use crate::amqp::reply::ReplyCode;
use crate::amqp::write;
use crate::auth::Access;
use crate::error::Refusal;
use crate::message::{Message, MessageView};
use crate::queue::{Effects, Queue};
use crate::store::ConfirmSink;
use crate::vhost::exchange_type::{Answer, Fault, Moment};
use crate::vhost::{ConfirmTo, Exchange, Route, Step, Vhost, Waiting, is_reply_name};

/// Where the last message went, because the next one probably goes there too.
#[derive(Default)]
pub(super) struct Publisher {
    pub has_published: bool,
    /// Kept for the next message; moved as a pointer.
    route: Option<Box<Route>>,
    /// Nobody's while a message is on its way, which borrows from it.
    last: Option<Target>,
}

enum Target {
    Exchange(Arc<Exchange>),
    /// The default exchange, and the queue of that name if there is one.
    Default {
        name: Arc<str>,
        queue: Option<Arc<Queue>>,
    },
}

impl Publisher {
    /// That the last message was published to; None is the default exchange.
    pub fn exchange(&self) -> Option<&Arc<Exchange>> {
        self.last.as_ref().and_then(Target::exchange)
    }
}

impl Target {
    fn exchange(&self) -> Option<&Arc<Exchange>> {
        match self {
            Target::Exchange(exchange) => Some(exchange),
            Target::Default { .. } => None,
        }
    }

    fn name(&self) -> &Arc<str> {
        match self {
            Target::Exchange(exchange) => &exchange.name,
            Target::Default { name, .. } => name,
        }
    }

    fn is(&self, exchange: &str, routing_key: &str) -> bool {
        match self {
            Target::Exchange(last) => *last.name == *exchange && !last.is_deleted(),
            Target::Default { queue, .. } => {
                let here = |queue: &Arc<Queue>| *queue.name == *routing_key && !queue.is_deleted();
                exchange.is_empty() && queue.as_ref().is_some_and(here)
            }
        }
    }
}

/// A publish whose exchange's plugin is slow.
pub struct PausedPublish {
    channel: u16,
    message: Arc<Message>,
    mandatory: bool,
    confirm: Option<u64>,
    route: Route,
    waiting: Waiting,
}

/// Content that lies whole in the read buffer.
struct WholeContent<'a> {
    properties: &'a [u8],
    body: &'a [u8],
    /// On the wire, frames included.
    length: usize,
}

/// What belongs to a publish besides the message.
#[derive(Clone, Copy)]
struct Terms<'a> {
    channel: u16,
    /// None: the default one.
    exchange: Option<&'a Arc<Exchange>>,
    mandatory: bool,
    /// Its number on a channel in confirm mode.
    confirm: Option<u64>,
}

impl Session {
    /// The method was read; when the content lies behind it in the same read, nothing is copied.
    pub(super) fn publish(
        &mut self,
        number: u16,
        publish: Publish<'_>,
        after: &mut &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        // From its begin: messages that never end take memory too.
        self.publisher.has_published = true;
        if let Some(content) = self.whole_content(number, after)? {
            let WholeContent {
                properties,
                body,
                length,
            } = content;
            let start = (publish.mandatory, publish.immediate);
            let exchange = publish.exchange;
            let key = publish.routing_key;
            let next = after.get(length..).unwrap_or_default();
            self.make_ready_for(next);
            let flow = self.publish_whole(number, exchange, key, start, properties, body, effects);
            self.look_ahead(next);
            if flow.is_ok() {
                *after = next;
            }
            return flow;
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.content = Content::Header(PublishStart {
                exchange: publish.exchange.to_owned(),
                routing_key: publish.routing_key.to_owned(),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
            });
        }
        Ok(Flow::Done)
    }

    /// Properties, body and their length on the wire, if the next frames are a header and at most
    /// one body frame of this channel. Anything else is left to the frame by frame way, errors too.
    fn whole_content<'a>(
        &self,
        number: u16,
        after: &'a [u8],
    ) -> Result<Option<WholeContent<'a>>, Refusal> {
        let Ok(Cut::Frame { frame, length }) = frame::cut(after, self.frame_max) else {
            return Ok(None);
        };
        if frame.kind != FrameKind::Header || frame.channel != number {
            return Ok(None);
        }
        let header = content::parse_header(frame.payload)
            .map_err(|error| Refusal::connection(error.code(), error.text()))?;
        check_class(header.class_id)?;
        if header.body_size == 0 {
            let (properties, body) = (header.properties, [].as_slice());
            return Ok(Some(WholeContent {
                properties,
                body,
                length,
            }));
        }
        let rest = after.get(length..).unwrap_or_default();
        match frame::cut(rest, self.frame_max) {
            Ok(Cut::Frame {
                frame,
                length: body_length,
            }) if frame.kind == FrameKind::Body
                && frame.channel == number
                && frame.payload.len() as u64 == header.body_size =>
            {
                Ok(Some(WholeContent {
                    properties: header.properties,
                    body: frame.payload,
                    length: length + body_length,
                }))
            }
            Ok(Cut::Frame { .. } | Cut::Incomplete) | Err(_) => Ok(None),
        }
    }

    pub(super) fn publish_assembled(
        &mut self,
        number: u16,
        body: PublishBody,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let PublishBody {
            start,
            properties_len,
            data,
            ..
        } = body;
        let key_len = start.routing_key.len();
        let flags = (start.mandatory, start.immediate);
        let body_start = key_len + properties_len;
        let properties = data.get(key_len..body_start).unwrap_or_default();
        let body = data.get(body_start..).unwrap_or_default();
        let (exchange, key) = (&start.exchange, &start.routing_key);
        self.publish_whole(number, exchange, key, flags, properties, body, effects)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one publish")]
    fn publish_whole(
        &mut self,
        number: u16,
        exchange: &str,
        routing_key: &str,
        (mandatory, immediate): (bool, bool),
        raw: &[u8],
        body: &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        self.check_size(body.len() as u64)?;
        if immediate {
            return Err(Refusal::connection(
                ReplyCode::NotImplemented,
                "immediate=true",
            ));
        }
        let target = self.find_target(exchange, routing_key)?;
        self.check_topic(Access::Write, exchange, routing_key)?;
        let asked;
        let (properties, further_keys) = match Properties::new(raw).may_ask() {
            true => {
                asked = self.asked(number, raw)?;
                (&*asked.properties, asked.further_keys)
            }
            false => (raw, Vec::new()),
        };
        let confirm = match self.channels.get(&number).map(|channel| &channel.mode) {
            Some(Mode::Confirm(_)) => Some(self.outbox.next_publish(number)),
            Some(Mode::Plain | Mode::Tx(_)) | None => None,
        };
        let terms = Terms {
            channel: number,
            exchange: target.exchange(),
            mandatory,
            confirm,
        };
        let mut route = self.publisher.route.take().unwrap_or_default();
        self.set_out(&target, &mut route, further_keys)?;
        let message = MessageView {
            exchange: target.name(),
            routing_key,
            properties,
            body,
            dead_lettered: false,
        };
        let vhost = self.phase.vhost()?;
        let front = match terms.exchange {
            Some(exchange) => exchange.front(),
            None => vhost.front(),
        };
        let finished = match route.set_off(front, vhost, &message, &mut self.memo) {
            Step::Done => self.finish(terms, &message, None, &route, effects),
            Step::Later(waiting) => {
                let message = Arc::new(message.to_message());
                let flow = self.pause(terms, message, *route, waiting);
                self.publisher.last = Some(target);
                return Ok(flow);
            }
            stop @ (Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. }) => {
                self.stopped(terms, &message, stop)
            }
        };
        self.publisher.last = Some(target);
        self.publisher.route = Some(route);
        finished.map(|()| Flow::Done)
    }

    fn pause(
        &mut self,
        terms: Terms<'_>,
        message: Arc<Message>,
        route: Route,
        waiting: Waiting,
    ) -> Flow {
        let Terms {
            channel,
            exchange: _,
            mandatory,
            confirm,
        } = terms;
        let (done, answer) = oneshot::channel();
        let table = waiting.table();
        let message_there = route.asked(&waiting, &message);
        let instance = Arc::clone(&waiting.instance);
        let moment = waiting.moment;
        let publish = Box::new(PausedPublish {
            channel,
            message,
            mandatory,
            confirm,
            route,
            waiting,
        });
        let done = Box::new(move |result| drop(done.send(result)));
        instance.route_later(moment, message_there, table, done);
        Flow::Wait(Box::new(Wait::Answer { answer, publish }))
    }

    pub(super) fn publish_answered(
        &mut self,
        answer: Result<Answer, Fault>,
        publish: Box<PausedPublish>,
        effects: &mut Effects,
    ) -> Result<Flow, (u16, Refusal)> {
        let PausedPublish {
            channel,
            message,
            mandatory,
            confirm,
            mut route,
            waiting,
        } = *publish;
        let vhost = self.vhost().map_err(|refusal| (channel, refusal))?;
        let target = self.publisher.last.take();
        let terms = Terms {
            channel,
            exchange: target.as_ref().and_then(Target::exchange),
            mandatory,
            confirm,
        };
        let step = match route.resume(&vhost, &waiting, answer) {
            Step::Done => route.walk(&vhost, &message.view(), &mut self.memo),
            other @ (Step::Later(_) | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. }) => {
                other
            }
        };
        let flow = match step {
            Step::Done => {
                let (view, owned) = (message.view(), Some(&message));
                let finished = self.finish(terms, &view, owned, &route, effects);
                finished.map(|()| Flow::Done)
            }
            Step::Later(waiting) => Ok(self.pause(terms, message, route, waiting)),
            stop @ (Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. }) => {
                let stopped = self.stopped(terms, &message.view(), stop);
                stopped.map(|()| Flow::Done)
            }
        };
        self.publisher.last = target;
        flow.map_err(|refusal| (channel, refusal))
    }

    /// The walk is over: deliver, return, confirm.
    fn finish(
        &mut self,
        terms: Terms<'_>,
        message: &MessageView<'_>,
        owned: Option<&Arc<Message>>,
        route: &Route,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let Terms {
            channel: number,
            exchange,
            mandatory,
            confirm,
        } = terms;
        if let Err(text) = route.check_headers(message.properties, self.frame_max) {
            let refusal = Refusal::channel(ReplyCode::InternalError, text);
            return self.not_taken(terms, message, refusal);
        }
        let vhost = self.phase.vhost()?;
        self.tell_watchers(vhost, number, message, route);
        if let Some(Channel {
            mode: Mode::Tx(tx),
            facts,
            ..
        }) = self.channels.get_mut(&number)
        {
            facts.uncommitted_messages.add(1);
            let message = match owned {
                Some(message) => Arc::clone(message),
                None => Arc::new(message.to_message()),
            };
            return tx.publish(message, route, mandatory);
        }
        let confirm_to = confirm.and_then(|publish| {
            let sink = self.confirm_sink(number)?;
            Some(ConfirmTo { sink, publish })
        });
        if message.exchange.is_empty() && is_reply_name(message.routing_key) {
            let rewritten = route.rewritten(message);
            let message = rewritten.as_ref().map_or(*message, Message::view);
            self.broker.reply(message, effects);
        }
        let handed = vhost.hand_over(route, message, confirm_to, effects);
        let published = Published {
            queues: route.queues.len(),
            returned: !handed.routed && mandatory,
            dropped: !handed.routed && !mandatory,
            size: message.body.len(),
        };
        self.count_publish(number, exchange, published);
        if published.returned {
            self.return_unroutable(number, message);
        }
        if let Some(publish) = confirm.filter(|_| !handed.owed) {
            let ok = !handed.rejected;
            self.outbox.resolve(number, None, &[publish], ok);
        }
        Ok(())
    }

    /// The walk has ended before the queues.
    #[cold]
    fn stopped(
        &mut self,
        terms: Terms<'_>,
        message: &MessageView<'_>,
        step: Step,
    ) -> Result<(), Refusal> {
        let failed = |text| Refusal::channel(ReplyCode::InternalError, text);
        let refusal = match step {
            Step::Rejected(text) => Refusal::precondition(text),
            Step::Fault(Fault(reason)) => failed(unrouted(message.exchange, &reason)),
            Step::Unseen { interceptor, fault } => failed(unseen(&interceptor, &fault)),
            Step::Done | Step::Later(_) => return Ok(()),
        };
        self.not_taken(terms, message, refusal)
    }

    #[inline]
    fn tell_watchers(&self, vhost: &Vhost, channel: u16, message: &MessageView<'_>, route: &Route) {
        if vhost.is_tapped()
            && let Some(party) = self.outbox.party()
        {
            vhost.tell_published(party, channel, *message, route.further_keys(), route);
        }
    }

    fn confirm_sink(&self, number: u16) -> Option<Arc<dyn ConfirmSink>> {
        match &self.channels.get(&number)?.mode {
            Mode::Confirm(sink) => Some(Arc::clone(sink) as Arc<dyn ConfirmSink>),
            Mode::Plain | Mode::Tx(_) => None,
        }
    }

    /// A publish that nobody will have: a nack where the client listens for it, an error otherwise. A
    /// nack says no reason, but what is mandatory comes back before it, with one.
    fn not_taken(
        &mut self,
        terms: Terms<'_>,
        message: &MessageView<'_>,
        refusal: Refusal,
    ) -> Result<(), Refusal> {
        let Terms {
            channel,
            exchange: _,
            mandatory,
            confirm,
        } = terms;
        let Some(publish) = confirm else {
            return Err(refusal);
        };
        if mandatory {
            let text = format!("{} - {}", refusal.code.name(), refusal.text);
            self.send_back(channel, refusal.code, &text, message);
        }
        self.outbox.resolve(channel, None, &[publish], false);
        Ok(())
    }

    pub(super) fn return_unroutable(&self, number: u16, message: &MessageView<'_>) {
        let code = ReplyCode::NoRoute;
        self.send_back(number, code, code.name(), message);
    }

    fn send_back(&self, number: u16, code: ReplyCode, text: &str, message: &MessageView<'_>) {
        self.outbox.write(|out, frame_max| {
            write::basic_return(
                out,
                frame_max,
                number,
                code.code(),
                text,
                message.exchange,
                message.routing_key,
                message.properties,
                message.body,
            );
        });
    }

    /// Finds the exchange (or, for the default exchange, the queue) and checks that this user may
    /// publish to it. The caller gives it back to `publisher.last`.
    fn find_target(&mut self, exchange: &str, routing_key: &str) -> Result<Target, Refusal> {
        let current = self.permissions_are_current();
        let last = match self.publisher.last.take() {
            Some(last) if current && last.is(exchange, routing_key) => return Ok(last),
            last => last,
        };
        self.check_access(Access::Write, Kind::Exchange, exchange)?;
        let vhost = self.phase.vhost()?;
        if exchange.is_empty() {
            let name = match last {
                Some(Target::Default { name, .. }) => name,
                Some(Target::Exchange(_)) | None => Arc::default(),
            };
            let queue = vhost.queue(routing_key);
            return Ok(Target::Default { name, queue });
        }
        let missing = || Refusal::not_found("exchange", exchange, &vhost.name);
        let found = vhost.exchange(exchange).ok_or_else(missing)?;
        if found.definition.internal {
            return Err(Refusal::access(format!(
                "cannot publish to internal exchange '{exchange}' in vhost '{}'",
                vhost.name
            )));
        }
        Ok(Target::Exchange(found))
    }

    /// Where the walk begins.
    fn set_out(
        &self,
        target: &Target,
        route: &mut Route,
        further_keys: Vec<String>,
    ) -> Result<(), Refusal> {
        match target {
            Target::Exchange(exchange) => {
                route.start(exchange, Moment::Publish, further_keys);
                Ok(())
            }
            Target::Default { queue, .. } => {
                route.clear();
                if let Some(queue) = queue {
                    route.add_queue(queue);
                }
                self.add_by_name(route, further_keys)
            }
        }
    }

    fn add_by_name(&self, route: &mut Route, further_keys: Vec<String>) -> Result<(), Refusal> {
        if !further_keys.is_empty() {
            route.add_by_name(self.phase.vhost()?, further_keys);
        }
        Ok(())
    }
}

// The host has said why once a fault; the client sets how often it tries again.

fn unrouted(exchange: &str, reason: &str) -> String {
    let text = format!("exchange '{exchange}' could not route the message");
    tracing::debug!(reason, "{text}");
    text
}

fn unseen(interceptor: &str, Fault(reason): &Fault) -> String {
    let text = format!("interceptor '{interceptor}' could not look at the message");
    tracing::debug!(reason, "{text}");
    text
}
