//! tx: publishes and acknowledgements that happen together or not at all.

use lapin::types::{AMQPValue, FieldTable};
use warren_tests::kit::{Broker, DEADLINE, Options, Refused, durable, persistent, soon, transient};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_shows_all_publishes_and_acknowledgements_at_once() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let watch = client.confirming().await;
    for queue in ["in", "kept", "light"] {
        watch.queue(queue, durable()).await;
    }
    watch.confirmed("", "in", b"job", persistent()).await;
    let channel = client.channel().await;
    channel.tx_select().await.expect("tx.select");
    let job = channel.get("in").await.expect("the job");
    channel.publish_as("", "kept", b"1", persistent()).await;
    channel.publish_as("", "light", b"2", transient()).await;
    channel.ack(job.delivery_tag, false).await;
    channel.fence().await;
    assert_eq!(watch.count("kept").await, 0);
    assert_eq!(watch.count("light").await, 0);
    channel.tx_commit().await.expect("tx.commit");
    assert_eq!(watch.drain("kept").await, ["1"]);
    assert_eq!(watch.drain("light").await, ["2"]);
    channel.close_it().await;
    assert_eq!(watch.count("in").await, 0, "acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_or_a_closed_channel_undoes_all() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let watch = client.confirming().await;
    watch.queue("in", durable()).await;
    watch.queue("out", durable()).await;
    watch.confirmed("", "in", b"job", persistent()).await;
    let channel = client.channel().await;
    channel.tx_select().await.expect("tx.select");
    let job = channel.get("in").await.expect("the job");
    channel.publish_as("", "out", b"1", persistent()).await;
    channel.ack(job.delivery_tag, false).await;
    channel.tx_rollback().await.expect("tx.rollback");
    assert_eq!(watch.count("out").await, 0);
    // Still unacked under its tag: the next transaction can settle it.
    channel.requeue(job.delivery_tag, false).await;
    channel.tx_commit().await.expect("tx.commit");
    let job = channel.get("in").await.expect("the job again");
    assert!(job.redelivered);
    channel.publish_as("", "out", b"2", persistent()).await;
    channel.ack(job.delivery_tag, false).await;
    channel.fence().await;
    channel.close_it().await;
    assert_eq!(watch.count("out").await, 0);
    assert_eq!(watch.drain("in").await, ["job"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_survives_a_kill() {
    let mut broker = Broker::start(Options::default());
    let channel = broker.channel().await;
    for queue in ["a", "b"] {
        channel.queue(queue, durable()).await;
        channel.bind(queue, "amq.fanout", "").await;
    }
    channel.tx_select().await.expect("tx.select");
    for body in ["1", "2", "3"] {
        let body = body.as_bytes();
        channel
            .publish_as("amq.fanout", "", body, persistent())
            .await;
    }
    channel.tx_commit().await.expect("tx.commit");
    channel
        .publish_as("amq.fanout", "", b"4", persistent())
        .await;
    channel.fence().await;
    broker.kill();
    broker.restart();
    let channel = broker.channel().await;
    for queue in ["a", "b"] {
        assert_eq!(channel.drain(queue).await, ["1", "2", "3"], "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_finds_the_queue_of_that_name_that_is_there_then() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let watch = client.confirming().await;
    let channel = client.channel().await;
    channel.tx_select().await.expect("tx.select");
    channel.publish("", "late", b"before it was declared").await;
    channel.fence().await;
    watch.queue("late", durable()).await;
    channel.tx_commit().await.expect("tx.commit");
    assert_eq!(watch.drain("late").await, ["before it was declared"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_brings_counts_towards_the_length_of_its_queue() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let watch = client.confirming().await;
    for (limit, taken) in [("x-max-length", 2), ("x-max-length-bytes", 6)] {
        let mut arguments = FieldTable::default();
        arguments.insert(limit.into(), AMQPValue::LongLongInt(taken));
        let overflow = AMQPValue::LongString("reject-publish".into());
        arguments.insert("x-overflow".into(), overflow);
        let declared = watch.try_queue(limit, durable(), arguments).await;
        declared.expect("queue.declare");
        let channel = client.channel().await;
        channel.tx_select().await.expect("tx.select");
        for body in ["one", "two", "six"] {
            channel.publish("", limit, body.as_bytes()).await;
        }
        let refused = channel.tx_commit().await.expect_err("a queue was full");
        let text = "PRECONDITION_FAILED - partial tx completion";
        Refused::from(refused).is(406, text);
        // Nobody waits for what else a commit has brought when it fails.
        soon("the others are there", DEADLINE, async || {
            watch.count(limit).await == 2
        })
        .await;
        assert_eq!(watch.drain(limit).await, ["one", "two"], "{limit}");
    }
}
