//! The pages for people, over plain HTTP: who sees what, and what a page lets nobody do.

use serde_json::json;
use warren_tests::kit::{Broker, Http, Options, Reply};

use super::start;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// A name that would do harm in every place that a page has for it.
const HOSTILE: &str = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>";
const HOSTILE_IN_PATH: &str =
    "%3Cscript%3Ealert%281%29%3C%2Fscript%3E%22%27%26%3Cimg%20src%3Dx%20onerror%3Dalert%282%29%3E";

/// A browser as far as it matters here: what it was given to keep, and what it sends.
struct Browser {
    http: Http,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn new(http: &Http) -> Browser {
        Browser {
            http: http.clone(),
            cookies: Vec::new(),
        }
    }

    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let host = match headers.contains("host: ") {
            true => String::new(),
            false => format!("host: {}\r\n", self.http.address),
        };
        let reply = self.http.raw(&format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}cookie: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            cookies.join("; "),
            body.len()
        ));
        let set: Vec<String> = reply
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
            .map(|(_, value)| value.clone())
            .collect();
        for cookie in set {
            let pair = cookie.split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("name=value");
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        reply
    }

    fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, "", "")
    }

    fn post(&mut self, path: &str, fields: &str) -> Reply {
        self.ask("POST", path, "", fields)
    }

    fn log_in(&mut self, user: &str, password: &str) -> Reply {
        let token = token(&self.get("/login"));
        self.post(
            "/login",
            &format!("token={token}&back=/&user={user}&password={password}"),
        )
    }
}

/// Of the first form of a page.
fn token(page: &Reply) -> String {
    let marker = "name=\"token\" value=\"";
    let start = page.body.find(marker).expect("a form with a token") + marker.len();
    page.body[start..]
        .chars()
        .take_while(|c| *c != '"')
        .collect()
}

fn logged_in() -> (Broker, Http, Browser) {
    let (broker, http) = start();
    let mut browser = Browser::new(&http);
    browser.log_in("guest", "guest").is(303);
    (broker, http, browser)
}

#[test]
fn a_session_begins_with_the_form_and_ends_with_the_button() {
    let (_broker, http) = start();
    let mut browser = Browser::new(&http);
    assert!(browser.get("/").is(200).body.contains("name=\"password\""));
    assert!(
        browser
            .get("/queues")
            .is(401)
            .body
            .contains("value=\"/queues\"")
    );
    browser.log_in("guest", "wrong").is(401);
    let begun = browser.log_in("guest", "guest");
    assert_eq!(begun.is(303).header("location"), Some("/"));
    let cookie = begun.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    let page = browser.get("/queues");
    assert!(page.is(200).body.contains("<h1>Queues</h1>"));
    let kept = browser.cookies.clone();
    browser
        .post("/logout", &format!("token={}", token(&page)))
        .is(303);
    browser.get("/queues").is(401);
    // Whoever has kept the cookie has nothing.
    browser.cookies = kept;
    browser.get("/queues").is(401);
}

#[test]
fn another_password_and_a_deleted_user_end_sessions() {
    let (_broker, http) = start();
    http.put(
        "/users/ann",
        &json!({"password": "a", "tags": "administrator"}),
    )
    .is(201);
    let mut browser = Browser::new(&http);
    browser.log_in("ann", "a").is(303);
    browser.get("/").is(200);
    http.put(
        "/users/ann",
        &json!({"password": "b", "tags": "administrator"}),
    )
    .is(204);
    browser.get("/queues").is(401);
    browser.log_in("ann", "b").is(303);
    browser.get("/queues").is(200);
    http.delete("/users/ann").is(204);
    browser.get("/queues").is(401);
}

#[test]
fn whoever_has_no_tag_cannot_log_in() {
    let (_broker, http) = start();
    http.put("/users/plain", &json!({"password": "p", "tags": ""}))
        .is(201);
    let refused = Browser::new(&http).log_in("plain", "p");
    assert!(refused.is(401).body.contains("Not management user"));
}

#[test]
fn a_form_of_another_site_changes_nothing() {
    let (_broker, http, mut browser) = logged_in();
    let fields = "vhost=%2F&name=mine&durable=true&back=/queues";
    browser.post("/do/declare-queue", fields).is(403);
    let wrong = format!("{fields}&token={}", "0".repeat(64));
    browser.post("/do/declare-queue", &wrong).is(403);
    http.get("/queues/%2F/mine").is(404);
    let right = format!("{fields}&token={}", token(&browser.get("/queues")));
    let done = browser.post("/do/declare-queue", &right);
    assert_eq!(done.is(303).header("location"), Some("/queues"));
    assert!(
        browser
            .get("/queues")
            .body
            .contains("Queue mine is declared.")
    );
    http.get("/queues/%2F/mine").is(200);
    // The form for logging in has a token, too.
    let mut stranger = Browser::new(&http);
    stranger.post("/login", "user=guest&password=guest").is(403);
}

#[test]
fn the_cookie_alone_may_look_and_change_nothing() {
    let (_broker, _http, mut browser) = logged_in();
    browser.get("/api/overview").is(200);
    browser
        .ask("DELETE", "/api/queues/%2F/mine", "", "")
        .is(401);
    browser.ask("PUT", "/api/queues/%2F/mine", "", "{}").is(401);
}

#[test]
fn nobody_is_sent_elsewhere_after_the_login() {
    let (_broker, http) = start();
    let mut browser = Browser::new(&http);
    let token = token(&browser.get("/login"));
    let fields = format!("token={token}&user=guest&password=guest&back=//evil.example/");
    assert_eq!(
        browser.post("/login", &fields).is(303).header("location"),
        Some("/")
    );
}

#[test]
fn pages_are_given_under_our_own_names_only() {
    let (_broker, _http, mut browser) = logged_in();
    let rebound = browser.ask("GET", "/", "host: evil.example:15672\r\n", "");
    assert!(rebound.is(421).body.contains("management.hosts"));
    browser
        .ask("GET", "/", "host: localhost:15672\r\n", "")
        .is(200);
    let options = Options::default()
        .managed()
        .set("management.hosts=[\"broker.example\"]");
    let broker = Broker::start(options);
    let mut browser = Browser::new(&broker.http());
    browser
        .ask("GET", "/", "host: broker.example\r\n", "")
        .is(200);
}

#[test]
fn every_page_forbids_what_is_not_ours() {
    let (_broker, _http, mut browser) = logged_in();
    for path in ["/", "/queues", "/nothing", "/ui/script.js", "/login"] {
        let page = browser.get(path);
        assert_eq!(
            page.header("content-security-policy"),
            Some(POLICY),
            "{path}"
        );
        assert_eq!(
            page.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
    let page = browser.get("/").body;
    assert!(!page.contains(" style="), "styles are in the sheet");
    assert!(
        !page.contains("<script>") && !page.contains(" onclick="),
        "no script in the page"
    );
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "nothing from elsewhere"
    );
}

/// Path, and the tags that see it.
const PAGES: [(&str, &[&str]); 18] = [
    (
        "/",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/connections",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/channels",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/exchanges",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/exchanges/%2F/amq.topic",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/exchanges/%2F/amq.default",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/queues",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/queues/%2F/here",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/topology",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/explain",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    ("/plugins", &["monitoring", "administrator"]),
    ("/plugins/topic", &["monitoring", "administrator"]),
    (
        "/admin",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/admin/vhosts",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/admin/policies",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    (
        "/admin/limits",
        &["management", "policymaker", "monitoring", "administrator"],
    ),
    ("/admin/users/guest", &["administrator"]),
    ("/admin/definitions", &["administrator"]),
];

#[test]
fn each_tag_sees_its_pages() {
    let (_broker, http) = start();
    http.put("/queues/%2F/here", &json!({"durable": true}))
        .is(201);
    let mut wrong = Vec::new();
    for tag in ["management", "policymaker", "monitoring", "administrator"] {
        let user = format!("user-{tag}");
        http.put(
            &format!("/users/{user}"),
            &json!({"password": "p", "tags": tag}),
        )
        .is(201);
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        http.put(&format!("/permissions/%2f/{user}"), &all).is(201);
        let mut browser = Browser::new(&http);
        browser.log_in(&user, "p").is(303);
        for (path, may) in PAGES {
            let page = browser.get(path);
            let expected = if may.contains(&tag) { 200 } else { 401 };
            if page.status != expected {
                wrong.push(format!("{path} as {tag}: {}", page.status));
            }
        }
        let plugins = browser.get("/").body.contains("href=\"/plugins\"");
        assert_eq!(
            plugins,
            matches!(tag, "monitoring" | "administrator"),
            "{tag}"
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_form_may_no_more_than_its_user() {
    let (_broker, http) = start();
    http.put(
        "/users/eve",
        &json!({"password": "p", "tags": "management"}),
    )
    .is(201);
    let none = json!({"configure": "^eve", "write": "^eve", "read": "^eve"});
    http.put("/permissions/%2f/eve", &none).is(201);
    let mut browser = Browser::new(&http);
    browser.log_in("eve", "p").is(303);
    let token = token(&browser.get("/queues"));
    let send = |browser: &mut Browser, action: &str, fields: &str| {
        browser
            .post(
                &format!("/do/{action}"),
                &format!("token={token}&back=/&{fields}"),
            )
            .status
    };
    assert_eq!(
        send(&mut browser, "declare-queue", "vhost=%2F&name=other"),
        401
    );
    assert_eq!(
        send(
            &mut browser,
            "declare-queue",
            "vhost=%2F&name=eve-1&durable=true"
        ),
        303
    );
    assert_eq!(
        send(&mut browser, "set-user", "user=eve&tag=administrator"),
        401
    );
    assert_eq!(send(&mut browser, "disable-plugin", "plugin=topic"), 401);
    assert_eq!(
        send(
            &mut browser,
            "set-policy",
            "vhost=%2F&name=p&pattern=.&apply_to=all&definition=max-length%3D1"
        ),
        401
    );
    assert_eq!(http.json("/users/eve")["tags"], json!(["management"]));
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let (_broker, http, mut browser) = logged_in();
    http.put(
        &format!("/queues/%2F/{HOSTILE_IN_PATH}"),
        &json!({"durable": true, "arguments": {"x-note": HOSTILE}}),
    )
    .is(201);
    http.put(
        &format!("/exchanges/%2F/{HOSTILE_IN_PATH}"),
        &json!({"type": "topic", "durable": true}),
    )
    .is(201);
    http.post(
        &format!("/bindings/%2F/e/{HOSTILE_IN_PATH}/q/{HOSTILE_IN_PATH}"),
        &json!({"routing_key": HOSTILE, "arguments": {"note": HOSTILE}}),
    )
    .is(201);
    http.post(
        &format!("/exchanges/%2F/{HOSTILE_IN_PATH}/publish"),
        &json!({"properties": {"headers": {HOSTILE: HOSTILE}}, "routing_key": HOSTILE, "payload": HOSTILE, "payload_encoding": "string"}),
    )
    .is(200);
    http.put(
        &format!("/vhosts/{HOSTILE_IN_PATH}"),
        &json!({"description": HOSTILE}),
    )
    .is(201);
    let queue = format!("/queues/%2F/{HOSTILE_IN_PATH}");
    let exchange = format!("/exchanges/%2F/{HOSTILE_IN_PATH}");
    let explain = format!(
        "/explain?vhost=%2F&exchange={HOSTILE_IN_PATH}&routing_key={HOSTILE_IN_PATH}&payload={HOSTILE_IN_PATH}"
    );
    let filter = format!("/queues?name={HOSTILE_IN_PATH}&sort={HOSTILE_IN_PATH}");
    let token = token(&browser.get("/"));
    let get = format!(
        "token={token}&vhost=%2F&name={HOSTILE_IN_PATH}&count=1&ackmode=ack_requeue_true&encoding=auto"
    );
    let mut pages = vec![browser.post("/do/get", &get)];
    for path in [
        "/queues",
        "/exchanges",
        "/topology?vhost=%2F",
        "/admin/vhosts",
        &queue,
        &exchange,
        &explain,
        &filter,
    ] {
        pages.push(browser.get(path));
    }
    for page in pages {
        let page = page.is(200);
        assert!(
            page.body.contains("&lt;script&gt;alert(1)"),
            "it is not shown: {page:?}"
        );
        assert!(
            !page.body.contains("<script>alert") && !page.body.contains("<img src=x"),
            "{page:?}"
        );
    }
}

#[test]
fn messages_move_to_another_queue() {
    let (_broker, http, mut browser) = logged_in();
    for queue in ["from", "to"] {
        http.put(&format!("/queues/%2F/{queue}"), &json!({"durable": true}))
            .is(201);
    }
    for number in 0..5 {
        let message = json!({"properties": {"delivery_mode": 2}, "routing_key": "from", "payload": number.to_string(), "payload_encoding": "string"});
        http.post("/exchanges/%2F/amq.default/publish", &message)
            .is(200);
    }
    let token = token(&browser.get("/queues/%2F/from"));
    let fields = format!("token={token}&back=/queues/%2F/from&vhost=%2F&name=from&to=to&count=3");
    browser.post("/do/move", &fields).is(303);
    assert!(
        browser
            .get("/queues/%2F/from")
            .body
            .contains("Moved to to: 3.")
    );
    let get = json!({"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let moved = http.post("/queues/%2F/to/get", &get).is(200).json();
    let payloads: Vec<&str> = moved
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|one| one["payload"].as_str())
        .collect();
    assert_eq!(payloads, ["0", "1", "2"]);
    let rest = http.post("/queues/%2F/from/get", &get).is(200).json();
    assert_eq!(rest.as_array().map(Vec::len), Some(2));
    http.post("/warren/queues/%2F/from/move", &json!({"to": "from"}))
        .is(400);
    http.post("/warren/queues/%2F/from/move", &json!({"to": "nowhere"}))
        .is(400);
}

#[test]
fn a_full_queue_takes_no_moved_messages() {
    let (_broker, http) = start();
    let full =
        json!({"durable": true, "arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}});
    http.put("/queues/%2F/full", &full).is(201);
    http.put("/queues/%2F/from", &json!({"durable": true}))
        .is(201);
    for number in 0..3 {
        let message = json!({"properties": {}, "routing_key": "from", "payload": number.to_string(), "payload_encoding": "string"});
        http.post("/exchanges/%2F/amq.default/publish", &message)
            .is(200);
    }
    let refused = http.post("/warren/queues/%2F/from/move", &json!({"to": "full"}));
    assert!(
        refused
            .is(400)
            .body
            .contains("the other queue is full; 1 were moved")
    );
    let get = json!({"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"});
    let rest = http.post("/queues/%2F/from/get", &get).is(200).json();
    assert_eq!(rest.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_policy_is_previewed_before_it_is_set() {
    let (_broker, http, mut browser) = logged_in();
    for queue in ["tmp-1", "tmp-2", "other"] {
        http.put(&format!("/queues/%2F/{queue}"), &json!({"durable": true}))
            .is(201);
    }
    let page = browser.get("/admin/policies");
    let fields = format!(
        "token={}&vhost=%2F&name=p&pattern=%5Etmp&apply_to=queues&definition=max-length%3D10",
        token(&page)
    );
    let preview = browser.post("/do/preview-policy", &fields);
    let body = &preview.is(200).body;
    assert!(
        body.contains(">tmp-1</a>") && body.contains(">tmp-2</a>") && !body.contains(">other</a>")
    );
    assert!(http.json("/policies").as_array().is_some_and(Vec::is_empty));
    browser
        .post("/do/set-policy", &format!("{fields}&back=/admin/policies"))
        .is(303);
    assert_eq!(http.json("/queues/%2F/tmp-1")["policy"], "p");
}
