//! The plugin on a bench: what it publishes for what it is told of.

use warren_plugin_sdk::tracer::{Event, Happening, News};
use warren_plugin_sdk::tracer_bench::{TracerBench, Want};
use warren_plugin_sdk::{Properties, TableBuf, Value};

use super::EventExchange;

#[test]
fn the_exchange_is_there_before_the_first_event() {
    let mut bench = TracerBench::<EventExchange>::open(r#"{"vhost": "ops"}"#).expect("opens");
    let expected = Want::Declare {
        vhost: "ops".to_owned(),
        name: "amq.rabbitmq.event".to_owned(),
        exchange_type: "topic".to_owned(),
    };
    assert_eq!(bench.wants(), [expected]);
}

#[test]
fn an_event_has_rabbitmqs_key_and_headers() {
    let mut bench = TracerBench::<EventExchange>::open("{}").expect("opens");
    bench.wants();
    let arguments = TableBuf::new().with("x-max-length", 5i32);
    let facts = TableBuf::new()
        .with("name", "e1")
        .with("durable", true)
        .with("arguments", arguments.as_table());
    let event = Event {
        at: 1_795_356_920_228,
        vhost: "/".to_owned(),
        happening: Happening::News(News {
            name: "queue.created".to_owned(),
            facts: facts.into_bytes(),
        }),
    };
    bench.observe(vec![(event, b"")]);
    let wants = bench.wants();
    let [Want::Publish(message)] = wants.as_slice() else {
        panic!("{wants:?}");
    };
    assert_eq!(message.routing_key, "queue.created");
    let properties = Properties(&message.properties);
    assert_eq!(properties.get("delivery_mode"), Some(Value::UInt8(2)));
    let time = properties.get("timestamp");
    assert_eq!(time, Some(Value::Timestamp(1_795_356_920)));
    let headers = properties.headers();
    let at = headers.get("timestamp_in_ms");
    assert_eq!(at, Some(Value::Int64(1_795_356_920_228)));
    assert_eq!(headers.get("durable"), Some(Value::Bool(true)));
    let Some(Value::Array(arguments)) = headers.get("arguments") else {
        panic!("no list of arguments");
    };
    let printed: Vec<_> = arguments.items().collect();
    let expected = Value::from(r#"{<<"x-max-length">>,signedint,5}"#);
    assert_eq!(printed, [expected]);
}
