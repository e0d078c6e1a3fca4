//! Messages that are published, read and purged over HTTP.

use serde_json::{Value, json};

use super::start;

fn publish(payload: &str, encoding: &str, properties: Value) -> Value {
    json!({
        "routing_key": "q",
        "payload": payload,
        "payload_encoding": encoding,
        "properties": properties,
    })
}

fn get(count: u32, ackmode: &str) -> Value {
    json!({"count": count, "ackmode": ackmode, "encoding": "auto"})
}

const DEFAULT: &str = "/exchanges/%2f/amq.default/publish";

#[test]
fn a_message_comes_back_as_it_went_in() {
    let (_broker, http) = start();
    let properties = json!({
        "content_type": "text/plain", "headers": {"a": 1, "deep": {"list": [true, "x"]}},
        "delivery_mode": 2, "priority": 3, "correlation_id": "c", "reply_to": "r",
        "message_id": "m", "timestamp": 1_700_000_000, "type": "t", "app_id": "here",
    });
    let message = publish("hällo", "string", properties.clone());
    let nowhere = http.post(DEFAULT, &message).is(200).json();
    assert_eq!(nowhere, json!({"routed": false}));
    http.put("/queues/%2f/q", &json!({"durable": true})).is(201);
    assert_eq!(
        http.post(DEFAULT, &message).is(200).json(),
        json!({"routed": true})
    );
    http.post(DEFAULT, &publish("//79", "base64", json!({})))
        .is(200);
    http.post(DEFAULT, &publish("!", "base64", json!({})))
        .is(400);
    let found = http
        .post("/queues/%2f/q/get", &get(5, "ack_requeue_true"))
        .is(200)
        .json();
    assert_eq!(found[0]["payload"], "hällo");
    assert_eq!(found[0]["payload_bytes"], 6);
    assert_eq!(found[0]["payload_encoding"], "string");
    assert_eq!(found[0]["properties"], properties);
    assert_eq!(found[0]["redelivered"], false);
    assert_eq!(found[0]["message_count"], 1);
    assert_eq!(found[1]["payload"], "//79");
    assert_eq!(found[1]["payload_encoding"], "base64");
    assert_eq!(found[1]["properties"], json!([]));
    let cut =
        json!({"count": 1, "ackmode": "reject_requeue_true", "encoding": "base64", "truncate": 1});
    let found = http.post("/queues/%2f/q/get", &cut).is(200).json();
    assert_eq!(found[0]["payload"], "aA==");
    assert_eq!(found[0]["redelivered"], true);
}

#[test]
fn what_is_read_stays_or_goes_as_it_was_asked() {
    let (_broker, http) = start();
    let dead = json!({"durable": true, "arguments": {
        "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead",
    }});
    http.put("/queues/%2f/q", &dead).is(201);
    http.put("/queues/%2f/dead", &json!({"durable": true}))
        .is(201);
    for _ in 0..4 {
        http.post(
            DEFAULT,
            &publish("x", "string", json!({"delivery_mode": 2})),
        )
        .is(200);
    }
    let take = |ackmode: &str| {
        let found = http
            .post("/queues/%2f/q/get", &get(1, ackmode))
            .is(200)
            .json();
        found.as_array().expect("a list").len()
    };
    let left = || http.json("/queues/%2f/q")["messages"].as_u64();
    assert_eq!((take("ack_requeue_true"), left()), (1, Some(4)));
    assert_eq!((take("ack_requeue_false"), left()), (1, Some(3)));
    assert_eq!((take("reject_requeue_true"), left()), (1, Some(3)));
    assert_eq!((take("reject_requeue_false"), left()), (1, Some(2)));
    warren_tests::kit::eventually(warren_tests::kit::DEADLINE, || {
        http.json("/queues/%2f/dead")["messages"] == 1
    });
    http.delete("/queues/%2f/q/contents").is(204);
    assert_eq!((take("ack_requeue_false"), left()), (0, Some(0)));
    http.post("/queues/%2f/q/get", &get(1, "never")).is(400);
    http.delete("/queues/%2f/dead?if-empty=true").is(400);
}

#[test]
fn an_exchange_decides_where_it_goes() {
    let (_broker, http) = start();
    http.put("/queues/%2f/q", &json!({})).is(201);
    http.post(
        "/bindings/%2f/e/amq.headers/q/q",
        &json!({"arguments": {"kind": "a"}}),
    )
    .is(201);
    let path = "/exchanges/%2f/amq.headers/publish";
    let with = |kind: &str| publish("x", "string", json!({"headers": {"kind": kind}}));
    assert_eq!(http.post(path, &with("a")).is(200).json()["routed"], true);
    assert_eq!(http.post(path, &with("b")).is(200).json()["routed"], false);
    http.post("/exchanges/%2f/nothing/publish", &with("a"))
        .is(404);
    let stats = http.json("/exchanges/%2f/amq.headers");
    assert_eq!(stats["message_stats"]["publish_in"], 2);
    assert_eq!(stats["message_stats"]["publish_out"], 1);
}
