//! Streams: offsets, filters, credit, retention, and what a stream refuses.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use warren_tests::kit::{
    Broker, Channel, DEADLINE, Deliveries, Options, Refused, Wire, durable, eventually, headers,
    persistent, soon, text, transient,
};

fn table<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), value);
    }
    table
}

fn long_string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

async fn stream<const N: usize>(channel: &Channel, name: &str, more: [(&str, AMQPValue); N]) {
    let mut arguments = table(more);
    arguments.insert("x-queue-type".into(), long_string("stream"));
    let declared = channel.try_queue(name, durable(), arguments);
    declared.await.expect("queue.declare");
}

async fn filled(channel: &Channel, name: &str, count: usize) {
    stream(channel, name, []).await;
    let bodies = (0..count).map(|number| format!("m{number}").into_bytes());
    channel.fill(name, bodies).await;
}

async fn try_read(
    channel: &Channel,
    name: &str,
    prefetch: u16,
    arguments: FieldTable,
) -> Result<Deliveries, Refused> {
    channel.prefetch(prefetch, false).await;
    channel.try_consume_with(name, arguments).await
}

async fn read(channel: &Channel, name: &str, prefetch: u16, offset: AMQPValue) -> Deliveries {
    let arguments = table([("x-stream-offset", offset)]);
    let reading = try_read(channel, name, prefetch, arguments).await;
    reading.expect("basic.consume")
}

fn offset(delivery: &Delivery) -> i64 {
    let headers = delivery.properties.headers().as_ref().expect("headers");
    match headers.inner().get("x-stream-offset") {
        Some(AMQPValue::LongLongInt(offset)) => *offset,
        other => panic!("an offset: {other:?}"),
    }
}

/// Acknowledges each one.
async fn offsets(channel: &Channel, deliveries: &mut Deliveries, count: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    for _ in 0..count {
        let delivery = deliveries.next().await;
        channel.ack(delivery.delivery_tag, false).await;
        offsets.push(offset(&delivery));
    }
    offsets
}

fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.expect("after 1970").as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_offset_begins_where_it_says_and_messages_stay() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    filled(&channel, "s", 20).await;
    assert_eq!(channel.count("s").await, 20);
    let hour = 60 * 60;
    let cases = [
        (long_string("first"), 0),
        (long_string("last"), 19),
        (AMQPValue::LongInt(0), 0),
        (AMQPValue::LongLongInt(5), 5),
        (AMQPValue::LongInt(-5), 0),
        (AMQPValue::Timestamp(now() - hour), 0),
        (long_string("1h"), 0),
        (long_string("7D"), 0),
    ];
    for (spec, first) in cases {
        let channel = client.channel().await;
        let mut deliveries = read(&channel, "s", 10, spec.clone()).await;
        let expected: Vec<i64> = (first..20).collect();
        let got = offsets(&channel, &mut deliveries, expected.len()).await;
        assert_eq!(got, expected, "{spec:?}");
        channel.fence().await;
        assert_eq!(deliveries.arrived().await.len(), 0, "{spec:?}");
    }
    assert_eq!(channel.count("s").await, 20);
    let mut later = Vec::new();
    let nothing_yet = [
        Some(long_string("next")),
        None,
        Some(AMQPValue::Timestamp(now() + hour)),
        Some(AMQPValue::LongInt(22)),
    ];
    for spec in nothing_yet {
        let channel = client.channel().await;
        let arguments = match spec {
            Some(spec) => table([("x-stream-offset", spec)]),
            None => FieldTable::default(),
        };
        let mut deliveries = try_read(&channel, "s", 10, arguments).await.expect("ok");
        channel.fence().await;
        assert_eq!(deliveries.arrived().await.len(), 0);
        later.push((channel, deliveries));
    }
    let attached = async || channel.counts("s").await.expect("the stream").1;
    soon("the others are gone", DEADLINE, async || {
        attached().await == 4
    })
    .await;
    channel.fill("s", (0..5).map(|_| b"new".to_vec())).await;
    for (index, (channel, deliveries)) in later.iter_mut().enumerate() {
        let first = if index == 3 { 22 } else { 20 };
        let expected: Vec<i64> = (first..25).collect();
        assert_eq!(offsets(channel, deliveries, expected.len()).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_as_it_was_published_and_never_redelivered() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    stream(&channel, "s", []).await;
    let properties = transient()
        .with_headers(headers([("own", "kept"), ("x-stream-offset", "not mine")]))
        .with_expiration("1".into())
        .with_priority(3);
    channel.confirmed("", "s", b"plain", transient()).await;
    channel.confirmed("", "s", b"dressed", properties).await;
    for _ in 0..2 {
        let reader = channel.client.channel().await;
        let mut deliveries = read(&reader, "s", 10, long_string("first")).await;
        for (number, body) in [(0, "plain"), (1, "dressed")] {
            let delivery = deliveries.next().await;
            assert_eq!(text(&delivery), body);
            assert!(!delivery.redelivered);
            assert_eq!(offset(&delivery), number);
            assert_eq!(delivery.routing_key.as_str(), "s");
            let headers = delivery.properties.headers().clone().expect("headers");
            if body == "dressed" {
                assert_eq!(headers.inner().get("own"), Some(&long_string("kept")));
                assert_eq!(delivery.properties.priority(), &Some(3));
            }
        }
        // Unacknowledged, and still nothing goes back.
        reader.close_it().await;
    }
    assert_eq!(channel.counts("s").await.expect("the stream"), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_comes_back_with_acknowledgements() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    filled(&channel, "s", 100).await;
    let mut deliveries = read(&channel, "s", 5, long_string("first")).await;
    let mut tags = Vec::new();
    for number in 0..5 {
        let delivery = deliveries.next().await;
        assert_eq!(offset(&delivery), number);
        tags.push(delivery.delivery_tag);
    }
    channel.fence().await;
    assert_eq!(deliveries.arrived().await.len(), 0);
    channel.ack(tags[2], false).await;
    assert_eq!(offset(&deliveries.next().await), 5);
    channel.fence().await;
    assert_eq!(deliveries.arrived().await.len(), 0);
    channel.ack(0, true).await;
    for number in 6..11 {
        assert_eq!(offset(&deliveries.next().await), number);
    }
    channel.fence().await;
    assert_eq!(deliveries.arrived().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_far_behind_and_one_in_front_get_everything_in_order() {
    const COUNT: i64 = 20_000;
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    stream(&channel, "s", []).await;
    let front = broker.channel().await;
    let mut in_front = read(&front, "s", 1000, long_string("next")).await;
    let body = |number: i64| format!("{number:0>1000}").into_bytes();
    for part in 0..10 {
        let numbers = part * COUNT / 10..(part + 1) * COUNT / 10;
        channel.fill("s", numbers.map(body)).await;
    }
    let back = broker.channel().await;
    let mut behind = read(&back, "s", 1000, long_string("first")).await;
    for (channel, deliveries) in [(&front, &mut in_front), (&back, &mut behind)] {
        for number in 0..COUNT {
            let delivery = deliveries.next().await;
            assert_eq!(offset(&delivery), number);
            assert_eq!(delivery.data, body(number));
            if number % 500 == 499 {
                channel.ack(delivery.delivery_tag, true).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_acknowledges_holds_up_nobody() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    filled(&channel, "s", 1000).await;
    let stuck = broker.channel().await;
    let mut held = read(&stuck, "s", 1, long_string("first")).await;
    assert_eq!(offset(&held.next().await), 0);
    let other = broker.channel().await;
    let mut deliveries = read(&other, "s", 100, long_string("first")).await;
    let expected: Vec<i64> = (0..1000).collect();
    assert_eq!(offsets(&other, &mut deliveries, 1000).await, expected);
}

fn with_value(value: &str) -> BasicProperties {
    persistent().with_headers(headers([("x-stream-filter-value", value)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_exact_for_each_message() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    stream(&channel, "s", []).await;
    for number in 0..400 {
        let properties = match number % 4 {
            0 => with_value("a"),
            1 => with_value("b"),
            2 => persistent(),
            _ => with_value("c"),
        };
        channel.publish_as("", "s", b"x", properties).await;
    }
    channel.confirmed("", "s", b"end", with_value("end")).await;
    let array = |values: &[&str]| {
        let values: Vec<AMQPValue> = values.iter().map(|one| long_string(one)).collect();
        AMQPValue::FieldArray(FieldArray::from(values))
    };
    let cases = [
        (long_string("a"), false, vec![0]),
        (array(&["a", "c"]), false, vec![0, 3]),
        (array(&["b"]), true, vec![1, 2]),
        (array(&[]), true, vec![2]),
    ];
    for (filter, unfiltered, quarters) in cases {
        let channel = broker.channel().await;
        let arguments = table([
            ("x-stream-offset", long_string("first")),
            ("x-stream-filter", filter.clone()),
            ("x-stream-match-unfiltered", AMQPValue::Boolean(unfiltered)),
        ]);
        let reading = try_read(&channel, "s", 10, arguments).await;
        let mut deliveries = reading.expect("basic.consume");
        let expected = (0..400).filter(|number| quarters.contains(&(number % 4)));
        let expected: Vec<i64> = expected.collect();
        let got = offsets(&channel, &mut deliveries, expected.len()).await;
        assert_eq!(got, expected, "{filter:?}");
        channel.fence().await;
        assert_eq!(deliveries.arrived().await.len(), 0, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bytes_drop_the_oldest_segments() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let bound = 100_000;
    let limits = [
        ("x-max-length-bytes", AMQPValue::LongInt(bound)),
        (
            "x-stream-max-segment-size-bytes",
            AMQPValue::LongInt(10_000),
        ),
    ];
    stream(&channel, "s", limits).await;
    channel.fill("s", (0..500).map(|_| vec![0; 1000])).await;
    soon("what is over goes", DEADLINE, async || {
        channel.count("s").await <= 96
    })
    .await;
    let kept = i64::from(channel.count("s").await);
    assert!(kept > 85, "{kept} of what may stay");
    let reader = broker.channel().await;
    let mut deliveries = read(&reader, "s", 1000, long_string("first")).await;
    let expected: Vec<i64> = (500 - kept..500).collect();
    let got = offsets(&reader, &mut deliveries, expected.len()).await;
    assert_eq!(got, expected);
    // An offset that is gone is the first that is there.
    let reader = broker.channel().await;
    let mut deliveries = read(&reader, "s", 1, AMQPValue::LongInt(3)).await;
    assert_eq!(offset(&deliveries.next().await), 500 - kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_by_itself_but_the_newest_part_stays() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    stream(&channel, "s", [("x-max-age", long_string("1s"))]).await;
    channel.fill("s", (0..100).map(|_| b"old".to_vec())).await;
    // A part is a sixteenth of the age long: the next one is not in the same.
    let begun = SystemTime::now();
    eventually(DEADLINE, || {
        begun
            .elapsed()
            .is_ok_and(|elapsed| elapsed.as_millis() > 100)
    });
    channel.fill("s", (0..10).map(|_| b"new".to_vec())).await;
    soon("what is old goes", DEADLINE, async || {
        channel.count("s").await <= 10
    })
    .await;
    let kept = i64::from(channel.count("s").await);
    assert!(kept > 0);
    let reader = broker.channel().await;
    let mut deliveries = read(&reader, "s", 100, long_string("first")).await;
    assert_eq!(offset(&deliveries.next().await), 110 - kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_seen_at_its_commit_and_in_its_place() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    filled(&channel, "s", 1).await;
    let reader = client.channel().await;
    let mut deliveries = read(&reader, "s", 100, long_string("first")).await;
    assert_eq!(deliveries.next_text().await, "m0");
    let transacted = client.channel().await;
    transacted.tx_select().await.expect("tx.select");
    transacted.publish("", "s", b"t1").await;
    transacted.publish("", "s", b"t2").await;
    transacted.fence().await;
    channel.fill("s", [b"m1".to_vec()]).await;
    assert_eq!(deliveries.next_text().await, "m1");
    transacted.tx_commit().await.expect("tx.commit");
    channel.fill("s", [b"m2".to_vec()]).await;
    assert_eq!(deliveries.texts(3).await, ["t1", "t2", "m2"]);
    // An acknowledgement in a transaction takes nothing out of the stream.
    let settling = client.channel().await;
    settling.tx_select().await.expect("tx.select");
    let mut again = read(&settling, "s", 100, long_string("first")).await;
    assert_eq!(again.texts(5).await, ["m0", "m1", "t1", "t2", "m2"]);
    settling.ack(0, true).await;
    settling.tx_commit().await.expect("tx.commit");
    assert_eq!(channel.count("s").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_refuses_what_it_cannot_do_in_rabbitmqs_words() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    filled(&channel, "s", 3).await;
    let first = || table([("x-stream-offset", long_string("first"))]);
    let refused = |refused: Result<Deliveries, Refused>| refused.err().expect("refused");

    let reader = broker.channel().await;
    refused(try_read(&reader, "s", 0, first()).await).is(
        406,
        "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue 's' in vhost '/''",
    );
    let reader = broker.channel().await;
    reader.prefetch(10, false).await;
    let no_ack = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    refused(reader.try_consume("s", "", no_ack).await).is(
        540,
        "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queues queue 's' in \
         vhost '/'",
    );
    let reader = broker.channel().await;
    reader.prefetch(10, false).await;
    reader.prefetch(10, true).await;
    refused(reader.try_consume_with("s", first()).await).is(
        540,
        "NOT_IMPLEMENTED - queue 's' in vhost '/' does not support global qos",
    );
    let reader = broker.channel().await;
    let got = reader.basic_get("s".into(), BasicGetOptions::default());
    Refused::from(got.await.expect_err("refused")).is(
        540,
        "NOT_IMPLEMENTED - basic.get not supported by stream queues queue 's' in vhost '/'",
    );
    let reader = broker.channel().await;
    let purged = reader.queue_purge("s".into(), QueuePurgeOptions::default());
    Refused::from(purged.await.expect_err("refused")).is(
        540,
        "NOT_IMPLEMENTED - queue.purge not supported by stream queues queue 's' in vhost '/'",
    );
    for requeue in [true, false] {
        let reader = broker.channel().await;
        let mut deliveries = read(&reader, "s", 10, long_string("first")).await;
        let tag = deliveries.next().await.delivery_tag;
        let rejected = reader.basic_reject(tag, BasicRejectOptions { requeue });
        rejected.await.expect("basic.reject");
        reader.refusal().await.is(
            540,
            "NOT_IMPLEMENTED - basic.nack and basic.reject not supported by stream queues queue \
             's' in vhost '/'",
        );
    }
    let reader = broker.channel().await;
    let mut deliveries = read(&reader, "s", 10, long_string("first")).await;
    deliveries.next().await;
    let recovered = reader.basic_recover(BasicRecoverOptions { requeue: true });
    Refused::from(recovered.await.expect_err("refused")).is(
        540,
        "NOT_IMPLEMENTED - basic.recover not supported by stream queues queue 's' in vhost '/'",
    );
    assert_eq!(channel.counts("s").await.expect("the stream"), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_consumer_arguments_are_refused() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    stream(&channel, "s", []).await;
    channel.queue("q", durable()).await;
    let invalid = |reason: &str| {
        format!(
            "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 's' in vhost '/': \
             {{invalid_stream_offset_arg,{reason}}}"
        )
    };
    let of_type = |argument: &str, queue: &str, queue_type: &str| {
        format!(
            "PRECONDITION_FAILED - invalid arg '{argument}' for queue '{queue}' in vhost '/' of \
             queue type rabbit_{queue_type}_queue"
        )
    };
    let offset = "x-stream-offset";
    let cases = [
        (
            "s",
            offset,
            long_string("1X"),
            invalid("{longstr,<<\"1X\">>}"),
        ),
        (
            "s",
            offset,
            long_string("0s"),
            invalid("{longstr,<<\"0s\">>}"),
        ),
        (
            "s",
            offset,
            long_string("5"),
            invalid("{longstr,<<\"5\">>}"),
        ),
        (
            "s",
            offset,
            long_string("foo"),
            invalid("{longstr,<<\"foo\">>}"),
        ),
        ("s", offset, AMQPValue::Boolean(true), invalid("bool")),
        (
            "s",
            offset,
            AMQPValue::FieldTable(FieldTable::default()),
            invalid("table"),
        ),
        (
            "s",
            "x-priority",
            AMQPValue::LongInt(5),
            of_type("x-priority", "s", "stream"),
        ),
        (
            "s",
            "x-cancel-on-ha-failover",
            AMQPValue::Boolean(true),
            of_type("x-cancel-on-ha-failover", "s", "stream"),
        ),
        (
            "q",
            offset,
            long_string("first"),
            of_type(offset, "q", "classic"),
        ),
    ];
    for (queue, argument, value, text) in cases {
        let reader = client.channel().await;
        let refused = try_read(&reader, queue, 10, table([(argument, value)])).await;
        refused.err().expect("refused").is(406, &text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_cancels_its_consumers_and_if_unused_says_nothing_to_it() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    filled(&channel, "s", 3).await;
    let reader = broker.channel().await;
    // Exclusive use is no use of a stream either.
    reader.prefetch(10, false).await;
    let exclusive = BasicConsumeOptions {
        exclusive: true,
        ..Default::default()
    };
    let mut one = reader.try_consume("s", "", exclusive).await.expect("ok");
    let mut two = read(&reader, "s", 10, long_string("first")).await;
    assert_eq!(two.texts(3).await, ["m0", "m1", "m2"]);
    let options = QueueDeleteOptions {
        if_unused: true,
        if_empty: true,
        ..Default::default()
    };
    let deleted = channel.queue_delete("s".into(), options).await;
    assert_eq!(deleted.expect("queue.delete"), 0);
    assert!(one.next_or_end().await.is_none());
    assert!(two.next_or_end().await.is_none());
    let gone = channel.client.channel().await.counts("s").await;
    assert_eq!(gone.expect_err("it is gone").code, 404);
    // The same name begins anew.
    let channel = channel.client.confirming().await;
    filled(&channel, "s", 1).await;
    let mut deliveries = read(&channel, "s", 10, long_string("first")).await;
    assert_eq!(offset(&deliveries.next().await), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_reader_gets_nothing_more_and_may_still_acknowledge() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    filled(&channel, "s", 3).await;
    let mut deliveries = read(&channel, "s", 2, long_string("first")).await;
    let tag = deliveries.next().await.delivery_tag;
    let options = BasicCancelOptions::default();
    let cancelled = channel.basic_cancel(deliveries.tag().into(), options);
    cancelled.await.expect("basic.cancel");
    channel.ack(tag, false).await;
    channel.fence().await;
    assert_eq!(channel.counts("s").await.expect("the stream"), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_reads_its_socket_costs_no_memory() {
    const BODY: usize = 16 * 1024;
    const COUNT: usize = (200 << 20) / BODY;
    // As for a queue: the store's buffers are most of it.
    const ALLOWED: u64 = 128 << 20;
    let broker = Broker::start(Options::default());
    let publisher = broker.connect().await.confirming().await;
    stream(&publisher, "s", []).await;
    let mut stuck = Wire::open(broker.address(), 0).expect("a connection");
    let qos = [0, 0, 0, 0, 0xff, 0xff, 0];
    stuck.method(1, 60, 10, &qos).expect("basic.qos");
    stuck.expect(60, 11).expect("basic.qos-ok");
    stuck.consume("s", false).expect("basic.consume");
    let before = broker.resident_memory();
    let mut peak = before;
    for part in 0..COUNT / 400 {
        let bodies = (0..400).map(|number| vec![(part + number) as u8; BODY]);
        publisher.fill("s", bodies).await;
        peak = peak.max(broker.resident_memory());
    }
    let grown = peak - before;
    println!("{} MiB grew to at most {} MiB", before >> 20, peak >> 20);
    assert!(grown < ALLOWED, "grown by {} MiB", grown >> 20);
    let counts = publisher.counts("s").await.expect("the stream");
    assert_eq!(counts, ((COUNT / 400 * 400) as u32, 1));
}
