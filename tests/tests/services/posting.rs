//! Shovels to web servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use warren_tests::kit::{
    Answer, Asked, Broker, DEADLINE, WebServer, durable, eventually, persistent, soon,
};

use super::{broker, until};

const AT: &str = "/parameters/shovel/%2F/s";

fn set(broker: &Broker, value: &Value) {
    let set = broker.http().put(AT, &json!({"value": value}));
    assert!([201, 204].contains(&set.status), "{set:?}");
}

fn to(url: &str) -> Value {
    json!({"src-uri": "amqp://", "src-queue": "from", "dest-uri": url, "reconnect-delay": 1})
}

fn bodies(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Vec<u8>> {
    numbers.map(|number| number.to_string().into_bytes())
}

fn numbers(server: &WebServer) -> Vec<usize> {
    numbers_in(server.asked())
}

fn numbers_in(asked: Vec<Asked>) -> Vec<usize> {
    let texts = asked
        .into_iter()
        .map(|asked| String::from_utf8(asked.body).expect("text"));
    texts.map(|text| text.parse().expect("a number")).collect()
}

fn is_empty(broker: &Broker) -> bool {
    broker.http().json("/queues/%2F/from")["messages"] == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_posted_in_their_order_with_what_they_say_of_themselves() {
    let server = WebServer::start(|_| Answer::Status(201));
    let broker = broker();
    let channel = broker.connect().await.confirming().await;
    channel.queue("from", durable()).await;
    let url = server.url().replace("http://", "http://ann:se%2Fcret@");
    set(&broker, &to(&url));
    let mut table = FieldTable::default();
    table.insert("Region".into(), AMQPValue::LongString("eu".into()));
    table.insert("x-try".into(), AMQPValue::LongInt(3));
    table.insert("x-shovel".into(), AMQPValue::LongString("mine".into()));
    let properties = persistent()
        .with_content_type("application/json".into())
        .with_message_id("m1".into())
        .with_headers(table);
    channel.publish_as("", "from", b"0", properties).await;
    channel.fill("from", bodies(1..500)).await;
    soon("all acknowledged", DEADLINE, async || is_empty(&broker)).await;
    assert_eq!(numbers(&server), (0..500).collect::<Vec<_>>());
    assert_eq!(server.connections(), 1, "one connection for all of them");
    let first = server.asked().swap_remove(0);
    assert_eq!(
        (first.method.as_str(), first.target.as_str()),
        ("POST", "/from")
    );
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-message-id", "m1"),
        ("x-shovel", "s"),
        ("x-region", "eu"),
        ("x-try", "3"),
        ("authorization", "Basic YW5uOnNlL2NyZXQ="),
    ] {
        assert_eq!(first.header(name), Some(value), "{name}");
    }
    let agent = first.header("user-agent").unwrap_or_default();
    assert!(agent.starts_with("Warren/"), "{agent}");
    let row = until(&broker, "/shovels", |rows| rows[0]["state"] == "running").swap_remove(0);
    assert_eq!(row["dest_protocol"], "http");
    assert_eq!(row["dest_uri"], server.url());
    let everything = broker.http().json("/warren/services").to_string() + &row.to_string();
    assert!(!everything.contains("cret"), "{everything}");
    let log = broker.log_lines().join("\n");
    assert!(!log.contains("cret"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_turned_down_is_posted_again_and_none_overtakes_it() {
    let turned_down = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&turned_down);
    let server = WebServer::start(move |asked| {
        let first = asked.body == b"50" && count.fetch_add(1, Ordering::SeqCst) < 2;
        Answer::Status(if first { 503 } else { 204 })
    });
    let broker = broker();
    let channel = broker.connect().await.confirming().await;
    channel.queue("from", durable()).await;
    channel.fill("from", bodies(0..100)).await;
    set(&broker, &to(&format!("{}/hook", server.url())));
    let rows = until(&broker, "/shovels", |rows| {
        rows.first()
            .is_some_and(|row| row["state"] == "starting" && row["reason"].is_string())
    });
    let reason = rows[0]["reason"].as_str().unwrap_or_default();
    assert_eq!(reason, format!("{}/hook answered 503", server.url()));
    soon("all acknowledged", DEADLINE, async || is_empty(&broker)).await;
    let expected = (0..50).chain([50, 50]).chain(50..100).collect::<Vec<_>>();
    assert_eq!(numbers(&server), expected);
    assert!(server.asked().iter().all(|asked| asked.target == "/hook"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_web_server_comes_and_goes() {
    let mut server = WebServer::start(|_| Answer::Status(200));
    let port = server.port();
    let broker = broker();
    let channel = broker.connect().await.confirming().await;
    channel.queue("from", durable()).await;
    set(&broker, &to(&server.url()));
    let mut times = vec![0; 6_000];
    for round in 0..3 {
        channel
            .fill("from", bodies(round * 2_000..(round + 1) * 2_000))
            .await;
        // In the middle of it.
        eventually(DEADLINE, || server.asked().len() > 300);
        for number in numbers_in(server.end()) {
            times[number] += 1;
        }
        until(&broker, "/shovels", |rows| rows[0]["state"] == "starting");
        server = WebServer::at(port, None, |_| Answer::Status(200));
    }
    soon("all acknowledged", DEADLINE, async || is_empty(&broker)).await;
    for number in numbers(&server) {
        times[number] += 1;
    }
    let lost = times.iter().filter(|times| **times == 0).count();
    assert_eq!(lost, 0);
    let twice = times.iter().filter(|times| **times > 1).count();
    assert!(
        twice <= 3,
        "{twice} came twice; a cut may repeat the one on its way"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shovel_to_a_web_server_that_is_to_move_what_is_there_deletes_itself() {
    let server = WebServer::start(|_| Answer::Status(200));
    let broker = broker();
    let channel = broker.connect().await.confirming().await;
    channel.queue("from", durable()).await;
    channel.fill("from", bodies(0..70)).await;
    let mut shovel = to(&server.url());
    shovel["src-delete-after"] = json!("queue-length");
    set(&broker, &shovel);
    until(&broker, "/parameters/shovel", <[Value]>::is_empty);
    assert_eq!(numbers(&server).len(), 70);
    assert_eq!(channel.count("from").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_on_publish_a_message_that_is_turned_down_is_gone() {
    let server = WebServer::start(|_| Answer::Status(500));
    let broker = broker();
    let channel = broker.connect().await.confirming().await;
    channel.queue("from", durable()).await;
    channel.fill("from", bodies(0..20)).await;
    let mut shovel = to(&server.url());
    shovel["ack-mode"] = json!("on-publish");
    set(&broker, &shovel);
    soon("all acknowledged", DEADLINE, async || is_empty(&broker)).await;
    assert_eq!(numbers(&server), (0..20).collect::<Vec<_>>());
    let rows = until(&broker, "/warren/services/shovel", |rows| {
        rows[0]["counters"]["turned down"] == 20
    });
    assert_eq!(rows[0]["counters"]["forwarded"], 20);
}

#[test]
fn keys_of_amqp_are_refused_with_a_web_server() {
    let broker = broker();
    let http = broker.http();
    let reason = |value: Value| {
        let refused = http.put(AT, &json!({"value": value})).is(400).json();
        refused["reason"].as_str().unwrap_or_default().to_owned()
    };
    let mut queue = to("https://h.example/x");
    queue["dest-queue"] = json!("q");
    assert_eq!(
        reason(queue),
        "Validation failed\n\nCannot specify 'dest-queue' and an HTTP 'dest-uri'\n"
    );
    let wrong = reason(to("http://h:x/"));
    assert!(
        wrong.contains("not a valid URI: {unable_to_parse_uri,"),
        "{wrong}"
    );
    let source = json!({"src-uri": "http://h/", "src-queue": "q", "dest-uri": "http://h/"});
    assert!(reason(source).contains("unexpected_uri_scheme"));
}

/// Each return to a quorum queue counts, and at the limit the message is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_busy_web_server_does_not_come_to_its_delivery_limit() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refusals);
    let server = WebServer::start(move |_| {
        let busy = count.fetch_add(1, Ordering::SeqCst) < 4;
        Answer::Status(if busy { 503 } else { 200 })
    });
    let broker = broker();
    let channel = broker.connect().await.confirming().await;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1));
    let declared = channel.try_queue("from", durable(), arguments).await;
    declared.expect("a quorum queue");
    channel.fill("from", bodies(0..20)).await;
    set(&broker, &to(&server.url()));
    soon("all acknowledged", DEADLINE, async || is_empty(&broker)).await;
    let expected = [0; 4].into_iter().chain(0..20).collect::<Vec<_>>();
    assert_eq!(numbers(&server), expected);
    let rows = until(&broker, "/shovels", |rows| rows[0]["state"] == "running");
    assert_eq!(rows[0]["reason"], Value::Null);
}
