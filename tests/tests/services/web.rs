//! Services and HTTP: what a service is told of an answer, of none, and of what it may not.

use std::time::Instant;

use serde_json::{Value, json};
use warren_tests::kit::{
    Answer, Asked, Authority, Broker, DEADLINE, Options, WebServer, eventually, fixture,
};

use super::faults::TASKS;
use super::until;

fn answers(asked: &Asked) -> Answer {
    match asked.target.as_str() {
        "/500" => Answer::Status(500),
        "/silence" => Answer::Silence,
        "/cut" => Answer::Cut,
        "/large" => Answer::Body(vec![b'x'; (8 << 20) + 1]),
        "/full" => Answer::Body(vec![b'x'; 8 << 20]),
        _ => Answer::Body(b"hello".to_vec()),
    }
}

/// A broker whose service sends this request, once.
fn sends(grants: &str, request: &Value, env: Vec<(String, String)>) -> (Broker, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let component = folder.path().join("fault-service.wasm");
    std::fs::copy(fixture("fault-service.wasm"), component).expect("a fixture");
    let value = |key: &str| request.get(key).cloned().unwrap_or(json!(""));
    let number = |key: &str| request.get(key).cloned().unwrap_or(json!(0));
    let config = format!(
        "[plugins.fault-service]\ngrants = [\"amqp:local\", {grants}]\n\
         [plugins.fault-service.config]\nmode = \"http\"\n\
         request = {{ method = {}, url = {}, header = {}, length = {}, timeout = {} }}\n",
        request.get("method").cloned().unwrap_or(json!("POST")),
        value("url"),
        value("header"),
        number("length"),
        number("timeout"),
    );
    let options = Options {
        plugins_dir: Some(folder.path().to_owned()),
        env,
        ..Options::default().managed().config(config)
    };
    (Broker::start(options), folder)
}

/// What the service was told.
#[track_caller]
fn told(grants: &str, request: &Value) -> Value {
    let (broker, _folder) = sends(grants, request, Vec::new());
    facts(&broker)
}

#[track_caller]
fn facts(broker: &Broker) -> Value {
    let rows = until(broker, TASKS, |rows| {
        rows.first().is_some_and(|row| row["facts"].is_object())
    });
    rows[0]["facts"].clone()
}

fn text(told: &Value, kind: &str) -> String {
    let text = told[kind].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "{told}");
    text.to_owned()
}

#[test]
fn a_service_posts_and_is_told_the_answer() {
    let server = WebServer::start(answers);
    let url = format!("{}/in?a=b", server.url());
    let request = json!({"url": url, "header": "one", "length": 3});
    assert_eq!(
        told("\"http\"", &request),
        json!({"status": 200, "length": 5})
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].method.as_str(), asked[0].target.as_str()),
        ("POST", "/in?a=b")
    );
    assert_eq!(asked[0].body, b"bbb");
    assert_eq!(asked[0].header("x-task"), Some("one"));
    assert!(
        asked[0]
            .header("user-agent")
            .is_some_and(|agent| agent.starts_with("Warren/"))
    );
}

#[test]
fn any_status_is_an_answer_and_none_is_a_failure() {
    let server = WebServer::start(answers);
    let at = |path: &str| json!({"url": format!("{}{path}", server.url()), "timeout": 300});
    let grant = format!("\"http=127.0.0.1:{}\"", server.port());
    assert_eq!(
        told(&grant, &at("/500")),
        json!({"status": 500, "length": 0})
    );
    let silence = text(&told(&grant, &at("/silence")), "failed");
    assert!(silence.contains("no answer within 300ms"), "{silence}");
    let cut = text(&told(&grant, &at("/cut")), "failed");
    assert!(cut.contains("ended before the answer"), "{cut}");
    let nobody = json!({"url": "http://127.0.0.1:1/"});
    let refused = text(&told("\"http\"", &nobody), "failed");
    assert!(refused.contains("127.0.0.1:1: "), "{refused}");
}

#[test]
fn what_was_not_granted_is_not_asked() {
    let server = WebServer::start(answers);
    let request = json!({"url": server.url()});
    let denied = text(
        &told("\"http=*.example.com\", \"http=127.0.0.1:1\"", &request),
        "denied",
    );
    let grant = format!("grants = [\"http=127.0.0.1:{}\"]", server.port());
    assert!(denied.contains(&grant), "{denied}");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_component_with_http_and_without_a_grant_is_refused_by_name() {
    let (broker, _folder) = sends("\"amqp:remote\"", &json!({}), Vec::new());
    eventually(DEADLINE, || broker.has_logged("warren:service/http@0.1.0"));
    let log = broker.log_lines().join("\n");
    assert!(log.contains("grants = [\\\"http=host:port\\\"]") || log.contains("http=host:port"));
}

#[test]
fn bodies_have_limits_each_way() {
    let server = WebServer::start(answers);
    let at = |path: &str| format!("{}{path}", server.url());
    let full = told("\"http\"", &json!({"url": at("/full"), "length": 16 << 20}));
    assert_eq!(full, json!({"status": 200, "length": 8 << 20}));
    let long = text(&told("\"http\"", &json!({"url": at("/large")})), "failed");
    assert!(long.contains("more than 8388608 octets"), "{long}");
    let before = server.asked().len();
    let more = json!({"url": at("/"), "length": (16 << 20) + 1});
    assert!(text(&told("\"http\"", &more), "invalid").contains("16 MiB"));
    assert!(text(&told("\"http\"", &json!({"url": "gopher://h/"})), "invalid").contains("http://"));
    let split = json!({"url": at("/"), "header": "a\r\nb: c"});
    assert!(text(&told("\"http\"", &split), "invalid").contains("not one line"));
    assert_eq!(server.asked().len(), before);
}

#[test]
fn a_service_that_waits_for_an_answer_ends_when_it_is_to() {
    let server = WebServer::start(answers);
    let request = json!({"url": format!("{}/silence", server.url()), "timeout": 300_000});
    let (mut broker, _folder) = sends("\"http\"", &request, Vec::new());
    eventually(DEADLINE, || !server.asked().is_empty());
    let begun = Instant::now();
    assert!(broker.stop().success());
    // Its grace is five seconds.
    assert!(begun.elapsed().as_secs() < 4, "{:?}", begun.elapsed());
}

#[test]
fn an_encrypted_server_must_be_vouched_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("here");
    let trusted = authority.write(folder.path()).display().to_string();
    let server = WebServer::encrypted(&authority.server(), answers);
    let request = json!({"url": server.url()});
    let env = vec![("SSL_CERT_FILE".to_owned(), trusted)];
    let (broker, _folder) = sends("\"http\"", &request, env.clone());
    assert_eq!(facts(&broker), json!({"status": 200, "length": 5}));
    let stranger = WebServer::encrypted(&Authority::new("there").server(), answers);
    let (broker, _folder) = sends("\"http\"", &json!({"url": stranger.url()}), env);
    let failed = text(&facts(&broker), "failed");
    assert!(failed.contains("TLS"), "{failed}");
    assert_eq!(stranger.asked(), []);
}
