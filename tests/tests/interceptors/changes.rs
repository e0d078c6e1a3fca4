//! Interceptors that come, go and change while a broker runs and messages flow.

use std::path::Path;

use lapin::Confirmation;
use serde_json::json;
use warren_tests::kit::{Broker, Channel, DEADLINE, durable, fixture, persistent, soon};

use super::{broker_with, confirmed, header, queue};

fn policy(names: &serde_json::Value) -> serde_json::Value {
    json!({
        "pattern": "^amq.topic$",
        "apply-to": "exchanges",
        "definition": {"interceptors": names},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_puts_interceptors_in_front_of_exchanges_and_takes_them_away() {
    let config = "[plugins.schema-check]\nconfig = { fields = { id = \"number\" } }\n";
    let (_folder, broker, http) = broker_with(&["schema-check", "stamp"], config);
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    assert!(confirmed(&channel, "amq.topic", "k", b"{}").await);
    let put = |names: serde_json::Value| http.put("/policies/%2F/checked", &policy(&names));
    put(json!("schema-check, stamp")).is(201);
    assert!(!confirmed(&channel, "amq.topic", "k", b"{}").await);
    assert!(confirmed(&channel, "amq.topic", "k", br#"{"id": 7}"#).await);
    put(json!(["stamp"])).is(204);
    assert!(confirmed(&channel, "amq.topic", "k", b"{}").await);
    assert_eq!(header(&channel, "q", "x-received-at").await, None);
    for _ in 0..2 {
        assert!(header(&channel, "q", "x-received-at").await.is_some());
    }
    http.delete("/policies/%2F/checked").is(204);
    assert!(confirmed(&channel, "amq.topic", "k", b"{}").await);
    assert_eq!(header(&channel, "q", "x-received-at").await, None);
    let wrong = http.put("/policies/%2F/checked", &policy(&json!(7)));
    wrong.is(400);
    assert!(wrong.body.contains("list of interceptors"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_where_an_interceptor_is_away() {
    let (folder, broker, http) = broker_with(&["stamp"], "");
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    http.put("/policies/%2F/stamped", &policy(&json!("stamp")))
        .is(201);
    assert!(confirmed(&channel, "amq.topic", "k", b"x").await);
    let switch = |what: &str| http.post(&format!("/warren/plugins/stamp/{what}"), &json!({}));
    switch("disable").is(204);
    assert!(!confirmed(&channel, "amq.topic", "k", b"x").await);
    assert!(confirmed(&channel, "", "q", b"x").await, "no policy there");
    switch("enable").is(204);
    assert!(confirmed(&channel, "amq.topic", "k", b"x").await);
    std::fs::remove_file(folder.path().join("stamp.wasm")).expect("removes");
    soon("it is gone", DEADLINE, async || {
        !confirmed(&channel, "amq.topic", "k", b"x").await
    })
    .await;
    std::fs::copy(fixture("stamp.wasm"), folder.path().join("stamp.wasm")).expect("copies");
    soon("it is back", DEADLINE, async || {
        confirmed(&channel, "amq.topic", "k", b"x").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_configured_and_not_there_stops_messages_or_lets_them_pass() {
    let config = r#"
[plugins.absent]
intercepts = [{ vhost = "/", exchange = "amq.topic" }]
[plugins.missed]
intercepts = [{ vhost = "/", exchange = "amq.direct" }]
on_failure = "pass"
"#;
    let (folder, broker, _http) = broker_with(&[], config);
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    channel.bind("q", "amq.direct", "k").await;
    assert!(!confirmed(&channel, "amq.topic", "k", b"x").await);
    assert!(confirmed(&channel, "amq.direct", "k", b"x").await);
    assert_eq!(header(&channel, "q", "x-received-at").await, None);
    for name in ["absent", "missed"] {
        let file = folder.path().join(format!("{name}.wasm"));
        std::fs::copy(fixture("stamp.wasm"), file).expect("copies");
    }
    for exchange in ["amq.topic", "amq.direct"] {
        soon("it is asked", DEADLINE, async || {
            confirmed(&channel, exchange, "k", b"x").await
                && header(&channel, "q", "x-received-at").await.is_some()
        })
        .await;
    }
}

fn put(folder: &Path, component: &str) {
    let scratch = folder.join("front.wasm.new");
    std::fs::copy(fixture(component), &scratch).expect("copies");
    std::fs::rename(&scratch, folder.join("front.wasm")).expect("renames");
}

fn times(broker: &Broker, text: &str) -> usize {
    let lines = broker.log_lines();
    lines.iter().filter(|line| line.contains(text)).count()
}

/// Publishes until it is told to stop; every message must be confirmed. How many they were.
async fn publish_until(channel: Channel, mut stop: tokio::sync::oneshot::Receiver<()>) -> u32 {
    let mut published = 0;
    while stop.try_recv().is_err() {
        let confirm = channel
            .confirmed("amq.topic", "k", b"{}", persistent())
            .await;
        assert_eq!(confirm, Confirmation::Ack(None), "after {published}");
        published += 1;
    }
    published
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interceptor_is_replaced_while_messages_flow_and_none_passes_unseen() {
    let config = "[plugins.front]\nintercepts = [{ vhost = \"/\", exchange = \"amq.topic\" }]\n";
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "stamp.wasm");
    let broker = Broker::start(warren_tests::kit::Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..warren_tests::kit::Options::default().config(config)
    });
    let client = broker.connect().await;
    let channel = client.confirming().await;
    channel.queue("q", durable()).await;
    channel.bind("q", "amq.topic", "#").await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let publisher = tokio::spawn(publish_until(client.confirming().await, stopped));
    for (count, component) in ["gate.wasm", "stamp.wasm", "gate.wasm"].iter().enumerate() {
        put(folder.path(), component);
        soon("in force", DEADLINE, async || {
            times(&broker, "plugin in force") > count
        })
        .await;
    }
    put(folder.path(), "exports-nothing.wasm");
    soon("rolled back", DEADLINE, async || {
        times(&broker, "new version rolled back") > 0
    })
    .await;
    stop.send(()).expect("it publishes");
    let published = publisher.await.expect("all were confirmed");
    let (mut by_stamp, mut by_gate) = (0, 0);
    for _ in 0..published {
        let message = channel.get("q").await.expect("none is lost");
        let headers = message.delivery.properties.headers().clone();
        let headers = headers.expect("none passes unseen");
        by_stamp += u32::from(headers.inner().contains_key("x-received-at"));
        by_gate += u32::from(headers.inner().contains_key("x-length"));
    }
    assert_eq!(by_stamp + by_gate, published);
    assert!(by_stamp > 0 && by_gate > 0, "{by_stamp} and {by_gate}");
    assert_eq!(channel.count("q").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_comes_and_goes_while_messages_flow() {
    let (_folder, broker, http) = broker_with(&["stamp"], "");
    let client = broker.connect().await;
    let channel = client.confirming().await;
    queue(&channel, "q", "amq.topic").await;
    channel.queue("probe", Default::default()).await;
    channel.bind("probe", "amq.topic", "probe").await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let publisher = tokio::spawn(publish_until(client.confirming().await, stopped));
    for _ in 0..10 {
        for there in [true, false] {
            match there {
                true => http.put("/policies/%2F/stamped", &policy(&json!("stamp"))),
                false => http.delete("/policies/%2F/stamped"),
            };
            assert!(confirmed(&channel, "amq.topic", "probe", b"x").await);
            let stamped = header(&channel, "probe", "x-received-at").await;
            assert_eq!(stamped.is_some(), there);
        }
    }
    stop.send(()).expect("it publishes");
    publisher.await.expect("all were confirmed");
}
