//! Reads messages of a queue for whoever asks over HTTP: how many, how they are shown, and what
//! becomes of them afterwards.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome, integer};
use super::fields;
use super::queues::{find, not_locked};
use super::taking::{Hand, Taken, parsed};
use crate::auth::Access;
use crate::queue::{Back, QueueType, Settle};

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
    Ok(Outcome::Later(Box::pin(take(Hand::of(queue), asked))))
}

async fn take(hand: Hand, asked: Asked) -> Result<Answer, Failure> {
    let no_ack = asked.ack_mode == AckMode::AckRequeueFalse;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while (messages.len() as i64) < asked.count && bytes < MAX_BYTES {
        let Some(octets) = hand.take(no_ack).await else {
            break;
        };
        bytes += octets.len();
        messages.extend(read(&octets, asked));
    }
    match asked.ack_mode {
        // Settled when they were handed out.
        AckMode::AckRequeueFalse => {}
        AckMode::AckRequeueTrue => hand.put_back(Back::Returned),
        AckMode::RejectRequeueTrue => hand.put_back(Back::Failed),
        AckMode::RejectRequeueFalse => hand.settle(Settle::Rejected),
    }
    Ok(Answer::json(&Value::Array(messages)))
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
