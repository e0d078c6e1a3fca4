//! `amq.rabbitmq.trace`: what comes to a queue that is bound there.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::message::BasicGetMessage;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use warren_tests::kit::Channel;

use super::{next, start, trace_on};

/// A queue that gets what fits this pattern.
async fn watch(channel: &Channel, pattern: &str) -> String {
    let queue = channel.queue("", Default::default()).await;
    channel.bind(&queue, "amq.rabbitmq.trace", pattern).await;
    queue
}

fn key(message: &BasicGetMessage) -> &str {
    message.delivery.routing_key.as_str()
}

fn headers(message: &BasicGetMessage) -> &BTreeMap<lapin::types::ShortString, AMQPValue> {
    let headers = message.delivery.properties.headers().as_ref();
    headers.expect("headers").inner()
}

fn text(message: &BasicGetMessage, name: &str) -> String {
    match headers(message).get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn texts(message: &BasicGetMessage, name: &str) -> Vec<String> {
    let Some(AMQPValue::FieldArray(array)) = headers(message).get(name) else {
        panic!("{name} is no array");
    };
    let texts = array.as_slice().iter().map(|value| match value {
        AMQPValue::LongString(text) => text.to_string(),
        other => panic!("{other:?}"),
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_and_delivered_is_told_with_rabbitmqs_keys_and_headers() {
    let (mut broker, http) = start();
    let channel = broker.connect().await.channel().await;
    let firehose = watch(&channel, "#").await;
    channel.queue("q", Default::default()).await;
    channel.bind("q", "amq.direct", "k").await;
    trace_on(&http);
    let mut table = FieldTable::default();
    table.insert("a".into(), AMQPValue::LongInt(1));
    let properties = BasicProperties::default()
        .with_headers(table)
        .with_priority(3)
        .with_app_id("app".into());
    channel
        .publish_as("amq.direct", "k", b"hello", properties)
        .await;
    let published = next(&channel, &firehose).await;
    assert_eq!(key(&published), "publish.amq.direct");
    assert_eq!(published.delivery.data, b"hello");
    assert_eq!(text(&published, "exchange_name"), "amq.direct");
    assert_eq!(texts(&published, "routing_keys"), ["k"]);
    assert_eq!(texts(&published, "routed_queues"), ["q"]);
    assert_eq!(text(&published, "user"), "guest");
    assert_eq!(text(&published, "vhost"), "/");
    assert!(text(&published, "node").starts_with("warren@"));
    assert!(text(&published, "connection").contains(" -> "));
    assert_eq!(
        headers(&published).get("channel"),
        Some(&AMQPValue::LongInt(1))
    );
    let Some(AMQPValue::FieldTable(properties)) = headers(&published).get("properties") else {
        panic!("no properties");
    };
    assert_eq!(
        properties.inner().get("priority"),
        Some(&AMQPValue::LongInt(3))
    );
    assert_eq!(properties.inner().len(), 3);

    assert!(channel.take("q").await.is_some());
    let delivered = next(&channel, &firehose).await;
    assert_eq!(key(&delivered), "deliver.q");
    assert_eq!(delivered.delivery.data, b"hello");
    assert_eq!(
        headers(&delivered).get("redelivered"),
        Some(&AMQPValue::LongInt(0))
    );
    assert!(!headers(&delivered).contains_key("routed_queues"));
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_firehose_itself_delivers_is_not_traced() {
    let (mut broker, http) = start();
    let channel = broker.connect().await.channel().await;
    let firehose = watch(&channel, "#").await;
    trace_on(&http);
    channel.publish("", "nowhere", b"one").await;
    assert_eq!(key(&next(&channel, &firehose).await), "publish.");
    // The one before was delivered from the firehose's own queue by now.
    channel.publish("", "nowhere", b"two").await;
    let second = next(&channel, &firehose).await;
    assert_eq!(
        (key(&second), second.delivery.data.as_slice()),
        ("publish.", b"two".as_slice())
    );
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn tracing_is_of_one_virtual_host_and_ends_when_it_is_switched_off() {
    let (mut broker, http) = start();
    let channel = broker.connect().await.channel().await;
    let firehose = watch(&channel, "#").await;
    http.put("/vhosts/other", &json!({"tracing": true})).is(201);
    assert_eq!(http.json("/vhosts/other")["tracing"], true);
    channel.publish("", "untraced", b"").await;
    // Answered after it was published, and before anybody is told to trace.
    channel.queue("q", Default::default()).await;
    trace_on(&http);
    channel.publish("", "traced", b"").await;
    let first = next(&channel, &firehose).await;
    assert_eq!(texts(&first, "routing_keys"), ["traced"]);
    http.put("/vhosts/%2F", &json!({"tracing": false})).is(204);
    channel.publish("", "untraced", b"").await;
    channel.queue("q", Default::default()).await;
    trace_on(&http);
    channel.publish("", "again", b"").await;
    let second = next(&channel, &firehose).await;
    assert_eq!(texts(&second, "routing_keys"), ["again"]);
    broker.stop();
}

/// As in RabbitMQ: who forgot it does not pay for ever.
#[tokio::test(flavor = "multi_thread")]
async fn tracing_is_off_again_after_a_restart() {
    let (mut broker, http) = start();
    trace_on(&http);
    broker.kill();
    broker.restart();
    let http = broker.http();
    assert_eq!(http.json("/vhosts/%2F")["tracing"], false);
    assert_eq!(http.json("/warren/plugins/tracing")["state"], "idle");
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_over_http_and_copies_are_traced_too() {
    let (mut broker, http) = start();
    let channel = broker.connect().await.channel().await;
    let firehose = watch(&channel, "publish.#").await;
    trace_on(&http);
    let body = json!({
        "properties": {"headers": {"CC": ["b"]}},
        "routing_key": "a",
        "payload": "x",
        "payload_encoding": "string",
    });
    http.post("/exchanges/%2F/amq.topic/publish", &body).is(200);
    let published = next(&channel, &firehose).await;
    assert_eq!(key(&published), "publish.amq.topic");
    assert_eq!(texts(&published, "routing_keys"), ["a", "b"]);
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_new_is_traced_from_its_beginning() {
    let (mut broker, http) = start();
    let channel = broker.connect().await.channel().await;
    let firehose = watch(&channel, "deliver.#").await;
    trace_on(&http);
    channel.queue("late", Default::default()).await;
    channel.publish("", "late", b"x").await;
    assert!(channel.take("late").await.is_some());
    assert_eq!(key(&next(&channel, &firehose).await), "deliver.late");
    broker.stop();
}
