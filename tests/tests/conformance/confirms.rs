//! Publisher confirms and returns, down to the order of frames.

use std::io::Write as _;

use lapin::Confirmation;
use warren_tests::kit::{Broker, Frame, Options, Wire, durable, persistent, transient};

fn flag(frame: &Frame, at: usize) -> bool {
    frame.payload.get(at).is_some_and(|octet| octet & 1 == 1)
}

fn tag(frame: &Frame) -> u64 {
    let octets = frame.payload.get(4..12).and_then(|tag| tag.try_into().ok());
    u64::from_be_bytes(octets.expect("a delivery tag"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_publish_is_confirmed_once_singly_or_together() {
    const COUNT: u64 = 500;
    let broker = Broker::start(Options::default());
    let channel = broker.channel().await;
    channel.queue("q", durable()).await;
    let mut wire = Wire::open(broker.address(), 0).expect("a connection");
    wire.method(1, 85, 10, &[0]).expect("confirm.select");
    wire.expect(85, 11).expect("confirm.select-ok");
    for number in 0..COUNT {
        let body = number.to_be_bytes();
        wire.publish("q", &body, body.len()).expect("basic.publish");
    }
    let mut open: std::collections::BTreeSet<u64> = (1..=COUNT).collect();
    while !open.is_empty() {
        let ack = wire.expect(60, 80).expect("basic.ack");
        let tag = tag(&ack);
        assert!(open.contains(&tag), "confirmed twice: {tag}");
        match flag(&ack, 12) {
            true => open = open.split_off(&(tag + 1)),
            false => drop(open.remove(&tag)),
        }
    }
    assert_eq!(channel.count("q").await, COUNT as u32);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unroutable_mandatory_message_is_returned_before_its_confirm() {
    let broker = Broker::start(Options::default());
    let mut wire = Wire::open(broker.address(), 0).expect("a connection");
    wire.method(1, 85, 10, &[0]).expect("confirm.select");
    wire.expect(85, 11).expect("confirm.select-ok");
    // Mandatory, to a queue that is not there; with a body of five octets.
    let publish = [&[0, 0, 0, 4][..], b"none", &[1]].concat();
    wire.method(1, 60, 40, &publish).expect("basic.publish");
    let header = [&[0, 60, 0, 0][..], &5_u64.to_be_bytes(), &[0, 0]].concat();
    wire.frame(2, 1, &header).expect("content header");
    wire.frame(3, 1, b"hello").expect("content body");
    wire.stream.flush().expect("flush");
    let returned = wire.expect(60, 50).expect("basic.return first");
    let expected = [&[0, 60, 0, 50, 1, 0x38, 8][..], b"NO_ROUTE", b"\0\x04none"].concat();
    assert_eq!(returned.payload, expected);
    assert_eq!(wire.read().expect("header").kind, 2);
    assert_eq!(wire.read().expect("body").payload, b"hello");
    let ack = wire.expect(60, 80).expect("basic.ack after it");
    assert_eq!(tag(&ack), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unroutable_message_is_acked_and_only_returned_when_mandatory() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let confirmation = channel.confirmed("amq.direct", "none", b"body", persistent());
    let Confirmation::Ack(Some(returned)) = confirmation.await else {
        panic!("not returned");
    };
    assert_eq!(returned.reply_code, 312);
    assert_eq!(returned.reply_text.as_str(), "NO_ROUTE");
    assert_eq!(returned.delivery.exchange.as_str(), "amq.direct");
    assert_eq!(returned.delivery.routing_key.as_str(), "none");
    assert_eq!(returned.delivery.data, b"body");
    assert_eq!(returned.delivery.properties.delivery_mode(), &Some(2));
    let options = Default::default();
    let sent = channel.basic_publish(
        "amq.direct".into(),
        "none".into(),
        options,
        b"x",
        transient(),
    );
    let confirm = sent.await.expect("basic.publish").await.expect("a confirm");
    assert_eq!(confirm, Confirmation::Ack(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_many_queues_is_confirmed_once() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    for number in 0..20 {
        let queue = format!("q{number}");
        channel.queue(&queue, durable()).await;
        channel.bind(&queue, "amq.fanout", "").await;
    }
    for properties in [persistent(), transient()] {
        let confirm = channel.confirmed("amq.fanout", "", b"x", properties).await;
        assert_eq!(confirm, Confirmation::Ack(None));
    }
    for number in 0..20 {
        assert_eq!(channel.count(&format!("q{number}")).await, 2);
    }
}
