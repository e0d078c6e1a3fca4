//! The built-in plugin opentelemetry, with a collector that reads what it gets.

use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use warren_tests::kit::{
    Answer, Broker, DEADLINE, Options, WebServer, durable, eventually, persistent,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn broker(collector: &WebServer, more: &str) -> Broker {
    let config = format!(
        "[plugins.opentelemetry]\nenabled = true\nobserve_every = \"100ms\"\n\
         [plugins.opentelemetry.config]\nendpoint = \"{}/v1/traces\"\n\
         headers = {{ x-api-key = \"k\" }}\nservice-name = \"orders-broker\"\n{more}\n",
        collector.url()
    );
    Broker::start(Options::default().managed().config(config))
}

fn spans(collector: &WebServer) -> Vec<Value> {
    let mut spans = Vec::new();
    for asked in collector.asked() {
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        let found = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array();
        spans.extend(found.cloned().expect("spans"));
    }
    spans
}

fn traced(flags: &str) -> lapin::BasicProperties {
    let mut headers = FieldTable::default();
    let text = format!("00-{TRACE}-{SPAN}-{flags}");
    headers.insert("traceparent".into(), AMQPValue::LongString(text.into()));
    persistent().with_headers(headers)
}

fn attribute(span: &Value, key: &str) -> Value {
    let attributes = span["attributes"].as_array().expect("a list");
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.map_or(Value::Null, |found| found["value"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_a_span_of_each_publish_and_each_delivery() {
    let collector = WebServer::start(|_| Answer::Status(200));
    let broker = broker(&collector, "");
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    channel.bind("q", "amq.topic", "eu.#").await;
    channel
        .publish_as("amq.topic", "eu.one", b"hello", traced("01"))
        .await;
    channel
        .publish_as("amq.topic", "eu.two", b"not sampled", traced("00"))
        .await;
    channel
        .fill("q", [b"without a trace".to_vec()].into_iter())
        .await;
    let mut deliveries = channel.consume("q").await;
    assert_eq!(deliveries.texts(3).await.len(), 3);
    eventually(DEADLINE, || spans(&collector).len() == 2);
    let first = collector.asked().swap_remove(0);
    assert_eq!(
        (first.method.as_str(), first.target.as_str()),
        ("POST", "/v1/traces")
    );
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("x-api-key"), Some("k"));
    let body: Value = serde_json::from_slice(&first.body).expect("JSON");
    let resource = &body["resourceSpans"][0]["resource"];
    let service = json!({"stringValue": "orders-broker"});
    assert_eq!(attribute(resource, "service.name"), service);
    let spans = spans(&collector);
    let of = |name: &str| {
        spans
            .iter()
            .find(|span| span["name"] == name)
            .expect("a span")
    };
    let (publish, deliver) = (of("publish amq.topic"), of("deliver q"));
    for span in [publish, deliver] {
        assert_eq!(
            (&span["traceId"], &span["parentSpanId"]),
            (&json!(TRACE), &json!(SPAN))
        );
        let size = json!({"intValue": "5"});
        assert_eq!(attribute(span, "messaging.message.body.size"), size);
    }
    let link = json!([{"traceId": TRACE, "spanId": publish["spanId"]}]);
    assert_eq!(deliver["links"], link);
    let plugin = broker.http().json("/warren/plugins/opentelemetry");
    assert_eq!(
        (&plugin["kind"], &plugin["faults"]["trap"]),
        (&json!("tracer"), &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let collector = WebServer::start(|_| Answer::Status(200));
    let broker = broker(&collector, "");
    drop(collector);
    let channel = broker.connect().await.confirming().await;
    channel.queue("q", durable()).await;
    for _ in 0..100 {
        channel.publish_as("", "q", b"x", traced("01")).await;
    }
    assert_eq!(channel.count("q").await, 100);
    let plugin = || broker.http().json("/warren/plugins/opentelemetry");
    eventually(DEADLINE, || plugin()["uploads_waiting"] != 0);
    assert_eq!(plugin()["uploads"], 0);
}

#[test]
fn it_is_off_unless_it_is_asked_for_and_a_wrong_key_is_named() {
    let broker = Broker::start(Options::default().managed());
    let plugin = broker.http().json("/warren/plugins/opentelemetry");
    assert_eq!(plugin["state"], "disabled");
    let collector = WebServer::start(|_| Answer::Status(200));
    let broker = self::broker(&collector, "sample_ratio = 0.5");
    let plugin = broker.http().json("/warren/plugins/opentelemetry");
    assert_eq!(plugin["state"], "refused");
    let reason = plugin["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("sample_ratio"), "{reason}");
}
