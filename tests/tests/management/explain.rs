//! What would become of a message, and what plugins are like.

use serde_json::json;

use super::start;

#[test]
fn every_binding_that_matches_and_every_queue_is_named_and_nothing_is_sent() {
    let (_broker, http) = start();
    http.put("/exchanges/%2f/all", &json!({"type": "fanout"}))
        .is(201);
    http.put("/exchanges/%2f/rest", &json!({"type": "fanout"}))
        .is(201);
    let first = json!({"type": "topic", "arguments": {"alternate-exchange": "rest"}});
    http.put("/exchanges/%2f/first", &first).is(201);
    let short = json!({"durable": true, "arguments": {
        "x-max-length": 0, "x-overflow": "reject-publish", "x-message-ttl": 5000,
    }});
    http.put("/queues/%2f/short", &short).is(201);
    http.put("/queues/%2f/lost", &json!({"durable": true}))
        .is(201);
    http.post(
        "/bindings/%2f/e/first/e/all",
        &json!({"routing_key": "a.*"}),
    )
    .is(201);
    http.post("/bindings/%2f/e/all/q/short", &json!({})).is(201);
    http.post("/bindings/%2f/e/rest/q/lost", &json!({})).is(201);
    let ask = |key: &str| {
        let properties = json!({"expiration": "1000", "delivery_mode": 2});
        let question = json!({"exchange": "first", "routing_key": key, "properties": properties});
        http.post("/warren/explain/%2f", &question).is(200).json()
    };
    let matching = ask("a.b");
    assert_eq!(
        matching["exchanges"][0]["bindings"][0]["routing_key"],
        "a.*"
    );
    assert_eq!(matching["exchanges"][1]["exchange"], "all");
    let queue = &matching["queues"][0];
    assert_eq!(queue["name"], "short");
    assert_eq!(queue["expires_after"], 1000);
    assert_eq!(queue["limit"], "full: it is refused (nack)");
    assert_eq!(queue["survives_a_restart"], true);
    let other = ask("b");
    let why = "no binding matches: on to the alternate exchange 'rest'";
    assert_eq!(other["exchanges"][0]["why"], why);
    assert_eq!(other["queues"][0]["name"], "lost");
    assert_eq!(http.json("/queues/%2f/lost")["messages"], 0);
    let question = json!({"exchange": "missing", "routing_key": ""});
    http.post("/warren/explain/%2f", &question).is(404);
}

#[test]
fn a_message_that_an_exchange_would_keep_is_held() {
    let (_broker, http) = start();
    let late = json!({"type": "x-delayed-message", "arguments": {"x-delayed-type": "direct"}});
    http.put("/exchanges/%2f/late", &late).is(201);
    let properties = json!({"headers": {"x-delay": 60_000}});
    let question = json!({"exchange": "late", "routing_key": "k", "properties": properties});
    let answer = http.post("/warren/explain/%2f", &question).is(200).json();
    assert_eq!(answer["held"][0]["exchange"], "late");
    assert_eq!(answer["routed"], true);
}

#[test]
fn plugins_are_listed_with_what_they_do() {
    let (_broker, http) = start();
    let plugins = http.json("/warren/plugins");
    let topic = plugins
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["name"] == "topic");
    let topic = topic.expect("topic");
    assert_eq!(topic["state"], "running");
    assert_eq!(topic["types"], json!(["topic"]));
    assert!(topic["calls"].is_u64());
}
