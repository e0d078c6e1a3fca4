//! Components dropped into the plugin folder: good ones serve, bad ones hurt nobody but themselves.

use lapin::Confirmation;
use lapin::types::FieldTable;
use warren_tests::kit::{
    Broker, Channel, Client, DEADLINE, Options, Refused, fixture, headers, persistent, soon,
};

/// A broker with these fixtures as plugins. The folder lives as long as the first of the pair.
fn broker_with(names: &[&str], options: Options) -> (tempfile::TempDir, Broker) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        std::fs::copy(fixture(name), folder.path().join(name)).expect("a plugin");
    }
    let plugins_dir = Some(folder.path().to_owned());
    let broker = Broker::start(Options {
        plugins_dir,
        ..options
    });
    (folder, broker)
}

async fn declare(
    channel: &Channel,
    name: &str,
    kind: &str,
    table: FieldTable,
) -> Result<(), Refused> {
    let options = Default::default();
    channel.try_exchange(name, kind, options, table).await
}

/// An exchange that fails as asked for the routing key `bad`, with a queue bound.
async fn faulty(channel: &Channel, name: &str, fault: &str) {
    let table = headers([("x-fault", fault), ("x-fault-key", "bad")]);
    let declared = declare(channel, name, "x-fault", table).await;
    declared.expect("exchange.declare");
    channel.queue(name, Default::default()).await;
    channel.bind(name, name, "k").await;
}

async fn arrives(channel: &Channel, exchange: &str, key: &str) {
    let confirm = channel.confirmed(exchange, key, b"x", persistent()).await;
    assert_eq!(confirm, Confirmation::Ack(None), "{exchange} {key}");
    let queue = exchange;
    soon(exchange, DEADLINE, async || {
        channel.take(queue).await.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_in_the_folder_is_an_exchange_type() {
    let (_folder, mut broker) = broker_with(&["exact.wasm"], Options::default());
    let channel = broker.connect().await.confirming().await;
    let declared = declare(&channel, "x", "x-exact", FieldTable::default()).await;
    declared.expect("exchange.declare");
    for queue in ["a", "b"] {
        channel.queue(queue, Default::default()).await;
    }
    channel.bind("a", "x", "one").await;
    channel.bind("b", "x", "on").await;
    for (key, expected) in [("one", [1, 0]), ("on", [0, 1]), ("o", [0, 0])] {
        let confirm = channel.confirmed("x", key, b"x", persistent()).await;
        let returned = matches!(confirm, Confirmation::Ack(Some(_)));
        assert_eq!(returned, expected == [0, 0], "{key}");
        let found = [
            channel.drain("a").await.len(),
            channel.drain("b").await.len(),
        ];
        assert_eq!(found, expected, "{key}");
    }
    // A binding changed is a decision changed, also where the old one is remembered.
    let unbound = channel.queue_unbind("a".into(), "x".into(), "one".into(), FieldTable::default());
    unbound.await.expect("queue.unbind");
    let confirm = channel.confirmed("x", "one", b"x", persistent()).await;
    assert!(matches!(confirm, Confirmation::Ack(Some(_))));

    assert!(broker.stop().success());
    broker
        .options
        .set
        .push("plugins.exact.enabled=false".to_owned());
    broker.restart();
    let channel = broker.channel().await;
    let refused = declare(&channel, "x", "x-exact", FieldTable::default()).await;
    let text = "PRECONDITION_FAILED - unknown exchange type 'x-exact'";
    refused.expect_err("disabled").is(406, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_wrong_is_refused_with_the_key_and_the_one_before_stays() {
    let granted = "plugins.rate-limit.grants=[\"warren:plugin\"]";
    for (config, reason) in [
        (
            "{ rate = 0 }",
            "configuration key \"rate\" is from 1 to 1000000",
        ),
        (
            "{ rate = \"5\" }",
            "configuration key \"rate\" takes integer, not \"5\"",
        ),
        (
            "{ rat = 5 }",
            "configuration key \"rat\" is unknown; it knows rate",
        ),
    ] {
        let config = format!("plugins.rate-limit.config={config}");
        let options = Options::default().set(granted).set(config);
        let (_folder, broker) = broker_with(&["rate-limit.wasm"], options);
        let channel = broker.channel().await;
        let declared = declare(&channel, "x", "x-rate-limit", FieldTable::default());
        declared.await.expect_err("refused");
        let lines = broker.log_lines().concat().replace('\\', "");
        assert!(lines.contains(reason), "{lines}");
    }
    let options = Options::default()
        .set(granted)
        .set("plugins.rate-limit.config={ rate = 2 }");
    let (_folder, broker) = broker_with(&["rate-limit.wasm"], options);
    let channel = broker.connect().await.confirming().await;
    let declared = declare(&channel, "x", "x-rate-limit", FieldTable::default());
    declared.await.expect("exchange.declare");
    channel.queue("q", Default::default()).await;
    channel.bind("q", "x", "").await;
    let begun = std::time::Instant::now();
    for body in [b"1", b"2", b"3"] {
        let confirm = channel.confirmed("x", "", body, persistent()).await;
        assert_eq!(confirm, Confirmation::Ack(None));
    }
    soon("all have their turn", DEADLINE, async || {
        channel.count("q").await == 3
    })
    .await;
    assert!(begun.elapsed().as_millis() >= 1_000, "two a second");
    assert_eq!(channel.drain("q").await, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_type_can_be_disabled() {
    let broker = Broker::start(Options::default().set("plugins.topic.enabled=false"));
    let client = broker.connect().await;
    let channel = client.channel().await;
    let refused = declare(&channel, "x", "topic", FieldTable::default()).await;
    let text = "PRECONDITION_FAILED - unknown exchange type 'topic'";
    refused.expect_err("disabled").is(406, text);
    let confirming = client.confirming().await;
    let confirm = confirming.confirmed("amq.topic", "k", b"x", persistent());
    assert!(confirm.await.is_nack());
    confirming.queue("q", Default::default()).await;
    confirming.bind("q", "amq.direct", "k").await;
    confirming
        .confirmed("amq.direct", "k", b"x", persistent())
        .await;
    assert_eq!(confirming.drain("q").await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_components_are_reported_and_the_broker_starts() {
    let bad = [
        "imports-unknown",
        "other-version",
        "core-module",
        "imports-sockets",
        "truncated",
        "exports-nothing",
    ];
    let mut files: Vec<String> = bad.iter().map(|name| format!("{name}.wasm")).collect();
    files.push("exact.wasm".to_owned());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (folder, mut broker) = broker_with(&files, Options::default());
    let lines = broker.log_lines();
    for name in bad {
        let about = |line: &&String| line.contains("refused") && line.contains(name);
        let found = lines.iter().filter(about).count();
        assert!(found > 0, "nothing about {name} in {lines:#?}");
        assert_eq!(found, 1, "{name} is reported once");
    }
    let channel = broker.channel().await;
    let declared = declare(&channel, "x", "x-exact", FieldTable::default()).await;
    declared.expect("its good neighbour serves");
    // Two plugins with one type: the second is refused, naming both.
    assert!(broker.stop().success());
    let again = folder.path().join("second.wasm");
    std::fs::copy(fixture("exact.wasm"), again).expect("a plugin");
    broker.restart();
    let lines = broker.log_lines();
    let both = |line: &String| line.contains("\"second\"") && line.contains("exact");
    assert!(lines.iter().any(both), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_costs_the_publish_and_no_other() {
    let (_folder, broker) = broker_with(&["fault.wasm"], Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    faulty(&channel, "neighbour", "none").await;
    for fault in ["trap", "loop", "memory", "huge-result"] {
        faulty(&channel, fault, fault).await;
        arrives(&channel, fault, "good").await;
        // Without confirms the channel hears of it, and only that one.
        let publisher = Client::connect(&broker.url()).await;
        let plain = publisher.channel().await;
        let witness = publisher.channel().await;
        plain.publish(fault, "bad", b"x").await;
        let expected = format!("INTERNAL_ERROR - exchange '{fault}' could not route the message");
        publisher.refusal().await.is(541, &expected);
        witness.fence().await;
        let confirm = channel.confirmed(fault, "bad", b"x", persistent()).await;
        assert!(confirm.is_nack(), "{fault}");
        arrives(&channel, "neighbour", "bad").await;
        assert_eq!(channel.count(fault).await, 0, "{fault}");
    }
    broker.logs("plugin fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_strikes_open_the_breaker_and_a_good_call_closes_it() {
    let (_folder, broker) = broker_with(&["fault.wasm"], Options::default());
    let channel = broker.connect().await.confirming().await;
    faulty(&channel, "x", "trap").await;
    faulty(&channel, "neighbour", "none").await;
    for _ in 0..3 {
        let confirm = channel.confirmed("x", "bad", b"x", persistent()).await;
        assert!(confirm.is_nack());
    }
    broker.logs("circuit_opened=true");
    // Open: a message that would fare well is not tried either.
    let confirm = channel.confirmed("x", "good", b"x", persistent()).await;
    assert!(confirm.is_nack());
    arrives(&channel, "neighbour", "k").await;
    soon("the breaker closes", DEADLINE, async || {
        let confirm = channel.confirmed("x", "good", b"x", persistent()).await;
        confirm.is_ack()
    })
    .await;
    broker.logs("exchange works again");
    assert_eq!(channel.drain("x").await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_of_a_plugin_are_taken_for_what_they_are() {
    let (_folder, broker) = broker_with(&["fault.wasm"], Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    // Unknown slots are dropped, a hold until now is over at once, slowness and noise are borne.
    for fault in ["unknown-slots", "hold-now", "slow-4ms", "log-flood"] {
        faulty(&channel, fault, fault).await;
        for _ in 0..3 {
            arrives(&channel, fault, "bad").await;
        }
    }
    let flood = broker.log_lines();
    let flood = flood.iter().filter(|line| line.contains("flood flood"));
    let octets: usize = flood.map(String::len).sum();
    assert!(octets < 1 << 20, "{octets} octets of log");
    faulty(&channel, "reject", "reject").await;
    let confirm = channel.confirmed("reject", "bad", b"x", persistent()).await;
    assert!(confirm.is_nack());
    let plain = client.channel().await;
    plain.publish("reject", "bad", b"x").await;
    let refused = client.refusal().await;
    refused.is(406, "PRECONDITION_FAILED - rejected on purpose");
    arrives(&channel, "reject", "good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_to_open_or_bind_refuses_the_declaration() {
    let (_folder, broker) = broker_with(&["fault.wasm"], Options::default());
    let client = broker.connect().await;
    let witness = client.confirming().await;
    let channel = client.channel().await;
    let refused = declare(
        &channel,
        "x",
        "x-fault",
        headers([("x-fault", "trap-in-open")]),
    );
    assert_eq!(refused.await.expect_err("it trapped").code, 541);
    let channel = client.channel().await;
    let refused = declare(&channel, "x", "x-fault", headers([("x-fault", "typo")])).await;
    let text = "PRECONDITION_FAILED - no fault is named 'typo'";
    refused.expect_err("it said no").is(406, text);

    faulty(&witness, "x", "trap-in-bind").await;
    let channel = client.channel().await;
    let refused = channel
        .try_bind("x", "x", "bad", FieldTable::default())
        .await;
    assert_eq!(refused.expect_err("it trapped").code, 541);
    // The bindings from before are still there.
    arrives(&witness, "x", "any").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consistent_hash_keeps_together_what_belongs_together() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    let both = headers([("hash-header", "h"), ("hash-property", "message_id")]);
    let refused = declare(&client.channel().await, "x", "x-consistent-hash", both).await;
    let text = "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive";
    refused.expect_err("both").is(406, text);
    let by_header = headers([("hash-header", "tenant")]);
    let declared = declare(&channel, "x", "x-consistent-hash", by_header).await;
    declared.expect("exchange.declare");
    for queue in ["a", "b", "c"] {
        channel.queue(queue, Default::default()).await;
        channel.bind(queue, "x", "1").await;
    }
    let plain = client.channel().await;
    let refused = plain.try_bind("a", "x", "heavy", FieldTable::default());
    let text = "PRECONDITION_FAILED - The binding key must be an integer: <<\"heavy\">>";
    refused.await.expect_err("no weight").is(406, text);
    for round in 0..3 {
        for tenant in 0..30 {
            let headers = headers([("tenant", format!("t{tenant}").as_str())]);
            let properties = persistent().with_headers(headers);
            let body = format!("{tenant}");
            let key = format!("key-{round}");
            let confirm = channel.confirmed("x", &key, body.as_bytes(), properties);
            assert_eq!(confirm.await, Confirmation::Ack(None));
        }
    }
    let mut tenants = 0;
    for queue in ["a", "b", "c"] {
        let mut bodies = channel.drain(queue).await;
        assert!(!bodies.is_empty(), "{queue} got its share");
        bodies.sort();
        for tenant in bodies.chunk_by(|one, other| one == other) {
            assert_eq!(tenant.len(), 3, "all of a tenant in one queue");
            tenants += 1;
        }
    }
    assert_eq!(tenants, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_gives_each_message_to_one_queue() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    for kind in ["x-random", "x-local-random", "x-modulus-hash"] {
        let declared = declare(&channel, kind, kind, FieldTable::default()).await;
        declared.expect("exchange.declare");
        let queues = ["1", "2"].map(|number| format!("{kind}-{number}"));
        for queue in &queues {
            channel.queue(queue, Default::default()).await;
            channel.bind(queue, kind, queue).await;
        }
        for number in 0..64 {
            let key = number.to_string();
            let confirm = channel.confirmed(kind, &key, b"x", persistent()).await;
            assert_eq!(confirm, Confirmation::Ack(None));
        }
        let first = channel.drain(&queues[0]).await.len();
        let second = channel.drain(&queues[1]).await.len();
        assert_eq!(first + second, 64);
        // By chance this fails once in 2^63 runs.
        assert!(first > 0 && second > 0, "{kind}: {first} and {second}");
    }
}

#[tokio::test]
async fn what_compiling_takes_of_memory_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || {
        let data_dir = Some(folder.path().to_owned());
        let broker = Broker::start(Options {
            data_dir,
            ..Options::default()
        });
        broker.anonymous_memory()
    };
    let (compiled, found) = (start(), start());
    assert!(compiled < found + (4 << 20), "{compiled} then {found}");
}

#[tokio::test]
async fn a_file_that_is_no_component_is_refused_with_the_compilers_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut broken = std::fs::read(fixture("exact.wasm")).expect("a plugin");
    // The contract still reads; the code inside does not.
    let half = broken.len() / 2;
    let until = broken.len().min(half + 64);
    broken[half..until].fill(0xff);
    std::fs::write(folder.path().join("broken.wasm"), broken).expect("a plugin");
    let broker = Broker::start(Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..Options::default()
    });
    broker.logs("it cannot be compiled");
}
