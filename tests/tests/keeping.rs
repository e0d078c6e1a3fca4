//! What exchanges keep for their types: recent history and deduplication through a client, over
//! restarts and crashes, and the limits of what may be kept.

use std::path::Path;

use lapin::Confirmation;
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use warren_tests::kit::{Broker, Channel, DEADLINE, Options, durable, headers, persistent, soon};

const DEDUPLICATION: &str = "x-message-deduplication";
const HISTORY: &str = "x-recent-history";

fn table(fields: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn kept() -> ExchangeDeclareOptions {
    ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    }
}

async fn declare(channel: &Channel, name: &str, kind: &str, arguments: FieldTable) {
    let declared = channel.try_exchange(name, kind, kept(), arguments);
    declared.await.expect("exchange.declare");
}

/// Whether it was routed.
async fn passes(channel: &Channel, exchange: &str, id: &str) -> bool {
    let properties = persistent().with_headers(headers([("x-deduplication-header", id)]));
    let confirm = channel.confirmed(exchange, "k", id.as_bytes(), properties);
    matches!(confirm.await, Confirmation::Ack(None))
}

async fn deduplicating(channel: &Channel, persistence: &str) {
    let arguments = [
        ("x-cache-size", AMQPValue::LongInt(1_000_000)),
        ("x-cache-persistence", text(persistence)),
    ];
    declare(channel, persistence, DEDUPLICATION, table(&arguments)).await;
    channel.queue("q", durable()).await;
    channel.bind("q", persistence, "any").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_bound_later_gets_the_last_messages_in_order() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let three = table(&[("x-recent-history-length", AMQPValue::LongInt(3))]);
    declare(&channel, "history", HISTORY, three).await;
    for body in ["1", "2", "3", "4"] {
        let message = channel.confirmed("history", "k", body.as_bytes(), persistent());
        message.await;
    }
    let secret = persistent().with_headers(table(&[(
        "x-recent-history-no-store",
        AMQPValue::Boolean(true),
    )]));
    channel.confirmed("history", "k", b"secret", secret).await;
    channel.queue("late", durable()).await;
    channel.bind("late", "history", "").await;
    soon("the replay", DEADLINE, async || {
        channel.count("late").await == 3
    })
    .await;
    assert_eq!(channel.drain("late").await, ["2", "3", "4"]);
    // The same binding again is no new one.
    channel.bind("late", "history", "").await;
    channel.confirmed("history", "k", b"5", persistent()).await;
    assert_eq!(channel.drain("late").await, ["5"]);
    // Through another exchange: what that one does with them.
    channel
        .exchange("behind", "direct", ExchangeDeclareOptions::default())
        .await;
    channel.queue("hit", durable()).await;
    channel.bind("hit", "behind", "k").await;
    let options = ExchangeBindOptions::default();
    let bound = channel.exchange_bind(
        "behind".into(),
        "history".into(),
        "".into(),
        options,
        FieldTable::default(),
    );
    bound.await.expect("exchange.bind");
    soon("the replay", DEADLINE, async || {
        channel.count("hit").await == 3
    })
    .await;
    assert_eq!(channel.drain("hit").await, ["3", "4", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_message_is_kept_once() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    declare(&channel, "history", HISTORY, FieldTable::default()).await;
    let keys = vec![text("a"), text("b")];
    let copies = table(&[("CC", AMQPValue::FieldArray(keys.into()))]);
    let message = persistent().with_headers(copies);
    channel.confirmed("history", "k", b"one", message).await;
    channel.queue("late", durable()).await;
    channel.bind("late", "history", "").await;
    soon("the replay", DEADLINE, async || {
        channel.count("late").await > 0
    })
    .await;
    assert_eq!(channel.drain("late").await, ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_argument_is_refused_in_rabbitmq_s_words() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let zero = table(&[("x-recent-history-length", AMQPValue::LongInt(0))]);
    for (kind, arguments, expected) in [
        (
            HISTORY,
            zero,
            "Invalid argument 0, 'x-recent-history-length' must be a positive integer",
        ),
        (
            DEDUPLICATION,
            FieldTable::default(),
            "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
        ),
    ] {
        let channel = client.channel().await;
        let refused = channel.try_exchange("x", kind, kept(), arguments).await;
        let expected = format!("PRECONDITION_FAILED - {expected}");
        refused.expect_err("refused").is(406, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_not_routed_and_that_outlives_a_restart_where_it_is_asked_for() {
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    for exchange in ["disk", "memory"] {
        deduplicating(&channel, exchange).await;
        for id in ["a", "b"] {
            assert!(passes(&channel, exchange, id).await);
            assert!(!passes(&channel, exchange, id).await);
        }
    }
    assert!(broker.stop().success());
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    assert!(!passes(&channel, "disk", "a").await && !passes(&channel, "disk", "b").await);
    assert!(passes(&channel, "disk", "c").await);
    assert!(passes(&channel, "memory", "a").await);
    // With the exchange goes what it knew.
    let gone = channel.exchange_delete("disk".into(), ExchangeDeleteOptions::default());
    gone.await.expect("exchange.delete");
    deduplicating(&channel, "disk").await;
    assert!(passes(&channel, "disk", "a").await);
    assert!(broker.stop().success());
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    assert!(!passes(&channel, "disk", "a").await);
    assert!(passes(&channel, "disk", "c").await, "of the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_a_crash_is_known_after_it() {
    let mut broker = Broker::start(Options::default().managed());
    let channel = broker.connect().await.confirming().await;
    deduplicating(&channel, "disk").await;
    assert!(passes(&channel, "disk", "old").await);
    // What comes a second later has the first one on the disk before it.
    let begun = std::time::Instant::now();
    let mut number = 0;
    while begun.elapsed() < std::time::Duration::from_secs(1) {
        number += 1;
        assert!(passes(&channel, "disk", &number.to_string()).await);
    }
    broker.kill();
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    assert!(!passes(&channel, "disk", "old").await);
    // And nothing is known that was lost: each of them is in the queue, or passes again.
    let mut bodies = channel.drain("q").await;
    for id in 1..=number {
        let id = id.to_string();
        if passes(&channel, "disk", &id).await {
            bodies.push(id);
        }
    }
    for id in 1..=number {
        let length = bodies.len();
        assert!(
            bodies.contains(&id.to_string()),
            "{id} of {number} is lost, {length} are there"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_survives_the_plugin_s_going_and_coming() {
    let broker = Broker::start(Options::default().managed());
    let channel = broker.connect().await.confirming().await;
    deduplicating(&channel, "memory").await;
    assert!(passes(&channel, "memory", "a").await);
    let http = broker.http();
    for (verb, works) in [("disable", false), ("enable", true), ("reload", true)] {
        let path = format!("/warren/plugins/message-deduplication/{verb}");
        http.post(&path, &serde_json::Value::Null).is(204);
        if works {
            assert!(!passes(&channel, "memory", "a").await, "{verb}");
        }
    }
}

/// The built-in one as if it were a user's.
fn as_a_user_s_plugin() -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let builtin = tests.join("../broker/builtin/message-deduplication.wasm");
    std::fs::copy(builtin, folder.path().join("keeps.wasm")).expect("a plugin");
    let options = Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..Options::default()
    };
    let options = options.set("plugins.message-deduplication.enabled=false");
    (folder, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_plugin_keeps_nothing_without_a_grant() {
    let (_folder, options) = as_a_user_s_plugin();
    let mut broker = Broker::start(options);
    broker.logs("it imports warren:plugin/state@0.1.0, which was not granted");
    let size = || table(&[("x-cache-size", AMQPValue::LongInt(5))]);
    let channel = broker.channel().await;
    let refused = channel.try_exchange("x", DEDUPLICATION, kept(), size());
    let text = "PRECONDITION_FAILED - unknown exchange type 'x-message-deduplication'";
    refused.await.expect_err("refused").is(406, text);
    broker.stop();
    let grant = "plugins.keeps.grants=[\"warren:plugin/state\"]";
    broker.options.set.push(grant.to_owned());
    broker.restart();
    let channel = broker.channel().await;
    declare(&channel, "x", DEDUPLICATION, size()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_grows_ends_at_the_plugin_s_limit() {
    let limit = "plugins.message-deduplication.state_keys=20";
    let broker = Broker::start(Options::default().set(limit).managed());
    let channel = broker.connect().await.confirming().await;
    deduplicating(&channel, "disk").await;
    for id in 0..30 {
        assert!(passes(&channel, "disk", &id.to_string()).await);
    }
    // Two keys for each of ten; what came then is not known.
    assert!(!passes(&channel, "disk", "9").await);
    assert!(passes(&channel, "disk", "10").await);
    broker.logs("a message is not remembered: the plugin has its 20 keys (state_keys)");
    let shown = broker.http().json("/warren/plugins/message-deduplication");
    assert_eq!(shown["state_keys"], 20);
    assert_eq!(shown["limits"]["state_keys"], 20);
    assert_eq!(shown["state_refused"], 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_s_exchanges_and_bindings_are_counted_and_limited() {
    let options = Options::default()
        .set("plugins.random.max_exchanges=2")
        .set("plugins.random.max_bindings=3")
        .managed();
    let mut broker = Broker::start(options);
    let client = broker.connect().await;
    let channel = client.channel().await;
    channel.queue("q", durable()).await;
    for name in ["a", "b"] {
        declare(&channel, name, "x-random", FieldTable::default()).await;
    }
    let third = channel.try_exchange("c", "x-random", kept(), FieldTable::default());
    let text = "PRECONDITION_FAILED - limit of 2 exchanges of plugin 'random' is reached \
                (max_exchanges)";
    third.await.expect_err("refused").is(406, text);
    let channel = client.channel().await;
    // What is there may be declared and bound again.
    declare(&channel, "a", "x-random", FieldTable::default()).await;
    for (exchange, key) in [("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")] {
        channel.bind("q", exchange, key).await;
    }
    let fourth = channel.try_bind("q", "b", "2", FieldTable::default());
    let text = "PRECONDITION_FAILED - limit of 3 bindings of plugin 'random' is reached \
                (max_bindings)";
    fourth.await.expect_err("refused").is(406, text);
    let shown = |broker: &Broker| {
        let shown = broker.http().json("/warren/plugins/random");
        (shown["exchanges"].clone(), shown["bindings"].clone())
    };
    assert_eq!(shown(&broker), (2.into(), 3.into()));
    broker.stop();
    broker.restart();
    assert_eq!(shown(&broker), (2.into(), 3.into()));
    let channel = broker.channel().await;
    let gone = channel.exchange_delete("a".into(), ExchangeDeleteOptions::default());
    gone.await.expect("exchange.delete");
    assert_eq!(shown(&broker), (1.into(), 1.into()));
    declare(&channel, "c", "x-random", FieldTable::default()).await;
    channel.bind("q", "c", "1").await;
}
