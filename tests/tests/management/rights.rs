//! Who may ask for what: tags, permissions in vhosts, permissions on names.

use serde_json::json;
use warren_tests::kit::Http;

use super::start;

const ALL: [&str; 5] = [
    "",
    "management",
    "policymaker",
    "monitoring",
    "administrator",
];

/// Method, path, body, and the tags that may, with what the lowest of them is answered.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const TABLE: [Row; 37] = [
    (
        "GET",
        "/overview",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "GET",
        "/whoami",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "GET",
        "/queues",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "GET",
        "/queues/%2f",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "GET",
        "/vhosts",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "GET",
        "/connections",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "GET",
        "/bindings/%2f",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "GET",
        "/policies",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "PUT",
        "/queues/%2f/mine",
        "{}",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "POST",
        "/queues/%2f/mine/get",
        "{\"count\":1,\"ackmode\":\"ack_requeue_true\",\"encoding\":\"auto\"}",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "PUT",
        "/policies/%2f/p",
        "{\"pattern\":\"x\",\"definition\":{\"max-length\":1}}",
        &["policymaker", "administrator"],
    ),
    (
        "DELETE",
        "/policies/%2f/p",
        "",
        &["policymaker", "administrator"],
    ),
    (
        "PUT",
        "/operator-policies/%2f/p",
        "{\"pattern\":\"x\",\"definition\":{\"max-length\":1}}",
        &["administrator"],
    ),
    (
        "PUT",
        "/parameters/shovel/%2f/p",
        "{\"value\":1}",
        &["policymaker", "administrator"],
    ),
    ("GET", "/nodes", "", &["monitoring", "administrator"]),
    (
        "GET",
        "/health/checks/alarms",
        "",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    ("GET", "/parameters", "", &["policymaker", "administrator"]),
    (
        "GET",
        "/policies/%2f/p",
        "",
        &["policymaker", "administrator"],
    ),
    ("GET", "/operator-policies/%2f/p", "", &["administrator"]),
    ("GET", "/vhosts/%2f", "", &["administrator"]),
    (
        "POST",
        "/queues/%2f/mine/actions",
        "{\"action\":\"sync\"}",
        &["administrator"],
    ),
    ("GET", "/users", "", &["administrator"]),
    ("GET", "/users/guest", "", &["administrator"]),
    (
        "PUT",
        "/users/eve",
        "{\"password\":\"x\",\"tags\":\"\"}",
        &["administrator"],
    ),
    ("DELETE", "/users/eve", "", &["administrator"]),
    ("GET", "/permissions", "", &["administrator"]),
    (
        "PUT",
        "/permissions/%2f/guest",
        "{\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}",
        &["administrator"],
    ),
    ("GET", "/topic-permissions", "", &["administrator"]),
    ("PUT", "/vhosts/other", "{}", &["administrator"]),
    ("DELETE", "/vhosts/other", "", &["administrator"]),
    (
        "PUT",
        "/vhost-limits/%2f/max-queues",
        "{\"value\":1000}",
        &["administrator"],
    ),
    (
        "PUT",
        "/user-limits/guest/max-channels",
        "{\"value\":1000}",
        &["administrator"],
    ),
    (
        "PUT",
        "/global-parameters/g",
        "{\"value\":1}",
        &["policymaker", "administrator"],
    ),
    (
        "PUT",
        "/cluster-name",
        "{\"name\":\"x\"}",
        &["administrator"],
    ),
    ("GET", "/definitions", "", &["administrator"]),
    ("POST", "/definitions", "{}", &["administrator"]),
    ("GET", "/definitions/%2f", "", &["administrator"]),
];

#[test]
fn each_tag_may_what_rabbitmq_lets_it() {
    let (_broker, http) = start();
    let users: Vec<(&str, Http)> = ALL
        .iter()
        .map(|tag| {
            let name = format!("user-{tag}");
            http.put(
                &format!("/users/{name}"),
                &json!({"password": "p", "tags": tag}),
            )
            .is(201);
            let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
            http.put(&format!("/permissions/%2f/{name}"), &all).is(201);
            (*tag, http.as_user(&name, "p"))
        })
        .collect();
    let mut wrong = Vec::new();
    for (method, path, body, may) in TABLE {
        for (tag, user) in &users {
            let body = Some(body).filter(|body| !body.is_empty());
            let status = user.send(method, path, body).status;
            let refused = status == 401;
            if refused == may.contains(tag) {
                wrong.push(format!("{method} {path} as '{tag}': {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_vhost_is_closed_to_who_has_no_permissions_there() {
    let (_broker, http) = start();
    http.put("/vhosts/closed", &json!({})).is(201);
    http.put("/queues/closed/q", &json!({})).is(201);
    http.put(
        "/users/ann",
        &json!({"password": "p", "tags": "management"}),
    )
    .is(201);
    http.put(
        "/users/eye",
        &json!({"password": "p", "tags": "monitoring"}),
    )
    .is(201);
    let ann = http.as_user("ann", "p");
    assert_eq!(ann.json("/vhosts"), json!([]));
    assert_eq!(ann.json("/queues"), json!([]));
    let refused = ann.get("/queues/closed/q").is(401).json();
    assert_eq!(
        refused["reason"],
        "User not authorised to access virtual host"
    );
    // Who monitors sees everything and changes nothing.
    let eye = http.as_user("eye", "p");
    eye.get("/queues/closed/q").is(200);
    eye.put("/queues/closed/other", &json!({})).is(401);
    eye.delete("/queues/closed/q").is(401);
}

#[test]
fn names_need_the_permission_that_amqp_asks_for() {
    let (_broker, http) = start();
    http.put(
        "/users/ann",
        &json!({"password": "p", "tags": "management"}),
    )
    .is(201);
    let some = json!({"configure": "^c-", "write": "^(c-|w-)", "read": "^(c-|r-)"});
    http.put("/permissions/%2f/ann", &some).is(201);
    for name in ["c-q", "r-q", "w-q", "other"] {
        http.put(&format!("/queues/%2f/{name}"), &json!({})).is(201);
        http.put(&format!("/exchanges/%2f/{name}"), &json!({"type": "topic"}))
            .is(201);
    }
    let ann = http.as_user("ann", "p");
    let queue = json!({});
    ann.put("/queues/%2f/c-new", &queue).is(201);
    let refused = ann.put("/queues/%2f/other-new", &queue).is(401).json();
    assert_eq!(
        refused,
        json!({"error": "not_authorised", "reason": "Access refused."})
    );
    let dead = json!({"arguments": {"x-dead-letter-exchange": "other"}});
    ann.put("/queues/%2f/c-dead", &dead).is(401);
    ann.put("/exchanges/%2f/other-new", &json!({"type": "fanout"}))
        .is(401);
    ann.delete("/queues/%2f/other").is(401);
    ann.delete("/queues/%2f/r-q/contents").is(204);
    ann.delete("/queues/%2f/w-q/contents").is(401);
    let get = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
    ann.post("/queues/%2f/r-q/get", &get).is(200);
    ann.post("/queues/%2f/other/get", &get).is(401);
    let message =
        json!({"routing_key": "k", "payload": "", "payload_encoding": "string", "properties": {}});
    ann.post("/exchanges/%2f/w-q/publish", &message).is(200);
    ann.post("/exchanges/%2f/r-q/publish", &message).is(401);
    ann.post("/bindings/%2f/e/r-q/q/w-q", &json!({})).is(201);
    ann.post("/bindings/%2f/e/w-q/q/r-q", &json!({})).is(401);
    let topic = json!({"exchange": "w-q", "write": "^t\\.", "read": ".*"});
    http.put("/topic-permissions/%2f/ann", &topic).is(201);
    ann.post("/exchanges/%2f/w-q/publish", &message).is(401);
}

#[tokio::test]
async fn others_connections_are_neither_seen_nor_closed() {
    let (broker, http) = start();
    let _client = broker.connect().await;
    http.put(
        "/users/ann",
        &json!({"password": "p", "tags": "management"}),
    )
    .is(201);
    http.put(
        "/users/eye",
        &json!({"password": "p", "tags": "monitoring"}),
    )
    .is(201);
    let name = http.json("/connections")[0]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let path = format!(
        "/connections/{}",
        name.replace(' ', "%20").replace('>', "%3E")
    );
    assert_eq!(http.as_user("ann", "p").json("/connections"), json!([]));
    http.as_user("ann", "p").get(&path).is(401);
    let eye = http.as_user("eye", "p");
    eye.get(&path).is(200);
    eye.delete(&path).is(401);
}
