//! The tracer natively: what it posts for which messages.

use serde_json::{Value as Json, json};
use warren_plugin_sdk::tracer::{Delivered, Event, Happening, Message, Party, Published};
use warren_plugin_sdk::tracer_bench::{TracerBench, Want};
use warren_plugin_sdk::{PropertiesBuf, TableBuf};

use crate::OpenTelemetry;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

fn properties(traceparent: Option<&str>) -> Vec<u8> {
    let headers = match traceparent {
        Some(text) => TableBuf::new()
            .with("traceparent", text)
            .with("tracestate", "a=b"),
        None => TableBuf::new(),
    };
    PropertiesBuf {
        headers,
        persistent: true,
        timestamp: None,
    }
    .into_bytes()
}

/// Nothing but a message id.
fn with_id(id: &str) -> Vec<u8> {
    [&[0, 0x80, id.len() as u8], id.as_bytes()].concat()
}

fn message(properties: &[u8]) -> Message {
    Message {
        exchange: "orders".to_owned(),
        routing_keys: vec!["eu".to_owned()],
        properties: properties.to_vec(),
        body_length: 5,
    }
}

fn party() -> Party {
    Party {
        connection: "10.0.0.7:40000 -> 10.0.0.1:5672".to_owned(),
        channel: 1,
        user: "guest".to_owned(),
    }
}

fn published(vhost: &str, properties: &[u8]) -> Event {
    Event {
        at: 1_700_000_000_123,
        vhost: vhost.to_owned(),
        happening: Happening::Published(Published {
            message: message(properties),
            by: party(),
            queues: vec!["q".to_owned()],
        }),
    }
}

fn delivered(properties: &[u8]) -> Event {
    Event {
        at: 1_700_000_000_456,
        vhost: "/".to_owned(),
        happening: Happening::Delivered(Delivered {
            message: message(properties),
            to: party(),
            queue: "q".to_owned(),
            redelivered: false,
        }),
    }
}

/// The spans that were posted.
fn spans(configuration: &Json, events: Vec<(Event, &[u8])>) -> Vec<Json> {
    let bench = TracerBench::<OpenTelemetry>::open(&configuration.to_string());
    let mut bench = bench.expect("opens");
    bench.observe(events);
    let mut spans = Vec::new();
    for want in bench.wants() {
        let Want::Post { url, body, .. } = want else {
            panic!("{want:?}");
        };
        assert_eq!(url, "http://localhost:4318/v1/traces");
        let body: Json = serde_json::from_slice(&body).expect("JSON");
        let found = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array();
        spans.extend(found.cloned().expect("spans"));
    }
    spans
}

fn attribute<'a>(span: &'a Json, key: &str) -> &'a Json {
    let attributes = span["attributes"].as_array().expect("a list");
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.map_or(&Json::Null, |found| &found["value"])
}

#[test]
fn publish_and_delivery_are_in_the_trace_of_their_message() {
    let properties = properties(Some(&traceparent("01")));
    let both = vec![
        (published("/", &properties), &b"hello"[..]),
        (delivered(&properties), b"hello"),
    ];
    let spans = spans(&json!({}), both);
    let [publish, deliver] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    for span in &spans {
        assert_eq!(span["traceId"], TRACE);
        assert_eq!(span["parentSpanId"], SPAN);
        assert_eq!(span["traceState"], "a=b");
    }
    assert_eq!(
        (&publish["name"], &publish["kind"]),
        (&json!("publish orders"), &json!(4))
    );
    assert_eq!(
        (&deliver["name"], &deliver["kind"]),
        (&json!("deliver q"), &json!(5))
    );
    assert_eq!(publish["startTimeUnixNano"], "1700000000123000000");
    assert_eq!(publish["links"], Json::Null);
    let link = json!([{"traceId": TRACE, "spanId": publish["spanId"]}]);
    assert_eq!(deliver["links"], link);
    assert_ne!(deliver["spanId"], publish["spanId"]);
    for (key, value) in [
        ("messaging.system", json!({"stringValue": "rabbitmq"})),
        (
            "messaging.operation.name",
            json!({"stringValue": "publish"}),
        ),
        ("messaging.operation.type", json!({"stringValue": "send"})),
        (
            "messaging.destination.name",
            json!({"stringValue": "orders:eu"}),
        ),
        (
            "messaging.rabbitmq.destination.routing_key",
            json!({"stringValue": "eu"}),
        ),
        ("messaging.message.body.size", json!({"intValue": "5"})),
        ("network.peer.address", json!({"stringValue": "10.0.0.7"})),
        ("network.peer.port", json!({"intValue": "40000"})),
    ] {
        assert_eq!(*attribute(publish, key), value, "{key}");
    }
    let destination = attribute(deliver, "messaging.destination.name");
    assert_eq!(*destination, json!({"stringValue": "orders:eu:q"}));
}

#[test]
fn a_message_with_an_id_has_a_trace_of_its_own_and_one_without_has_none() {
    let events = vec![
        (published("/", &with_id("m1")), &b""[..]),
        (delivered(&with_id("m1")), b""),
        (published("/", &with_id("m2")), b""),
        (published("/", &properties(None)), b""),
        (published("/", &properties(Some("00-nonsense"))), b""),
    ];
    let spans = spans(&json!({}), events);
    let [publish, deliver, other] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(publish["traceId"], deliver["traceId"]);
    assert_ne!(publish["traceId"], other["traceId"]);
    assert_eq!(publish["parentSpanId"], Json::Null);
    assert_eq!(deliver["parentSpanId"], publish["spanId"]);
    assert_eq!(deliver["links"], Json::Null);
    let id = attribute(publish, "messaging.message.id");
    assert_eq!(*id, json!({"stringValue": "m1"}));
}

#[test]
fn what_is_not_sampled_or_of_another_virtual_host_is_not_told() {
    let sampled = properties(Some(&traceparent("01")));
    let not_sampled = properties(Some(&traceparent("00")));
    let one = |configuration: Json, vhost: &str, properties: &[u8]| {
        spans(&configuration, vec![(published(vhost, properties), b"")]).len()
    };
    assert_eq!(one(json!({}), "/", &sampled), 1);
    assert_eq!(one(json!({}), "/", &not_sampled), 0);
    assert_eq!(one(json!({"sample-ratio": 0}), "/", &sampled), 0);
    assert_eq!(one(json!({"vhosts": ["a"]}), "/", &sampled), 0);
    assert_eq!(one(json!({"vhosts": ["a"]}), "a", &sampled), 1);
}

#[test]
fn two_messages_of_one_producers_span_have_spans_of_their_own() {
    let properties = properties(Some(&traceparent("01")));
    let both = vec![
        (published("/", &properties), &b"one"[..]),
        (published("/", &properties), b"two"),
        (delivered(&properties), b"two"),
        (delivered(&properties), b"two"),
    ];
    let spans = spans(&json!({}), both);
    let mut ids: Vec<&Json> = spans.iter().map(|span| &span["spanId"]).collect();
    ids.sort_by_key(|id| id.to_string());
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert_eq!(spans[2]["links"][0]["spanId"], spans[1]["spanId"]);
}

#[test]
fn a_configuration_that_is_none_is_refused_by_its_key() {
    for (configuration, key) in [
        (json!({"endpoint": "localhost:4318"}), "endpoint"),
        (json!({"sample-ratio": 2}), "sample-ratio"),
        (json!({"headers": {"a": 1}}), "headers"),
        (json!({"vhosts": [1]}), "vhosts"),
    ] {
        let refused = TracerBench::<OpenTelemetry>::open(&configuration.to_string());
        let refused = refused.err().expect("refused");
        assert!(refused.contains(key), "{refused}");
    }
}
