//! What outlives the process, by a clean stop and by a kill, and what must not.

mod streams;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use warren_tests::kit::{
    Broker, Channel, DEADLINE, Options, durable, eventually, fixture, headers, persistent, soon,
    text, transient,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stop,
    Kill,
}

const ENDS: [End; 2] = [End::Stop, End::Kill];

#[track_caller]
fn again(broker: &mut Broker, end: End) {
    match end {
        End::Stop => assert!(broker.stop().success()),
        End::Kill => broker.kill(),
    }
    broker.restart();
}

fn durable_exchange() -> ExchangeDeclareOptions {
    ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    }
}

async fn publish_all(channel: &Channel, queue: &str, bodies: &[&str]) {
    for body in bodies {
        let confirm = channel.confirmed("", queue, body.as_bytes(), persistent());
        assert_eq!(confirm.await, Confirmation::Ack(None));
    }
}

/// Bodies with their flags; all are left unacked.
async fn flagged(channel: &Channel, queue: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    while let Some(message) = channel.get(queue).await {
        found.push((text(&message.delivery), message.redelivered));
    }
    found
}

fn pairs(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    let owned = expected
        .iter()
        .map(|(body, flag)| (body.to_string(), *flag));
    owned.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_definitions_survive_and_the_others_vanish() {
    let mut broker = Broker::start(Options::default());
    let mut arguments = headers([("x-queue-type", "classic")]);
    arguments.insert("x-own".into(), AMQPValue::LongInt(7));
    for end in ENDS {
        let channel = broker.connect().await.confirming().await;
        let declared = channel.try_queue("kept", durable(), arguments.clone());
        declared.await.expect("queue.declare");
        channel.queue("light", Default::default()).await;
        let exclusive = QueueDeclareOptions {
            durable: true,
            exclusive: true,
            ..Default::default()
        };
        channel.queue("mine", exclusive).await;
        channel
            .exchange("topics", "topic", durable_exchange())
            .await;
        channel
            .exchange("match", "headers", durable_exchange())
            .await;
        channel.exchange("thin", "fanout", Default::default()).await;
        let bound = channel.exchange_bind(
            "match".into(),
            "topics".into(),
            "*.red".into(),
            Default::default(),
            FieldTable::default(),
        );
        bound.await.expect("exchange.bind");
        let bound = channel.try_bind("kept", "match", "", headers([("size", "a4")]));
        bound.await.expect("queue.bind");
        channel.bind("light", "topics", "#").await;
        channel.bind("kept", "thin", "").await;
        channel.confirmed("", "light", b"x", persistent()).await;
        drop(channel);

        again(&mut broker, end);
        let client = broker.connect().await;
        let channel = client.confirming().await;
        // Declaring again is the comparison with what was declared.
        let declared = channel.try_queue("kept", durable(), arguments.clone());
        declared.await.expect("the same queue");
        channel
            .exchange("topics", "topic", durable_exchange())
            .await;
        channel
            .exchange("match", "headers", durable_exchange())
            .await;
        for queue in ["light", "mine"] {
            let gone = client.channel().await.counts(queue).await;
            assert_eq!(
                gone.expect_err("it is gone").code,
                404,
                "{queue} after {end:?}"
            );
        }
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let gone = client.channel().await;
        let gone = gone.try_exchange("thin", "fanout", passive, FieldTable::default());
        assert_eq!(gone.await.expect_err("it is gone").code, 404);
        let fits = transient().with_headers(headers([("size", "a4")]));
        channel
            .confirmed("topics", "rose.red", b"x", fits.clone())
            .await;
        channel.confirmed("topics", "rose.blue", b"x", fits).await;
        channel
            .confirmed("topics", "rose.red", b"x", transient())
            .await;
        assert_eq!(channel.drain("kept").await, ["x"], "after {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_or_unbound_or_purged_stays_so_after_a_kill() {
    let mut broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    for queue in ["gone", "purged", "unbound"] {
        channel.queue(queue, durable()).await;
        channel.bind(queue, "amq.direct", queue).await;
        publish_all(&channel, queue, &["a", "b", "c"]).await;
    }
    channel.exchange("gone", "fanout", durable_exchange()).await;
    let large = vec![1; 100_000];
    channel.confirmed("", "purged", &large, persistent()).await;
    let deleted = channel
        .queue_delete("gone".into(), Default::default())
        .await;
    assert_eq!(deleted.expect("queue.delete"), 3);
    let deleted = channel.exchange_delete("gone".into(), Default::default());
    deleted.await.expect("exchange.delete");
    let unbound = channel.queue_unbind(
        "unbound".into(),
        "amq.direct".into(),
        "unbound".into(),
        FieldTable::default(),
    );
    unbound.await.expect("queue.unbind");
    let purged = channel
        .queue_purge("purged".into(), Default::default())
        .await;
    assert_eq!(purged.expect("queue.purge"), 4);
    broker.kill();
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    assert_eq!(channel.count("purged").await, 0);
    channel.queue("gone", durable()).await;
    assert_eq!(channel.count("gone").await, 0);
    for key in ["gone", "unbound"] {
        let confirm = channel
            .confirmed("amq.direct", key, b"x", persistent())
            .await;
        let returned = matches!(confirm, Confirmation::Ack(Some(_)));
        assert!(returned, "{key} is bound no more: {confirm:?}");
    }
    // Another type under the old name.
    channel.exchange("gone", "direct", durable_exchange()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unacked_messages_come_back_in_order_and_transient_ones_do_not() {
    for end in ENDS {
        let mut broker = Broker::start(Options::default());
        let channel = broker.connect().await.confirming().await;
        channel.queue("q", durable()).await;
        publish_all(&channel, "q", &["1", "2"]).await;
        channel.confirmed("", "q", b"transient", transient()).await;
        publish_all(&channel, "q", &["3", "4", "5"]).await;
        let first = channel.get("q").await.expect("the first");
        let _second = channel.get("q").await.expect("the second");
        let _transient = channel.get("q").await.expect("the transient one");
        channel.ack(first.delivery_tag, false).await;
        channel.fence().await;
        drop(channel);
        again(&mut broker, end);
        let found = flagged(&broker.channel().await, "q").await;
        let delivered = |flag| pairs(&[("2", true), ("3", flag), ("4", flag), ("5", flag)]);
        match end {
            End::Stop => assert_eq!(found, delivered(false)),
            // Nobody has written down who was given what: all are suspect. The acknowledgement may
            // have been too late for the disk.
            End::Kill => {
                let known: Vec<_> = found.iter().filter(|(body, _)| body != "1").collect();
                assert!(known.into_iter().eq(&delivered(true)), "{found:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_messages_outlive_a_kill_under_load() {
    const ENOUGH: usize = 3000;
    let mut broker = Broker::start(Options::default());
    let channel = broker.channel().await;
    channel.queue("q", durable()).await;
    channel.queue("twin", durable()).await;
    for queue in ["q", "twin"] {
        channel.bind(queue, "amq.fanout", "").await;
    }
    let mut confirmed: BTreeSet<u32> = BTreeSet::new();
    for round in 0..3_u32 {
        let channel = broker.connect().await.confirming().await;
        let (sender, mut pending) = tokio::sync::mpsc::channel(1000);
        // Publishes until the broker is gone.
        let publisher = tokio::spawn(async move {
            for number in round * 1_000_000.. {
                let size = if number % 100 == 0 { 50_000 } else { 200 };
                let mut body = number.to_be_bytes().to_vec();
                body.resize(size, 0);
                let options = BasicPublishOptions::default();
                let (exchange, key) = ("amq.fanout".into(), "".into());
                let sent = channel.basic_publish(exchange, key, options, &body, persistent());
                let Ok(confirm) = sent.await else { return };
                if sender.send((number, confirm)).await.is_err() {
                    return;
                }
            }
        });
        let mut count = 0;
        while let Some((number, confirm)) = pending.recv().await {
            if let Ok(Confirmation::Ack(None)) = confirm.await {
                confirmed.insert(number);
                count += 1;
            }
            if count == ENOUGH {
                broker.kill();
            }
        }
        publisher.await.expect("the publisher");
        assert!(count >= ENOUGH);
        broker.restart();
    }
    for queue in ["q", "twin"] {
        let client = broker.connect().await;
        let channel = client.channel().await;
        let waiting = channel.count(queue).await;
        let mut deliveries = channel.consume_no_ack(queue).await;
        let mut found = Vec::new();
        for _ in 0..waiting {
            let delivery = deliveries.next().await;
            assert!(delivery.redelivered);
            let number = delivery.data.get(..4).and_then(|head| head.try_into().ok());
            found.push(u32::from_be_bytes(number.expect("a number")));
        }
        assert!(found.is_sorted_by(|a, b| a < b), "in order and once");
        let found: BTreeSet<u32> = found.into_iter().collect();
        let lost: Vec<_> = confirmed.difference(&found).take(10).collect();
        assert!(lost.is_empty(), "{queue} lost {lost:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_done_when_the_client_hears_so() {
    let mut broker = Broker::start(Options::default());
    let channel = broker.channel().await;
    channel.queue("q", durable()).await;
    for round in 0..5 {
        let channel = broker.connect().await.confirming().await;
        publish_all(&channel, "q", &["a", "b", "c", "held"]).await;
        let first = channel.get("q").await.expect("a message");
        let purged = channel.queue_purge("q".into(), Default::default()).await;
        // Killed between the answer and whatever else the broker has in mind.
        broker.kill();
        assert_eq!(purged.expect("queue.purge"), 3, "round {round}");
        broker.restart();
        let channel = broker.channel().await;
        assert_eq!(text(&first.delivery), "a");
        assert_eq!(
            channel.drain("q").await,
            ["a"],
            "round {round}: only what was unacked"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_backlog_on_disk_stays_purged_and_its_unacked_stay() {
    const COUNT: u32 = 12_000;
    let body = |number: u32| format!("{number:0600}").into_bytes();
    for end in ENDS {
        let mut broker = Broker::start(Options::default());
        let channel = broker.connect().await.confirming().await;
        channel.queue("q", durable()).await;
        channel.fill("q", (0..COUNT).map(body)).await;
        for _ in 0..2 {
            assert!(channel.get("q").await.is_some());
        }
        let purged = channel.queue_purge("q".into(), Default::default()).await;
        assert_eq!(purged.expect("queue.purge"), COUNT - 2);
        // What is confirmed after the purge was written after it.
        channel.fill("q", [body(COUNT)]).await;
        drop(channel);
        again(&mut broker, end);
        let found = flagged(&broker.channel().await, "q").await;
        let numbers: Vec<u32> = found
            .iter()
            .filter_map(|(text, _)| text.parse().ok())
            .collect();
        assert_eq!(numbers, [0, 1, COUNT], "after {end:?}");
        assert!(found.iter().take(2).all(|(_, redelivered)| *redelivered));
    }
}

async fn delayed_exchange(channel: &Channel) {
    let arguments = headers([("x-delayed-type", "direct")]);
    let declared =
        channel.try_exchange("later", "x-delayed-message", durable_exchange(), arguments);
    declared.await.expect("exchange.declare");
    channel.queue("q", durable()).await;
    channel.bind("q", "later", "k").await;
}

fn delayed(milliseconds: i32) -> BasicProperties {
    let mut table = FieldTable::default();
    table.insert("x-delay".into(), AMQPValue::LongInt(milliseconds));
    persistent().with_headers(table)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_message_keeps_its_time_over_a_restart() {
    const DELAY: Duration = Duration::from_millis(4000);
    for end in ENDS {
        let mut broker = Broker::start(Options::default());
        let channel = broker.connect().await.confirming().await;
        delayed_exchange(&channel).await;
        let before = Instant::now();
        for (delay, body) in [(DELAY.as_millis() as i32, "late"), (50, "soon")] {
            let body = body.as_bytes();
            channel.confirmed("later", "k", body, delayed(delay)).await;
        }
        let latest = Instant::now() + DELAY;
        drop(channel);
        again(&mut broker, end);
        let mut deliveries = broker.channel().await.consume_no_ack("q").await;
        // Its time came while the broker was down, or has just come.
        assert_eq!(deliveries.next_text().await, "soon");
        assert!(before.elapsed() < DELAY, "too slow a machine for this test");
        assert_eq!(deliveries.next_text().await, "late");
        assert!(before.elapsed() >= DELAY, "early: {:?}", before.elapsed());
        let late = Instant::now().saturating_duration_since(latest);
        assert!(late < Duration::from_millis(1500), "late by {late:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_messages_are_released_once_however_often_the_broker_dies() {
    const COUNT: u32 = 300;
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    delayed_exchange(&channel).await;
    let mut last = None;
    for number in 0..COUNT {
        let body = number.to_string();
        // Spread over the time in which the kills happen.
        let properties = delayed(300 + 5 * number as i32);
        let options = BasicPublishOptions::default();
        let (exchange, key) = ("later".into(), "k".into());
        let sent = channel.basic_publish(exchange, key, options, body.as_bytes(), properties);
        last = Some(sent.await.expect("basic.publish"));
    }
    assert!(last.expect("one").await.expect("a confirm").is_ack());
    for released in [1, COUNT / 3, 2 * COUNT / 3] {
        let channel = broker.channel().await;
        soon("some are released", DEADLINE, async || {
            channel.count("q").await >= released
        })
        .await;
        broker.kill();
        broker.restart();
    }
    let channel = broker.channel().await;
    soon("all are released", DEADLINE, async || {
        channel.count("q").await >= COUNT
    })
    .await;
    let mut found: Vec<u32> = Vec::new();
    for body in channel.drain("q").await {
        found.push(body.parse().expect("a number"));
    }
    found.sort_unstable();
    assert!(found.iter().copied().eq(0..COUNT), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_whole_or_absent_after_a_kill() {
    const COUNT: u32 = 400;
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    for queue in ["in", "out"] {
        channel.queue(queue, durable()).await;
    }
    for number in 0..COUNT {
        // Some bodies are kept apart from the queue's rows.
        let mut body = number.to_be_bytes().to_vec();
        body.resize(if number % 10 == 0 { 40_000 } else { 100 }, 0);
        channel.confirmed("", "in", &body, persistent()).await;
    }
    for round in 1..=3 {
        let channel = broker.channel().await;
        let (sender, mut commits) = tokio::sync::mpsc::unbounded_channel();
        let mover = tokio::spawn(async move {
            channel.tx_select().await.expect("tx.select");
            let options = BasicGetOptions { no_ack: false };
            while let Ok(Some(job)) = channel.basic_get("in".into(), options).await {
                let body = &job.data;
                let publish = BasicPublishOptions::default();
                let sent =
                    channel.basic_publish("".into(), "out".into(), publish, body, persistent());
                let acked = BasicAckOptions { multiple: false };
                if sent.await.is_err() || channel.basic_ack(job.delivery_tag, acked).await.is_err()
                {
                    return;
                }
                if channel.tx_commit().await.is_err() || sender.send(()).is_err() {
                    return;
                }
            }
        });
        for _ in 0..50 {
            commits.recv().await.expect("a commit");
        }
        broker.kill();
        mover.await.expect("the mover");
        let mut done = 50;
        while commits.recv().await.is_some() {
            done += 1;
        }
        broker.restart();
        let channel = broker.channel().await;
        let (left, moved) = (channel.count("in").await, channel.count("out").await);
        assert_eq!(left + moved, COUNT, "round {round}");
        assert!(
            moved >= done,
            "{done} commits of round {round}, {moved} moved"
        );
    }
    let channel = broker.channel().await;
    let mut found = Vec::new();
    for queue in ["in", "out"] {
        while let Some(message) = channel.get(queue).await {
            let number = message.data.get(..4).and_then(|head| head.try_into().ok());
            let number = u32::from_be_bytes(number.expect("a number"));
            let size = if number % 10 == 0 { 40_000 } else { 100 };
            assert_eq!(message.data.len(), size, "{number} in {queue}");
            found.push(number);
        }
    }
    found.sort_unstable();
    assert!(found.iter().copied().eq(0..COUNT), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_waits_for_its_plugin_over_restarts() {
    let mut broker = Broker::start(Options::default());
    let put = |broker: &Broker| {
        let file = broker.plugins_dir().join("exact.wasm");
        std::fs::copy(fixture("exact.wasm"), file).expect("a plugin");
    };
    put(&broker);
    assert!(broker.stop().success());
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    channel
        .exchange("mine", "x-exact", durable_exchange())
        .await;
    delayed_exchange(&channel).await;
    channel.queue("kept", durable()).await;
    channel.bind("kept", "mine", "k").await;
    channel.confirmed("mine", "k", b"1", persistent()).await;
    channel.confirmed("later", "k", b"held", delayed(300)).await;
    assert!(broker.stop().success());
    for plugin in ["exact", "delayed-message"] {
        let setting = format!("plugins.{plugin}.enabled=false");
        broker.options.set.push(setting);
    }
    broker.restart();
    broker.logs("exchange is unavailable");

    let client = broker.connect().await;
    let confirming = client.confirming().await;
    for exchange in ["mine", "later"] {
        let confirm = confirming.confirmed(exchange, "k", b"lost", persistent());
        assert!(confirm.await.is_nack(), "{exchange}");
    }
    let plain = client.channel().await;
    plain.publish("mine", "k", b"lost").await;
    let refused = client.refusal().await;
    assert_eq!(refused.code, 541, "{refused:?}");
    let again = client.channel().await;
    let again = again.try_exchange("mine", "x-exact", durable_exchange(), FieldTable::default());
    let text = "PRECONDITION_FAILED - unknown exchange type 'x-exact'";
    again.await.expect_err("unknown").is(406, text);
    assert_eq!(confirming.drain("kept").await, ["1"]);
    // What was held is due by now, and must not be dropped for want of its plugin.
    broker.logs("a held message waits for its exchange to come back");
    assert_eq!(confirming.count("q").await, 0);

    assert!(broker.stop().success());
    broker.options.set.clear();
    broker.restart();
    let channel = broker.connect().await.confirming().await;
    channel.confirmed("mine", "k", b"2", persistent()).await;
    assert_eq!(channel.drain("kept").await, ["2"]);
    let mut deliveries = channel.consume_no_ack("q").await;
    assert_eq!(deliveries.next_text().await, "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_larger_than_memory_holds_survives_and_is_read_in_order() {
    const COUNT: u32 = 30_000;
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    let bodies = (0..COUNT).map(|number| {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(500, 0);
        body
    });
    channel.fill("q", bodies).await;
    soon("all is there", DEADLINE, async || {
        channel.count("q").await == COUNT
    })
    .await;
    let consumer = broker.channel().await;
    consumer.prefetch(1000, false).await;
    let mut deliveries = consumer.consume("q").await;
    for _ in 0..1000 {
        deliveries.next().await;
    }
    consumer.ack(500, true).await;
    consumer.fence().await;
    consumer.close_it().await;
    soon("the unacked are back", DEADLINE, async || {
        channel.count("q").await == COUNT - 500
    })
    .await;
    assert!(broker.stop().success());
    broker.restart();
    let channel = broker.channel().await;
    assert_eq!(channel.count("q").await, COUNT - 500);
    let mut deliveries = channel.consume_no_ack("q").await;
    for number in 500..COUNT {
        let delivery = deliveries.next().await;
        assert_eq!(delivery.data.get(..4), Some(&number.to_be_bytes()[..]));
        if number < 1000 {
            assert!(delivery.redelivered, "{number} was delivered before");
        }
    }
    eventually(DEADLINE, || broker.resident_memory() < 400 << 20);
}
