//! `/api/traces` and `/api/trace-files`: what RabbitMQ's tracing plugin answers, and what is written.

use serde_json::{Value, json};
use warren_tests::kit::{Broker, DEADLINE, Http, Options, eventually, transient};

use super::start;

async fn publish(broker: &Broker, body: &[u8]) {
    let channel = broker.connect().await.confirming().await;
    let sent = channel.confirmed("amq.direct", "k", body, transient());
    sent.await;
}

/// What a file has come to contain.
fn written(http: &Http, file: &str, text: &str) -> String {
    let mut content = String::new();
    eventually(DEADLINE, || {
        let reply = http.get(&format!("/trace-files/{file}"));
        content = reply.body;
        reply.status == 200 && content.contains(text)
    });
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_writes_what_fits_its_pattern_in_its_format() {
    let (mut broker, http) = start();
    let text = json!({"format": "text", "pattern": "#"});
    http.put("/traces/%2F/t", &text).is(201);
    let short = json!({"format": "json", "pattern": "publish.*.direct", "max_payload_bytes": 3});
    http.put("/traces/%2F/j", &short).is(201);
    let other = json!({"format": "json", "pattern": "deliver.#"});
    http.put("/traces/%2F/none", &other).is(201);
    assert_eq!(http.json("/vhosts/%2F")["tracing"], true);
    publish(&broker, b"hello").await;
    let content = written(&http, "t.log", "hello");
    assert!(
        content.contains(": Message published\n\nNode:         warren@"),
        "{content}"
    );
    assert!(
        content.contains("\nRouting keys: [<<\"k\">>]\nRouted queues: []\n"),
        "{content}"
    );
    let content = written(&http, "j.log", "}\n");
    let line: Value = serde_json::from_str(content.trim()).expect("one line of JSON");
    assert_eq!(line["payload"], "aGVs");
    assert_eq!(line["type"], "published");
    assert_eq!(line["queue"], "none");
    let files = http.json("/trace-files");
    let names: Vec<&str> = files
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|file| file["name"].as_str())
        .collect();
    // One that nothing has fitted is there, too.
    assert_eq!(names, ["j.log", "none.log", "t.log"]);
    broker.stop();
}

#[test]
fn the_api_answers_as_rabbitmqs() {
    let (mut broker, http) = start();
    let trace = json!({"format": "text", "pattern": "#"});
    http.put("/traces/%2F/t", &trace).is(201);
    let row = http.json("/traces/%2F/t");
    assert_eq!(
        row,
        json!({"vhost": "/", "name": "t", "format": "text", "pattern": "#"})
    );
    assert_eq!(http.json("/traces").as_array().map(Vec::len), Some(1));
    assert_eq!(http.json("/traces/none"), json!([]));
    http.get("/traces/%2F/none").is(404);
    let refused = |body: Value, reason: &str| {
        let reply = http.put("/traces/%2F/bad", &body);
        reply.is(400);
        assert_eq!(reply.json()["reason"], reason);
    };
    refused(
        json!({"format": "xml", "pattern": "#"}),
        "format not json or text",
    );
    refused(json!({"format": "text"}), "[{key_missing,pattern}]");
    refused(
        json!({"format": "text", "pattern": "#", "max_payload_bytes": "7"}),
        "max_payload_bytes not integer",
    );
    let not_started = "Something went wrong trying to start the trace - check the logs.";
    let nobody = json!({"format": "text", "pattern": "#", "tracer_connection_username": "nobody", "tracer_connection_password": "x"});
    refused(nobody, not_started);
    let again = http.put("/traces/%2F/t", &trace);
    assert_eq!(again.is(400).json()["reason"], not_started);
    http.put("/traces/none/t", &trace).is(404);
    http.get("/trace-files/none.log").is(404);
    http.get("/trace-files/..%2Fwarren.log").is(404);
    http.delete("/trace-files/none.log").is(404);
    http.delete("/traces/%2F/t").is(204);
    assert_eq!(
        http.json("/vhosts/%2F")["tracing"],
        false,
        "the last one is gone"
    );
    http.delete("/traces/%2F/t").is(404);
    http.as_user("guest", "wrong").get("/traces").is(401);
    broker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_full_makes_room_for_a_new_one() {
    let options = Options::default()
        .managed()
        .set("plugins.tracing.file_bytes=1000")
        .set("plugins.tracing.file_count=2");
    let mut broker = Broker::start(options);
    let http = broker.http();
    let trace = json!({"format": "json", "pattern": "#"});
    http.put("/traces/%2F/t", &trace).is(201);
    for round in 0..6 {
        publish(&broker, format!("{round:0600}").as_bytes()).await;
        let count = round + 1;
        eventually(DEADLINE, || {
            http.json("/warren/plugins/tracing")["events"] == count
        });
    }
    let names = || -> Vec<String> {
        let files = http.json("/trace-files");
        let files = files.as_array().expect("a list").iter();
        files
            .filter_map(|file| Some(file["name"].as_str()?.to_owned()))
            .collect()
    };
    eventually(DEADLINE, || names() == ["t.log", "t.log.1"]);
    http.delete("/trace-files/t.log.1").is(204);
    assert_eq!(names(), ["t.log"]);
    broker.stop();
}
