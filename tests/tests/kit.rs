//! The kit itself: brokers start apart from each other, end as told and come back as they were.

use warren_tests::kit::{Broker, Options, durable, persistent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_comes_back_on_its_port_with_its_folder() {
    let mut broker = Broker::start(Options::default());
    let other = Broker::start(Options::default());
    assert_ne!(broker.address(), other.address());
    assert!(broker.resident_memory() > 1 << 20);
    let address = broker.address().to_owned();
    let channel = broker.channel().await;
    channel.confirm().await;
    channel.queue("kept", durable()).await;
    channel.confirmed("", "kept", b"body", persistent()).await;
    broker.kill();
    broker.restart();
    assert_eq!(broker.address(), address);
    let channel = broker.channel().await;
    assert_eq!(channel.take("kept").await.as_deref(), Some("body"));
    broker.logs("connection open");
    assert!(broker.stop().success());
}
