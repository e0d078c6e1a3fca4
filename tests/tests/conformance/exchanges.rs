//! Exchange types, bindings between exchanges, and what becomes of messages that nobody wants.

use std::io::{Cursor, Write};

use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, ExchangeUnbindOptions};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Confirmation};
use warren_tests::kit::{Broker, Channel, DEADLINE, Options, Wire, headers, soon, transient};

/// Which of the queues get this message.
async fn routed<'a>(
    channel: &Channel,
    exchange: &str,
    key: &str,
    properties: BasicProperties,
    queues: &[&'a str],
) -> Vec<&'a str> {
    let confirmed = channel.confirmed(exchange, key, b"x", properties).await;
    let mut found = Vec::new();
    for queue in queues {
        let copies = channel.drain(queue).await.len();
        assert!(copies <= 1, "{copies} copies in {queue}");
        found.extend((copies == 1).then_some(*queue));
    }
    let returned = match confirmed {
        Confirmation::Ack(returned) => returned.is_some(),
        other => panic!("{other:?}"),
    };
    assert_eq!(returned, found.is_empty(), "returned only when unroutable");
    found
}

async fn queues(channel: &Channel, names: &[&str]) {
    for name in names {
        channel.queue(name, Default::default()).await;
    }
}

async fn bind_exchange(channel: &Channel, destination: &str, source: &str, key: &str) {
    let options = ExchangeBindOptions::default();
    let bound = channel.exchange_bind(
        destination.into(),
        source.into(),
        key.into(),
        options,
        FieldTable::default(),
    );
    bound.await.expect("exchange.bind");
}

/// A publisher that changes between routes, wide and narrow: what the message before reached must not
/// be in the way.
#[tokio::test(flavor = "multi_thread")]
async fn messages_by_turns_to_many_queues_and_to_few_reach_each_once() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let names: Vec<String> = (0..40).map(|number| format!("q{number:02}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    queues(&channel, &all).await;
    for (number, queue) in all.iter().enumerate() {
        channel.bind(queue, "amq.fanout", "").await;
        if number % 13 == 4 {
            channel.bind(queue, "amq.topic", "few.#").await;
            channel.bind(queue, "amq.topic", "#.of.them").await;
        }
    }
    // What the topic exchange reaches is reached by the fanout again.
    bind_exchange(&channel, "amq.fanout", "amq.topic", "all.of.them").await;

    let to = |exchange, key| routed(&channel, exchange, key, transient(), &all);
    let few = ["q04", "q17", "q30"];
    for _ in 0..3 {
        assert_eq!(to("amq.fanout", "").await, all);
        assert_eq!(to("amq.topic", "few.of.them").await, few);
        assert_eq!(to("", "q39").await, ["q39"]);
        assert_eq!(to("amq.topic", "all.of.them").await, all);
        assert_eq!(to("amq.topic", "nobody").await, [""; 0]);
        assert_eq!(to("amq.topic", "few").await, few);
    }
    channel
        .queue_delete("q17".into(), Default::default())
        .await
        .expect("queue.delete");
    let left = ["q04", "q30"];
    assert_eq!(
        routed(&channel, "amq.topic", "few", transient(), &left).await,
        left
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_fanout_topic_and_the_default_exchange_route_by_key() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let all = ["a", "b", "c"];
    queues(&channel, &all).await;
    let key = |exchange, key| routed(&channel, exchange, key, transient(), &all);

    assert_eq!(key("", "b").await, ["b"]);
    assert_eq!(key("", "nobody").await, [""; 0]);

    channel.bind("a", "amq.direct", "one").await;
    channel.bind("b", "amq.direct", "one").await;
    channel.bind("b", "amq.direct", "two").await;
    assert_eq!(key("amq.direct", "one").await, ["a", "b"]);
    assert_eq!(key("amq.direct", "two").await, ["b"]);
    assert_eq!(key("amq.direct", "tw").await, [""; 0]);

    channel.bind("a", "amq.fanout", "ignored").await;
    channel.bind("a", "amq.fanout", "twice is once").await;
    channel.bind("c", "amq.fanout", "").await;
    assert_eq!(key("amq.fanout", "anything").await, ["a", "c"]);

    channel.bind("a", "amq.topic", "stock.*.nyse").await;
    channel.bind("b", "amq.topic", "stock.#").await;
    channel.bind("c", "amq.topic", "#.nyse").await;
    assert_eq!(key("amq.topic", "stock.ibm.nyse").await, ["a", "b", "c"]);
    assert_eq!(key("amq.topic", "stock").await, ["b"]);
    assert_eq!(key("amq.topic", "nyse").await, ["c"]);
    assert_eq!(key("amq.topic", "stock.ibm.us.nyse").await, ["b", "c"]);
    assert_eq!(key("amq.topic", "bond.ibm").await, [""; 0]);

    let unbound = channel.queue_unbind(
        "b".into(),
        "amq.topic".into(),
        "stock.#".into(),
        FieldTable::default(),
    );
    unbound.await.expect("queue.unbind");
    assert_eq!(key("amq.topic", "stock").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_exchanges_match_all_or_any_header() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let names = ["all", "any", "default", "everything"];
    queues(&channel, &names).await;
    let wanted = [
        (
            "all",
            vec![("x-match", "all"), ("kind", "pdf"), ("size", "a4")],
        ),
        (
            "any",
            vec![("x-match", "any"), ("kind", "pdf"), ("size", "a4")],
        ),
        ("default", vec![("kind", "pdf")]),
        ("everything", vec![]),
    ];
    for (queue, pairs) in wanted {
        let bound = channel.try_bind(queue, "amq.headers", "", headers(pairs));
        bound.await.expect("queue.bind");
    }
    let with = |pairs: Vec<(&'static str, &'static str)>| {
        let properties = transient().with_headers(headers(pairs));
        routed(&channel, "amq.headers", "key", properties, &names)
    };
    assert_eq!(with(vec![("kind", "pdf"), ("size", "a4")]).await, names);
    let any = ["any", "default", "everything"];
    assert_eq!(with(vec![("kind", "pdf"), ("size", "a5")]).await, any);
    assert_eq!(with(vec![("size", "a4")]).await, ["any", "everything"]);
    assert_eq!(with(vec![("kind", "zip")]).await, ["everything"]);

    let bad = channel.try_bind("all", "amq.headers", "", headers([("x-match", "some")]));
    assert_eq!(bad.await.expect_err("refused").code, 406);
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_bound_to_exchanges_pass_messages_on_once() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    queues(&channel, &["q"]).await;
    for name in ["in", "left", "right"] {
        channel.exchange(name, "fanout", Default::default()).await;
    }
    bind_exchange(&channel, "left", "in", "").await;
    bind_exchange(&channel, "right", "in", "").await;
    // A circle is walked once.
    bind_exchange(&channel, "in", "left", "").await;
    channel.bind("q", "left", "").await;
    channel.bind("q", "right", "").await;
    let found = routed(&channel, "in", "k", transient(), &["q"]);
    assert_eq!(found.await, ["q"]);

    for destination in ["left", "right"] {
        let options = ExchangeUnbindOptions::default();
        let unbound = channel.exchange_unbind(
            destination.into(),
            "in".into(),
            "".into(),
            options,
            FieldTable::default(),
        );
        unbound.await.expect("exchange.unbind");
    }
    let found = routed(&channel, "in", "k", transient(), &["q"]);
    assert_eq!(found.await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alternate_exchange_gets_what_nobody_else_wants() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    queues(&channel, &["wanted", "rest"]).await;
    channel.exchange("rest", "fanout", Default::default()).await;
    for (name, alternate) in [("x", "rest"), ("lost", "not there")] {
        let arguments = headers([("alternate-exchange", alternate)]);
        let declared = channel.try_exchange(name, "direct", Default::default(), arguments);
        declared.await.expect("exchange.declare");
    }
    channel.bind("rest", "rest", "").await;
    channel.bind("wanted", "x", "k").await;
    let both = ["wanted", "rest"];
    let found = routed(&channel, "x", "k", transient(), &both).await;
    assert_eq!(found, ["wanted"]);
    // Counts as routed: `routed` has looked that it was not returned.
    let found = routed(&channel, "x", "other", transient(), &both).await;
    assert_eq!(found, ["rest"]);
    let found = routed(&channel, "lost", "k", transient(), &both).await;
    assert_eq!(found, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_exchange_is_fed_by_exchanges_alone() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.confirming().await;
    queues(&channel, &["q"]).await;
    let internal = ExchangeDeclareOptions {
        internal: true,
        ..Default::default()
    };
    channel.exchange("inner", "fanout", internal).await;
    channel.bind("q", "inner", "").await;
    bind_exchange(&channel, "inner", "amq.fanout", "").await;
    let found = routed(&channel, "amq.fanout", "k", transient(), &["q"]).await;
    assert_eq!(found, ["q"]);
    let other = client.channel().await;
    other.publish("inner", "k", b"x").await;
    client.refusal().await.is(
        403,
        "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'",
    );
    channel.fence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let broker = Broker::start(Options::default());
    let client = broker.connect().await;
    let channel = client.channel().await;
    queues(&channel, &["q"]).await;
    let auto_delete = ExchangeDeclareOptions {
        auto_delete: true,
        ..Default::default()
    };
    channel.exchange("fading", "direct", auto_delete).await;
    // As a destination it has no binding of its own.
    bind_exchange(&channel, "fading", "amq.fanout", "").await;
    channel.bind("q", "fading", "one").await;
    channel.bind("q", "fading", "two").await;
    for key in ["one", "two"] {
        channel.exchange("fading", "direct", auto_delete).await;
        let unbound = channel.queue_unbind(
            "q".into(),
            "fading".into(),
            key.into(),
            FieldTable::default(),
        );
        unbound.await.expect("queue.unbind");
    }
    let passive = ExchangeDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let gone = channel.try_exchange("fading", "direct", passive, FieldTable::default());
    let gone = gone.await.expect_err("deleted");
    gone.is(404, "NOT_FOUND - no exchange 'fading' in vhost '/'");
}

#[tokio::test(flavor = "multi_thread")]
async fn cc_and_bcc_name_further_keys_and_bcc_is_not_told() {
    let broker = Broker::start(Options::default());
    let channel = broker.connect().await.confirming().await;
    let names = ["a", "b", "c"];
    queues(&channel, &names).await;
    let keys = |key: &str| {
        let mut keys = FieldArray::default();
        keys.push(AMQPValue::LongString(key.into()));
        AMQPValue::FieldArray(keys)
    };
    let mut table = FieldTable::default();
    table.insert("CC".into(), keys("b"));
    table.insert("BCC".into(), keys("c"));
    let properties = transient().with_headers(table);
    channel.confirmed("", "a", b"x", properties).await;
    for queue in names {
        let message = channel.get(queue).await.expect("a copy");
        let table = message.properties.headers().as_ref().expect("headers");
        assert!(table.contains_key("CC") && !table.contains_key("BCC"));
        assert_eq!(message.routing_key.as_str(), "a");
    }
}

/// Publishes a message for each of `keys`, which is its body too, in one write.
fn publish_each(wire: &mut Wire, exchange: &str, keys: &[String]) {
    let mut all = Wire {
        stream: Cursor::new(Vec::new()),
    };
    for key in keys {
        let published = all.publish_to((exchange, key), key.as_bytes(), 4096);
        published.expect("fits into memory");
    }
    let written = wire.stream.write_all(all.stream.get_ref());
    written.expect("basic.publish");
}

/// The bodies in a queue, once they are so many.
async fn bodies(channel: &Channel, queue: &str, count: usize) -> Vec<String> {
    soon("they have arrived", DEADLINE, async || {
        channel.count(queue).await as usize >= count
    })
    .await;
    channel.drain(queue).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_new_keys_at_once_go_where_each_would_have_gone_and_cost_few_calls() {
    let broker = Broker::start(Options::default().managed());
    let http = broker.http();
    let channel = broker.channel().await;
    queues(&channel, &["even", "all", "last"]).await;
    let options = ExchangeDeclareOptions::default();
    channel.exchange("t", "topic", options).await;
    channel.bind("even", "t", "*.even.#").await;
    channel.bind("all", "t", "#").await;
    let keys: Vec<String> = (0..1_000)
        .map(|key| match key % 2 {
            0 => format!("k{key}.even"),
            _ => format!("k{key}.odd.é"),
        })
        .collect();
    let even: Vec<String> = keys.iter().step_by(2).cloned().collect();
    let mut wire = Wire::open(broker.address(), 0).expect("a connection");
    publish_each(&mut wire, "t", &keys);
    assert_eq!(bodies(&channel, "all", 1_000).await, keys);
    assert_eq!(bodies(&channel, "even", 500).await, even);
    let topic = http.json("/warren/plugins/topic");
    let calls = topic["calls"].as_u64().expect("a number");
    assert!(calls < 500, "{calls} calls for a thousand keys");
    let asked = topic["memo_misses"].as_u64().expect("a number");
    let remembered = topic["memo_hits"].as_u64().expect("a number");
    assert_eq!((asked, remembered), (1_000, 0));

    // What was foreseen before the bindings changed is not used after.
    channel.bind("last", "t", "k999.#").await;
    let unbound = channel.queue_unbind("all".into(), "t".into(), "#".into(), Default::default());
    unbound.await.expect("queue.unbind");
    publish_each(&mut wire, "t", &keys);
    assert_eq!(bodies(&channel, "last", 1).await, [keys[999].as_str()]);
    assert_eq!(bodies(&channel, "even", 500).await, even);
    assert_eq!(channel.drain("all").await, [""; 0]);
}
