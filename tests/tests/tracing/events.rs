//! `amq.rabbitmq.event`: what comes, goes and changes, as messages.

use lapin::types::AMQPValue;
use serde_json::json;
use warren_tests::kit::{Broker, Channel, DEADLINE, Options, soon};

use super::take;

/// The headers of the next message with this key.
async fn next(channel: &Channel, queue: &str, key: &str) -> Vec<(String, AMQPValue)> {
    let mut found = None;
    soon(key, DEADLINE, async || {
        while let Some(message) = take(channel, queue).await {
            if message.delivery.routing_key.as_str() == key {
                found = message.delivery.properties.headers().clone();
                return true;
            }
        }
        false
    })
    .await;
    let table = found.expect("headers");
    let fields = table.inner().iter();
    fields
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect()
}

fn text<'a>(headers: &'a [(String, AMQPValue)], name: &str) -> &'a str {
    let found = headers.iter().find(|(known, _)| known == name);
    match found {
        Some((_, AMQPValue::LongString(text))) => {
            std::str::from_utf8(text.as_bytes()).expect("text")
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_with_rabbitmqs_keys_and_headers() {
    let options = Options::default()
        .managed()
        .set("plugins.event-exchange.enabled=true");
    let mut broker = Broker::start(options);
    let http = broker.http();
    let channel = broker.connect().await.channel().await;
    let exists = async || http.get("/exchanges/%2F/amq.rabbitmq.event").status == 200;
    soon("the exchange", DEADLINE, exists).await;
    let queue = channel.queue("", Default::default()).await;
    channel.bind(&queue, "amq.rabbitmq.event", "#").await;
    // What is told of the queue itself comes after it has been bound.
    next(&channel, &queue, "binding.created").await;
    channel.queue("q", Default::default()).await;
    let created = next(&channel, &queue, "queue.created").await;
    assert_eq!(text(&created, "name"), "q");
    assert_eq!(text(&created, "vhost"), "/");
    let at = created.iter().find(|(name, _)| name == "timestamp_in_ms");
    assert!(matches!(at, Some((_, AMQPValue::LongLongInt(_)))), "{at:?}");
    channel.bind("q", "amq.topic", "a.b").await;
    let bound = next(&channel, &queue, "binding.created").await;
    assert_eq!(text(&bound, "destination_name"), "q");
    assert_eq!(text(&bound, "source_name"), "amq.topic");
    let second = broker.connect().await;
    let login = next(&channel, &queue, "user.authentication.success").await;
    assert_eq!(text(&login, "name"), "guest");
    assert_eq!(text(&login, "auth_mechanism"), "PLAIN");
    let connected = next(&channel, &queue, "connection.created").await;
    assert_eq!(text(&connected, "user"), "guest");
    assert!(text(&connected, "node").starts_with("warren@"));
    drop(second);
    next(&channel, &queue, "connection.closed").await;
    http.put(
        "/users/ann",
        &json!({"password": "p", "tags": "management"}),
    )
    .is(201);
    next(&channel, &queue, "user.created").await;
    next(&channel, &queue, "user.tags.set").await;
    let permission = json!({"configure": "a", "write": "b", "read": "c"});
    http.put("/permissions/%2F/ann", &permission).is(201);
    let permitted = next(&channel, &queue, "permission.created").await;
    assert_eq!(text(&permitted, "write"), "b");
    let policy = json!({"pattern": "^z", "definition": {"max-length": 3}, "apply-to": "queues"});
    http.put("/policies/%2F/p", &policy).is(201);
    let set = next(&channel, &queue, "policy.set").await;
    assert_eq!(text(&set, "pattern"), "^z");
    http.put("/vhosts/new", &json!({})).is(201);
    let made = next(&channel, &queue, "vhost.created").await;
    assert_eq!(text(&made, "name"), "new");
    broker.stop();
}

#[test]
fn there_is_no_event_exchange_unless_it_is_enabled() {
    let mut broker = Broker::start(Options::default().managed());
    let http = broker.http();
    http.get("/exchanges/%2F/amq.rabbitmq.event").is(404);
    let plugin = http.json("/warren/plugins/event-exchange");
    assert_eq!(plugin["state"], "disabled");
    broker.stop();
}
