//! Virtual hosts, users, permissions, policies, exchanges, queues and bindings: they come, are
//! there for AMQP too, survive a restart, and go.

use serde_json::{Value, json};
use warren_tests::kit::durable;

use super::{names, start};

#[tokio::test]
async fn what_is_made_here_is_there_for_clients_and_after_a_restart() {
    let (mut broker, http) = start();
    http.put(
        "/vhosts/new",
        &json!({"description": "of HTTP", "tags": "a,b"}),
    )
    .is(201);
    http.put("/vhosts/new", &json!({})).is(204);
    http.put(
        "/users/ann",
        &json!({"password": "secret", "tags": "management"}),
    )
    .is(201);
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    http.put("/permissions/new/ann", &all).is(201);
    http.put("/permissions/new/ann", &all).is(204);
    http.put(
        "/exchanges/new/x",
        &json!({"type": "topic", "durable": true}),
    )
    .is(201);
    http.put(
        "/queues/new/q",
        &json!({"durable": true, "arguments": {"x-max-length": 10}}),
    )
    .is(201);
    http.put(
        "/queues/new/q",
        &json!({"durable": true, "arguments": {"x-max-length": 10}}),
    )
    .is(204);
    let binding = json!({"routing_key": "a.#", "arguments": {"n": 1}});
    let bound = http.post("/bindings/new/e/x/q/q", &binding);
    assert!(
        bound
            .is(201)
            .header("location")
            .is_some_and(|at| at.starts_with("q/a.%23~"))
    );
    let policy = json!({"pattern": "^q", "definition": {"max-length": 5}, "priority": 2});
    http.put("/policies/new/short", &policy).is(201);
    http.put("/operator-policies/new/shorter", &policy).is(201);
    http.put("/vhost-limits/new/max-queues", &json!({"value": 7}))
        .is(204);
    http.put("/user-limits/ann/max-channels", &json!({"value": 9}))
        .is(204);
    let topic = json!({"exchange": "x", "write": "^a", "read": ".*"});
    http.put("/topic-permissions/new/ann", &topic).is(201);
    let parameter = json!({"value": {"uri": "amqp://"}});
    http.put("/parameters/federation-upstream/new/s", &parameter)
        .is(201);
    http.put("/global-parameters/g", &json!({"value": [1, 2]}))
        .is(201);
    http.put("/cluster-name", &json!({"name": "burrow"}))
        .is(204);

    let client = warren_tests::kit::Client::connect(&broker.url_of("ann", "secret", "new")).await;
    let channel = client.channel().await;
    assert_eq!(channel.count("q").await, 0);
    channel.publish("x", "a.b", b"hello").await;
    drop((channel, client));
    assert!(broker.stop().success());
    broker.restart();
    let http = broker.http();
    let vhost = http.json("/vhosts/new");
    assert_eq!(vhost["description"], "of HTTP");
    assert_eq!(vhost["tags"], json!(["a", "b"]));
    let queue = http.json("/queues/new/q");
    assert_eq!(queue["policy"], "short");
    assert_eq!(queue["operator_policy"], "shorter");
    assert_eq!(
        queue["effective_policy_definition"],
        json!({"max-length": 5})
    );
    assert_eq!(queue["arguments"], json!({"x-max-length": 10}));
    let bindings = http.json("/queues/new/q/bindings");
    assert_eq!(bindings[1]["routing_key"], "a.#");
    assert_eq!(bindings[1]["arguments"], json!({"n": 1}));
    let limits = http.json("/vhost-limits/new");
    assert_eq!(
        limits,
        json!([{"vhost": "new", "value": {"max-queues": 7}}])
    );
    let limits = http.json("/user-limits/ann");
    assert_eq!(
        limits,
        json!([{"user": "ann", "value": {"max-channels": 9}}])
    );
    assert_eq!(http.json("/topic-permissions/new/ann")[0]["write"], "^a");
    assert_eq!(
        http.json("/parameters/federation-upstream/new/s")["value"],
        json!({"uri": "amqp://"})
    );
    assert_eq!(http.json("/global-parameters/g")["value"], json!([1, 2]));
    assert_eq!(http.json("/cluster-name"), json!({"name": "burrow"}));
}

#[test]
fn what_goes_is_gone() {
    let (_broker, http) = start();
    http.put("/vhosts/v", &Value::Null).is(400);
    http.put("/vhosts/v", &json!({})).is(201);
    http.put("/queues/v/q", &json!({"durable": true})).is(201);
    http.put("/exchanges/v/x", &json!({"type": "fanout"}))
        .is(201);
    http.post("/bindings/v/e/x/q/q", &json!({})).is(201);
    assert_eq!(http.json("/bindings/v/e/x/q/q")[0]["properties_key"], "~");
    http.delete("/exchanges/v/x?if-unused=true").is(400);
    http.delete("/bindings/v/e/x/q/q/~").is(204);
    http.delete("/bindings/v/e/x/q/q/~").is(404);
    http.delete("/exchanges/v/x?if-unused=true").is(204);
    http.delete("/queues/v/q").is(204);
    http.delete("/queues/v/q").is(404);
    http.delete("/exchanges/v/amq.topic").is(401);
    http.post("/vhosts/v/deletion/protection", &json!({}))
        .is(204);
    http.delete("/vhosts/v").is(412);
    http.delete("/vhosts/v/deletion/protection").is(204);
    http.delete("/vhosts/v").is(204);
    http.delete("/vhosts/v").is(404);
    http.put("/users/ann", &json!({"password": "x", "tags": ""}))
        .is(201);
    http.put("/users/bob", &json!({"password": "x", "tags": ""}))
        .is(201);
    assert_eq!(
        names(&http.json("/users/without-permissions")),
        ["ann", "bob"]
    );
    http.post("/users/bulk-delete", &json!({"users": ["ann", "nobody"]}))
        .is(400);
    http.post("/users/bulk-delete", &json!({"users": ["ann", "bob"]}))
        .is(204);
    assert_eq!(names(&http.json("/users")), ["guest"]);
}

#[tokio::test]
async fn an_exclusive_queue_is_shown_with_its_owner_and_not_touched() {
    let (broker, http) = start();
    let channel = broker.channel().await;
    let options = lapin::options::QueueDeclareOptions {
        exclusive: true,
        ..durable()
    };
    channel.queue("mine", options).await;
    let queue = http.json("/queues/%2f/mine");
    assert_eq!(queue["exclusive"], true);
    let connections = http.json("/connections");
    assert_eq!(queue["owner_pid_details"]["name"], connections[0]["name"]);
    http.delete("/queues/%2f/mine").is(400);
    let definitions = http.json("/definitions");
    assert_eq!(definitions["queues"], json!([]));
}

#[tokio::test]
async fn a_connection_can_be_looked_at_and_closed() {
    let (broker, http) = start();
    let client = broker.connect().await;
    let channel = client.channel().await;
    channel.queue("q", durable()).await;
    let connections = http.json("/connections");
    let connection = &connections[0];
    assert_eq!(connection["user"], "guest");
    assert_eq!(connection["channels"], 1);
    assert_eq!(connection["port"], broker.port());
    assert!(
        connection["recv_oct"]
            .as_u64()
            .is_some_and(|octets| octets > 100)
    );
    assert_eq!(
        connection["client_properties"]["capabilities"]["basic.nack"],
        true
    );
    let name = connection["name"].as_str().expect("a name").to_owned();
    let path = format!(
        "/connections/{}",
        name.replace(' ', "%20").replace('>', "%3E")
    );
    assert_eq!(http.json(&path)["name"], connection["name"]);
    assert_eq!(http.json(&format!("{path}/channels"))[0]["number"], 1);
    http.delete(&path).is(204);
    let refused = client.refusal().await;
    refused.is(320, "CONNECTION_FORCED - Closed via management plugin");
    warren_tests::kit::eventually(warren_tests::kit::DEADLINE, || {
        http.json("/connections") == json!([])
    });
    http.delete(&path).is(404);
}

#[test]
fn lists_come_in_pages_sorted_and_with_the_columns_asked_for() {
    let (_broker, http) = start();
    for number in 0..25 {
        let queue = json!({"arguments": {"x-max-priority": number % 5}});
        http.put(&format!("/queues/%2f/q{number:02}"), &queue)
            .is(201);
    }
    let page = http.json("/queues?page=2&page_size=10&columns=name");
    assert_eq!(page["page_count"], 3);
    assert_eq!(page["total_count"], 25);
    assert_eq!(page["item_count"], 10);
    assert_eq!(page["items"][0], json!({"name": "q10"}));
    let page = http.json(
        "/queues?page=1&page_size=5&name=%5Eq.*7%24&use_regex=true&sort=name&sort_reverse=true",
    );
    assert_eq!(names(&page["items"]), ["q17", "q07"]);
    assert_eq!(page["filtered_count"], 2);
    let sorted =
        http.json("/queues?sort=arguments.x-max-priority&columns=arguments.x-max-priority");
    assert_eq!(sorted[24], json!({"arguments": {"x-max-priority": 4}}));
    http.get("/queues?page=4&page_size=10").is(400);
    http.get("/queues?page=1&page_size=501").is(400);
    http.get("/queues?page=1&name=(&use_regex=true").is(400);
}
