//! The keys that a policy may have: their names, their values, the types of queue that have them.
//! Not what they do (see `policy.rs`).

use regex::Regex;
use serde_json::{Map, Value};

use super::erlang;
use super::policy::Origin;
use super::queue_arguments::parse_age;
use crate::queue::QueueType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    AlternateExchange,
    ConsumerTimeout,
    DeadLetterExchange,
    DeadLetterRouting,
    DeadLetterStrategy,
    DelayedMessage,
    DelayedRetryMax,
    DelayedRetryMin,
    DelayedRetryType,
    DeliveryLimit,
    Expires,
    FederationUpstream,
    FederationUpstreamPattern,
    FederationUpstreamSet,
    InitialClusterSize,
    Interceptors,
    MaxAge,
    MaxInMemoryBytes,
    MaxInMemoryLength,
    MaxLength,
    MaxLengthBytes,
    MessageTtl,
    Mirroring(&'static str),
    Overflow,
    QueueLeaderLocator,
    QueueMasterLocator,
    QueueMode,
    QueueVersion,
    StreamFilterSizeBytes,
    StreamMaxSegmentSizeBytes,
    TargetGroupSize,
}

const KEYS: [Key; 36] = [
    Key::AlternateExchange,
    Key::ConsumerTimeout,
    Key::DeadLetterExchange,
    Key::DeadLetterRouting,
    Key::DeadLetterStrategy,
    Key::DelayedMessage,
    Key::DelayedRetryMax,
    Key::DelayedRetryMin,
    Key::DelayedRetryType,
    Key::DeliveryLimit,
    Key::Expires,
    Key::FederationUpstream,
    Key::FederationUpstreamPattern,
    Key::FederationUpstreamSet,
    Key::InitialClusterSize,
    Key::Interceptors,
    Key::MaxAge,
    Key::MaxInMemoryBytes,
    Key::MaxInMemoryLength,
    Key::MaxLength,
    Key::MaxLengthBytes,
    Key::MessageTtl,
    Key::Mirroring("ha-mode"),
    Key::Mirroring("ha-params"),
    Key::Mirroring("ha-promote-on-failure"),
    Key::Mirroring("ha-promote-on-shutdown"),
    Key::Mirroring("ha-sync-batch-size"),
    Key::Mirroring("ha-sync-mode"),
    Key::Overflow,
    Key::QueueLeaderLocator,
    Key::QueueMasterLocator,
    Key::QueueMode,
    Key::QueueVersion,
    Key::StreamFilterSizeBytes,
    Key::StreamMaxSegmentSizeBytes,
    Key::TargetGroupSize,
];

/// RabbitMQ's bound for a segment of a stream.
const MAX_SEGMENT: i64 = 3_000_000_000;

impl Key {
    pub fn name(self) -> &'static str {
        match self {
            Key::AlternateExchange => "alternate-exchange",
            Key::ConsumerTimeout => "consumer-timeout",
            Key::DeadLetterExchange => "dead-letter-exchange",
            Key::DeadLetterRouting => "dead-letter-routing-key",
            Key::DeadLetterStrategy => "dead-letter-strategy",
            Key::DelayedMessage => "delayed-message",
            Key::DelayedRetryMax => "delayed-retry-max",
            Key::DelayedRetryMin => "delayed-retry-min",
            Key::DelayedRetryType => "delayed-retry-type",
            Key::DeliveryLimit => "delivery-limit",
            Key::Expires => "expires",
            Key::FederationUpstream => "federation-upstream",
            Key::FederationUpstreamPattern => "federation-upstream-pattern",
            Key::FederationUpstreamSet => "federation-upstream-set",
            Key::InitialClusterSize => "initial-cluster-size",
            Key::Interceptors => "interceptors",
            Key::MaxAge => "max-age",
            Key::MaxInMemoryBytes => "max-in-memory-bytes",
            Key::MaxInMemoryLength => "max-in-memory-length",
            Key::MaxLength => "max-length",
            Key::MaxLengthBytes => "max-length-bytes",
            Key::MessageTtl => "message-ttl",
            Key::Mirroring(name) => name,
            Key::Overflow => "overflow",
            Key::QueueLeaderLocator => "queue-leader-locator",
            Key::QueueMasterLocator => "queue-master-locator",
            Key::QueueMode => "queue-mode",
            Key::QueueVersion => "queue-version",
            Key::StreamFilterSizeBytes => "stream-filter-size-bytes",
            Key::StreamMaxSegmentSizeBytes => "stream-max-segment-size-bytes",
            Key::TargetGroupSize => "target-group-size",
        }
    }

    fn find(name: &str) -> Option<Key> {
        KEYS.into_iter().find(|key| key.name() == name)
    }

    /// An operator bounds resources and does not say where messages go.
    fn is_for_operators(self) -> bool {
        match self {
            Key::DeliveryLimit
            | Key::Expires
            | Key::MaxInMemoryBytes
            | Key::MaxInMemoryLength
            | Key::MaxLength
            | Key::MaxLengthBytes
            | Key::MessageTtl
            | Key::Overflow
            | Key::TargetGroupSize => true,
            Key::AlternateExchange
            | Key::ConsumerTimeout
            | Key::DeadLetterExchange
            | Key::DeadLetterRouting
            | Key::DeadLetterStrategy
            | Key::DelayedMessage
            | Key::DelayedRetryMax
            | Key::DelayedRetryMin
            | Key::DelayedRetryType
            | Key::FederationUpstream
            | Key::FederationUpstreamPattern
            | Key::FederationUpstreamSet
            | Key::InitialClusterSize
            | Key::Interceptors
            | Key::MaxAge
            | Key::Mirroring(_)
            | Key::QueueLeaderLocator
            | Key::QueueMasterLocator
            | Key::QueueMode
            | Key::QueueVersion
            | Key::StreamFilterSizeBytes
            | Key::StreamMaxSegmentSizeBytes => false,
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Key::AlternateExchange
            | Key::DeadLetterExchange
            | Key::DeadLetterRouting
            | Key::FederationUpstream
            | Key::FederationUpstreamPattern
            | Key::FederationUpstreamSet => value.is_string(),
            Key::ConsumerTimeout
            | Key::DelayedRetryMax
            | Key::DelayedRetryMin
            | Key::InitialClusterSize
            | Key::MaxInMemoryBytes
            | Key::MaxInMemoryLength
            | Key::MaxLength
            | Key::MaxLengthBytes
            | Key::MessageTtl
            | Key::TargetGroupSize => is_integer(value, 0..),
            Key::Interceptors => is_text_or_texts(value),
            Key::DeadLetterStrategy => is_one_of(value, &["at-most-once", "at-least-once"]),
            Key::DelayedMessage => value.is_boolean(),
            Key::DelayedRetryType => is_one_of(value, &["disabled", "all", "failed", "returned"]),
            // Negative is no limit.
            Key::DeliveryLimit => is_integer(value, ..),
            Key::Expires => is_integer(value, 1..),
            Key::MaxAge => value.as_str().is_some_and(|age| parse_age(age).is_some()),
            // Whatever it is has no effect, and must not fail an import.
            Key::Mirroring(_) => true,
            Key::Overflow => {
                let choices = ["drop-head", "reject-publish", "reject-publish-dlx"];
                is_one_of(value, &choices)
            }
            Key::QueueLeaderLocator => {
                let choices = ["client-local", "balanced", "random", "least-leaders"];
                is_one_of(value, &choices)
            }
            Key::QueueMasterLocator => is_one_of(value, &["min-masters", "client-local", "random"]),
            Key::QueueMode => is_one_of(value, &["default", "lazy"]),
            Key::QueueVersion => is_integer(value, 1..=2),
            Key::StreamFilterSizeBytes => is_integer(value, 16..=255),
            Key::StreamMaxSegmentSizeBytes => is_integer(value, 0..=MAX_SEGMENT),
        }
    }

    /// What is said of a value that it does not take, behind that value and a space.
    fn complaint(self) -> &'static str {
        match self {
            Key::AlternateExchange => "is not a valid alternate exchange name",
            Key::ConsumerTimeout => "is not a valid consumer timeout",
            Key::DeadLetterExchange => "is not a valid dead letter exchange name",
            Key::DeadLetterRouting => "is not a valid dead letter routing key",
            Key::DeadLetterStrategy => "is not a valid dead letter strategy",
            Key::DelayedMessage => "is not a valid delayed-message value",
            Key::DelayedRetryMax | Key::DelayedRetryMin => "is not a valid delayed retry delay",
            Key::DelayedRetryType => "is not a valid delayed retry type",
            Key::DeliveryLimit => "is not a valid delivery limit",
            Key::Expires => "is not a valid queue expiry",
            Key::FederationUpstream => "is not a valid federation upstream name",
            Key::FederationUpstreamPattern => "is not a valid federation upstream pattern name",
            Key::FederationUpstreamSet => "is not a valid federation upstream set name",
            Key::InitialClusterSize => "is not a valid cluster size",
            Key::Interceptors => "is not a valid list of interceptors",
            Key::MaxAge => "is not a valid max age",
            Key::MaxInMemoryBytes | Key::MaxInMemoryLength => {
                "is not a valid maximum memory in bytes"
            }
            Key::MaxLength => "is not a valid maximum length",
            Key::MaxLengthBytes => "is not a valid maximum length in bytes",
            Key::MessageTtl => "is not a valid message TTL",
            Key::Mirroring(_) => "is not a valid value",
            Key::Overflow => "is not a valid overflow value",
            Key::QueueLeaderLocator => "is not a valid queue leader locator value",
            // RabbitMQ says it like this.
            Key::QueueMasterLocator => "invalid queue-master-locator value",
            Key::QueueMode => "is not a valid queue-mode value",
            Key::QueueVersion => "is not a valid queue-version value",
            Key::StreamFilterSizeBytes => "is not a valid filter size",
            Key::StreamMaxSegmentSizeBytes => "is not a valid segment size",
            Key::TargetGroupSize => "is not a valid target group size",
        }
    }

    fn is_for(self, queue_type: QueueType) -> bool {
        match self {
            Key::MaxAge | Key::StreamMaxSegmentSizeBytes | Key::InitialClusterSize => {
                queue_type == QueueType::Stream
            }
            Key::DeliveryLimit | Key::DeadLetterStrategy => queue_type == QueueType::Quorum,
            Key::QueueLeaderLocator => queue_type != QueueType::Classic,
            Key::Mirroring(_) | Key::QueueMode | Key::QueueMasterLocator => {
                queue_type == QueueType::Classic
            }
            Key::Expires
            | Key::MessageTtl
            | Key::DeadLetterExchange
            | Key::DeadLetterRouting
            | Key::MaxLength
            | Key::MaxInMemoryLength
            | Key::MaxInMemoryBytes
            | Key::Overflow
            | Key::TargetGroupSize => queue_type != QueueType::Stream,
            Key::AlternateExchange
            | Key::ConsumerTimeout
            | Key::DelayedMessage
            | Key::DelayedRetryMax
            | Key::DelayedRetryMin
            | Key::DelayedRetryType
            | Key::FederationUpstream
            | Key::FederationUpstreamPattern
            | Key::FederationUpstreamSet
            | Key::Interceptors
            | Key::MaxLengthBytes
            | Key::QueueVersion
            | Key::StreamFilterSizeBytes => true,
        }
    }
}

/// Whether queues of this type have what the key is about.
pub(super) fn is_for(name: &str, queue_type: QueueType) -> bool {
    Key::find(name).is_none_or(|key| key.is_for(queue_type))
}

/// RabbitMQ names the first wrong value, and unknown keys only when all values are right.
pub(super) fn check(origin: Origin, definition: &Map<String, Value>) -> Result<(), String> {
    if definition.is_empty() {
        return Err("no policy provided".to_owned());
    }
    let mut unknown = Vec::new();
    for (name, value) in definition {
        let key = Key::find(name).filter(|key| match origin {
            Origin::User => true,
            Origin::Operator => key.is_for_operators(),
        });
        match key {
            None => unknown.push(name),
            Some(key) if key.takes(value) => {}
            Some(key) => return Err(format!("{} {}", erlang::term(value), key.complaint())),
        }
    }
    check_federation(definition)?;
    if unknown.is_empty() {
        return Ok(());
    }
    let pairs = erlang::pairs(definition, &unknown);
    Err(format!("{pairs} are not recognised policy settings"))
}

/// At most one key says which upstreams there are, and a pattern is one.
fn check_federation(definition: &Map<String, Value>) -> Result<(), String> {
    let keys = [
        Key::FederationUpstream,
        Key::FederationUpstreamSet,
        Key::FederationUpstreamPattern,
    ];
    let said = keys
        .iter()
        .filter(|key| definition.contains_key(key.name()));
    if said.count() > 1 {
        return Err(
            "cannot specify federation-upstream, federation-upstream-set or \
             federation-upstream-pattern together"
                .to_owned(),
        );
    }
    let pattern = definition.get(Key::FederationUpstreamPattern.name());
    let Some(pattern) = pattern.and_then(Value::as_str) else {
        return Ok(());
    };
    match Regex::new(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "could not compile pattern {pattern} to a regular expression. Error: {}",
            erlang::regex_error(&error)
        )),
    }
}

fn is_integer(value: &Value, range: impl std::ops::RangeBounds<i64>) -> bool {
    value.as_i64().is_some_and(|number| range.contains(&number))
}

fn is_text_or_texts(value: &Value) -> bool {
    let texts = value.as_array();
    value.is_string() || texts.is_some_and(|texts| texts.iter().all(Value::is_string))
}

fn is_one_of(value: &Value, choices: &[&str]) -> bool {
    value.as_str().is_some_and(|text| choices.contains(&text))
}
