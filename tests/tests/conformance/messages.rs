//! Messages as such: large ones, small frames, properties that come through untouched.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use warren_tests::kit::{
    Broker, Client, DEADLINE, Options, Wire, durable, headers, persistent, soon, transient,
};

#[tokio::test(flavor = "multi_thread")]
async fn five_mebibytes_come_through_unchanged() {
    let body: Vec<u8> = (0..5 << 20)
        .map(|number: u32| (number * 31 % 251) as u8)
        .collect();
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    for properties in [persistent(), transient()] {
        channel.confirmed("", "q", &body, properties).await;
        let message = channel.get("q").await.expect("the message");
        assert!(message.data == body, "{} octets", message.data.len());
        channel.requeue(message.delivery_tag, false).await;
        let mut deliveries = broker.channel().await.consume_no_ack("q").await;
        assert!(deliveries.next().await.data == body);
        drop(deliveries);
        soon("the consumer has gone", DEADLINE, async || {
            channel.counts("q").await.expect("the queue") == (0, 0)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_4096_octets_are_enough() {
    let body: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
    let broker = Broker::start(Options::default());
    let large = broker.connect().await.confirming().await;
    large.queue("q", Default::default()).await;
    let mut wire = Wire::open(broker.address(), 4096).expect("a connection");
    wire.publish("q", &body, 4096 - 8).expect("basic.publish");
    let mut deliveries = large.consume_no_ack("q").await;
    assert!(deliveries.next().await.data == body);
    let tag = deliveries.tag();
    let cancelled = large.basic_cancel(tag.as_str().into(), Default::default());
    cancelled.await.expect("basic.cancel");
    large.confirmed("", "q", &body, transient()).await;
    wire.consume("q", true).expect("basic.consume");
    wire.expect(60, 60).expect("basic.deliver");
    assert_eq!(wire.read().expect("header").kind, 2);
    let mut received = Vec::new();
    while received.len() < body.len() {
        let frame = wire.read().expect("a body frame");
        assert_eq!(frame.kind, 3);
        assert!(frame.payload.len() <= 4096 - 8);
        received.extend(frame.payload);
    }
    assert!(received == body);
    let url = format!("{}?frame_max=4096", broker.url());
    let client = Client::connect(&url).await;
    assert_eq!(client.configuration().frame_max(), 4096);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_properties_and_an_empty_body_come_through() {
    let mut table = headers([("text", "value")]);
    table.insert("number".into(), AMQPValue::LongLongInt(-5));
    let mut nested = FieldTable::default();
    nested.insert("yes".into(), AMQPValue::Boolean(true));
    table.insert("nested".into(), AMQPValue::FieldTable(nested));
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_headers(table)
        .with_delivery_mode(2)
        .with_priority(3)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("id".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_user_id("guest".into())
        .with_app_id("app".into());
    let mut broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    channel.confirmed("", "q", b"", properties.clone()).await;
    let message = channel.get("q").await.expect("the message");
    assert_eq!((&message.properties, message.data.len()), (&properties, 0));
    broker.kill();
    broker.restart();
    let message = broker.channel().await.get("q").await.expect("from disk");
    assert_eq!((&message.properties, message.data.len()), (&properties, 0));
}
