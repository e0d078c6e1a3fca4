//! The arguments of basic.consume: read once into what they mean, or refused with RabbitMQ's words.
//! Others are not the broker's business.

use crate::amqp::basic;
use crate::amqp::reply::ReplyCode;
use crate::amqp::table::{self, Table, Value, elements};
use crate::clock::Millis;
use crate::error::Refusal;
use crate::queue::{Filter, Offset, QueueType, Reading};
use crate::vhost::parse_age;

const PRIORITY: &str = "x-priority";
const HA_FAILOVER: &str = "x-cancel-on-ha-failover";
const TIMEOUT: &str = "x-consumer-timeout";
const OFFSET: &str = "x-stream-offset";
const FILTER: &str = "x-stream-filter";
const MATCH_UNFILTERED: &str = "x-stream-match-unfiltered";

/// The queue that is consumed from, as far as its arguments ask.
pub(super) struct Consumed<'a> {
    pub name: &'a str,
    pub vhost: &'a str,
    pub queue_type: QueueType,
    pub now: Millis,
}

/// What basic.qos has set on the channel.
#[derive(Clone, Copy)]
pub(super) struct ChannelLimits {
    /// It has a prefetch of its own.
    pub global: bool,
    /// What a consumer begins with.
    pub prefetch: u32,
}

#[derive(Default)]
pub(super) struct ConsumerArguments {
    pub priority: i64,
    pub timeout: Option<Millis>,
    pub reading: Reading,
}

impl Consumed<'_> {
    pub fn read(
        &self,
        consume: &basic::Consume,
        limits: ChannelLimits,
    ) -> Result<ConsumerArguments, Refusal> {
        let arguments = self.arguments(consume)?;
        match self.queue_type {
            QueueType::Quorum if limits.global => return Err(self.no_global_qos()),
            QueueType::Classic | QueueType::Quorum => {}
            QueueType::Stream => self.check_stream(limits, consume.no_ack)?,
        }
        Ok(arguments)
    }

    fn arguments(&self, consume: &basic::Consume) -> Result<ConsumerArguments, Refusal> {
        let encoded = table::encode(&consume.arguments);
        let arguments = Table::new(&encoded);
        for (name, _) in arguments.iter_encoded() {
            let of_type = match self.queue_type {
                QueueType::Classic => name != OFFSET,
                QueueType::Quorum => name != OFFSET && name != HA_FAILOVER,
                QueueType::Stream => name != PRIORITY && name != HA_FAILOVER,
            };
            if !of_type {
                return Err(Refusal::precondition(format!(
                    "invalid arg '{name}' for queue '{}' in vhost '{}' of queue type \
                     rabbit_{}_queue",
                    self.name,
                    self.vhost,
                    self.queue_type.name()
                )));
            }
        }
        self.check_failover(arguments)?;
        Ok(ConsumerArguments {
            priority: self.priority(arguments)?,
            timeout: timeout(arguments),
            reading: Reading {
                offset: self.offset(arguments)?,
                filter: filter(arguments),
            },
        })
    }

    fn invalid(&self, name: &str, reason: &str) -> Refusal {
        let (queue, vhost) = (self.name, self.vhost);
        let text = format!("invalid arg '{name}' for queue '{queue}' in vhost '{vhost}': {reason}");
        Refusal::precondition(text)
    }

    fn check_failover(&self, arguments: Table<'_>) -> Result<(), Refusal> {
        match arguments.get(HA_FAILOVER) {
            None | Some(Value::Bool(_)) => Ok(()),
            Some(other) => {
                let reason = format!("{{unacceptable_type,{}}}", other.type_name());
                Err(self.invalid(HA_FAILOVER, &reason))
            }
        }
    }

    fn priority(&self, arguments: Table<'_>) -> Result<i64, Refusal> {
        let Some(priority) = arguments.get(PRIORITY) else {
            return Ok(0);
        };
        priority.as_integer().ok_or_else(|| {
            let reason = format!("\"expected integer, got {}\"", priority.type_name());
            self.invalid(PRIORITY, &reason)
        })
    }

    /// RabbitMQ ends the connection with 541 over most of what is refused here: it has not looked
    /// before it uses the value. The text is the one it has for the rest.
    fn offset(&self, arguments: Table<'_>) -> Result<Offset, Refusal> {
        let Some(value) = arguments.get(OFFSET) else {
            return Ok(Offset::Next);
        };
        if let Some(number) = value.as_integer() {
            return Ok(Offset::At(u64::try_from(number).unwrap_or(0)));
        }
        let refused = match value {
            Value::Timestamp(seconds) => {
                return Ok(Offset::Since(seconds.saturating_mul(1000)));
            }
            Value::Str(b"first") | Value::Bytes(b"first") => return Ok(Offset::First),
            Value::Str(b"last") | Value::Bytes(b"last") => return Ok(Offset::Last),
            Value::Str(b"next") | Value::Bytes(b"next") => return Ok(Offset::Next),
            Value::Str(text) => {
                let text = String::from_utf8_lossy(text);
                match parse_age(&text) {
                    None | Some(0) => format!("{{longstr,<<\"{text}\">>}}"),
                    Some(age) => return Ok(Offset::Since(self.now.saturating_sub(age))),
                }
            }
            other => other.type_name().to_owned(),
        };
        let reason = format!("{{invalid_stream_offset_arg,{refused}}}");
        Err(self.invalid(OFFSET, &reason))
    }

    /// What a stream asks of its consumers besides.
    fn check_stream(&self, limits: ChannelLimits, no_ack: bool) -> Result<(), Refusal> {
        let (name, vhost) = (self.name, self.vhost);
        if limits.prefetch == 0 {
            return Err(Refusal::precondition(format!(
                "consumer prefetch count is not set for 'queue '{name}' in vhost '{vhost}''"
            )));
        }
        if no_ack {
            return Err(not_supported("automatic acknowledgement", name, vhost));
        }
        match limits.global {
            true => Err(self.no_global_qos()),
            false => Ok(()),
        }
    }

    fn no_global_qos(&self) -> Refusal {
        let (name, vhost) = (self.name, self.vhost);
        let text = format!("queue '{name}' in vhost '{vhost}' does not support global qos");
        Refusal::connection(ReplyCode::NotImplemented, text)
    }
}

/// RabbitMQ's words for what a stream does not do.
pub(super) fn not_supported(what: &str, queue: &str, vhost: &str) -> Refusal {
    let text = format!("{what} not supported by stream queues queue '{queue}' in vhost '{vhost}'");
    Refusal::connection(ReplyCode::NotImplemented, text)
}

/// A value or several; what is of another type is passed over, as in RabbitMQ.
fn filter(arguments: Table<'_>) -> Filter {
    let wanted = match arguments.get(FILTER) {
        Some(Value::Str(value)) => vec![value.to_vec()],
        Some(Value::Array(values)) => elements(values).filter_map(text).collect(),
        Some(_) | None => return Filter::All,
    };
    let unfiltered = matches!(arguments.get(MATCH_UNFILTERED), Some(Value::Bool(true)));
    Filter::Values { wanted, unfiltered }
}

fn text(value: Value<'_>) -> Option<Vec<u8>> {
    value.as_str().map(|text| text.as_bytes().to_vec())
}

/// In milliseconds; what is no such number means nothing.
fn timeout(arguments: Table<'_>) -> Option<Millis> {
    let timeout = arguments.get(TIMEOUT)?.as_integer()?;
    Millis::try_from(timeout).ok()
}
