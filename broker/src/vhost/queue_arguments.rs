//! The arguments of queue.declare: read once into what they mean, or refused with RabbitMQ's words.
//! Not whether a second declare asks for the same (see `queue_declare.rs`).

use std::sync::Arc;

use crate::amqp::table::{Table, Value};
use crate::clock::Millis;
use crate::queue::{DeadLetterTo, Options, Overflow, QueueType};

/// Ten years, as in RabbitMQ.
pub const MAX_EXPIRY: i64 = 315_360_000_000;

const MAX_PRIORITY: i64 = 255;

/// Quorum queues give up on a message after this many returns, as RabbitMQ does since 4.0.
pub const DEFAULT_DELIVERY_LIMIT: u64 = 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueArguments {
    pub queue_type: QueueType,
    pub max_priority: Option<u8>,
    pub single_active_consumer: bool,
    pub message_ttl: Option<Millis>,
    pub expires: Option<Millis>,
    pub max_length: Option<u64>,
    pub max_length_bytes: Option<u64>,
    pub overflow: Option<Overflow>,
    pub dead_letter_exchange: Option<String>,
    pub dead_letter_routing_key: Option<String>,
    /// Negative is no limit.
    pub delivery_limit: Option<i64>,
    pub consumer_timeout: Option<Millis>,
    /// Of a stream.
    pub max_age: Option<Millis>,
    pub max_segment_bytes: Option<u64>,
}

/// What is wrong with the arguments. Its text stands behind the name of the argument and the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentError {
    /// Known, but not for a queue of this type.
    NotOfType {
        argument: String,
        queue_type: QueueType,
    },
    Invalid {
        argument: &'static str,
        reason: String,
    },
}

impl ArgumentError {
    /// RabbitMQ's text.
    pub fn text(&self, queue: &str, vhost: &str) -> String {
        match self {
            ArgumentError::NotOfType {
                argument,
                queue_type,
            } => format!(
                "invalid arg '{argument}' for queue '{queue}' in vhost '{vhost}' of queue type \
                 rabbit_{}_queue",
                queue_type.name()
            ),
            ArgumentError::Invalid { argument, reason } => {
                format!("invalid arg '{argument}' for queue '{queue}' in vhost '{vhost}': {reason}")
            }
        }
    }
}

/// The arguments that RabbitMQ knows, and the types of queue that have them.
const KNOWN: [(&str, &[QueueType]); 23] = {
    use QueueType::{Classic, Quorum, Stream};
    [
        ("x-expires", &[Classic, Quorum]),
        ("x-message-ttl", &[Classic, Quorum]),
        ("x-dead-letter-exchange", &[Classic, Quorum]),
        ("x-dead-letter-routing-key", &[Classic, Quorum]),
        ("x-dead-letter-strategy", &[Quorum]),
        ("x-delivery-limit", &[Quorum]),
        ("x-max-length", &[Classic, Quorum]),
        ("x-max-length-bytes", &[Classic, Quorum, Stream]),
        ("x-max-in-memory-length", &[Quorum]),
        ("x-max-in-memory-bytes", &[Quorum]),
        ("x-max-priority", &[Classic]),
        ("x-overflow", &[Classic, Quorum]),
        ("x-queue-mode", &[Classic]),
        ("x-queue-version", &[Classic]),
        ("x-queue-type", &[Classic, Quorum, Stream]),
        ("x-single-active-consumer", &[Classic, Quorum]),
        ("x-queue-master-locator", &[Classic]),
        ("x-quorum-initial-group-size", &[Quorum]),
        ("x-queue-leader-locator", &[Quorum, Stream]),
        ("x-max-age", &[Stream]),
        ("x-stream-max-segment-size-bytes", &[Stream]),
        ("x-stream-filter-size-bytes", &[Stream]),
        ("x-initial-cluster-size", &[Stream]),
    ]
};

impl QueueArguments {
    /// `raw` is an encoded field table without its length. RabbitMQ asks in this order: the type of
    /// the queue, whether that type has the arguments, their values.
    pub fn parse(raw: &[u8]) -> Result<QueueArguments, ArgumentError> {
        let table = Table::new(raw);
        let queue_type = queue_type(table)?;
        for (name, _) in table.iter_encoded() {
            let known = KNOWN.iter().find(|(known, _)| *known == name);
            if known.is_some_and(|(_, types)| !types.contains(&queue_type)) {
                let argument = name.to_owned();
                return Err(ArgumentError::NotOfType {
                    argument,
                    queue_type,
                });
            }
        }
        let dead_letter_exchange = text(table, "x-dead-letter-exchange")?;
        let expires = positive(table, "x-expires")?;
        let message_ttl = expiry(table, "x-message-ttl")?;
        let dead_letter_routing_key = text(table, "x-dead-letter-routing-key")?;
        if dead_letter_routing_key.is_some() && dead_letter_exchange.is_none() {
            let reason = "routing_key_but_no_dlx_defined";
            return Err(invalid("x-dead-letter-routing-key", reason));
        }
        one_of(
            table,
            "x-dead-letter-strategy",
            &["at-most-once", "at-least-once"],
            |_| "invalid_dlx_strategy".to_owned(),
        )?;
        let max_length = count(table, "x-max-length")?;
        let max_length_bytes = count(table, "x-max-length-bytes")?;
        count(table, "x-max-in-memory-length")?;
        count(table, "x-max-in-memory-bytes")?;
        let max_priority = max_priority(table)?;
        let overflow = overflow(table)?;
        one_of(table, "x-queue-mode", &["default", "lazy"], |mode| {
            format!("\"unsupported queue mode '{mode}'\"")
        })?;
        queue_version(table)?;
        Ok(QueueArguments {
            queue_type,
            max_priority,
            single_active_consumer: flag(table, "x-single-active-consumer")?,
            message_ttl,
            expires,
            max_length,
            max_length_bytes,
            overflow,
            dead_letter_exchange,
            dead_letter_routing_key,
            delivery_limit: integer(table, "x-delivery-limit")?,
            // Accepted whatever it is, as in RabbitMQ before 4.3.
            consumer_timeout: integer(table, "x-consumer-timeout")
                .ok()
                .flatten()
                .and_then(|timeout| u64::try_from(timeout).ok()),
            max_age: max_age(table)?,
            max_segment_bytes: count(table, "x-stream-max-segment-size-bytes")?,
        })
    }

    /// What the arguments alone make of the queue.
    pub fn options(&self) -> Options {
        let dead_letter = self.dead_letter_exchange.as_deref().map(|exchange| {
            Arc::new(DeadLetterTo {
                exchange: Arc::from(exchange),
                routing_key: self.dead_letter_routing_key.as_deref().map(Arc::from),
            })
        });
        Options {
            message_ttl: self.message_ttl,
            expires: self.expires,
            max_length: self.max_length,
            max_length_bytes: self.max_length_bytes,
            overflow: self.overflow.unwrap_or_default(),
            dead_letter,
            delivery_limit: self.delivery_limit(None),
        }
    }

    /// `policy`: what a policy says, which the argument overrides.
    pub fn delivery_limit(&self, policy: Option<i64>) -> Option<u32> {
        match self.queue_type {
            QueueType::Quorum => {
                let limit = self.delivery_limit.or(policy);
                let limit = limit.unwrap_or(DEFAULT_DELIVERY_LIMIT as i64);
                u32::try_from(limit).ok()
            }
            QueueType::Classic | QueueType::Stream => None,
        }
    }
}

fn invalid(argument: &'static str, reason: impl Into<String>) -> ArgumentError {
    let reason = reason.into();
    ArgumentError::Invalid { argument, reason }
}

fn queue_type(table: Table<'_>) -> Result<QueueType, ArgumentError> {
    const NAME: &str = "x-queue-type";
    let Some(name) = text(table, NAME)? else {
        return Ok(QueueType::Classic);
    };
    let types = [QueueType::Classic, QueueType::Quorum, QueueType::Stream];
    let found = types.into_iter().find(|one| one.name() == name);
    found.ok_or_else(|| invalid(NAME, format!("\"unsupported queue type '{name}'\"")))
}

fn text(table: Table<'_>, name: &'static str) -> Result<Option<String>, ArgumentError> {
    match table.get(name) {
        None => Ok(None),
        Some(Value::Str(text)) => Ok(Some(String::from_utf8_lossy(text).into_owned())),
        Some(other) => Err(unacceptable(name, &other)),
    }
}

fn flag(table: Table<'_>, name: &'static str) -> Result<bool, ArgumentError> {
    match table.get(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(other) => Err(unacceptable(name, &other)),
    }
}

fn unacceptable(name: &'static str, value: &Value<'_>) -> ArgumentError {
    invalid(name, format!("{{unacceptable_type,{}}}", value.type_name()))
}

fn integer(table: Table<'_>, name: &'static str) -> Result<Option<i64>, ArgumentError> {
    let Some(value) = table.get(name) else {
        return Ok(None);
    };
    match value.as_integer() {
        Some(number) => Ok(Some(number)),
        None => {
            let reason = format!("\"expected integer, got {}\"", value.type_name());
            Err(invalid(name, reason))
        }
    }
}

fn count(table: Table<'_>, name: &'static str) -> Result<Option<u64>, ArgumentError> {
    let number = integer(table, name)?;
    number
        .map(|number| {
            u64::try_from(number).map_err(|_| invalid(name, format!("{{value_negative,{number}}}")))
        })
        .transpose()
}

fn expiry(table: Table<'_>, name: &'static str) -> Result<Option<Millis>, ArgumentError> {
    match integer(table, name)? {
        Some(number) if number > MAX_EXPIRY => {
            Err(invalid(name, format!("{{value_too_large,{number}}}")))
        }
        Some(_) | None => count(table, name),
    }
}

fn positive(table: Table<'_>, name: &'static str) -> Result<Option<Millis>, ArgumentError> {
    match expiry(table, name)? {
        Some(0) => Err(invalid(name, "{value_zero,0}")),
        other => Ok(other),
    }
}

fn max_priority(table: Table<'_>) -> Result<Option<u8>, ArgumentError> {
    const NAME: &str = "x-max-priority";
    match integer(table, NAME)? {
        Some(number) if number > MAX_PRIORITY => {
            Err(invalid(NAME, format!("{{max_value_exceeded,{number}}}")))
        }
        Some(_) | None => Ok(count(table, NAME)?.and_then(|number| u8::try_from(number).ok())),
    }
}

fn overflow(table: Table<'_>) -> Result<Option<Overflow>, ArgumentError> {
    const NAME: &str = "x-overflow";
    match text(table, NAME)?.as_deref() {
        None => Ok(None),
        Some("drop-head") => Ok(Some(Overflow::DropHead)),
        Some("reject-publish") => Ok(Some(Overflow::RejectPublish)),
        Some("reject-publish-dlx") => Ok(Some(Overflow::RejectPublishDlx)),
        Some(_) => Err(invalid(NAME, "invalid_overflow")),
    }
}

fn queue_version(table: Table<'_>) -> Result<(), ArgumentError> {
    const NAME: &str = "x-queue-version";
    match count(table, NAME)? {
        None | Some(1 | 2) => Ok(()),
        Some(other) => {
            let reason = format!("\"unsupported queue version '{other}'\"");
            Err(invalid(NAME, reason))
        }
    }
}

fn one_of(
    table: Table<'_>,
    name: &'static str,
    choices: &[&str],
    reason: impl FnOnce(&str) -> String,
) -> Result<(), ArgumentError> {
    match text(table, name)? {
        Some(text) if !choices.contains(&text.as_str()) => Err(invalid(name, reason(&text))),
        Some(_) | None => Ok(()),
    }
}

/// A number and a unit: Y, M, D, h, m or s.
fn max_age(table: Table<'_>) -> Result<Option<Millis>, ArgumentError> {
    const NAME: &str = "x-max-age";
    match text(table, NAME)? {
        None => Ok(None),
        Some(age) => parse_age(&age)
            .map(Some)
            .ok_or_else(|| invalid(NAME, "invalid_max_age")),
    }
}

pub fn parse_age(age: &str) -> Option<Millis> {
    let unit = age.chars().last()?;
    let number: u64 = age.strip_suffix(unit)?.parse().ok()?;
    let seconds: u64 = match unit {
        'Y' => 365 * 24 * 60 * 60,
        'M' => 30 * 24 * 60 * 60,
        'D' => 24 * 60 * 60,
        'h' => 60 * 60,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    number.checked_mul(seconds)?.checked_mul(1000)
}
