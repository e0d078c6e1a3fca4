//! basic.publish: from the method and its content to the queues, with returns and confirms.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::access::Kind;
use super::channel::{Channel, Mode};
use super::content::{Content, PublishBody, PublishStart, check_class};
use super::counted::Published;
use super::properties::Asked;
use super::{Flow, Session, Wait};
use crate::amqp::content;
use crate::amqp::frame::{self, Cut, FrameKind};
use crate::amqp::method::Publish;
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
    last: LastTarget,
    default_name: Arc<str>,
}

#[derive(Default)]
enum LastTarget {
    #[default]
    None,
    Exchange(Arc<Exchange>),
    Queue(Arc<Queue>),
}

impl Publisher {
    /// That the last message was published to; None is the default exchange.
    pub fn exchange(&self) -> Option<&Arc<Exchange>> {
        match &self.last {
            LastTarget::Exchange(exchange) => Some(exchange),
            LastTarget::Queue(_) | LastTarget::None => None,
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
struct Terms {
    channel: u16,
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
        after: &[u8],
        effects: &mut Effects,
    ) -> Result<(usize, Flow), Refusal> {
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
            return flow.map(|flow| (length, flow));
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.content = Content::Header(PublishStart {
                exchange: publish.exchange.to_owned(),
                routing_key: publish.routing_key.to_owned(),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
            });
        }
        Ok((0, Flow::Done))
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
        properties: &[u8],
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
        self.find_target(exchange, routing_key)?;
        self.check_topic(Access::Write, exchange, routing_key)?;
        let Asked {
            properties,
            further_keys,
        } = self.asked(number, properties)?;
        let confirm = match self.channels.get(&number).map(|channel| &channel.mode) {
            Some(Mode::Confirm(_)) => Some(self.outbox.next_publish(number)),
            Some(Mode::Plain | Mode::Tx(_)) | None => None,
        };
        let terms = Terms {
            channel: number,
            mandatory,
            confirm,
        };
        let mut route = self.publisher.route.take().unwrap_or_default();
        let name = self.set_out(&mut route, further_keys)?;
        let message = MessageView {
            exchange: &name,
            routing_key,
            properties: &properties,
            body,
            dead_lettered: false,
        };
        let vhost = self.vhost()?;
        let front = match self.publisher.exchange() {
            Some(exchange) => exchange.front(),
            None => vhost.front(),
        };
        let step = route.set_off(front, &vhost, message, &mut self.memo);
        match step {
            Step::Later(waiting) => {
                let message = Arc::new(message.to_message());
                Ok(self.pause(terms, message, *route, waiting))
            }
            Step::Done | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. } => {
                let finished = self.finish(terms, message, None, &route, step, effects);
                self.publisher.route = Some(route);
                finished.map(|()| Flow::Done)
            }
        }
    }

    fn pause(
        &mut self,
        terms: Terms,
        message: Arc<Message>,
        route: Route,
        waiting: Waiting,
    ) -> Flow {
        let Terms {
            channel,
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
        Flow::Wait(Wait::Answer { answer, publish })
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
        let terms = Terms {
            channel,
            mandatory,
            confirm,
        };
        let step = match route.resume(&vhost, &waiting, answer) {
            Step::Done => route.walk(&vhost, message.view(), &mut self.memo),
            other @ (Step::Later(_) | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. }) => {
                other
            }
        };
        match step {
            Step::Later(waiting) => Ok(self.pause(terms, message, route, waiting)),
            Step::Done | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. } => {
                let owned = Some(&message);
                let view = message.view();
                let finished = self.finish(terms, view, owned, &route, step, effects);
                finished
                    .map(|()| Flow::Done)
                    .map_err(|refusal| (channel, refusal))
            }
        }
    }

    /// The walk is over: deliver, return, confirm.
    fn finish(
        &mut self,
        terms: Terms,
        message: MessageView<'_>,
        owned: Option<&Arc<Message>>,
        route: &Route,
        step: Step,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let Terms {
            channel: number,
            mandatory,
            confirm,
        } = terms;
        let refusal = match step {
            Step::Done => route
                .check_headers(message.properties, self.frame_max)
                .err(),
            Step::Rejected(text) => {
                return self.not_taken(terms, message, Refusal::precondition(text));
            }
            Step::Fault(Fault(reason)) => Some(unrouted(message.exchange, &reason)),
            Step::Unseen { interceptor, fault } => Some(unseen(&interceptor, &fault)),
            Step::Later(_) => return Ok(()),
        };
        if let Some(text) = refusal {
            let refusal = Refusal::channel(ReplyCode::InternalError, text);
            return self.not_taken(terms, message, refusal);
        }
        let vhost = self.vhost()?;
        self.tell_watchers(&vhost, number, message, route);
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
            let message = rewritten.as_ref().map_or(message, Message::view);
            self.broker.reply(message, effects);
        }
        let handed = vhost.hand_over(route, message, confirm_to, effects);
        let published = Published {
            queues: route.queues.len(),
            returned: !handed.routed && mandatory,
            dropped: !handed.routed && !mandatory,
            size: message.body.len(),
        };
        self.count_publish(number, published);
        if published.returned {
            self.return_unroutable(number, message);
        }
        if let Some(publish) = confirm.filter(|_| !handed.owed) {
            let ok = !handed.rejected;
            self.outbox.resolve(number, None, &[publish], ok);
        }
        Ok(())
    }

    #[inline]
    fn tell_watchers(&self, vhost: &Vhost, channel: u16, message: MessageView<'_>, route: &Route) {
        if vhost.is_tapped()
            && let Some(party) = self.outbox.party()
        {
            vhost.tell_published(party, channel, message, route.further_keys(), route);
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
        terms: Terms,
        message: MessageView<'_>,
        refusal: Refusal,
    ) -> Result<(), Refusal> {
        let Terms {
            channel,
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

    pub(super) fn return_unroutable(&self, number: u16, message: MessageView<'_>) {
        let code = ReplyCode::NoRoute;
        self.send_back(number, code, code.name(), message);
    }

    fn send_back(&self, number: u16, code: ReplyCode, text: &str, message: MessageView<'_>) {
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
    /// publish to it. Leaves it in `publisher.last`.
    fn find_target(&mut self, exchange: &str, routing_key: &str) -> Result<(), Refusal> {
        if !self.permissions_are_current() {
            self.publisher.last = LastTarget::None;
        }
        match &self.publisher.last {
            LastTarget::Exchange(last) if *last.name == *exchange && !last.is_deleted() => {
                return Ok(());
            }
            LastTarget::Queue(last)
                if exchange.is_empty() && *last.name == *routing_key && !last.is_deleted() =>
            {
                return Ok(());
            }
            LastTarget::None | LastTarget::Exchange(_) | LastTarget::Queue(_) => {}
        }
        self.publisher.last = LastTarget::None;
        self.check_access(Access::Write, Kind::Exchange, exchange)?;
        let vhost = self.vhost()?;
        if exchange.is_empty() {
            if let Some(queue) = vhost.queue(routing_key) {
                self.publisher.last = LastTarget::Queue(queue);
            }
            return Ok(());
        }
        let missing = || Refusal::not_found("exchange", exchange, &vhost.name);
        let found = vhost.exchange(exchange).ok_or_else(missing)?;
        if found.definition.internal {
            return Err(Refusal::access(format!(
                "cannot publish to internal exchange '{exchange}' in vhost '{}'",
                vhost.name
            )));
        }
        self.publisher.last = LastTarget::Exchange(found);
        Ok(())
    }

    /// Where the walk begins; the name of the exchange.
    fn set_out(&self, route: &mut Route, further_keys: Vec<String>) -> Result<Arc<str>, Refusal> {
        match &self.publisher.last {
            LastTarget::Exchange(exchange) => {
                route.start(exchange, Moment::Publish, further_keys);
                Ok(Arc::clone(&exchange.name))
            }
            LastTarget::Queue(queue) => {
                route.clear();
                route.add_queue(queue);
                self.add_by_name(route, further_keys)?;
                Ok(Arc::clone(&self.publisher.default_name))
            }
            LastTarget::None => {
                route.clear();
                self.add_by_name(route, further_keys)?;
                Ok(Arc::clone(&self.publisher.default_name))
            }
        }
    }

    fn add_by_name(&self, route: &mut Route, further_keys: Vec<String>) -> Result<(), Refusal> {
        if !further_keys.is_empty() {
            route.add_by_name(&*self.vhost()?, further_keys);
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
