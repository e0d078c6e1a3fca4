//! Whether a runtime parameter is an upstream or a set of them, in RabbitMQ's words.

use serde_json::Value;
use warren_service_sdk::Parameter;
use warren_service_sdk::parameter::{CheckUri, Key, Kind, check, mandatory, optional, term};

const ACK_MODES: Kind = Kind::OneOf(&["no-ack", "on-publish", "on-confirm"]);
const CLEANUP: Kind = Kind::OneOf(&["default", "never"]);
const QUEUE_TYPES: Kind = Kind::OneOf(&["classic", "quorum"]);
const CHANNEL_USES: Kind = Kind::OneOf(&["multiple", "single"]);

macro_rules! shared {
    ($first:expr) => {
        &[
            $first,
            optional("exchange", Kind::Text),
            optional("queue", Kind::Text),
            optional("consumer-tag", Kind::Text),
            optional("prefetch-count", Kind::Number),
            optional("reconnect-delay", Kind::Number),
            optional("max-hops", Kind::Number),
            optional("expires", Kind::Number),
            optional("message-ttl", Kind::Number),
            optional("trust-user-id", Kind::Boolean),
            optional("ack-mode", ACK_MODES),
            optional("resource-cleanup-mode", CLEANUP),
            optional("queue-type", QUEUE_TYPES),
            optional("channel-use-mode", CHANNEL_USES),
            optional("ha-policy", Kind::Text),
            optional("bind-nowait", Kind::Boolean),
        ]
    };
}

const UPSTREAM: &[Key] = shared!(mandatory("uri", Kind::Uri));
const MEMBER: &[Key] = shared!(mandatory("upstream", Kind::Text));

pub fn parameter(parameter: &Parameter, value: &Value, check_uri: CheckUri<'_>) -> Vec<String> {
    let name = parameter.name.as_str();
    let no_list = || vec![format!("{name} not a list {}", term(value))];
    match (parameter.component.as_str(), value) {
        ("federation-upstream", Value::Object(fields)) => check(name, UPSTREAM, fields, check_uri),
        // What Erlang takes for an empty list.
        (_, Value::Object(fields)) if fields.is_empty() => Vec::new(),
        (_, Value::Array(members)) => {
            let errors = members.iter().flat_map(|member| match member {
                Value::Object(fields) => check(name, MEMBER, fields, check_uri),
                other => vec![format!("{name} not a list {}", term(other))],
            });
            errors.collect()
        }
        (_, _) => no_list(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(component: &str, name: &str, value: Value) -> Vec<String> {
        let given = Parameter {
            vhost: "/".into(),
            component: component.into(),
            name: name.into(),
            value: String::new(),
        };
        parameter(&given, &value, &|_, _| Ok(()))
    }

    /// What RabbitMQ 3.10 answered to the same.
    #[test]
    fn errors_are_rabbitmqs_in_their_order() {
        let upstream = |value| errors("federation-upstream", "u", value);
        assert_eq!(upstream(json!({})), ["Key \"uri\" not found in u"]);
        let wrong = json!({"uri": "amqp://", "trust-user-id": 1, "expires": "x",
            "message-ttl": "x", "ha-policy": 5, "prefetch-count": "", "reconnect-delay": "",
            "exchange": 5, "queue": 5, "consumer-tag": 5, "bind-nowait": 5});
        assert_eq!(
            upstream(wrong),
            [
                "bind-nowait should be boolean, actually was 5",
                "ha-policy should be binary, actually was 5",
                "trust-user-id should be boolean, actually was 1",
                "message-ttl should be a number, actually was <<\"x\">>",
                "expires should be a number, actually was <<\"x\">>",
                "reconnect-delay should be a number, actually was <<>>",
                "prefetch-count should be a number, actually was <<>>",
                "consumer-tag should be binary, actually was 5",
                "queue should be binary, actually was 5",
                "exchange should be binary, actually was 5",
            ]
        );
        let set = |value| errors("federation-upstream-set", "s", value);
        assert_eq!(set(json!({})), Vec::<String>::new());
        assert_eq!(
            set(json!([{"x": 1}])),
            [
                "Unrecognised terms [{<<\"x\">>,1}] in s",
                "Key \"upstream\" not found in s"
            ]
        );
    }
}
