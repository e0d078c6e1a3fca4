//! Queues: how long they live, whose they are, what purge and delete do.

use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use warren_tests::kit::{
    Broker, DEADLINE, Options, Refused, durable, persistent, soon, text, transient,
};

fn exclusive() -> QueueDeclareOptions {
    QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    }
}

fn missing(queue: &str) -> Refused {
    Refused {
        code: 404,
        text: format!("NOT_FOUND - no queue '{queue}' in vhost '/'"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_named_queues_are_remembered_by_their_channel() {
    let broker = Broker::start(Options::default());
    let channel = broker.channel().await;
    let name = channel.queue("", Default::default()).await;
    assert!(name.starts_with("amq.gen-") && name.len() > 20, "{name}");
    assert_ne!(channel.queue("", Default::default()).await, name);
    let last = channel.queue("", Default::default()).await;
    // The empty name stands for the queue declared last.
    channel.bind("", "amq.fanout", "").await;
    channel.publish("amq.fanout", "", b"x").await;
    channel.fence().await;
    assert_eq!(channel.count(&last).await, 1);
    assert_eq!(channel.count(&name).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_queue_is_its_connections_alone_and_goes_with_it() {
    let broker = Broker::start(Options::default());
    let owner = broker.connect().await;
    let channel = owner.channel().await;
    channel.queue("mine", exclusive()).await;
    // To be durable means nothing to it, so that it is no other queue.
    let durable_too = QueueDeclareOptions {
        durable: true,
        ..exclusive()
    };
    channel.queue("mine", durable_too).await;
    // Another channel of the connection may.
    owner.channel().await.publish("", "mine", b"x").await;
    let other = broker.connect().await;
    let locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost \
                  '/'. It could be originally declared on another connection or the exclusive \
                  property value does not match that of the original declaration.";
    let refused = other.channel().await.counts("mine").await;
    refused.expect_err("locked").is(405, locked);
    let consuming = other.channel().await;
    let refused = consuming.try_consume("mine", "", Default::default()).await;
    refused.err().expect("locked").is(405, locked);
    let none = FieldTable::default();
    let binding = other.channel().await;
    let refused = binding
        .try_bind("mine", "amq.direct", "k", none.clone())
        .await;
    refused.expect_err("locked").is(405, locked);
    // What is missing is told first.
    let binding = other.channel().await;
    let refused = binding.try_bind("mine", "none", "k", none).await;
    let expected = "NOT_FOUND - no exchange 'none' in vhost '/'";
    refused.expect_err("missing").is(404, expected);
    owner.close(200, "bye".into()).await.expect("close");
    soon("the queue is deleted", DEADLINE, async || {
        other.channel().await.counts("mine").await == Err(missing("mine"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.channel().await;
    let auto_delete = QueueDeclareOptions {
        auto_delete: true,
        ..Default::default()
    };
    channel.queue("fading", auto_delete).await;
    let first = channel.consume("fading").await;
    let second = channel.consume("fading").await;
    for consumer in [first, second] {
        assert!(channel.counts("fading").await.is_ok());
        let tag = consumer.tag();
        let cancelled = channel.basic_cancel(tag.as_str().into(), Default::default());
        cancelled.await.expect("basic.cancel");
    }
    let gone = client.channel().await.counts("fading").await;
    assert_eq!(gone, Err(missing("fading")));
}

#[tokio::test(flavor = "multi_thread")]
async fn declaring_again_takes_the_same_and_refuses_what_differs() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.channel().await;
    let with = |name: &str, value: AMQPValue| {
        let mut table = FieldTable::default();
        table.insert(name.into(), value);
        table
    };
    let limit = || with("x-max-length", AMQPValue::LongInt(5));
    for arguments in [limit(), with("x-max-length", AMQPValue::ShortInt(5))] {
        let declared = channel.try_queue("q", durable(), arguments).await;
        assert_eq!(declared.as_deref(), Ok("q"));
    }
    let refused = client.channel().await;
    let refused = refused.try_queue("q", Default::default(), limit()).await;
    refused.expect_err("not durable").is(
        406,
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received \
         'false' but current is 'true'",
    );
    let refused = client.channel().await;
    let refused = refused
        .try_queue("q", durable(), FieldTable::default())
        .await;
    refused.expect_err("no limit").is(
        406,
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': \
         received none but current is the value '5' of type 'signedint'",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_takes_what_is_ready_and_leaves_the_unacked() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("kept", durable()).await;
    channel.queue("light", Default::default()).await;
    for (queue, properties) in [("kept", persistent()), ("light", transient())] {
        for body in ["a", "b", "c", "d"] {
            let body = body.as_bytes();
            channel.confirmed("", queue, body, properties.clone()).await;
        }
        let first = channel.get(queue).await.expect("a");
        let second = channel.get(queue).await.expect("b");
        let purged = channel.queue_purge(queue.into(), Default::default()).await;
        assert_eq!(purged.expect("queue.purge"), 2, "{queue}");
        assert_eq!(channel.count(queue).await, 0, "{queue}");
        assert_eq!((text(&first), text(&second)), ("a".into(), "b".into()));
        for message in [&first, &second] {
            channel.requeue(message.delivery_tag, false).await;
        }
        let mut back = Vec::new();
        while let Some(message) = channel.get(queue).await {
            assert!(message.redelivered);
            channel.ack(message.delivery_tag, false).await;
            back.push(text(&message.delivery));
        }
        assert_eq!(back, ["a", "b"], "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_unacked_messages_come_back_after_a_purge() {
    // Larger than what is kept beside the queue's other rows.
    let body = vec![7; 100_000];
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    for _ in 0..3 {
        channel.confirmed("", "q", &body, persistent()).await;
    }
    let held = channel.get("q").await.expect("a message");
    let tag = held.delivery_tag;
    drop(held);
    let purged = channel.queue_purge("q".into(), Default::default()).await;
    assert_eq!(purged.expect("queue.purge"), 2);
    channel.requeue(tag, false).await;
    let back = channel.get("q").await.expect("it is back");
    assert_eq!(back.data, body);
    assert!(channel.get("q").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_leaves_the_unacked_of_a_backlog_on_disk() {
    // More than the broker keeps in memory of one queue.
    const COUNT: u32 = 12_000;
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    let body = |number: u32| format!("{number:0600}").into_bytes();
    channel.fill("q", (0..COUNT).map(body)).await;
    let number_in = |delivery: &_| text(delivery).parse::<u32>().expect("a number");
    let mut tags = Vec::new();
    for number in 0..3 {
        let message = channel.get("q").await.expect("a message");
        assert_eq!(number_in(&message.delivery), number);
        tags.push(message.delivery_tag);
    }
    let purged = channel.queue_purge("q".into(), Default::default()).await;
    assert_eq!(purged.expect("queue.purge"), COUNT - 3);
    assert_eq!(channel.count("q").await, 0);
    channel.ack(tags[1], false).await;
    channel.fill("q", [body(COUNT)]).await;
    for tag in [tags[0], tags[2]] {
        channel.requeue(tag, false).await;
    }
    for number in [0, 2, COUNT] {
        let message = channel.get("q").await.expect("what was unacked comes back");
        assert_eq!(number_in(&message.delivery), number);
        assert_eq!(message.redelivered, number != COUNT);
    }
    assert!(channel.get("q").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_minds_consumers_and_messages_when_asked_to() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    channel.queue("q", Default::default()).await;
    channel.confirmed("", "q", b"x", transient()).await;
    let delete = async |if_unused, if_empty| {
        let options = QueueDeleteOptions {
            if_unused,
            if_empty,
            nowait: false,
        };
        let channel = client.channel().await;
        let deleted = channel.queue_delete("q".into(), options).await;
        deleted.map_err(Refused::from)
    };
    let refused = delete(false, true).await.expect_err("not empty");
    refused.is(
        406,
        "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
    );
    let mut consumer = channel.consume("q").await;
    let _unacked = consumer.next().await;
    let refused = delete(true, false).await.expect_err("in use");
    refused.is(406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use");
    assert_eq!(delete(false, true).await, Ok(0), "unacked are not in it");
    assert!(consumer.next_or_end().await.is_none(), "consumer cancelled");
    assert_eq!(delete(false, false).await, Ok(0), "missing is fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_in_use_and_not_empty_is_told_to_be_not_empty() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", Default::default()).await;
    let qos = channel.basic_qos(1, Default::default()).await;
    qos.expect("basic.qos");
    let mut consumer = channel.consume("q").await;
    for _ in 0..2 {
        channel.confirmed("", "q", b"x", transient()).await;
    }
    let _unacked = consumer.next().await;
    let options = QueueDeleteOptions {
        if_unused: true,
        if_empty: true,
        nowait: false,
    };
    let deleted = channel.queue_delete("q".into(), options).await;
    let refused = Refused::from(deleted.expect_err("refused"));
    refused.is(
        406,
        "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_queue_returns_its_count_and_takes_its_bindings() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", Default::default()).await;
    channel.bind("q", "amq.direct", "k").await;
    for _ in 0..3 {
        channel
            .confirmed("amq.direct", "k", b"x", transient())
            .await;
    }
    let deleted = channel.queue_delete("q".into(), Default::default()).await;
    assert_eq!(deleted.expect("queue.delete"), 3);
    channel.queue("q", Default::default()).await;
    channel
        .confirmed("amq.direct", "k", b"x", transient())
        .await;
    assert_eq!(channel.count("q").await, 0);
}
