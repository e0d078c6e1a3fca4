//! Deliveries: prefetch, turns, acknowledgements, order, cancelling.

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use warren_tests::kit::{
    Broker, Channel, Deliveries, Options, durable, persistent, text, transient,
};

/// The numbers as bodies, each confirmed: when this returns, they are in the queue or delivered.
async fn fill(channel: &Channel, queue: &str, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        let body = number.to_string();
        channel
            .confirmed("", queue, body.as_bytes(), persistent())
            .await;
    }
}

/// What has arrived without anything more to come.
async fn arrived(channel: &Channel, deliveries: &mut Deliveries) -> Vec<String> {
    channel.fence().await;
    deliveries.arrived().await.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prefetch_bounds_what_a_consumer_holds() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("q", durable()).await;
    fill(&publisher, "q", 1..=10).await;
    let channel = client.channel().await;
    channel.prefetch(3, false).await;
    let mut first = channel.consume("q").await;
    let mut second = channel.consume("q").await;
    assert_eq!(first.texts(3).await, ["1", "2", "3"]);
    assert_eq!(second.texts(3).await, ["4", "5", "6"]);
    assert_eq!(arrived(&channel, &mut first).await, [""; 0]);
    assert_eq!(arrived(&channel, &mut second).await, [""; 0]);
    channel.ack(2, true).await;
    assert_eq!(first.texts(2).await, ["7", "8"]);
    assert_eq!(arrived(&channel, &mut first).await, [""; 0]);
    assert_eq!(arrived(&channel, &mut second).await, [""; 0]);
    assert_eq!(publisher.count("q").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn global_prefetch_bounds_the_channel() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    for queue in ["a", "b"] {
        publisher.queue(queue, durable()).await;
    }
    fill(&publisher, "a", 1..=10).await;
    let channel = client.channel().await;
    channel.prefetch(3, true).await;
    let mut first = channel.consume("a").await;
    let mut second = channel.consume("b").await;
    assert_eq!(first.texts(3).await, ["1", "2", "3"]);
    fill(&publisher, "b", 21..=30).await;
    assert_eq!(arrived(&channel, &mut first).await, [""; 0]);
    assert_eq!(arrived(&channel, &mut second).await, [""; 0]);
    // All that the channel has goes back: whoever is asked first gets it.
    channel.ack(3, true).await;
    let mut tag = 3;
    let mut count = 0;
    while count < 17 {
        let mut fresh = Vec::new();
        while fresh.is_empty() {
            channel.fence().await;
            fresh.extend(first.arrived().await);
            fresh.extend(second.arrived().await);
        }
        count += fresh.len();
        assert!(fresh.len() <= 3, "{} at once", fresh.len());
        tag += fresh.len() as u64;
        channel.ack(tag, true).await;
    }
    // Raised while the consumers wait: they are asked again.
    fill(&publisher, "a", 31..=40).await;
    first.texts(3).await;
    channel.prefetch(10, true).await;
    first.texts(7).await;
}

/// What a channel had comes back before anybody else is served, or the next one would start in the
/// middle.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_single_active_consumer_begins_where_a_closed_channel_began() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-single-active-consumer".into(), true.into());
    let declared = publisher.try_queue("q", durable(), arguments).await;
    declared.expect("queue.declare");
    let active = client.channel().await;
    active.prefetch(2, false).await;
    let mut first = active.consume("q").await;
    let mut next = client.channel().await.consume_no_ack("q").await;
    fill(&publisher, "q", 1..=5).await;
    assert_eq!(first.texts(2).await, ["1", "2"]);
    active.close_it().await;
    assert_eq!(next.texts(5).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefetch_of_each_consumer_takes_the_place_of_the_channels() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("q", durable()).await;
    fill(&publisher, "q", 1..=3).await;
    let channel = client.channel().await;
    channel.prefetch(1, true).await;
    let mut consumer = channel.consume("q").await;
    assert_eq!(consumer.texts(1).await, ["1"]);
    assert_eq!(arrived(&channel, &mut consumer).await, [""; 0]);
    channel.prefetch(5, false).await;
    assert_eq!(consumer.texts(2).await, ["2", "3"]);
}

/// Nobody asked it in the meantime: a consumer that joined brought no message.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_consumer_keeps_its_turn_while_there_is_nothing_to_take() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("q", durable()).await;
    let channel = client.channel().await;
    channel.prefetch(1, false).await;
    let mut full = channel.consume("q").await;
    fill(&publisher, "q", 1..=1).await;
    let held = full.next().await;
    let mut joined = client.channel().await.consume_no_ack("q").await;
    channel.ack(held.delivery_tag, false).await;
    channel.fence().await;
    fill(&publisher, "q", 2..=3).await;
    assert_eq!(full.next_text().await, "2");
    assert_eq!(joined.next_text().await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_dies_before_the_expired_ones_behind_it() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("grave", durable()).await;
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", "grave"),
    ] {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let declared = publisher.try_queue("q", durable(), arguments).await;
    declared.expect("queue.declare");
    let channel = client.channel().await;
    channel.prefetch(1, true).await;
    let mut consumer = channel.consume("q").await;
    for (body, properties) in [
        ("rejected", transient()),
        ("next", transient()),
        ("expired", transient().with_expiration("0".into())),
    ] {
        publisher
            .confirmed("", "q", body.as_bytes(), properties)
            .await;
    }
    let first = consumer.next().await;
    let reject = BasicRejectOptions { requeue: false };
    let rejected = channel.basic_reject(first.delivery_tag, reject).await;
    rejected.expect("basic.reject");
    assert_eq!(consumer.next_text().await, "next");
    assert_eq!(publisher.drain("grave").await, ["rejected", "expired"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_queue_reads_the_consumers_arguments_before_the_channels_prefetch() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let mut arguments = FieldTable::default();
    let kind = AMQPValue::LongString("quorum".into());
    arguments.insert("x-queue-type".into(), kind);
    let channel = client.channel().await;
    let declared = channel.try_queue("q", durable(), arguments).await;
    declared.expect("queue.declare");
    channel.prefetch(1, true).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::Void);
    let refused = channel.try_consume_with("q", arguments).await;
    let text = "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \
                \"expected integer, got void\"";
    refused.err().expect("a refusal").is(406, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_share_a_channels_prefetch_take_turns_for_their_queue() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("q", durable()).await;
    let channel = client.channel().await;
    channel.prefetch(1, true).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(channel.consume("q").await);
    }
    fill(&publisher, "q", 1..=8).await;
    for number in 0..8 {
        assert_eq!(all[number % 4].next_text().await, (number + 1).to_string());
        channel.ack(number as u64 + 1, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_take_turns() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("q", Default::default()).await;
    let mut consumers = Vec::new();
    for _ in 0..3 {
        let channel = client.channel().await;
        let deliveries = channel.consume_no_ack("q").await;
        consumers.push((channel, deliveries));
    }
    fill(&publisher, "q", 0..=29).await;
    for (position, (_, deliveries)) in consumers.iter_mut().enumerate() {
        let expected: Vec<String> = (0..10)
            .map(|turn| (turn * 3 + position).to_string())
            .collect();
        assert_eq!(deliveries.texts(10).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requeued_messages_take_their_old_place_and_are_redelivered() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    for (queue, options) in [("kept", durable()), ("light", Default::default())] {
        publisher.queue(queue, options).await;
        fill(&publisher, queue, 1..=5).await;
        let channel = client.channel().await;
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(channel.get(queue).await.expect("a message"));
        }
        assert!(held.iter().all(|message| !message.redelivered));
        assert_eq!(held.last().expect("four").message_count, 1);
        // Not in the order they came in.
        for index in [1, 3, 0, 2] {
            channel.requeue(held[index].delivery_tag, false).await;
        }
        let mut again = Vec::new();
        while let Some(message) = channel.get(queue).await {
            again.push((text(&message.delivery), message.redelivered));
        }
        let again: Vec<_> = again
            .iter()
            .map(|(text, flag)| (text.as_str(), *flag))
            .collect();
        let expected = [
            ("1", true),
            ("2", true),
            ("3", true),
            ("4", true),
            ("5", false),
        ];
        assert_eq!(again, expected, "{queue}");
        // The channel's end gives everything back.
        channel.close_it().await;
        assert_eq!(publisher.count(queue).await, 5);
        let first = publisher.get(queue).await.expect("the first");
        assert_eq!((text(&first).as_str(), first.redelivered), ("1", true));
        assert!(publisher.get(queue).await.expect("second").redelivered);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ack_nack_and_reject_settle_what_they_name() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("q", durable()).await;
    fill(&publisher, "q", 1..=9).await;
    let channel = client.channel().await;
    for _ in 1..=9 {
        assert!(channel.get("q").await.is_some());
    }
    channel.ack(2, true).await;
    channel.ack(4, false).await;
    let nack = |multiple, requeue| BasicNackOptions { multiple, requeue };
    channel
        .basic_nack(5, nack(true, false))
        .await
        .expect("3, 5");
    channel.basic_nack(6, nack(false, true)).await.expect("6");
    let reject = |requeue| BasicRejectOptions { requeue };
    channel.basic_reject(7, reject(false)).await.expect("7");
    channel.basic_reject(8, reject(true)).await.expect("8");
    channel.fence().await;
    assert_eq!(publisher.drain("q").await, ["6", "8"]);
    // Tag 0 with multiple: everything that is left.
    channel.requeue(0, true).await;
    channel.fence().await;
    assert_eq!(publisher.drain("q").await, ["9"]);
    channel.close_it().await;
    assert_eq!(publisher.drain("q").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_of_nothing_closes_the_channel() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.channel().await;
    channel.ack(7, false).await;
    let refused = client.refusal().await;
    refused.is(406, "PRECONDITION_FAILED - unknown delivery tag 7");
    client.channel().await.fence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_consumer_gets_nothing_more_and_keeps_what_it_holds() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let publisher = client.confirming().await;
    publisher.queue("q", Default::default()).await;
    let channel = client.channel().await;
    let mut deliveries = channel.consume("q").await;
    fill(&publisher, "q", 1..=1).await;
    let held = deliveries.next().await;
    let tag = deliveries.tag();
    let cancelled = channel.basic_cancel(tag.as_str().into(), Default::default());
    cancelled.await.expect("basic.cancel");
    fill(&publisher, "q", 2..=3).await;
    assert_eq!(publisher.counts("q").await, Ok((2, 0)));
    channel.requeue(held.delivery_tag, false).await;
    channel.fence().await;
    assert_eq!(publisher.drain("q").await, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_consumer_is_alone() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.channel().await;
    channel.queue("q", Default::default()).await;
    let exclusive = BasicConsumeOptions {
        exclusive: true,
        ..Default::default()
    };
    let alone = channel.try_consume("q", "alone", exclusive).await;
    let _alone = alone.expect("basic.consume");
    let other = client.channel().await;
    let refused = other.try_consume("q", "", Default::default()).await;
    let refused = refused.err().expect("refused");
    refused.is(
        403,
        "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_in_flight_arrive_in_order() {
    const COUNT: usize = 10_000;
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    for (queue, properties) in [("kept", persistent()), ("light", transient())] {
        let publisher = client.confirming().await;
        publisher.queue(queue, durable()).await;
        let mut deliveries = client.channel().await.consume_no_ack(queue).await;
        let mut confirms = Vec::with_capacity(COUNT);
        for number in 0..COUNT {
            let body = (number as u32).to_be_bytes();
            let options = BasicPublishOptions::default();
            let sent = publisher.basic_publish(
                "".into(),
                queue.into(),
                options,
                &body,
                properties.clone(),
            );
            confirms.push(sent.await.expect("basic.publish"));
        }
        for number in 0..COUNT {
            let delivery = deliveries.next().await;
            assert_eq!(delivery.data, (number as u32).to_be_bytes(), "{queue}");
            assert!(!delivery.redelivered);
        }
        for confirm in confirms {
            assert!(confirm.await.expect("a confirm").is_ack());
        }
        assert_eq!(publisher.count(queue).await, 0);
    }
}
