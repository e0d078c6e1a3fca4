//! Exchange type `x-delayed-message`: keeps a message for as many milliseconds as its header
//! `x-delay` says, then lets the type named in `x-delayed-type` route it. Compatible with
//! RabbitMQ's plugin of that name in what it takes for a delay; keeping the message is the
//! broker's part.

use std::num::IntErrorKind;

use warren_plugin_sdk::{Answer, ExchangeType, Host, Inputs, Message, Named, Opening, Value};

const TYPE: &str = "x-delayed-message";
const INNER: &str = "x-delayed-type";
const DELAY: &str = "x-delay";
/// Longer delays are none, as in RabbitMQ: 2^32 - 1 ms, near 50 days.
const LONGEST: i64 = 4_294_967_295;

pub struct DelayedMessage {
    inner: String,
    host: Host,
}

impl ExchangeType for DelayedMessage {
    const TYPES: &'static [&'static str] = &[TYPE];
    const SUMMARY: &'static str = "Routes messages after the delay in their header x-delay";
    const ARGUMENTS: &'static [Named] = &[Named {
        name: INNER,
        summary: "The exchange type that routes a message once it is due (required)",
    }];

    fn open(exchange: &Opening) -> Result<Self, String> {
        let inner = exchange.arguments.get(INNER);
        match inner.and_then(|inner| inner.as_str()) {
            None => Err(format!(
                "Invalid argument, '{INNER}' must be an existing exchange type"
            )),
            Some(TYPE) => Err(format!(
                "Invalid argument, '{TYPE}' can't be used for '{INNER}'"
            )),
            Some(inner) => Ok(DelayedMessage {
                inner: inner.to_owned(),
                host: exchange.host.clone(),
            }),
        }
    }

    fn inner_type(&self) -> Option<String> {
        Some(self.inner.clone())
    }

    fn inputs(&self) -> Inputs {
        Inputs::Headers(vec![DELAY.to_owned()])
    }

    fn route(&mut self, message: &Message) -> Answer {
        match delay(message) {
            Ok(Some(delay)) => Answer::hold(self.host.now().saturating_add(delay.into())),
            Ok(None) => Answer::delegate(),
            Err(reason) => Answer::reject(reason),
        }
    }

    /// The delay goes on negative: a further exchange of this type does not delay again, and the
    /// consumer can tell.
    fn due(&mut self, message: &Message) -> Answer {
        match delay(message) {
            Ok(Some(delay)) => {
                let past = -i64::from(delay);
                let answer = Answer::delegate();
                match i32::try_from(past) {
                    Ok(past) => answer.with_header(DELAY, past),
                    Err(_) => answer.with_header(DELAY, past),
                }
            }
            // Only what `route` found a delay in was held; whatever it is now, it is due.
            Ok(None) | Err(_) => Answer::delegate(),
        }
    }
}

/// The delay in milliseconds; `None` routes at once. A text that is no number is an error, where
/// RabbitMQ's plugin crashes.
fn delay(message: &Message) -> Result<Option<u32>, String> {
    let Some(header) = message.header(DELAY) else {
        return Ok(None);
    };
    let delay = match header.value() {
        Value::LongString(text) | Value::Bytes(text) => parse(text)?,
        // Beyond what an i64 holds these saturate, which is out of range too; not a number is 0.
        Value::Float(float) => float as i64,
        Value::Double(float) => float as i64,
        Value::UInt8(_)
        | Value::Int16(_)
        | Value::UInt16(_)
        | Value::Int32(_)
        | Value::UInt32(_)
        | Value::Int64(_) => header.as_int().unwrap_or_default(),
        // RabbitMQ's plugin leaves the signed octet out.
        Value::Int8(_)
        | Value::Bool(_)
        | Value::Decimal { .. }
        | Value::Array(_)
        | Value::Timestamp(_)
        | Value::Table(_)
        | Value::Void => 0,
    };
    let in_range = (1..=LONGEST).contains(&delay);
    Ok(u32::try_from(delay).ok().filter(|_| in_range))
}

fn parse(text: &[u8]) -> Result<i64, String> {
    let text = String::from_utf8_lossy(text);
    match text.parse::<i64>() {
        Ok(delay) => Ok(delay),
        // A number, and out of range either way.
        Err(error) if matches!(error.kind(), IntErrorKind::PosOverflow) => Ok(i64::MAX),
        Err(error) if matches!(error.kind(), IntErrorKind::NegOverflow) => Ok(i64::MIN),
        Err(_) => Err(format!(
            "Invalid header, '{DELAY}' must be an integer, not {text:?}"
        )),
    }
}

warren_plugin_sdk::export!(DelayedMessage);

#[cfg(test)]
mod tests;
