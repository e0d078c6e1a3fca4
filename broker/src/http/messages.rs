//! Takes messages out of a queue, as basic.get does: what a client's channel would be is an outbox
//! of our own here, read back from the octets it would have sent.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome, integer};
use super::fields;
use super::queues::{find, not_locked};
use crate::amqp::frame::{self, Cut, FrameKind};
use crate::amqp::method::{self, Method};
use crate::amqp::{AMQPClass, basic, content};
use crate::auth::Access;
use crate::outbox::Outbox;
use crate::queue::{Back, Effects, Got, Queue, QueueType, Settle};

pub(super) const CHANNEL: u16 = 1;

/// One answer holds at most this much: it is put together in memory.
const MAX_MESSAGES: i64 = 10_000;
const MAX_BYTES: usize = 128 * 1024 * 1024;

/// What becomes of what was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AckMode {
    AckRequeueTrue,
    AckRequeueFalse,
    RejectRequeueTrue,
    RejectRequeueFalse,
}

#[derive(Clone, Copy)]
struct Asked {
    count: i64,
    ack_mode: AckMode,
    base64: bool,
    truncate: Option<usize>,
}

pub(super) fn get(call: &Call) -> Handled {
    let (vhost, queue) = find(call)?;
    let request = call.fields()?;
    request.require(&["count", "ackmode", "encoding"])?;
    call.check_access(&vhost.name, Access::Read, &queue.name)?;
    not_locked(&vhost, &queue)?;
    if queue.attributes.queue_type == QueueType::Stream {
        let name = &queue.name;
        let text = format!(
            "basic.get not supported by stream queue '{name}' in vhost '{}'",
            vhost.name
        );
        return Err(Failure::bad(text));
    }
    let ack_mode = match request.text("ackmode")?.unwrap_or_default() {
        "ack_requeue_true" => AckMode::AckRequeueTrue,
        "ack_requeue_false" => AckMode::AckRequeueFalse,
        "reject_requeue_true" => AckMode::RejectRequeueTrue,
        "reject_requeue_false" => AckMode::RejectRequeueFalse,
        other => return Err(Failure::bad(json!(["bad_ackmode", other]))),
    };
    let base64 = match request.text("encoding")?.unwrap_or_default() {
        "auto" => false,
        "base64" => true,
        other => {
            let reason = format!("Unsupported encoding: {other}. Please use one of: auto, base64");
            return Err(Failure::bad(reason));
        }
    };
    let truncate = request.get("truncate").map(integer).transpose()?;
    let asked = Asked {
        count: request
            .integer("count")?
            .unwrap_or(0)
            .clamp(0, MAX_MESSAGES),
        ack_mode,
        base64,
        truncate: truncate.and_then(|bytes| usize::try_from(bytes).ok()),
    };
    Ok(Outcome::Later(Box::pin(take(queue, asked))))
}

async fn take(queue: Arc<Queue>, asked: Asked) -> Result<Answer, Failure> {
    let outbox = Outbox::new();
    // One frame holds a whole body.
    outbox.set_frame_max(0);
    outbox.open_channel(CHANNEL, 1);
    let no_ack = asked.ack_mode == AckMode::AckRequeueFalse;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while (messages.len() as i64) < asked.count && bytes < MAX_BYTES {
        let (tell, loaded) = oneshot::channel();
        let when_loaded = || {
            // Nobody waits any more when the request is gone.
            Box::new(move || {
                let _ = tell.send(());
            }) as Box<dyn FnOnce() + Send>
        };
        let mut effects = Effects::default();
        let got = queue.get(&outbox, CHANNEL, no_ack, when_loaded, &mut effects);
        effects.apply();
        match got {
            Got::Empty | Got::Deleted => break,
            // It tries again once the queue has read it, or is gone.
            Got::Loading => drop(loaded.await),
            Got::Sent => {
                let mut octets = Vec::new();
                drop(outbox.take(&mut octets));
                bytes += octets.len();
                messages.extend(read(&octets, asked));
            }
        }
    }
    give_back(&queue, &outbox, asked.ack_mode);
    Ok(Answer::json(&Value::Array(messages)))
}

fn give_back(queue: &Queue, outbox: &Outbox, ack_mode: AckMode) {
    let unacked: Vec<_> = outbox.close_channel(CHANNEL).into();
    let mut effects = Effects::default();
    match ack_mode {
        // Settled when they were handed out.
        AckMode::AckRequeueFalse => {}
        AckMode::AckRequeueTrue => {
            let returned = unacked.into_iter().map(Into::into).collect();
            queue.requeue(returned, Back::Returned, &mut effects);
        }
        AckMode::RejectRequeueTrue => {
            let returned = unacked.into_iter().map(Into::into).collect();
            queue.requeue(returned, Back::Failed, &mut effects);
        }
        AckMode::RejectRequeueFalse => queue.settle(&unacked, Settle::Rejected, &mut effects),
    }
    effects.apply();
}

/// A message as basic.get hands it out.
pub(super) struct Taken<'a> {
    got: basic::GetOk,
    pub properties: &'a [u8],
    pub body: &'a [u8],
}

/// basic.get-ok with its content.
pub(super) fn parsed(octets: &[u8]) -> Option<Taken<'_>> {
    let mut rest = octets;
    let mut next = || {
        let Ok(Cut::Frame { frame, length }) = frame::cut(rest, 0) else {
            return None;
        };
        rest = rest.get(length..)?;
        Some(frame)
    };
    let Ok(Method::Other(AMQPClass::Basic(basic::AMQPMethod::GetOk(got)))) =
        method::parse(next()?.payload)
    else {
        return None;
    };
    let header = content::parse_header(next()?.payload).ok()?;
    let body = match header.body_size {
        0 => &[],
        _ => {
            next()
                .filter(|frame| frame.kind == FrameKind::Body)?
                .payload
        }
    };
    Some(Taken {
        got,
        properties: header.properties,
        body,
    })
}

fn read(octets: &[u8], asked: Asked) -> Option<Value> {
    let Taken {
        got,
        properties,
        body,
    } = parsed(octets)?;
    let shown = body
        .get(..asked.truncate.unwrap_or(body.len()))
        .unwrap_or(body);
    let (payload, encoding) = match std::str::from_utf8(shown) {
        Ok(text) if !asked.base64 => (text.to_owned(), "string"),
        Ok(_) | Err(_) => (STANDARD.encode(shown), "base64"),
    };
    Some(json!({
        "payload_bytes": body.len(),
        "redelivered": got.redelivered,
        "exchange": got.exchange.as_str(),
        "routing_key": got.routing_key.as_str(),
        "message_count": got.message_count,
        "properties": fields::properties(properties),
        "payload": payload,
        "payload_encoding": encoding,
    }))
}
