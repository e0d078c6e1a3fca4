//! Codes and texts of refusals, and that a channel's refusal is the channel's alone.

use lapin::options::*;
use lapin::types::FieldTable;
use warren_tests::kit::{Broker, Channel, Client, Options, Refused, Wire, headers};

type Outcome = Result<(), Refused>;

fn none() -> FieldTable {
    FieldTable::default()
}

async fn declare(channel: Channel, name: &str, kind: &str, passive: bool) -> Outcome {
    let options = ExchangeDeclareOptions {
        passive,
        ..Default::default()
    };
    channel.try_exchange(name, kind, options, none()).await
}

async fn delete(channel: Channel, name: &str, if_unused: bool) -> Outcome {
    let options = ExchangeDeleteOptions {
        if_unused,
        nowait: false,
    };
    Ok(channel.exchange_delete(name.into(), options).await?)
}

/// Refused on a fresh channel, while another one lives on.
async fn refused(
    client: &Client,
    code: u16,
    text: &str,
    attempt: impl AsyncFnOnce(Channel) -> Outcome,
) {
    let witness = client.channel().await;
    let outcome = attempt(client.channel().await).await;
    outcome.expect_err(text).is(code, text);
    witness.fence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_404() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    client.channel().await.queue("q", Default::default()).await;
    let queue = "NOT_FOUND - no queue 'none' in vhost '/'";
    refused(&client, 404, queue, async |channel| {
        channel.counts("none").await.map(drop)
    })
    .await;
    refused(&client, 404, queue, async |channel| {
        let got = channel.basic_get("none".into(), Default::default());
        Ok(got.await.map(drop)?)
    })
    .await;
    refused(&client, 404, queue, async |channel| {
        let consumed = channel.try_consume("none", "", Default::default());
        consumed.await.map(drop)
    })
    .await;
    refused(&client, 404, queue, async |channel| {
        channel.try_bind("none", "amq.direct", "k", none()).await
    })
    .await;
    let exchange = "NOT_FOUND - no exchange 'none' in vhost '/'";
    refused(&client, 404, exchange, async |channel| {
        declare(channel, "none", "direct", true).await
    })
    .await;
    refused(&client, 404, exchange, async |channel| {
        channel.try_bind("q", "none", "k", none()).await
    })
    .await;
    refused(&client, 404, exchange, async |channel| {
        // On a connection that has heard of no other refusal.
        drop(channel);
        let channel = broker.channel().await;
        channel.publish("none", "k", b"x").await;
        Err(channel.client.refusal().await)
    })
    .await;
    let last = "NOT_FOUND - no previously declared queue";
    refused(&client, 404, last, async |channel| {
        let purged = channel.queue_purge("".into(), Default::default());
        Ok(purged.await.map(drop)?)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_brokers_own_is_403() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    client.channel().await.queue("q", Default::default()).await;
    let text = "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'";
    refused(&client, 403, text, async |channel| {
        let declared = channel.try_queue("amq.q", Default::default(), none());
        declared.await.map(drop)
    })
    .await;
    let text = "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'";
    refused(&client, 403, text, async |channel| {
        declare(channel, "amq.x", "direct", false).await
    })
    .await;
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";
    refused(&client, 403, text, async |channel| {
        channel.try_bind("q", "", "k", none()).await
    })
    .await;
    refused(&client, 403, text, async |channel| {
        delete(channel, "", false).await
    })
    .await;
    let text = "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed";
    refused(&client, 403, text, async |channel| {
        delete(channel, "amq.topic", false).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_406() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.channel().await;
    channel.queue("q", Default::default()).await;
    channel.exchange("x", "direct", Default::default()).await;
    channel.bind("q", "x", "k").await;
    let text = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': \
                received 'fanout' but current is 'direct'";
    refused(&client, 406, text, async |channel| {
        declare(channel, "x", "fanout", false).await
    })
    .await;
    let text = "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in \
                vhost '/': received the value 'y' of type 'longstr' but current is none";
    refused(&client, 406, text, async |channel| {
        let arguments = headers([("alternate-exchange", "y")]);
        let declared = channel.try_exchange("x", "direct", Default::default(), arguments);
        declared.await
    })
    .await;
    let text = "PRECONDITION_FAILED - unknown exchange type 'x-nothing'";
    refused(&client, 406, text, async |channel| {
        declare(channel, "new", "x-nothing", false).await
    })
    .await;
    let text = "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use";
    refused(&client, 406, text, async |channel| {
        delete(channel, "x", true).await
    })
    .await;
    // What is not there can be deleted and unbound.
    delete(channel.clone(), "none", false)
        .await
        .expect("delete-ok");
    let unbound = channel.queue_unbind("q".into(), "x".into(), "never".into(), none());
    unbound.await.expect("unbind-ok");
    let text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode";
    refused(&client, 406, text, async |channel| {
        channel.confirm().await;
        Ok(channel.tx_select().await?)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breaches_of_the_protocol_close_the_connection_and_no_other() {
    let broker = Broker::start(Options::default());
    let witness = broker.channel().await;
    witness.queue("q", Default::default()).await;
    let client = broker.connect().await;
    let channel = client.channel().await;
    let first = channel.try_consume("q", "twice", Default::default()).await;
    let _first = first.expect("basic.consume");
    // lapin knows nothing of tags in use, so this reaches the broker.
    let second = channel.try_consume("q", "twice", Default::default()).await;
    let second = second.err().expect("refused");
    second.is(530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'");
    witness.fence().await;
    let mut wire = Wire::open(broker.address(), 0).expect("a connection");
    wire.method(1, 20, 10, &[0]).expect("channel.open again");
    let close = wire.expect(10, 50).expect("connection.close");
    let text = b"CHANNEL_ERROR - second 'channel.open' seen";
    let head = [&[0, 10, 0, 50, 1, 0xF8, text.len() as u8][..], text].concat();
    let failed = [0, 20, 0, 10];
    assert_eq!(close.payload, [head, failed.to_vec()].concat());
    witness.fence().await;
}
