//! From a frame to the handler of its method. Decides only what may come when.

use super::content::Content;
use super::{Flow, Parting, Phase, Session};
use crate::amqp::frame::{Frame, FrameError, FrameFault, FrameKind, erlang_binary};
use crate::amqp::method::{self, Method, MethodError};
use crate::amqp::reply::ReplyCode;
use crate::amqp::{AMQPClass, channel, connection, write};
use crate::error::Refusal;
use crate::queue::{Back, Effects};

const CHANNEL_OPEN: (u16, u16) = (20, 10);

const NOT_METHOD: &str = "expected method frame, got non method frame instead";

/// A frame of a kind that has no business on its channel.
fn misplaced(kind: u8, payload: &[u8]) -> Refusal {
    let text = format!("type {kind}, all octets = {}", erlang_binary(payload));
    Refusal::connection(ReplyCode::UnexpectedFrame, text)
}

/// On a channel that was never opened.
fn not_open(kind: FrameKind) -> Refusal {
    match kind {
        FrameKind::Method => {
            Refusal::connection(ReplyCode::ChannelError, "expected 'channel.open'")
        }
        FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => {
            Refusal::connection(ReplyCode::UnexpectedFrame, NOT_METHOD)
        }
    }
}

pub(super) fn second_open() -> Refusal {
    let text = "second 'channel.open' seen";
    Refusal::connection(ReplyCode::ChannelError, text)
}

/// Methods that only the server sends, or that have no meaning where they came.
#[cold]
pub(super) fn not_for_servers() -> Refusal {
    Refusal::connection(ReplyCode::CommandInvalid, "unimplemented method")
}

/// RabbitMQ shows the arguments that it could not decode.
fn undecodable(error: MethodError, payload: &[u8]) -> Refusal {
    let text = match error {
        MethodError::Malformed { .. } => {
            let arguments = payload.get(4..).unwrap_or_default();
            format!("cannot decode {}", erlang_binary(arguments))
        }
        MethodError::UnknownClassOrMethod { .. } | MethodError::NotText => error.text(),
    };
    Refusal::connection(error.code(), text)
}

impl Session {
    /// One frame, and what belongs to it of the octets behind it.
    pub(super) fn frame(
        &mut self,
        frame: Frame<'_>,
        after: &mut &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        match frame.kind {
            FrameKind::Heartbeat if !frame.payload.is_empty() => {
                let error = FrameError::new(8, frame.payload, FrameFault::Unknown);
                Err(Refusal::connection(error.code(), error.text()))
            }
            FrameKind::Heartbeat if frame.channel == 0 => Ok(Flow::Done),
            FrameKind::Heartbeat => Err(misplaced(8, frame.payload)),
            FrameKind::Method if frame.payload.len() < 4 => {
                let error = FrameError::new(1, frame.payload, FrameFault::Unknown);
                Err(Refusal::connection(error.code(), error.text()))
            }
            FrameKind::Method if frame.channel == 0 => {
                // No method is blamed for a login that failed.
                let ids = if matches!(self.phase, Phase::StartOk) {
                    (0, 0)
                } else {
                    method::class_and_method(frame.payload)
                };
                self.connection_frame(frame.payload).or_else(|refusal| {
                    self.fail(&refusal.on_connection(), ids, effects);
                    Ok(Flow::Done)
                })
            }
            FrameKind::Header | FrameKind::Body if frame.channel == 0 => {
                let octet = frame.kind.octet();
                Err(misplaced(octet, frame.payload))
            }
            FrameKind::Method | FrameKind::Header | FrameKind::Body => {
                self.channel_frame(frame, after, effects)
            }
        }
    }

    fn connection_frame(&mut self, payload: &[u8]) -> Result<Flow, Refusal> {
        use connection::AMQPMethod;
        let class = match method::parse(payload) {
            Ok(Method::Other(class)) => Some(*class),
            Ok(_) => None,
            Err(_) if matches!(self.phase, Phase::Closing) => return Ok(Flow::Done),
            Err(error) => return Err(undecodable(error, payload)),
        };
        let method = match class {
            Some(AMQPClass::Connection(method)) => method,
            _ if matches!(self.phase, Phase::Closing) => return Ok(Flow::Done),
            _ => return Err(self.unexpected_method()),
        };
        match (&self.phase, method) {
            (Phase::Closing | Phase::Ended(_), AMQPMethod::CloseOk(_)) => {
                self.phase = Phase::Ended(Parting::Answered);
                Ok(Flow::Done)
            }
            (_, AMQPMethod::Close(close)) => {
                self.closed_by_client(&close);
                Ok(Flow::Done)
            }
            (Phase::Closing, _) => Ok(Flow::Done),
            (Phase::StartOk, AMQPMethod::StartOk(start_ok)) => self.start_ok(start_ok),
            (Phase::TuneOk(login), AMQPMethod::TuneOk(tune)) => {
                let login = login.clone();
                self.tune_ok(login, &tune)
            }
            (Phase::Open(login), AMQPMethod::Open(open)) => {
                let login = login.clone();
                self.connection_open(&login, &open)
            }
            (Phase::Running(_), AMQPMethod::UpdateSecret(update)) => self.update_secret(&update),
            (
                Phase::Header
                | Phase::StartOk
                | Phase::Refused
                | Phase::TuneOk(_)
                | Phase::Open(_)
                | Phase::Running(_)
                | Phase::Ended(_),
                _,
            ) => Err(self.unexpected_method()),
        }
    }

    fn unexpected_method(&self) -> Refusal {
        let state = match self.phase {
            Phase::Running(_) => "running",
            Phase::Header | Phase::StartOk | Phase::Refused => "starting",
            Phase::TuneOk(_) => "tuning",
            Phase::Open(_) => "opening",
            Phase::Closing => "closing",
            Phase::Ended(_) => "closed",
        };
        let text = format!("unexpected method in connection state {state}");
        Refusal::connection(ReplyCode::ChannelError, text)
    }

    fn channel_frame(
        &mut self,
        frame: Frame<'_>,
        after: &mut &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        match &self.phase {
            Phase::Running(_) => {}
            Phase::Closing | Phase::Ended(_) => return Ok(Flow::Done),
            Phase::Header | Phase::StartOk | Phase::Refused | Phase::TuneOk(_) | Phase::Open(_) => {
                return Err(misplaced(frame.kind.octet(), frame.payload));
            }
        }
        let number = frame.channel;
        let mut ids = match frame.kind {
            FrameKind::Method => method::class_and_method(frame.payload),
            FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => (0, 0),
        };
        let outcome = match self.channels.get(&number) {
            None if ids == CHANNEL_OPEN => {
                // No method is blamed for a limit.
                ids = (0, 0);
                self.channel_open(number)
            }
            None => Err(not_open(frame.kind)),
            Some(channel) if channel.is_closing() => {
                self.on_closing_channel(number, ids).map(|()| Flow::Done)
            }
            Some(channel) => match (&channel.content, frame.kind) {
                (Content::Idle, FrameKind::Method) => {
                    self.method_frame(number, frame.payload, after, effects)
                }
                (Content::Idle, _) => {
                    Err(Refusal::connection(ReplyCode::UnexpectedFrame, NOT_METHOD))
                }
                (Content::Header(_) | Content::Body(_), _) => {
                    // Whatever is wrong now is wrong with the publish.
                    ids = (60, 40);
                    self.content_frame(number, frame, effects)
                }
            },
        };
        match outcome {
            Ok(done) => Ok(done),
            Err(refusal) => {
                if frame.kind == FrameKind::Method
                    && let Err(error) = method::parse(frame.payload)
                {
                    ids = error.class_and_method();
                }
                self.fail_on(number, &refusal, ids, effects);
                Ok(Flow::Done)
            }
        }
    }

    fn method_frame(
        &mut self,
        number: u16,
        payload: &[u8],
        after: &mut &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let method = match method::parse(payload) {
            Ok(method) => method,
            Err(error) => return Err(undecodable(error, payload)),
        };
        match method {
            Method::Publish(publish) => self.publish(number, publish, after, effects),
            Method::Ack {
                delivery_tag,
                multiple,
            } => self
                .ack(number, delivery_tag, multiple, effects)
                .map(|()| Flow::Done),
            Method::Nack {
                delivery_tag,
                multiple,
                requeue,
            } => self
                .nack(
                    number,
                    delivery_tag,
                    multiple,
                    requeue,
                    Back::Returned,
                    effects,
                )
                .map(|()| Flow::Done),
            Method::Reject {
                delivery_tag,
                requeue,
            } => self
                .nack(number, delivery_tag, false, requeue, Back::Failed, effects)
                .map(|()| Flow::Done),
            Method::Other(class) => self.method(number, *class, payload, effects),
        }
    }

    fn method(
        &mut self,
        number: u16,
        class: AMQPClass,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        match class {
            AMQPClass::Channel(method) => self.channel_method(number, method, effects),
            AMQPClass::Exchange(method) => self.exchange_method(number, method),
            AMQPClass::Queue(method) => self.queue_method(number, method, effects),
            AMQPClass::Basic(method) => self.basic_method(number, method, payload, effects),
            AMQPClass::Confirm(method) => self.confirm_method(number, method),
            AMQPClass::Tx(method) => self.tx_method(number, method, effects),
            AMQPClass::Access(_) => {
                use crate::amqp::access::{AMQPMethod, RequestOk};
                let ok = AMQPClass::Access(AMQPMethod::RequestOk(RequestOk {}));
                self.outbox.write(|out, _| write::method(out, number, ok));
                Ok(Flow::Done)
            }
            AMQPClass::Connection(_) => Err(not_for_servers()),
        }
    }

    fn channel_method(
        &mut self,
        number: u16,
        method: channel::AMQPMethod,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        use channel::AMQPMethod;
        match method {
            AMQPMethod::Open(_) => Err(second_open()),
            AMQPMethod::Close(_) => {
                self.end_channel(number, effects);
                self.outbox.write(|out, _| {
                    let ok = AMQPMethod::CloseOk(channel::CloseOk {});
                    write::method(out, number, AMQPClass::Channel(ok));
                });
                Ok(Flow::Done)
            }
            AMQPMethod::Flow(flow) if flow.active => {
                self.outbox.write(|out, _| {
                    let ok = AMQPMethod::FlowOk(channel::FlowOk { active: true });
                    write::method(out, number, AMQPClass::Channel(ok));
                });
                Ok(Flow::Done)
            }
            AMQPMethod::Flow(_) => Err(Refusal::connection(
                ReplyCode::NotImplemented,
                "active=false",
            )),
            AMQPMethod::OpenOk(_) | AMQPMethod::CloseOk(_) | AMQPMethod::FlowOk(_) => {
                Err(not_for_servers())
            }
        }
    }
}
