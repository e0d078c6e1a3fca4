//! Shovels between two brokers, through the API and real clients.

use serde_json::{Value, json};
use warren_tests::kit::{Broker, DEADLINE, durable, persistent, soon};

use super::{broker, until};

const AT: &str = "/parameters/shovel/%2F/s";

fn set(broker: &Broker, value: &Value) {
    let set = broker.http().put(AT, &json!({"value": value}));
    assert!([201, 204].contains(&set.status), "{set:?}");
}

#[track_caller]
fn runs(broker: &Broker) -> Value {
    let rows = until(broker, "/shovels", |rows| {
        rows.iter().any(|row| row["state"] == "running")
    });
    rows[0].clone()
}

fn bodies(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| number.to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shovel_moves_what_is_there_and_what_comes() {
    let (here, there) = (broker(), broker());
    let (source, target) = (here.connect().await, there.connect().await);
    let publisher = source.confirming().await;
    publisher.queue("from", durable()).await;
    publisher.fill("from", bodies(1_000)).await;
    set(
        &here,
        &json!({"src-uri": "amqp://", "src-queue": "from",
            "dest-uri": there.url(), "dest-queue": "to"}),
    );
    let row = runs(&here);
    assert_eq!(row["src_queue"], "from");
    assert_eq!(row["dest_uri"], format!("amqp://{}/%2f", there.address()));
    assert!(!row.to_string().contains("guest:"), "{row}");
    publisher.fill("from", bodies(1_000)).await;
    let consumer = target.channel().await;
    let mut deliveries = consumer.consume("to").await;
    let got = deliveries.texts(2_000).await;
    let expected: Vec<String> = (0..1_000)
        .chain(0..1_000)
        .map(|n: u32| n.to_string())
        .collect();
    assert_eq!(got, expected);
    soon("all acknowledged", DEADLINE, async || {
        let queues = here.http().json("/queues/%2F/from");
        queues["messages"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shovel_that_is_to_move_what_is_there_deletes_itself() {
    let broker = broker();
    let client = broker.connect().await;
    let channel = client.confirming().await;
    channel.queue("from", durable()).await;
    channel.fill("from", bodies(700)).await;
    set(
        &broker,
        &json!({"src-uri": "amqp://", "src-queue": "from", "src-delete-after": "queue-length",
            "dest-uri": "amqp://", "dest-queue": "to", "src-prefetch-count": 10}),
    );
    until(&broker, "/parameters/shovel", <[Value]>::is_empty);
    until(&broker, "/shovels", <[Value]>::is_empty);
    assert_eq!(channel.count("to").await, 700);
    assert_eq!(channel.count("from").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_headers_and_properties_are_added_on_the_way() {
    let broker = broker();
    let client = broker.connect().await;
    let channel = client.confirming().await;
    channel.queue("from", durable()).await;
    channel.queue("to", durable()).await;
    channel.bind("to", "amq.direct", "key").await;
    channel
        .publish_as("", "from", b"m", persistent().with_app_id("mine".into()))
        .await;
    set(
        &broker,
        &json!({"src-uri": "amqp://", "src-queue": "from", "dest-uri": "amqp://",
            "dest-exchange": "amq.direct", "dest-exchange-key": "key",
            "dest-add-forward-headers": true, "dest-add-timestamp-header": true,
            "dest-publish-properties": {"content_type": "text/x"}}),
    );
    soon("it arrives", DEADLINE, async || {
        channel.count("to").await == 1
    })
    .await;
    let got = channel.get("to").await.expect("a message");
    let properties = &got.delivery.properties;
    assert_eq!(
        properties.content_type().as_ref().map(|t| t.as_str()),
        Some("text/x")
    );
    assert_eq!(
        properties.app_id().as_ref().map(|t| t.as_str()),
        Some("mine")
    );
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = format!("{:?}", properties.headers());
    for part in [
        "x-shovelled",
        "shovelled-by",
        "shovel-name",
        "src-queue",
        "x-shovelled-timestamp",
    ] {
        assert!(headers.contains(part), "{part}: {headers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shovel_goes_on_when_the_other_broker_comes_back_and_loses_nothing() {
    let here = broker();
    let mut there = broker();
    there.options.port = Some(there.port());
    let publisher = here.connect().await;
    let publisher = publisher.confirming().await;
    publisher.queue("from", durable()).await;
    set(
        &here,
        &json!({"src-uri": "amqp://", "src-queue": "from", "dest-uri": there.url(),
            "dest-queue": "to", "reconnect-delay": 1}),
    );
    runs(&here);
    publisher.fill("from", bodies(3_000)).await;
    for _ in 0..3 {
        there.kill();
        until(&here, "/shovels", |rows| rows[0]["state"] == "starting");
        publisher.fill("from", bodies(3_000)).await;
        there.restart();
        runs(&here);
    }
    soon("the source is empty", DEADLINE, async || {
        here.http().json("/queues/%2F/from")["messages"] == 0
    })
    .await;
    let channel = there.channel().await;
    let mut times = vec![0; 3_000];
    for text in channel.drain("to").await {
        times[text.parse::<usize>().expect("a number")] += 1;
    }
    let lost = times.iter().filter(|times| **times < 4).count();
    assert_eq!(lost, 0, "every number was sent four times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_outlives_the_broker_and_ends_with_resume() {
    let mut broker = broker();
    let channel = broker.channel().await;
    channel.queue("from", durable()).await;
    set(
        &broker,
        &json!({"src-uri": "amqp://", "src-queue": "from", "dest-uri": "amqp://",
            "dest-queue": "to"}),
    );
    runs(&broker);
    broker
        .http()
        .put("/shovels/vhost/%2F/s/pause", &json!({}))
        .is(204);
    until(&broker, "/shovels", |rows| rows[0]["state"] == "paused");
    broker.kill();
    broker.restart();
    until(&broker, "/shovels", |rows| {
        rows.len() == 1 && rows[0]["state"] == "paused"
    });
    let channel = broker.connect().await.confirming().await;
    channel.fill("from", bodies(10)).await;
    assert_eq!(channel.count("from").await, 10);
    broker
        .http()
        .put("/shovels/vhost/%2F/s/resume", &json!({}))
        .is(204);
    runs(&broker);
    soon("it moves", DEADLINE, async || {
        channel.count("to").await == 10
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shovel_of_the_configuration_runs_without_a_parameter() {
    let options = warren_tests::kit::Options::default().managed().config(
        "[plugins.shovel.config.shovels.fixed]\n\"src-uri\" = \"amqp://\"\n\
         \"src-queue\" = \"from\"\n\"dest-uri\" = \"amqp://\"\n\"dest-queue\" = \"to\"\n",
    );
    let broker = Broker::start(options);
    let row = runs(&broker);
    assert_eq!(
        (&row["name"], &row["type"]),
        (&json!("fixed"), &json!("static"))
    );
    let channel = broker.connect().await.confirming().await;
    channel.fill("from", bodies(10)).await;
    soon("it moves", DEADLINE, async || {
        channel.count("to").await == 10
    })
    .await;
}

#[test]
fn what_is_no_shovel_is_refused_in_rabbitmqs_words() {
    let broker = broker();
    let http = broker.http();
    let refused = |value: Value| http.put(AT, &json!({"value": value})).is(400).json();
    let reason = "Validation failed\n\nKey \"dest-uri\" not found in s\n";
    let missing = json!({"src-uri": "amqp://", "src-queue": "q"});
    assert_eq!(refused(missing)["reason"], reason);
    let unknown = json!({"src-uri": "amqp://", "src-queue": "q", "dest-uri": "amqp://", "foo": 1});
    let reason = "Validation failed\n\nUnrecognised terms [{&lt;&lt;\"foo\"&gt;&gt;,1}] in s\n";
    assert_eq!(refused(unknown)["reason"], reason);
    let elsewhere = json!({"src-uri": "amqp:///nope", "src-queue": "q", "dest-uri": "amqp://"});
    let reason = "Validation failed\n\nuser \"guest\" may not connect to vhost \"nope\"\n";
    assert_eq!(refused(elsewhere)["reason"], reason);
    assert_eq!(http.json("/parameters"), json!([]));
}

#[test]
fn nothing_runs_and_nothing_is_compiled_before_there_is_a_shovel() {
    let broker = broker();
    let threads = || {
        let folder = format!("/proc/{}/task", broker.pid());
        let tasks = std::fs::read_dir(folder).expect("is there").flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "services").count()
    };
    assert_eq!(threads(), 0);
    set(
        &broker,
        &json!({"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}),
    );
    runs(&broker);
    assert!(threads() > 0);
    broker.http().delete("/shovels/vhost/%2F/s").is(204);
    until(&broker, "/shovels", <[Value]>::is_empty);
}
