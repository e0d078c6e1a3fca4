//! Whether a runtime parameter is a shovel, in RabbitMQ's words and their order.

use crate::settings::is_web;
use serde_json::{Map, Value};
use warren_service_sdk::parameter::{CheckUri, Key, Kind, check, mandatory, optional, term};

const ACK_MODES: Kind = Kind::OneOf(&["no-ack", "on-publish", "on-confirm"]);
const PROTOCOLS: Kind = Kind::OneOf(&["amqp10", "amqp091"]);

const KEYS: &[Key] = &[
    optional("internal", Kind::Boolean),
    optional("internal_owner", Kind::Table),
    optional("ack-mode", ACK_MODES),
    optional("src-protocol", PROTOCOLS),
    optional("dest-protocol", PROTOCOLS),
    mandatory("src-uri", Kind::Uri),
    optional("src-exchange", Kind::Text),
    optional("src-exchange-key", Kind::Text),
    optional("src-queue", Kind::Text),
    optional("src-queue-args", Kind::Table),
    optional("src-consumer-args", Kind::Table),
    optional("src-consumer-name", Kind::Text),
    optional("src-predeclared", Kind::Boolean),
    optional("prefetch-count", Kind::Number),
    optional("src-prefetch-count", Kind::Number),
    optional("delete-after", Kind::DeleteAfter),
    optional("src-delete-after", Kind::DeleteAfter),
    optional("reconnect-delay", Kind::Number),
    mandatory("dest-uri", Kind::Uri),
    optional("dest-exchange", Kind::Text),
    optional("dest-exchange-key", Kind::Text),
    optional("dest-queue", Kind::Text),
    optional("dest-queue-args", Kind::Table),
    optional("dest-predeclared", Kind::Boolean),
    optional("add-forward-headers", Kind::Boolean),
    optional("add-timestamp-header", Kind::Boolean),
    optional("dest-add-forward-headers", Kind::Boolean),
    optional("dest-add-timestamp-header", Kind::Boolean),
    optional("publish-properties", Kind::Of(PROPERTIES)),
    optional("dest-publish-properties", Kind::Of(PROPERTIES)),
];

const PROPERTIES: &[Key] = &[
    optional("content_type", Kind::Text),
    optional("content_encoding", Kind::Text),
    optional("headers", Kind::Table),
    optional("delivery_mode", Kind::Number),
    optional("priority", Kind::Number),
    optional("correlation_id", Kind::Text),
    optional("reply_to", Kind::Text),
    optional("expiration", Kind::Text),
    optional("message_id", Kind::Text),
    optional("timestamp", Kind::Number),
    optional("type", Kind::Text),
    optional("user_id", Kind::Text),
    optional("app_id", Kind::Text),
    optional("cluster_id", Kind::Text),
];

/// The errors, a line each.
pub fn shovel(name: &str, value: &Value, check_uri: CheckUri<'_>) -> Vec<String> {
    let Some(fields) = value.as_object() else {
        return vec![format!("{name} not a list {}", term(value))];
    };
    let mut errors = source(fields);
    errors.extend(check(name, KEYS, fields, check_uri));
    if fields.contains_key("dest-exchange") && fields.contains_key("dest-queue") {
        errors.push("Cannot specify 'dest-exchange' and 'dest-queue'".to_owned());
    }
    errors.extend(web_destination(fields));
    for key in ["src-protocol", "dest-protocol"] {
        if fields.get(key).is_some_and(|protocol| protocol == "amqp10") {
            errors.push(format!("{key} amqp10 is not supported by this broker"));
        }
    }
    errors
}

/// Of AMQP alone. A request has no queue and no exchange, and nothing is made at a web server.
const NOT_FOR_HTTP: [&str; 12] = [
    "dest-exchange",
    "dest-exchange-key",
    "dest-queue",
    "dest-queue-args",
    "dest-predeclared",
    "dest-protocol",
    "add-forward-headers",
    "add-timestamp-header",
    "dest-add-forward-headers",
    "dest-add-timestamp-header",
    "publish-properties",
    "dest-publish-properties",
];

fn web_destination(fields: &Map<String, Value>) -> Vec<String> {
    let uris = match fields.get("dest-uri") {
        Some(Value::Array(uris)) => uris.as_slice(),
        Some(uri) => std::slice::from_ref(uri),
        None => &[],
    };
    let of_web = uris.iter().filter_map(Value::as_str);
    match of_web.filter(|uri| is_web(uri)).count() {
        0 => Vec::new(),
        count if count < uris.len() => {
            vec!["Cannot specify HTTP and AMQP URIs in one 'dest-uri'".to_owned()]
        }
        _ => {
            let foreign = NOT_FOR_HTTP.iter().filter(|key| fields.contains_key(**key));
            let errors =
                foreign.map(|key| format!("Cannot specify '{key}' and an HTTP 'dest-uri'"));
            errors.collect()
        }
    }
}

fn source(fields: &Map<String, Value>) -> Vec<String> {
    let has = |key: &str| fields.contains_key(key);
    let mut errors = Vec::new();
    match (has("src-exchange"), has("src-queue")) {
        (false, false) => errors.push("Must specify 'src-exchange' or 'src-queue'".to_owned()),
        (true, true) => errors.push("Cannot specify 'src-exchange' and 'src-queue'".to_owned()),
        (true, false) | (false, true) => {}
    }
    let after = fields.get("src-delete-after");
    let after = after.or_else(|| fields.get("delete-after"));
    let no_ack = fields.get("ack-mode").is_some_and(|mode| mode == "no-ack");
    if no_ack && after.is_some_and(Value::is_u64) {
        errors.push("Cannot specify 'no-ack' and numerical 'delete-after'".to_owned());
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(value: Value) -> Vec<String> {
        shovel(
            "a",
            &value,
            &|key, uri| match uri.starts_with("amqp") || key == "dest-uri" {
                true => Ok(()),
                false => Err("{unexpected_uri_scheme,\"http\"}".to_owned()),
            },
        )
    }

    /// What RabbitMQ 3.10 answered to the same.
    #[test]
    fn errors_are_rabbitmqs_in_their_order() {
        assert_eq!(
            errors(json!({})),
            [
                "Must specify 'src-exchange' or 'src-queue'",
                "Key \"dest-uri\" not found in a",
                "Key \"src-uri\" not found in a",
            ]
        );
        let several = json!({"src-uri": "amqp://", "src-queue": "q", "prefetch-count": "x",
            "ack-mode": "u", "foo": 1});
        assert_eq!(
            errors(several),
            [
                "Unrecognised terms [{<<\"foo\">>,1}] in a",
                "Key \"dest-uri\" not found in a",
                "prefetch-count should be a number, actually was <<\"x\">>",
                "ack-mode should be one of [<<\"no-ack\">>,<<\"on-publish\">>,<<\"on-confirm\">>], \
                 actually was <<\"u\">>",
            ]
        );
        let fine = json!({"src-uri": ["amqp://", "amqp://h"], "src-queue": "q",
            "dest-uri": "amqp://", "dest-publish-properties": {"delivery_mode": 2}});
        assert_eq!(errors(fine), Vec::<String>::new());
        let posting = json!({"src-uri": "amqp://", "src-queue": "q", "dest-uri": "http://h/"});
        assert_eq!(errors(posting), Vec::<String>::new());
        let queue = json!({"src-uri": "amqp://", "src-queue": "q", "dest-uri": "https://h/",
            "dest-queue": "q", "dest-add-forward-headers": true});
        assert_eq!(
            errors(queue),
            [
                "Cannot specify 'dest-queue' and an HTTP 'dest-uri'",
                "Cannot specify 'dest-add-forward-headers' and an HTTP 'dest-uri'",
            ]
        );
        let mixed = json!({"src-uri": "amqp://", "src-queue": "q",
            "dest-uri": ["https://h/", "amqp://"]});
        assert_eq!(
            errors(mixed),
            ["Cannot specify HTTP and AMQP URIs in one 'dest-uri'"]
        );
        let wrong = json!({"src-uri": "http://x", "src-queue": "q", "dest-uri": "amqp://"});
        assert_eq!(
            errors(wrong),
            ["\"http://x\" not a valid URI: {{unexpected_uri_scheme,\"http\"},\"http://x\"}"]
        );
    }
}
