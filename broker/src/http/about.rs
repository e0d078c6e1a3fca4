//! What the API says about itself and about who asks.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome, after, shown};
use super::{Management, VERSION};
use crate::auth::PasswordHash;
use crate::vhost::CLUSTER_NAME;

impl Management {
    pub(super) fn cluster_name(&self) -> String {
        self.broker.cluster_name()
    }
}

impl Management {
    /// A global parameter, as in RabbitMQ; what is no object there is none.
    pub(super) fn cluster_tags(&self) -> Value {
        match self.broker.global_parameter("cluster_tags") {
            Some(Value::Object(tags)) => Value::Object(tags),
            Some(_) | None => json!({}),
        }
    }
}

pub(super) fn whoami(call: &Call) -> Handled {
    shown(&json!({"name": call.user.name, "tags": call.user.tags}))
}

/// No OAuth 2.
pub(super) fn auth(_: &Call) -> Handled {
    shown(&json!({
        "enable_uaa": false,
        "oauth_enabled": false,
        "uaa_client_id": "",
        "uaa_location": "",
    }))
}

pub(super) fn version(_: &Call) -> Handled {
    shown(&json!(VERSION))
}

pub(super) fn extensions(_: &Call) -> Handled {
    shown(&json!([]))
}

pub(super) fn cluster_name(call: &Call) -> Handled {
    shown(&json!({"name": call.house.cluster_name()}))
}

pub(super) fn set_cluster_name(call: &Call) -> Handled {
    let fields = call.fields()?;
    fields.require(&["name"])?;
    let name = fields.text("name")?.unwrap_or_default();
    let saved = call
        .house
        .broker
        .set_global_parameter(CLUSTER_NAME, json!(name))?;
    after(saved, Answer::no_content())
}

pub(super) fn hash_password(call: &Call) -> Handled {
    let hash = PasswordHash::new(call.part(0).as_bytes(), call.house.node.salt());
    shown(&json!({"ok": hash.encode()}))
}

pub(super) fn attempts(call: &Call) -> Handled {
    let counts = call.house.attempts.counts();
    shown(&json!([{
        "protocol": "http",
        "auth_attempts": counts.succeeded + counts.failed,
        "auth_attempts_failed": counts.failed,
        "auth_attempts_succeeded": counts.succeeded,
    }]))
}

/// Kept by address only for the brake on guessing; RabbitMQ lists nothing either unless told to.
pub(super) fn attempts_by_source(_: &Call) -> Handled {
    shown(&json!([]))
}

pub(super) fn reset_attempts(call: &Call) -> Handled {
    call.house.attempts.reset();
    Ok(Outcome::Now(Answer::no_content()))
}

pub(super) fn reset_statistics(call: &Call) -> Handled {
    call.house.samples.forget();
    Ok(Outcome::Now(Answer::no_content()))
}

/// What RabbitMQ made optional and every Warren has.
const FEATURES: [(&str, &str); 9] = [
    (
        "classic_mirrored_queue_version",
        "Support setting version for classic mirrored queues",
    ),
    (
        "drop_unroutable_metric",
        "Count unroutable publishes to be dropped in stats",
    ),
    (
        "empty_basic_get_metric",
        "Count AMQP `basic.get` on empty queues in stats",
    ),
    (
        "implicit_default_bindings",
        "Default bindings are now implicit",
    ),
    ("maintenance_mode_status", "Maintenance mode status"),
    ("quorum_queue", "Support queues of type `quorum`"),
    ("stream_queue", "Support queues of type `stream`"),
    (
        "user_limits",
        "Configure connection and channel limits for a user",
    ),
    (
        "virtual_host_metadata",
        "Virtual host metadata (description, tags, etc)",
    ),
];

pub(super) fn feature_flags(_: &Call) -> Handled {
    let flags = FEATURES.map(|(name, description)| {
        json!({
            "name": name,
            "desc": description,
            "doc_url": "",
            "state": "enabled",
            "stability": "stable",
            "provided_by": "rabbit",
        })
    });
    shown(&Value::Array(flags.to_vec()))
}

pub(super) fn enable_feature_flag(call: &Call) -> Handled {
    match FEATURES.iter().any(|(name, _)| *name == call.part(0)) {
        true => Ok(Outcome::Now(Answer::no_content())),
        false => Err(Failure::bad("unsupported")),
    }
}

/// Nothing that Warren has is on its way out.
pub(super) fn deprecated_features(_: &Call) -> Handled {
    shown(&json!([]))
}

/// A map out of pairs.
pub(super) fn object<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}
