//! Interceptors in front of exchanges, through real clients: what they set, what they refuse, and which
//! messages they see.

mod changes;
mod faults;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use serde_json::json;
use warren_tests::kit::{
    Broker, Channel, DEADLINE, Http, Options, fixture, headers, soon, transient,
};

/// A broker with these interceptors, which its configuration puts somewhere.
fn broker_with(names: &[&str], config: &str) -> (tempfile::TempDir, Broker, Http) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        let file = format!("{name}.wasm");
        std::fs::copy(fixture(&file), folder.path().join(&file)).expect("a plugin");
    }
    let broker = Broker::start(Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..Options::default().managed().config(config)
    });
    let http = broker.http();
    (folder, broker, http)
}

async fn confirmed(channel: &Channel, exchange: &str, key: &str, body: &[u8]) -> bool {
    let confirm = channel.confirmed(exchange, key, body, transient()).await;
    confirm == Confirmation::Ack(None)
}

/// A queue that a topic exchange gives everything to.
async fn queue(channel: &Channel, name: &str, exchange: &str) {
    channel.queue(name, Default::default()).await;
    channel.bind(name, exchange, "#").await;
}

/// A header of the next message in the queue, which must come.
async fn header(channel: &Channel, queue: &str, name: &str) -> Option<AMQPValue> {
    let mut found = None;
    soon("a message", DEADLINE, async || {
        found = channel.get(queue).await;
        found.is_some()
    })
    .await;
    let message = found.expect("a message");
    channel.ack(message.delivery_tag, false).await;
    let headers = message.delivery.properties.headers().clone();
    headers?.inner().get(name).cloned()
}

const GATE: &str = r#"
[plugins.gate]
intercepts = [{ vhost = "/", exchange = "amq.topic" }]
config = { most = 4 }
"#;

const TOO_LONG: &str = "PRECONDITION_FAILED - 5 bytes; 4 are allowed";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_goes_nowhere_and_its_publisher_hears_why() {
    let (_folder, broker, http) = broker_with(&["gate"], GATE);
    let client = broker.connect().await;
    let channel = client.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    assert!(confirmed(&channel, "amq.topic", "k", b"1234").await);
    let refused = channel
        .confirmed("amq.topic", "k", b"12345", transient())
        .await;
    let Confirmation::Nack(Some(returned)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(returned.reply_code, 406);
    assert_eq!(returned.reply_text.as_str(), TOO_LONG);
    assert_eq!(returned.delivery.data, b"12345");
    // In front of no other exchange.
    assert!(confirmed(&channel, "", "q", b"12345").await);
    assert_eq!(channel.count("q").await, 2);
    let plugin = http.json("/warren/plugins/gate");
    assert_eq!(plugin["kind"], "interceptor", "{plugin}");
    assert_eq!(
        (&plugin["calls"], &plugin["rejected"]),
        (&json!(2), &json!(1))
    );
    let plain = client.channel().await;
    plain.publish("amq.topic", "k", b"12345").await;
    client.refusal().await.is(406, TOO_LONG);
    // Nothing of a transaction takes effect with a message in it that is refused.
    let transaction = client.channel().await;
    transaction.tx_select().await.expect("tx.select");
    transaction.publish("amq.topic", "k", b"1").await;
    transaction.publish("amq.topic", "k", b"12345").await;
    client.refusal().await.is(406, TOO_LONG);
    assert_eq!(channel.count("q").await, 2);
    let body = json!({
        "properties": {}, "routing_key": "k", "payload": "12345", "payload_encoding": "string",
    });
    let reply = http.post("/exchanges/%2F/amq.topic/publish", &body);
    assert_eq!(
        reply.is(400).json()["reason"],
        "5 bytes; 4 are allowed",
        "{reply:?}"
    );
    assert_eq!(channel.count("q").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_is_stamped_on_whatever_way_a_message_is_published() {
    let config = "[plugins.gate]\nintercepts = [{ vhost = \"/\" }]\n";
    let (_folder, broker, http) = broker_with(&["gate"], config);
    let client = broker.connect().await;
    let channel = client.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    let length = |length| Some(AMQPValue::LongLongInt(length));
    for (exchange, key) in [("amq.topic", "k"), ("", "q")] {
        assert!(confirmed(&channel, exchange, key, b"12").await);
        assert_eq!(header(&channel, "q", "x-length").await, length(2));
        let transaction = client.channel().await;
        transaction.tx_select().await.expect("tx.select");
        transaction.publish(exchange, key, b"123").await;
        transaction.tx_commit().await.expect("tx.commit");
        assert_eq!(header(&channel, "q", "x-length").await, length(3));
    }
    // What the publisher has set stays beside it.
    let own = BasicProperties::default().with_headers(headers([("own", "mine"), ("x", "y")]));
    channel.confirmed("amq.topic", "k", b"1", own).await;
    let text = AMQPValue::LongString("mine".into());
    assert_eq!(header(&channel, "q", "own").await, Some(text));
    let body = json!({
        "properties": {}, "routing_key": "q", "payload": "1234", "payload_encoding": "string",
    });
    let reply = http.post("/exchanges/%2F/amq.default/publish", &body);
    assert_eq!(reply.is(200).json()["routed"], true);
    assert_eq!(header(&channel, "q", "x-length").await, length(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_without_an_interceptor_has_none() {
    let (_folder, broker, http) = broker_with(&["gate"], GATE);
    http.put("/vhosts/other", &json!({})).is(201);
    let url = broker.url_of("guest", "guest", "other");
    let client = warren_tests::kit::Client::connect(&url).await;
    let channel = client.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    assert!(confirmed(&channel, "amq.topic", "k", b"12345").await);
    assert_eq!(header(&channel, "q", "x-length").await, None);
}

/// Every message that it is asked about gets a number.
const NUMBERS: &str = r#"
[plugins.fault-interceptor]
intercepts = [{ vhost = "/" }]
grants = ["warren:plugin/state"]
"#;

fn number(number: i64) -> Option<AMQPValue> {
    Some(AMQPValue::LongLongInt(number))
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_bindings_between_exchanges_and_due_messages_are_not_asked_about_again() {
    let (_folder, broker, _http) = broker_with(&["fault-interceptor"], NUMBERS);
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "dead", "amq.topic").await;
    let arguments = headers([("x-dead-letter-exchange", "amq.topic")]);
    let declared = channel.try_queue("short", Default::default(), arguments);
    declared.await.expect("a queue");
    channel.bind("short", "amq.direct", "k").await;
    let brief = BasicProperties::default().with_expiration("1".into());
    channel.confirmed("amq.direct", "k", b"x", brief).await;
    assert_eq!(header(&channel, "dead", "x-number").await, number(1));
    // From amq.fanout through amq.topic.
    channel
        .exchange_bind(
            "amq.topic".into(),
            "amq.fanout".into(),
            "".into(),
            Default::default(),
            FieldTable::default(),
        )
        .await
        .expect("exchange.bind");
    for expected in 1..=3 {
        assert!(confirmed(&channel, "amq.fanout", "k", b"x").await);
        assert_eq!(header(&channel, "dead", "x-number").await, number(expected));
    }
    // Neither has been counted in front of amq.topic.
    assert!(confirmed(&channel, "amq.topic", "k", b"x").await);
    assert_eq!(header(&channel, "dead", "x-number").await, number(1));
    let options = ExchangeDeclareOptions::default();
    let inner = headers([("x-delayed-type", "topic")]);
    let declared = channel.try_exchange("later", "x-delayed-message", options, inner);
    declared.await.expect("an exchange");
    channel.bind("dead", "later", "#").await;
    for expected in 1..=2 {
        let mut delay = FieldTable::default();
        delay.insert("x-delay".into(), AMQPValue::LongInt(50));
        let delayed = BasicProperties::default().with_headers(delay);
        channel.confirmed("later", "k", b"x", delayed).await;
        assert_eq!(header(&channel, "dead", "x-number").await, number(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_asked_in_the_order_of_their_names_each_with_the_headers_before() {
    // The gate lets pass as it is what has the header already.
    let config = r#"
[plugins.gate]
intercepts = [{ vhost = "/" }]
[plugins.early]
intercepts = [{ vhost = "/", exchange = "amq.topic" }]
config = { header = "x-length" }
[plugins.late]
intercepts = [{ vhost = "/", exchange = "amq.direct" }]
config = { header = "x-length" }
"#;
    let folder = tempfile::tempdir().expect("a folder");
    for (file, name) in [("gate", "gate"), ("stamp", "early"), ("stamp", "late")] {
        let from = fixture(&format!("{file}.wasm"));
        std::fs::copy(from, folder.path().join(format!("{name}.wasm"))).expect("copies");
    }
    let broker = Broker::start(Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..Options::default().managed().config(config)
    });
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    channel.bind("q", "amq.direct", "k").await;
    // The stamp is a time, which is written over the length by the one that comes later.
    for exchange in ["amq.topic", "amq.direct"] {
        assert!(confirmed(&channel, exchange, "k", b"12").await);
        let stamped = header(&channel, "q", "x-length").await;
        let Some(AMQPValue::LongLongInt(stamped)) = stamped else {
            panic!("{stamped:?}");
        };
        assert!(stamped > 1_600_000_000_000, "{exchange}: {stamped}");
    }
}
