//! What a queue does not keep, and where it goes: times to live, lengths, dead letters, priorities,
//! returns.

use std::time::{Duration, Instant};

use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use warren_tests::kit::{
    Broker, Channel, DEADLINE, Options, Refused, durable, persistent, soon, text, transient,
};

fn long(number: i64) -> AMQPValue {
    AMQPValue::LongLongInt(number)
}

fn word(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn arguments<'a>(pairs: impl IntoIterator<Item = (&'a str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), value);
    }
    table
}

async fn queue<'a>(
    channel: &Channel,
    name: &str,
    pairs: impl IntoIterator<Item = (&'a str, AMQPValue)>,
) {
    let declared = channel.try_queue(name, durable(), arguments(pairs)).await;
    declared.expect("queue.declare");
}

/// A queue for what others do not keep.
async fn grave(channel: &Channel) {
    queue(channel, "grave", []).await;
}

fn to_grave() -> [(&'static str, AMQPValue); 2] {
    [
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word("grave")),
    ]
}

/// Waits for a dead letter.
async fn dead_letter(channel: &Channel) -> Delivery {
    let mut found = None;
    soon("a dead letter", DEADLINE, async || {
        found = channel.get("grave").await;
        found.is_some()
    })
    .await;
    found.expect("a dead letter").delivery
}

fn header<'a>(message: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    let headers = message.properties.headers().as_ref()?;
    headers.inner().get(name)
}

fn deaths(message: &Delivery) -> Vec<&FieldTable> {
    let Some(AMQPValue::FieldArray(deaths)) = header(message, "x-death") else {
        panic!("no x-death in {message:?}");
    };
    let deaths = deaths.as_slice().iter();
    deaths
        .map(|death| match death {
            AMQPValue::FieldTable(death) => death,
            other => panic!("not a table: {other:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_expires_by_the_shorter_of_its_own_time_and_the_queues() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let ttl = [("x-message-ttl", long(300))];
    queue(&channel, "q", ttl.into_iter().chain(to_grave())).await;
    let began = Instant::now();
    let own = |time: &str| persistent().with_expiration(time.into());
    channel.confirmed("", "q", b"own", own("100")).await;
    channel.confirmed("", "q", b"queue", own("60000")).await;
    let first = dead_letter(&channel).await;
    assert_eq!(text(&first), "own");
    assert!(began.elapsed() >= Duration::from_millis(100));
    let second = dead_letter(&channel).await;
    assert_eq!(text(&second), "queue");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(
        deaths(&second)[0].inner().get("reason"),
        Some(&word("expired"))
    );
    let original = deaths(&first)[0].inner().get("original-expiration");
    assert_eq!(original, Some(&word("100")));
    assert_eq!(first.properties.expiration(), &None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_lives_for_no_time_is_delivered_at_once_or_never() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "q", [("x-message-ttl", long(0))]).await;
    let confirmed = channel.confirmed("", "q", b"lost", persistent()).await;
    assert!(confirmed.is_ack());
    assert_eq!(channel.count("q").await, 0);
    let mut consumer = channel.consume("q").await;
    channel.confirmed("", "q", b"taken", persistent()).await;
    assert_eq!(consumer.next_text().await, "taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_time_of_its_own_waits_for_those_before_it() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    queue(&channel, "q", to_grave()).await;
    channel.confirmed("", "q", b"stays", transient()).await;
    let short = transient().with_expiration("1".into());
    channel.confirmed("", "q", b"short", short).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(channel.counts("q").await, Ok((2, 0)));
    assert_eq!(channel.take("q").await.as_deref(), Some("stays"));
    assert_eq!(text(&dead_letter(&channel).await), "short");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requeued_message_keeps_its_time() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let ttl = [("x-message-ttl", long(200))];
    queue(&channel, "q", ttl.into_iter().chain(to_grave())).await;
    let began = Instant::now();
    channel.confirmed("", "q", b"x", persistent()).await;
    let got = channel.get("q").await.expect("a message");
    tokio::time::sleep(Duration::from_millis(100)).await;
    channel.requeue(got.delivery_tag, false).await;
    dead_letter(&channel).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_nobody_uses_goes_and_use_keeps_it() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let expires = [("x-expires", long(300))];
    queue(&channel, "q", expires.into_iter().chain(to_grave())).await;
    channel.confirmed("", "q", b"x", persistent()).await;
    let consumer = channel.consume_no_ack("q").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(channel.counts("q").await, Ok((0, 1)));
    channel.confirmed("", "q", b"y", persistent()).await;
    let tag = consumer.tag();
    let cancelled = channel.basic_cancel(tag.as_str().into(), Default::default());
    cancelled.await.expect("cancel-ok");
    soon("the queue goes", DEADLINE, async || {
        broker.channel().await.counts("q").await.is_err()
    })
    .await;
    // Its messages go with it, not to the grave.
    assert_eq!(channel.count("grave").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_drops_what_has_waited_longest() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let length = [("x-max-length", long(2))];
    queue(&channel, "q", length.into_iter().chain(to_grave())).await;
    for body in ["a", "b", "c"] {
        let confirmed = channel
            .confirmed("", "q", body.as_bytes(), persistent())
            .await;
        assert!(confirmed.is_ack());
    }
    assert_eq!(channel.drain("q").await, ["b", "c"]);
    let dead = dead_letter(&channel).await;
    assert_eq!(text(&dead), "a");
    assert_eq!(
        deaths(&dead)[0].inner().get("reason"),
        Some(&word("maxlen"))
    );
    queue(&channel, "bytes", [("x-max-length-bytes", long(10))]).await;
    for body in ["1234", "5678", "90ab"] {
        channel
            .confirmed("", "bytes", body.as_bytes(), persistent())
            .await;
    }
    assert_eq!(channel.drain("bytes").await, ["5678", "90ab"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_the_front_of_a_full_queue_may_be_over_its_time() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "q", [("x-max-length", long(2))]).await;
    for zero in ["0", "-0"] {
        channel.confirmed("", "q", b"first", transient()).await;
        let never = transient().with_expiration(zero.into());
        channel.confirmed("", "q", b"over", never).await;
        // The first is dropped, and the one behind it has waited only for that.
        channel.confirmed("", "q", b"last", transient()).await;
        assert_eq!(channel.drain("q").await, ["last"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_that_rejects_nacks_and_keeps_what_it_has() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let reject = [
        ("x-max-length", long(1)),
        ("x-overflow", word("reject-publish")),
    ];
    queue(&channel, "q", reject).await;
    let dlx = [
        ("x-max-length", long(1)),
        ("x-overflow", word("reject-publish-dlx")),
    ];
    queue(&channel, "d", dlx.into_iter().chain(to_grave())).await;
    for name in ["q", "d"] {
        channel.bind(name, "amq.fanout", "").await;
    }
    assert!(
        channel
            .confirmed("amq.fanout", "", b"a", persistent())
            .await
            .is_ack()
    );
    assert!(
        channel
            .confirmed("amq.fanout", "", b"b", persistent())
            .await
            .is_nack()
    );
    assert_eq!(channel.drain("q").await, ["a"]);
    // One of two is full: the publisher hears of that one.
    assert!(
        channel
            .confirmed("amq.fanout", "", b"c", persistent())
            .await
            .is_nack()
    );
    assert_eq!(channel.drain("q").await, ["c"]);
    assert_eq!(channel.drain("d").await, ["a"]);
    assert_eq!(text(&dead_letter(&channel).await), "b");
    assert_eq!(text(&dead_letter(&channel).await), "c");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_says_where_it_died() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    queue(&channel, "q", to_grave()).await;
    channel.bind("q", "amq.direct", "key").await;
    let mut copies = FieldArray::default();
    copies.push(word("copy"));
    let mut table = FieldTable::default();
    table.insert("CC".into(), AMQPValue::FieldArray(copies));
    table.insert("own".into(), word("kept"));
    let properties = persistent().with_headers(table);
    channel
        .confirmed("amq.direct", "key", b"x", properties)
        .await;
    let got = channel.get("q").await.expect("a message");
    channel
        .basic_reject(got.delivery_tag, Default::default())
        .await
        .expect("reject");
    let dead = dead_letter(&channel).await;
    assert_eq!(
        (dead.exchange.as_str(), dead.routing_key.as_str()),
        ("", "grave")
    );
    assert!(!dead.redelivered);
    let death = deaths(&dead)[0].inner();
    let mut keys = FieldArray::default();
    keys.push(word("key"));
    keys.push(word("copy"));
    for (name, value) in [
        ("count", long(1)),
        ("reason", word("rejected")),
        ("queue", word("q")),
        ("exchange", word("amq.direct")),
        ("routing-keys", AMQPValue::FieldArray(keys)),
    ] {
        assert_eq!(death.get(name), Some(&value), "{name}");
    }
    assert!(matches!(death.get("time"), Some(AMQPValue::Timestamp(_))));
    for (name, value) in [
        ("own", "kept"),
        ("x-first-death-queue", "q"),
        ("x-first-death-reason", "rejected"),
        ("x-first-death-exchange", "amq.direct"),
        ("x-last-death-queue", "q"),
        ("x-last-death-reason", "rejected"),
        ("x-last-death-exchange", "amq.direct"),
    ] {
        assert_eq!(header(&dead, name), Some(&word(value)), "{name}");
    }
    // The key of the queue takes the place of all others.
    assert_eq!(header(&dead, "CC"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_has_a_time_to_live_where_it_goes() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let ttl = [("x-message-ttl", long(100))];
    queue(&channel, "second", ttl.into_iter().chain(to_grave())).await;
    let to_second = [
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word("second")),
    ];
    queue(&channel, "first", to_second).await;
    channel.confirmed("", "first", b"x", persistent()).await;
    let got = channel.get("first").await.expect("a message");
    channel
        .basic_reject(got.delivery_tag, Default::default())
        .await
        .expect("reject");
    let dead = dead_letter(&channel).await;
    let reasons: Vec<_> = deaths(&dead)
        .iter()
        .map(|death| death.inner().get("reason").cloned())
        .collect();
    assert_eq!(reasons, [Some(word("expired")), Some(word("rejected"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_round_only_while_somebody_rejects_it() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let round = [
        ("x-dead-letter-exchange", word("")),
        ("x-dead-letter-routing-key", word("q")),
        ("x-message-ttl", long(600)),
    ];
    queue(&channel, "q", round).await;
    channel.confirmed("", "q", b"x", persistent()).await;
    let got = channel.get("q").await.expect("a message");
    channel
        .basic_reject(got.delivery_tag, Default::default())
        .await
        .expect("reject");
    let mut again = None;
    soon("it comes back", DEADLINE, async || {
        again = channel.get("q").await;
        again.is_some()
    })
    .await;
    channel
        .requeue(again.expect("a message").delivery_tag, false)
        .await;
    // It goes round once more, and then has expired without anybody having rejected it in between:
    // it does not come back within its time.
    soon("it is dropped", DEADLINE, async || {
        if channel.count("q").await > 0 {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(900)).await;
        channel.count("q").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_priorities_hands_out_the_highest_first_also_after_a_restart() {
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    queue(&channel, "q", [("x-max-priority", long(5))]).await;
    for (body, priority) in [
        ("low", 1),
        ("none", 0),
        ("high", 5),
        ("over", 9),
        ("mid", 3),
    ] {
        let properties = persistent().with_priority(priority);
        channel
            .confirmed("", "q", body.as_bytes(), properties)
            .await;
    }
    channel.confirmed("", "q", b"unset", persistent()).await;
    broker.kill();
    broker.restart();
    let channel = broker.channel().await;
    let expected = ["high", "over", "mid", "low", "none", "unset"];
    assert_eq!(channel.drain("q").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_expires_though_the_broker_was_killed_meanwhile() {
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let ttl = [("x-message-ttl", long(400))];
    queue(&channel, "q", ttl.into_iter().chain(to_grave())).await;
    channel.confirmed("", "q", b"x", persistent()).await;
    broker.kill();
    broker.restart();
    let channel = broker.channel().await;
    assert_eq!(text(&dead_letter(&channel).await), "x");
    assert_eq!(channel.count("q").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_queue_counts_returns_over_a_restart_and_gives_up_at_its_limit() {
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    grave(&channel).await;
    let quorum = [
        ("x-queue-type", word("quorum")),
        ("x-delivery-limit", long(2)),
    ];
    queue(&channel, "q", quorum.into_iter().chain(to_grave())).await;
    channel.confirmed("", "q", b"x", persistent()).await;
    let got = channel.get("q").await.expect("a message");
    assert_eq!(header(&got, "x-delivery-count"), Some(&long(0)));
    channel.requeue(got.delivery_tag, false).await;
    channel.fence().await;
    broker.stop();
    broker.restart();
    let channel = broker.channel().await;
    let got = channel.get("q").await.expect("a message");
    assert_eq!(header(&got, "x-delivery-count"), Some(&long(1)));
    channel.requeue(got.delivery_tag, false).await;
    let got = channel.get("q").await.expect("a message");
    channel.requeue(got.delivery_tag, false).await;
    let dead = dead_letter(&channel).await;
    assert_eq!(
        deaths(&dead)[0].inner().get("reason"),
        Some(&word("delivery_limit"))
    );
    assert_eq!(channel.count("q").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_queue_lets_a_failed_message_wait() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let retry = [
        ("x-queue-type", word("quorum")),
        ("x-delayed-retry-type", word("failed")),
        ("x-delayed-retry-min", long(150)),
    ];
    queue(&channel, "q", retry).await;
    channel.confirmed("", "q", b"x", persistent()).await;
    // A nack is no failure.
    let got = channel.get("q").await.expect("a message");
    channel.requeue(got.delivery_tag, false).await;
    let got = channel.get("q").await.expect("a message");
    let began = Instant::now();
    let requeue = BasicRejectOptions { requeue: true };
    channel
        .basic_reject(got.delivery_tag, requeue)
        .await
        .expect("reject");
    assert!(channel.get("q").await.is_none());
    let mut again = None;
    soon("it comes back", DEADLINE, async || {
        again = channel.get("q").await;
        again.is_some()
    })
    .await;
    // The second return: twice the shortest wait.
    assert!(began.elapsed() >= Duration::from_millis(300));
    let count = header(
        &again.as_ref().expect("a message").delivery,
        "x-delivery-count",
    )
    .cloned();
    assert_eq!(count, Some(long(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_queues_consumer_that_keeps_a_message_too_long_is_cancelled() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let patience = [
        ("x-queue-type", word("quorum")),
        ("x-consumer-timeout", long(200)),
    ];
    queue(&channel, "q", patience).await;
    let slow = broker.channel().await;
    let mut consumer = slow.consume("q").await;
    channel.confirmed("", "q", b"x", persistent()).await;
    let kept = consumer.next().await;
    assert_eq!(text(&kept), "x");
    assert!(consumer.next_or_end().await.is_none(), "not cancelled");
    let again = channel.get("q").await.expect("it is back");
    assert!(again.redelivered);
    assert_eq!(header(&again, "x-delivery-count"), Some(&long(1)));
    // Too late, and no mistake.
    slow.ack(kept.delivery_tag, false).await;
    slow.fence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_consumer_is_active_and_the_next_takes_over() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let single = AMQPValue::Boolean(true);
    queue(&channel, "q", [("x-single-active-consumer", single)]).await;
    let mut first = channel.consume_no_ack("q").await;
    let mut second = channel.consume_no_ack("q").await;
    let getting = broker.channel().await;
    let options = BasicGetOptions::default();
    let locked = getting
        .basic_get("q".into(), options)
        .await
        .expect_err("refused");
    let text = "RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. basic.get \
                operations are not supported by classic queues with single active consumer";
    Refused::from(locked).is(405, text);
    for body in ["a", "b"] {
        channel
            .confirmed("", "q", body.as_bytes(), persistent())
            .await;
        assert_eq!(first.next_text().await, body);
    }
    let tag = first.tag();
    let cancelled = channel.basic_cancel(tag.as_str().into(), Default::default());
    cancelled.await.expect("cancel-ok");
    channel.confirmed("", "q", b"c", persistent()).await;
    assert_eq!(second.next_text().await, "c");
    let exclusive = BasicConsumeOptions {
        exclusive: true,
        ..Default::default()
    };
    let refused = channel.try_consume("q", "", exclusive).await;
    let text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
    refused.err().expect("refused").is(403, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_mean_nothing_are_refused_in_rabbitmqs_words() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    for (name, value, reason) in [
        ("x-max-length", long(-1), ": {value_negative,-1}"),
        (
            "x-message-ttl",
            word("5"),
            ": \"expected integer, got longstr\"",
        ),
        ("x-expires", long(0), ": {value_zero,0}"),
        ("x-max-priority", long(256), ": {max_value_exceeded,256}"),
        ("x-overflow", word("x"), ": invalid_overflow"),
        (
            "x-queue-type",
            word("x"),
            ": \"unsupported queue type 'x'\"",
        ),
        (
            "x-delivery-limit",
            long(1),
            " of queue type rabbit_classic_queue",
        ),
        (
            "x-dead-letter-routing-key",
            word("k"),
            ": routing_key_but_no_dlx_defined",
        ),
    ] {
        let channel = client.channel().await;
        let declared = channel
            .try_queue("q", durable(), arguments([(name, value)]))
            .await;
        let text = format!(
            "PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '/'{reason}"
        );
        declared.expect_err("refused").is(406, &text);
    }
    let quorum = [("x-queue-type", word("quorum"))];
    let channel = client.channel().await;
    let declared = channel
        .try_queue("q", Default::default(), arguments(quorum))
        .await;
    let text = "PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'";
    declared.expect_err("refused").is(406, text);
}
