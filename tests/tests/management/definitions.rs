//! Definitions: out of one broker and into another.

use serde_json::{Value, json};

use super::start;

/// As RabbitMQ 3.8 wrote it: tags with commas, limits and operator policies among the parameters.
fn of_rabbitmq() -> Value {
    json!({
        "rabbit_version": "3.8.9",
        "rabbitmq_version": "3.8.9",
        "users": [
            // test12, from RabbitMQ's documentation.
            {"name": "old", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
             "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "monitoring,policymaker"},
        ],
        "vhosts": [{"name": "/"}, {"name": "app"}],
        "permissions": [
            {"user": "old", "vhost": "app", "configure": "", "write": ".*", "read": ".*"},
        ],
        "topic_permissions": [
            {"user": "old", "vhost": "app", "exchange": "events", "write": "^a", "read": ".*"},
        ],
        "parameters": [
            {"vhost": "app", "component": "vhost-limits", "name": "limits",
             "value": {"max-connections": 10}},
            {"vhost": "app", "component": "operator_policy", "name": "bound",
             "value": {"pattern": ".*", "apply-to": "queues", "priority": 0,
                       "definition": {"max-length": 1000}}},
            {"vhost": "app", "component": "shovel", "name": "later",
             "value": {"src-uri": "amqp://localhost", "src-queue": "a", "dest-uri": "amqp://",
                       "dest-queue": "b"}},
        ],
        "global_parameters": [{"name": "cluster_name", "value": "old-cluster"}],
        "policies": [
            {"vhost": "app", "name": "ttl", "pattern": "^jobs", "apply-to": "queues",
             "definition": {"message-ttl": 60000}, "priority": 1},
        ],
        "queues": [
            {"name": "jobs", "vhost": "app", "durable": true, "auto_delete": false,
             "arguments": {"x-queue-type": "quorum"}},
        ],
        "exchanges": [
            {"name": "events", "vhost": "app", "type": "topic", "durable": true,
             "auto_delete": false, "internal": false, "arguments": {}},
            {"name": "all", "vhost": "app", "type": "fanout", "durable": true,
             "auto_delete": false, "internal": true, "arguments": {}},
        ],
        "bindings": [
            {"source": "all", "vhost": "app", "destination": "jobs", "destination_type": "queue",
             "routing_key": "", "arguments": {}},
            {"source": "events", "vhost": "app", "destination": "all",
             "destination_type": "exchange", "routing_key": "a.#", "arguments": {}},
        ],
    })
}

/// As RabbitMQ 4 writes it: metadata, limits of users and vhosts beside their names.
fn of_rabbitmq_4() -> Value {
    json!({
        "rabbitmq_version": "4.1.0",
        "vhosts": [
            {"name": "four", "description": "d", "tags": ["t"], "default_queue_type": "quorum",
             "metadata": {"description": "d", "tags": ["t"], "default_queue_type": "quorum"}},
        ],
        "users": [
            {"name": "new", "password_hash": "", "tags": ["management"],
             "hashing_algorithm": "rabbit_password_hashing_sha256", "limits": {"max-channels": 5}},
        ],
        "queues": [
            {"name": "s", "vhost": "four", "type": "stream", "durable": true,
             "auto_delete": false, "arguments": {"x-queue-type": "stream"}},
        ],
    })
}

/// As LavinMQ writes it.
fn of_lavinmq() -> Value {
    json!({
        "lavinmq_version": "2.2.0",
        "users": [
            {"name": "lavin", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
             "hashing_algorithm": "SHA256", "tags": "administrator"},
        ],
        "vhosts": [{"name": "lavin", "dir": "/var/lib/x"}],
        "queues": [
            {"name": "q", "vhost": "lavin", "durable": true, "auto_delete": false, "arguments": {}},
        ],
        "exchanges": [
            {"name": "", "vhost": "lavin", "type": "direct", "durable": true, "auto_delete": false,
             "internal": false, "arguments": {}},
            {"name": "amq.topic", "vhost": "lavin", "type": "topic", "durable": true,
             "auto_delete": false, "internal": false, "arguments": {}},
        ],
        "bindings": [
            {"source": "amq.topic", "vhost": "lavin", "destination": "q",
             "destination_type": "queue", "routing_key": "k", "arguments": {}},
        ],
        "parameters": [],
    })
}

/// Without what says who has written it and when.
fn contents(mut definitions: Value) -> Value {
    let map = definitions.as_object_mut().expect("an object");
    map.retain(|key, _| !key.contains("version") && key != "product_name");
    definitions
}

#[test]
fn what_rabbitmq_has_written_is_understood() {
    let (broker, http) = start();
    http.post("/definitions", &of_rabbitmq()).is(204);
    let queue = http.json("/queues/app/jobs");
    assert_eq!(queue["type"], "quorum");
    assert_eq!(queue["policy"], "ttl");
    assert_eq!(queue["operator_policy"], "bound");
    let limits = http.json("/vhost-limits/app");
    assert_eq!(limits[0]["value"], json!({"max-connections": 10}));
    assert_eq!(
        http.json("/parameters/shovel/app/later")["value"]["dest-queue"],
        "b"
    );
    assert_eq!(http.json("/cluster-name")["name"], "old-cluster");
    let tags = http.json("/users/old")["tags"].clone();
    assert_eq!(tags, json!(["monitoring", "policymaker"]));
    assert_eq!(http.as_user("old", "test12").json("/whoami")["name"], "old");
    http.post("/definitions", &of_rabbitmq_4()).is(204);
    assert_eq!(http.json("/vhosts/four")["default_queue_type"], "quorum");
    assert_eq!(http.json("/queues/four/s")["type"], "stream");
    assert_eq!(
        http.json("/user-limits/new")[0]["value"],
        json!({"max-channels": 5})
    );
    http.as_user("new", "").get("/whoami").is(401);
    http.post("/definitions", &of_lavinmq()).is(204);
    assert_eq!(
        http.json("/bindings/lavin/e/amq.topic/q/q")[0]["routing_key"],
        "k"
    );
    http.as_user("lavin", "test12").get("/users").is(200);
    drop(broker);
}

#[test]
fn an_export_makes_the_same_broker_again_and_again() {
    let (_first, from) = start();
    from.post("/definitions", &of_rabbitmq()).is(204);
    from.post("/definitions", &of_rabbitmq_4()).is(204);
    let exported = from.json("/definitions");
    let (mut second, into) = start();
    for _ in 0..2 {
        into.post("/definitions", &exported).is(204);
        assert_eq!(
            contents(into.json("/definitions")),
            contents(exported.clone())
        );
    }
    assert!(second.stop().success());
    second.restart();
    let after = second.http().json("/definitions");
    assert_eq!(contents(after), contents(exported));
}

#[test]
fn the_order_in_a_file_says_nothing() {
    let (_broker, http) = start();
    let mut file = of_rabbitmq();
    for rows in file.as_object_mut().expect("an object").values_mut() {
        if let Some(rows) = rows.as_array_mut() {
            rows.reverse();
        }
    }
    http.post("/definitions", &file).is(204);
    assert_eq!(
        http.json("/exchanges/app/all/bindings/source")[0]["destination"],
        "jobs"
    );
}

#[test]
fn a_vhost_can_be_copied_under_another_name() {
    let (_broker, http) = start();
    http.post("/definitions", &of_rabbitmq()).is(204);
    let one = http.json("/definitions/app");
    assert!(one.get("users").is_none());
    http.put("/vhosts/copy", &json!({})).is(201);
    http.post("/definitions/copy", &one).is(204);
    let copy = http.json("/definitions/copy");
    assert_eq!(copy["queues"], one["queues"]);
    assert_eq!(copy["bindings"], one["bindings"]);
    assert_eq!(copy["policies"], one["policies"]);
    http.post("/definitions/nowhere", &one).is(404);
}

#[test]
fn a_file_that_names_what_is_not_there_is_refused_with_the_name() {
    let (_broker, http) = start();
    http.send("POST", "/definitions", Some("{")).is(400);
    let file = json!({"queues": [{"name": "q", "vhost": "nowhere", "durable": true}]});
    let refused = http.post("/definitions", &file).is(400).json();
    assert!(
        refused["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("nowhere"))
    );
    let file = json!({"bindings": [{"source": "no", "vhost": "/", "destination": "q",
                                    "destination_type": "queue"}]});
    let refused = http.post("/definitions", &file).is(400).json();
    assert!(
        refused["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("no"))
    );
}
