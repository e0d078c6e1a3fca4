//! A policy as plain data: what it may say, which queues and exchanges it is for, and what comes of
//! it together with arguments and with an operator's policy. Pure; where policies are kept and when
//! they take effect is in `policies.rs`.

use std::cmp::Ordering;
use std::sync::Arc;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::erlang;
use super::policy_keys::{self, Key};
use super::queue_arguments::{DEFAULT_DELIVERY_LIMIT, QueueArguments, parse_age};
use crate::clock::Millis;
use crate::queue::{DeadLetterTo, Options, Overflow, QueueType, Retry, RetryOf};

/// RabbitMQ's: thirty minutes.
const DEFAULT_CONSUMER_TIMEOUT: Millis = 1_800_000;

/// Who says it: an operator's policy bounds what users' policies and arguments may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    User,
    Operator,
}

/// As it is written down and as it comes in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyDefinition {
    pub name: String,
    pub pattern: String,
    #[serde(rename = "apply-to")]
    pub apply_to: String,
    pub priority: i64,
    pub definition: Map<String, Value>,
}

/// A policy that may take effect.
#[derive(Clone, Debug)]
pub struct Policy {
    pub stated: PolicyDefinition,
    pattern: Regex,
    apply_to: ApplyTo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApplyTo {
    All,
    Exchanges,
    Queues,
    QueuesOf(QueueType),
}

/// What a policy can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    Exchange,
    Queue(QueueType),
}

/// Why a policy is none, one reason a line, in RabbitMQ's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPolicy {
    pub reasons: Vec<String>,
}

impl std::fmt::Display for InvalidPolicy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Validation failed\n\n")?;
        for reason in &self.reasons {
            writeln!(formatter, "{reason}")?;
        }
        Ok(())
    }
}

impl ApplyTo {
    fn parse(name: &str) -> Option<ApplyTo> {
        match name {
            "all" => Some(ApplyTo::All),
            "exchanges" => Some(ApplyTo::Exchanges),
            "queues" => Some(ApplyTo::Queues),
            "classic_queues" => Some(ApplyTo::QueuesOf(QueueType::Classic)),
            "quorum_queues" => Some(ApplyTo::QueuesOf(QueueType::Quorum)),
            "streams" => Some(ApplyTo::QueuesOf(QueueType::Stream)),
            _ => None,
        }
    }

    fn includes(self, object: Object) -> bool {
        match (self, object) {
            (ApplyTo::All, _)
            | (ApplyTo::Exchanges, Object::Exchange)
            | (ApplyTo::Queues, Object::Queue(_)) => true,
            (ApplyTo::QueuesOf(wanted), Object::Queue(queue_type)) => wanted == queue_type,
            (ApplyTo::Exchanges, Object::Queue(_))
            | (ApplyTo::Queues | ApplyTo::QueuesOf(_), Object::Exchange) => false,
        }
    }
}

impl Policy {
    pub fn new(origin: Origin, stated: PolicyDefinition) -> Result<Policy, InvalidPolicy> {
        let mut reasons = Vec::new();
        let pattern = Regex::new(&stated.pattern).map_err(|error| {
            let error = erlang::regex_error(&error);
            format!("pattern should be regular expression but is invalid: {error}")
        });
        let apply_to = ApplyTo::parse(&stated.apply_to).ok_or_else(|| {
            format!(
                "apply-to '{}' unrecognised; should be one of: 'queues', 'classic_queues', \
                 'quorum_queues', 'streams', 'exchanges', or 'all'",
                stated.apply_to
            )
        });
        let definition = policy_keys::check(origin, &stated.definition);
        reasons.extend(pattern.as_ref().err().cloned());
        reasons.extend(apply_to.as_ref().err().cloned());
        reasons.extend(definition.err());
        match (pattern, apply_to) {
            (Ok(pattern), Ok(apply_to)) if reasons.is_empty() => Ok(Policy {
                stated,
                pattern,
                apply_to,
            }),
            (_, _) => Err(InvalidPolicy { reasons }),
        }
    }

    pub fn name(&self) -> &str {
        &self.stated.name
    }

    /// RabbitMQ passes over a policy with a key that this type of queue does not have, as a whole.
    pub(super) fn is_for(&self, object: Object, name: &str) -> bool {
        let has_all_keys = match object {
            Object::Exchange => true,
            Object::Queue(queue_type) => self
                .stated
                .definition
                .keys()
                .all(|key| policy_keys::is_for(key, queue_type)),
        };
        self.apply_to.includes(object) && has_all_keys && self.pattern.is_match(name)
    }

    fn get(&self, key: Key) -> Option<&Value> {
        self.stated.definition.get(key.name())
    }

    fn integer(&self, key: Key) -> Option<i64> {
        self.get(key).and_then(Value::as_i64)
    }

    fn text(&self, key: Key) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// Keys that say how mirrored queues are kept, which there are none of.
    pub fn mirroring(&self) -> impl Iterator<Item = &str> {
        let keys = self.stated.definition.keys().map(String::as_str);
        keys.filter(|key| key.starts_with("ha-"))
    }
}

/// The one policy that counts: the highest priority. RabbitMQ leaves open what equal priorities
/// come to; here it is the first name, so that it is the same after a restart.
pub fn winner<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    object: Object,
    name: &str,
) -> Option<&'a Policy> {
    policies
        .filter(|policy| policy.is_for(object, name))
        .min_by(|a, b| match b.stated.priority.cmp(&a.stated.priority) {
            Ordering::Equal => a.name().cmp(b.name()),
            other @ (Ordering::Less | Ordering::Greater) => other,
        })
}

/// What a queue's arguments and the policies that won for it come to.
pub fn combine(
    arguments: &QueueArguments,
    policy: Option<&Policy>,
    operator: Option<&Policy>,
) -> Options {
    let said = Said { policy, operator };
    let smaller = |own: Option<u64>, key| lowest([own, said.number(key)]);
    let exchange = arguments
        .dead_letter_exchange
        .as_deref()
        .or_else(|| said.text(Key::DeadLetterExchange));
    let routing_key = arguments
        .dead_letter_routing_key
        .as_deref()
        .or_else(|| said.text(Key::DeadLetterRouting));
    let dead_letter = exchange.map(|exchange| {
        Arc::new(DeadLetterTo {
            exchange: Arc::from(exchange),
            routing_key: routing_key.map(Arc::from),
        })
    });
    Options {
        message_ttl: smaller(arguments.message_ttl, Key::MessageTtl),
        expires: smaller(arguments.expires, Key::Expires),
        max_length: smaller(arguments.max_length, Key::MaxLength),
        max_length_bytes: smaller(arguments.max_length_bytes, Key::MaxLengthBytes),
        overflow: overflow(arguments, said),
        dead_letter,
        delivery_limit: delivery_limit(arguments, said),
        consumer_timeout: consumer_timeout(arguments, said),
        retry: retry(arguments, said),
        max_age: arguments
            .max_age
            .or_else(|| parse_age(said.text(Key::MaxAge)?)),
        max_segment_bytes: arguments
            .max_segment_bytes
            .or_else(|| said.number(Key::StreamMaxSegmentSizeBytes)),
    }
}

fn consumer_timeout(arguments: &QueueArguments, said: Said<'_>) -> Option<Millis> {
    match arguments.queue_type {
        QueueType::Quorum => {}
        QueueType::Classic | QueueType::Stream => return None,
    }
    let own = arguments.consumer_timeout;
    let timeout = own.or_else(|| said.number(Key::ConsumerTimeout));
    Some(timeout.unwrap_or(DEFAULT_CONSUMER_TIMEOUT))
}

fn retry(arguments: &QueueArguments, said: Said<'_>) -> Option<Retry> {
    match arguments.queue_type {
        QueueType::Quorum => {}
        QueueType::Classic | QueueType::Stream => return None,
    }
    arguments.retry.or_else(|| {
        Some(Retry {
            of: RetryOf::read(said.text(Key::DelayedRetryType)?)?,
            min: said.number(Key::DelayedRetryMin).unwrap_or(0),
            max: said.number(Key::DelayedRetryMax),
        })
    })
}

/// The alternate exchange of an exchange: the argument goes before the policy.
pub fn alternate(argument: Option<&str>, policy: Option<&Policy>) -> Option<Arc<str>> {
    argument
        .or_else(|| policy.and_then(|policy| policy.text(Key::AlternateExchange)))
        .map(Arc::from)
}

/// What both policies say together.
#[derive(Clone, Copy)]
struct Said<'a> {
    policy: Option<&'a Policy>,
    operator: Option<&'a Policy>,
}

impl<'a> Said<'a> {
    fn both(self) -> [Option<&'a Policy>; 2] {
        [self.policy, self.operator]
    }

    fn number(self, key: Key) -> Option<u64> {
        lowest(self.both().map(|policy| {
            let number = policy.and_then(|policy| policy.integer(key));
            number.and_then(|number| u64::try_from(number).ok())
        }))
    }

    /// The operator's word is the last one.
    fn text(self, key: Key) -> Option<&'a str> {
        let [policy, operator] = self
            .both()
            .map(|policy| policy.and_then(|one| one.text(key)));
        operator.or(policy)
    }
}

fn lowest(numbers: [Option<u64>; 2]) -> Option<u64> {
    numbers.into_iter().flatten().min()
}

/// A quorum queue's policy goes before its argument, in this only.
fn overflow(arguments: &QueueArguments, said: Said<'_>) -> Overflow {
    let by_policy = said.text(Key::Overflow).map(|name| match name {
        "reject-publish" => Overflow::RejectPublish,
        "reject-publish-dlx" => Overflow::RejectPublishDlx,
        _ => Overflow::DropHead,
    });
    let decided = match arguments.queue_type {
        QueueType::Quorum => by_policy.or(arguments.overflow),
        QueueType::Classic | QueueType::Stream => arguments.overflow.or(by_policy),
    };
    decided.unwrap_or_default()
}

/// Negative is no limit and gives way to any limit.
fn delivery_limit(arguments: &QueueArguments, said: Said<'_>) -> Option<u32> {
    match arguments.queue_type {
        QueueType::Quorum => {}
        QueueType::Classic | QueueType::Stream => return None,
    }
    let [policy, operator] = said
        .both()
        .map(|policy| policy.and_then(|policy| policy.integer(Key::DeliveryLimit)));
    let given = [arguments.delivery_limit, policy, operator];
    let stated = given.into_iter().flatten();
    let limit = stated.reduce(|a, b| if a < 0 || b < 0 { a.max(b) } else { a.min(b) });
    let default = i64::try_from(DEFAULT_DELIVERY_LIMIT).unwrap_or(i64::MAX);
    u32::try_from(limit.unwrap_or(default)).ok()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
