//! Bounds: channels, message size, memory, file descriptors.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use lapin::BasicProperties;
use warren_tests::kit::{
    Broker, Client, DEADLINE, Options, Wire, durable, eventually, persistent, soon, transient,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_channel_too_many_closes_the_connection() {
    let broker = Broker::start(Options::default().set("amqp.channel_max=4"));
    let mut wire = Wire::open(broker.address(), 0).expect("a connection");
    for number in 2..=4 {
        wire.method(number, 20, 10, &[0]).expect("channel.open");
        wire.expect(20, 11).expect("channel.open-ok");
    }
    wire.method(5, 20, 10, &[0]).expect("channel.open");
    let close = wire.expect(10, 50).expect("connection.close");
    assert_eq!(close.payload.get(4..6), Some(&530_u16.to_be_bytes()[..]));
    let text = String::from_utf8_lossy(&close.payload);
    let expected = "NOT_ALLOWED - number of channels opened (4) has reached the negotiated \
                    channel_max (4)";
    assert!(text.contains(expected), "{text}");
    assert!(
        close.payload.ends_with(&[0, 0, 0, 0]),
        "no method is blamed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused_and_the_connection_lives() {
    let broker = Broker::start(Options::default().set("amqp.max_message_size=1MiB"));
    let client = broker.connect().await;
    let witness = client.confirming().await;
    witness.queue("q", Default::default()).await;
    let channel = client.channel().await;
    channel.publish("", "q", &vec![0; (1 << 20) + 1]).await;
    client.refusal().await.is(
        406,
        "PRECONDITION_FAILED - message size 1048577 is larger than configured max size 1048576",
    );
    witness
        .confirmed("", "q", &vec![0; 1 << 20], transient())
        .await;
    assert_eq!(witness.count("q").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn low_memory_or_disk_blocks_publishers_and_nobody_else() {
    let memory = "limits.memory_high_watermark=1MiB";
    let disk = "limits.disk_free_limit=1000000TiB";
    let cases = [
        (vec![memory], "low on memory"),
        (vec![disk], "low on disk"),
        (vec![memory, disk], "low on memory & disk"),
    ];
    for (settings, reason) in cases {
        let broker = Broker::start(settings.into_iter().fold(Options::default(), Options::set));
        let consumer = broker.channel().await;
        consumer.queue("q", durable()).await;
        let mut publisher = Wire::open(broker.address(), 0).expect("a connection");
        publisher.publish("q", b"one", 3).expect("basic.publish");
        let blocked = publisher.expect(10, 60).expect("connection.blocked");
        let text = [&[reason.len() as u8], reason.as_bytes()].concat();
        assert_eq!(blocked.payload, [&[0, 10, 0, 60], &text[..]].concat());
        // Who has not published goes on.
        consumer.fence().await;
        consumer.drain("q").await;
        publisher
            .publish("q", b"two", 3)
            .expect("into the kernel's buffer");
        consumer.fence().await;
        assert_eq!(consumer.count("q").await, 0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_ends_is_a_publish_to_the_alarm() {
    let settings = Options::default().set("limits.memory_high_watermark=1MiB");
    let broker = Broker::start(settings);
    let mut wire = Wire::open(broker.address(), 0).expect("a connection");
    let publish = [0, 0, 0, 1, b'q', 0];
    wire.method(1, 60, 40, &publish).expect("basic.publish");
    let announced = [&[0, 60, 0, 0][..], &1000_u64.to_be_bytes(), &[0, 0]].concat();
    wire.frame(2, 1, &announced).expect("the content header");
    wire.frame(3, 1, b"the begin").expect("a part of the body");
    wire.expect(10, 60).expect("connection.blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_never_reads_costs_no_memory() {
    const BODY: usize = 16 * 1024;
    const COUNT: usize = (200 << 20) / BODY;
    // Measured up to 600 MiB: the store's buffers level off at 95 MiB after the first 250.
    const ALLOWED: u64 = 128 << 20;
    let broker = Broker::start(Options::default());
    let publisher = broker.connect().await.confirming().await;
    publisher.queue("q", durable()).await;
    let mut stuck = Wire::open(broker.address(), 0).expect("a connection");
    stuck.consume("q", true).expect("basic.consume");
    let before = broker.resident_memory();
    let mut peak = before;
    let mut confirms = Vec::new();
    for number in 0..COUNT {
        let body = vec![number as u8; BODY];
        let properties: BasicProperties = persistent();
        let options = Default::default();
        let sent = publisher.basic_publish("".into(), "q".into(), options, &body, properties);
        confirms.push(sent.await.expect("basic.publish"));
        if number % 100 == 0 {
            peak = peak.max(broker.resident_memory());
        }
        if confirms.len() == 500 {
            for confirm in confirms.drain(..) {
                assert!(confirm.await.expect("a confirm").is_ack());
            }
        }
    }
    for confirm in confirms {
        assert!(confirm.await.expect("a confirm").is_ack());
    }
    peak = peak.max(broker.resident_memory());
    let grown = peak - before;
    println!("{} MiB grew to at most {} MiB", before >> 20, peak >> 20);
    assert!(grown < ALLOWED, "grown by {} MiB", grown >> 20);
    let (ready, consumers) = publisher.counts("q").await.expect("the queue");
    assert_eq!(consumers, 1);
    assert!(ready as usize > COUNT / 2, "{ready} of {COUNT} wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_only_new_connections_suffer() {
    let broker = Broker::start(Options {
        descriptors: Some(64),
        ..Options::default()
    });
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    let mut waiting = Vec::new();
    for _ in 0..80 {
        let mut wire = Wire::dial(broker.address()).expect("the kernel accepts");
        wire.stream
            .write_all(b"AMQP\x00\x00\x09\x01")
            .expect("header");
        waiting.push(wire);
    }
    broker.logs("cannot accept a connection");
    let last = waiting.last_mut().expect("connections");
    let short = Some(Duration::from_millis(100));
    last.stream.set_read_timeout(short).expect("time-out");
    let read = last.stream.read(&mut [0]);
    let kind = read.expect_err("not served").kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    for body in ["1", "2", "3"] {
        let body = body.as_bytes();
        let confirm = channel.confirmed("", "q", body, persistent()).await;
        assert!(confirm.is_ack());
    }
    assert_eq!(channel.drain("q").await, ["1", "2", "3"]);
    channel.queue("new", durable()).await;
    drop(waiting);
    soon("a new connection", DEADLINE, async || {
        Client::try_connect(&broker.url()).await.is_ok()
    })
    .await;
    eventually(DEADLINE, || {
        let folder = format!("/proc/{}/fd", broker.pid());
        std::fs::read_dir(folder).expect("descriptors").count() < 60
    });
}
