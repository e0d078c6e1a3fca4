//! The plugin on a bench: what it publishes and writes for what it is told of.

use warren_plugin_sdk::tracer::{
    Delivered, Event, Format, Happening, Message, Party, Payload, Published, Trace,
};
use warren_plugin_sdk::tracer_bench::{TracerBench, Want};
use warren_plugin_sdk::{Properties, PropertiesBuf, TableBuf, Value};

use super::Tracing;

fn party() -> Party {
    Party {
        connection: "127.0.0.1:1 -> 127.0.0.1:2".to_owned(),
        channel: 1,
        user: "guest".to_owned(),
    }
}

fn message() -> Message {
    let properties = PropertiesBuf {
        headers: TableBuf::new().with("a", 1i32),
        persistent: true,
        timestamp: Some(1_700_000_000),
    };
    Message {
        exchange: "amq.direct".to_owned(),
        routing_keys: vec!["k".to_owned()],
        properties: properties.into_bytes(),
        body_length: 5,
    }
}

fn event(happening: Happening) -> Event {
    Event {
        at: 1_795_356_916_735,
        vhost: "/".to_owned(),
        happening,
    }
}

fn published() -> Event {
    event(Happening::Published(Published {
        message: message(),
        by: party(),
        queues: vec!["t1".to_owned(), "t2".to_owned()],
    }))
}

fn delivered() -> Event {
    event(Happening::Delivered(Delivered {
        message: message(),
        to: party(),
        queue: "t1".to_owned(),
        redelivered: true,
    }))
}

fn trace(name: &str, format: Format, pattern: &str, most: Option<u64>) -> Trace {
    Trace {
        vhost: "/".to_owned(),
        name: name.to_owned(),
        format,
        pattern: pattern.to_owned(),
        max_payload_bytes: most,
    }
}

fn bench(traces: Vec<Trace>) -> TracerBench<Tracing> {
    let mut bench = TracerBench::open("{}").expect("opens");
    let begun = traces
        .iter()
        .map(|trace| (format!("{}.log", trace.name), String::new()));
    let begun: Vec<_> = begun.collect();
    bench.traces(traces);
    assert_eq!(
        files(bench.wants()),
        begun,
        "a file is there from the beginning"
    );
    bench
}

#[test]
fn every_message_goes_to_the_firehose_with_rabbitmqs_headers() {
    let mut bench = bench(Vec::new());
    bench.observe(vec![(published(), b"hello"), (delivered(), b"hello")]);
    let wants = bench.wants();
    let [Want::Publish(first), Want::Publish(second)] = wants.as_slice() else {
        panic!("{wants:?}");
    };
    assert_eq!(first.routing_key, "publish.amq.direct");
    assert_eq!(first.exchange, "amq.rabbitmq.trace");
    assert_eq!(first.payload, Payload::OfEvent(0));
    let names = |bytes: &[u8]| -> Vec<String> {
        let headers = Properties(bytes).headers();
        headers.fields().map(|(name, _)| name.to_owned()).collect()
    };
    let expected = "exchange_name routing_keys properties node vhost connection channel user \
                    routed_queues";
    assert_eq!(names(&first.properties).join(" "), expected);
    assert_eq!(second.routing_key, "deliver.t1");
    let expected = "exchange_name routing_keys properties node redelivered vhost connection \
                    channel user";
    assert_eq!(names(&second.properties).join(" "), expected);
    let headers = Properties(&second.properties).headers();
    assert_eq!(headers.get("redelivered"), Some(Value::Int32(1)));
    let Some(Value::Table(properties)) = headers.get("properties") else {
        panic!("no table of properties");
    };
    let fields: Vec<_> = properties.fields().collect();
    assert_eq!(
        fields.first(),
        Some(&("timestamp", Value::Int32(1_700_000_000)))
    );
    assert_eq!(fields.get(1), Some(&("delivery_mode", Value::Int32(2))));
}

fn files(wants: Vec<Want>) -> Vec<(String, String)> {
    let files = wants.into_iter().filter_map(|want| match want {
        Want::Append { file, octets } => Some((file, String::from_utf8(octets).expect("text"))),
        Want::Declare { .. } | Want::Publish(_) | Want::Post { .. } => None,
    });
    files.collect()
}

#[test]
fn a_text_trace_is_written_as_rabbitmq_writes_it() {
    let mut bench = bench(vec![trace("t", Format::Text, "publish.#", None)]);
    bench.observe(vec![(published(), b"hello"), (delivered(), b"hello")]);
    let expected = format!(
        "\n{}\n2026-11-22T14:15:16.735+00:00: Message published\n\nNode:         bench\n\
         Connection:   127.0.0.1:1 -> 127.0.0.1:2\nVirtual host: /\nUser:         guest\n\
         Channel:      1\nExchange:     amq.direct\nRouting keys: [<<\"k\">>]\n\
         Routed queues: [<<\"t1\">>,<<\"t2\">>]\n\
         Properties:   [{{<<\"timestamp\">>,signedint,1700000000}},\n               \
         {{<<\"delivery_mode\">>,signedint,2}},\n               \
         {{<<\"headers\">>,table,[{{<<\"a\">>,signedint,1}}]}}]\n\
         Payload: \nhello\n",
        "=".repeat(80)
    );
    assert_eq!(files(bench.wants()), [("t.log".to_owned(), expected)]);
}

#[test]
fn a_json_trace_is_one_object_a_line_with_a_payload_that_may_be_cut() {
    let mut bench = bench(vec![trace("j", Format::Json, "#", Some(3))]);
    bench.observe(vec![(published(), b"hello"), (delivered(), b"hello")]);
    let files = files(bench.wants());
    let [(name, text)] = files.as_slice() else {
        panic!("{files:?}");
    };
    assert_eq!(name, "j.log");
    let lines: Vec<&str> = text.lines().collect();
    let expected = r#"{"channel":1,"connection":"127.0.0.1:1 -> 127.0.0.1:2","exchange":"amq.direct","node":"bench","payload":"aGVs","properties":{"delivery_mode":2,"headers":{"a":1},"timestamp":1700000000},"queue":"none","routed_queues":["t1","t2"],"routing_keys":["k"],"timestamp":"2026-11-22T14:15:16.735+00:00","type":"published","user":"guest","vhost":"/"}"#;
    assert_eq!(lines.first(), Some(&expected));
    let second = lines.get(1).copied().unwrap_or_default();
    assert!(
        second.contains(r#""queue":"t1","routed_queues":"none""#),
        "{second}"
    );
    assert!(second.contains(r#""type":"received""#), "{second}");
}

#[test]
fn a_trace_of_another_virtual_host_is_not_written_into() {
    let mut other = trace("o", Format::Json, "#", None);
    other.vhost = "other".to_owned();
    let mut bench = bench(vec![other]);
    bench.observe(vec![(published(), b"hello")]);
    assert_eq!(files(bench.wants()), []);
}
