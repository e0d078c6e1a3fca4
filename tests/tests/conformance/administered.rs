//! What the configuration gives an empty store besides users: policies, limits, topic permissions.

use lapin::types::FieldTable;
use warren_tests::kit::{Broker, Client, Options, Refused, durable};

const GIVEN: &str = r#"
[amqp]
consumer_max_per_channel = 1
[[vhosts]]
name = "/"
[[vhosts]]
name = "small"
max_connections = 1
max_queues = 1
[[vhosts]]
name = "closed"
max_connections = 0
[[users]]
name = "guest"
password = "guest"
tags = ["administrator"]
[[users]]
name = "ann"
password = "secret"
max_connections = 2
max_channels = 2
[[permissions]]
user = "guest"
[[permissions]]
user = "guest"
vhost = "small"
[[permissions]]
user = "guest"
vhost = "closed"
[[permissions]]
user = "ann"
[[topic_permissions]]
user = "ann"
exchange = "amq.topic"
write = "^{username}\\."
read = "^r"
[[policies]]
name = "alternate"
pattern = "^orders"
apply_to = "exchanges"
definition = { alternate-exchange = "unrouted" }
"#;

fn start() -> Broker {
    Broker::start(Options::default().config(GIVEN))
}

async fn refused_login(url: &str) -> Refused {
    match Client::try_connect(url).await {
        Ok(_) => panic!("{url} was let in"),
        Err(error) => error.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_gives_an_exchange_its_alternate() {
    let broker = start();
    let channel = broker.channel().await;
    channel.queue("lost", durable()).await;
    channel
        .exchange("unrouted", "fanout", Default::default())
        .await;
    channel.bind("lost", "unrouted", "").await;
    channel
        .exchange("orders.eu", "direct", Default::default())
        .await;
    channel
        .exchange("invoices", "direct", Default::default())
        .await;
    channel.publish("orders.eu", "nobody", b"kept").await;
    channel.publish("invoices", "nobody", b"dropped").await;
    assert_eq!(channel.drain("lost").await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vhost_has_as_many_connections_and_queues_as_its_limits_say() {
    let broker = start();
    let small = broker.url_of("guest", "guest", "small");
    let client = Client::connect(&small).await;
    refused_login(&small).await.is(
        530,
        "NOT_ALLOWED - access to vhost 'small' refused for user 'guest': connection limit (1) is \
         reached",
    );
    let closed = broker.url_of("guest", "guest", "closed");
    refused_login(&closed).await.is(
        530,
        "NOT_ALLOWED - access to vhost 'closed' refused for user 'guest': connection limit (0) \
         is reached",
    );
    let channel = client.channel().await;
    channel.queue("first", durable()).await;
    channel.queue("first", durable()).await;
    let refused = channel.try_queue("second", durable(), FieldTable::default());
    refused.await.expect_err("one too many").is(
        406,
        "PRECONDITION_FAILED - cannot declare queue 'second': queue limit in vhost 'small' (1) \
         is reached",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_as_many_connections_and_channels_as_its_limits_say() {
    let broker = start();
    let ann = broker.url_of("ann", "secret", "%2f");
    let first = Client::connect(&ann).await;
    let second = Client::connect(&ann).await;
    refused_login(&ann).await.is(
        530,
        "NOT_ALLOWED - connection refused for user 'ann': user connection limit (2) is reached",
    );
    let channel = first.channel().await;
    second.channel().await;
    let refused = second.create_channel().await.expect_err("one too many");
    Refused::from(refused).is(
        530,
        "NOT_ALLOWED - number of channels opened for user 'ann' has reached the maximum allowed \
         user limit of (2)",
    );
    channel.fence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_needs_a_permission_of_its_own() {
    let broker = start();
    let text = |access: &str, key: &str| {
        format!(
            "ACCESS_REFUSED - {access} access to topic '{key}' in exchange exchange 'amq.topic' \
             in vhost '/' refused for user 'ann'"
        )
    };
    let client = Client::connect(&broker.url_of("ann", "secret", "%2f")).await;
    let channel = client.channel().await;
    channel.queue("q", durable()).await;
    channel.bind("q", "amq.topic", "r.#").await;
    channel.publish("amq.topic", "ann.x", b"allowed").await;
    channel.fence().await;
    let refused = channel.try_bind("q", "amq.topic", "w", FieldTable::default());
    let refused = refused.await.expect_err("read on the topic");
    refused.is(403, &text("read", "w"));
    let client = Client::connect(&broker.url_of("ann", "secret", "%2f")).await;
    let channel = client.channel().await;
    channel.publish("amq.topic", "ann.x", b"allowed").await;
    channel.publish("amq.topic", "bob.x", b"refused").await;
    client.refusal().await.is(403, &text("write", "bob.x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_consumer_too_many_closes_the_connection() {
    let broker = start();
    let client = broker.connect().await;
    let channel = client.channel().await;
    channel.queue("q", durable()).await;
    let first = channel.try_consume("q", "", Default::default()).await;
    assert!(first.is_ok());
    let second = channel.try_consume("q", "", Default::default()).await;
    second.err().expect("one too many").is(
        530,
        "NOT_ALLOWED - reached maximum (1) of consumers per channel",
    );
}
