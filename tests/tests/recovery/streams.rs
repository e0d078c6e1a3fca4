//! Streams after a stop and after a kill: what was confirmed is there, and no offset is given twice.

use lapin::options::*;
use lapin::types::AMQPValue;
use warren_tests::kit::{
    Broker, Channel, DEADLINE, Options, durable, headers, soon, text, transient,
};

use super::{End, again};

/// Offsets and bodies of everything a stream holds, which is this many messages.
async fn read_stream(channel: &Channel, stream: &str, count: usize) -> Vec<(i64, String)> {
    channel.prefetch(1000, false).await;
    let arguments = headers([("x-stream-offset", "first")]);
    let reading = channel.try_consume_with(stream, arguments).await;
    let mut deliveries = reading.expect("basic.consume");
    let mut found = Vec::new();
    for _ in 0..count {
        let delivery = deliveries.next().await;
        assert!(!delivery.redelivered);
        let headers = delivery.properties.headers().clone().expect("headers");
        match headers.inner().get("x-stream-offset") {
            Some(AMQPValue::LongLongInt(offset)) => found.push((*offset, text(&delivery))),
            other => panic!("an offset: {other:?}"),
        }
        channel.ack(delivery.delivery_tag, false).await;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_what_it_confirmed_and_goes_on_with_its_offsets() {
    let mut broker = Broker::start(Options::default());
    let mut expected: Vec<(i64, String)> = Vec::new();
    let channel = broker.connect().await.confirming().await;
    let arguments = || headers([("x-queue-type", "stream")]);
    let declared = channel.try_queue("s", durable(), arguments()).await;
    declared.expect("queue.declare");
    for end in [End::Kill, End::Stop, End::Kill, End::Kill] {
        let channel = broker.connect().await.confirming().await;
        let begun = expected.len();
        let bodies = (begun..begun + 2000).map(|number| format!("m{number}"));
        let bodies: Vec<String> = bodies.collect();
        // Without persistence: a stream keeps all alike.
        let mut confirms = Vec::new();
        for body in &bodies {
            let options = BasicPublishOptions::default();
            let body = body.as_bytes();
            let sent = channel.basic_publish("".into(), "s".into(), options, body, transient());
            confirms.push(sent.await.expect("basic.publish"));
        }
        for confirm in confirms {
            assert!(confirm.await.expect("a confirm").is_ack());
        }
        let numbered = (begun as i64..).zip(bodies);
        expected.extend(numbered);
        drop(channel);

        again(&mut broker, end);
        let channel = broker.channel().await;
        let declared = channel.try_queue("s", durable(), arguments()).await;
        declared.expect("the same stream");
        assert_eq!(channel.count("s").await as usize, expected.len());
        let found = read_stream(&channel, "s", expected.len()).await;
        assert_eq!(found, expected, "after {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_never_gives_an_offset_twice_though_retention_has_taken_almost_all() {
    let mut broker = Broker::start(Options::default());
    let mut arguments = headers([("x-queue-type", "stream")]);
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongInt(1));
    let channel = broker.connect().await.confirming().await;
    let declared = channel.try_queue("s", durable(), arguments).await;
    declared.expect("queue.declare");
    drop(channel);
    for (round, end) in [End::Kill, End::Stop, End::Kill].into_iter().enumerate() {
        let channel = broker.connect().await.confirming().await;
        let bodies = (0..50).map(|_| format!("round {round}").into_bytes());
        channel.fill("s", bodies).await;
        let left = async || channel.count("s").await == 1;
        soon("all but the newest are dropped", DEADLINE, left).await;
        drop(channel);

        again(&mut broker, end);
        let channel = broker.channel().await;
        assert_eq!(channel.count("s").await, 1, "after {end:?}");
        let newest = (round as i64 + 1) * 50 - 1;
        let found = read_stream(&channel, "s", 1).await;
        assert_eq!(found, [(newest, format!("round {round}"))]);
    }
}
