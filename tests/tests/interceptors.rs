//! Interceptors in front of exchanges: what they set, what they refuse, and what a publish meets when
//! one is away.

use lapin::Confirmation;
use lapin::types::AMQPValue;
use serde_json::json;
use warren_tests::kit::{Broker, Channel, Http, Options, fixture, transient};

/// A broker with this interceptor where its configuration puts it.
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
    matches!(confirm, Confirmation::Ack(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_goes_nowhere_and_its_publisher_hears_of_it() {
    let config = r#"
[plugins.size-quota]
intercepts = [{ vhost = "/", exchange = "amq.direct" }]
config = { message_bytes = 4 }
"#;
    let (_folder, mut broker, http) = broker_with(&["size-quota"], config);
    let plugin = http.json("/warren/plugins/size-quota");
    assert_eq!(plugin["kind"], "interceptor", "{plugin}");
    let client = broker.connect().await;
    let channel = client.confirming().await;
    channel.queue("q", Default::default()).await;
    channel.bind("q", "amq.direct", "k").await;
    assert!(confirmed(&channel, "amq.direct", "k", b"1234").await);
    assert!(!confirmed(&channel, "amq.direct", "k", b"12345").await);
    assert!(
        confirmed(&channel, "", "q", b"12345").await,
        "another exchange"
    );
    assert_eq!(channel.count("q").await, 2);
    let plain = client.channel().await;
    plain.publish("amq.direct", "k", b"12345").await;
    let refusal = client.refusal().await;
    let text = "PRECONDITION_FAILED - message of 5 bytes; 4 are allowed";
    refusal.is(406, text);
    let body = json!({"properties": {}, "routing_key": "k", "payload": "12345", "payload_encoding": "string"});
    let reply = http.post("/exchanges/%2F/amq.direct/publish", &body);
    assert_eq!(
        reply.is(400).json()["reason"],
        "message of 5 bytes; 4 are allowed"
    );
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_hosts_interceptor_stamps_what_goes_to_any_exchange() {
    let config = "[plugins.stamp]\nintercepts = [{ vhost = \"/\" }]\n";
    let (_folder, mut broker, _http) = broker_with(&["stamp"], config);
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", Default::default()).await;
    channel.bind("q", "amq.fanout", "").await;
    for (exchange, key) in [("amq.fanout", ""), ("", "q")] {
        assert!(confirmed(&channel, exchange, key, b"x").await);
        let message = channel.get("q").await.expect("a message");
        let headers = message.delivery.properties.headers().clone();
        let headers = headers.expect("headers");
        let stamp = headers.inner().get("x-received-at");
        assert!(matches!(stamp, Some(AMQPValue::LongLongInt(at)) if *at > 1_600_000_000_000));
    }
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_puts_interceptors_in_front_of_exchanges_and_takes_them_away() {
    let config = r#"
[plugins.schema-check]
config = { fields = { id = "number" } }
"#;
    let (_folder, mut broker, http) = broker_with(&["schema-check", "stamp"], config);
    let channel = broker.connect().await.confirming().await;
    channel
        .exchange("orders", "fanout", Default::default())
        .await;
    channel.queue("q", Default::default()).await;
    channel.bind("q", "orders", "").await;
    assert!(confirmed(&channel, "orders", "", b"{}").await);
    let policy = json!({
        "pattern": "^orders$",
        "apply-to": "exchanges",
        "definition": {"interceptors": "schema-check, stamp"},
    });
    http.put("/policies/%2F/checked", &policy).is(201);
    assert!(!confirmed(&channel, "orders", "", b"{}").await);
    assert!(confirmed(&channel, "orders", "", br#"{"id": 7}"#).await);
    http.delete("/policies/%2F/checked").is(204);
    assert!(confirmed(&channel, "orders", "", b"{}").await);
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_where_an_interceptor_is_away() {
    let config = "[plugins.stamp]\nintercepts = []\n";
    let (_folder, mut broker, http) = broker_with(&["stamp"], config);
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", Default::default()).await;
    channel.bind("q", "amq.direct", "k").await;
    let policy = json!({
        "pattern": "^amq.direct$",
        "apply-to": "exchanges",
        "definition": {"interceptors": ["stamp"]},
    });
    http.put("/policies/%2F/stamped", &policy).is(201);
    assert!(confirmed(&channel, "amq.direct", "k", b"x").await);
    http.post("/warren/plugins/stamp/disable", &json!({}))
        .is(204);
    assert!(!confirmed(&channel, "amq.direct", "k", b"x").await);
    http.post("/warren/plugins/stamp/enable", &json!({}))
        .is(204);
    assert!(confirmed(&channel, "amq.direct", "k", b"x").await);
    broker.stop();
}
