//! What is not answered: no login, wrong methods, wrong bodies, too much.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;
use warren_tests::kit::{Broker, DEADLINE, Options};

use super::start;

#[test]
fn who_does_not_log_in_gets_nothing() {
    let (_broker, http) = start();
    let anonymous = http.raw("GET /api/overview HTTP/1.1\r\nconnection: close\r\n\r\n");
    anonymous.is(401);
    let realm = anonymous.header("www-authenticate");
    assert_eq!(realm, Some("Basic realm=\"RabbitMQ Management\""));
    let wrong = http.as_user("guest", "wrong").get("/overview");
    wrong.is(401);
    assert_eq!(
        wrong.json(),
        json!({"error": "not_authorised", "reason": "Login failed"})
    );
    http.as_user("nobody", "guest").get("/overview").is(401);
    http.get("/whoami").is(200);
}

#[test]
fn whoever_guesses_passwords_has_to_wait() {
    let (broker, http) = start();
    let guesser = http.as_user("guest", "guess");
    let refused = (0..200)
        .map(|_| guesser.get("/whoami").status)
        .find(|status| *status != 401);
    assert_eq!(refused, Some(429));
    // The right password too: whoever has it can wait a minute.
    http.get("/whoami").is(429);
    assert!(
        !broker
            .log_lines()
            .iter()
            .any(|line| line.contains("guess\""))
    );
}

/// Half a request each, and nothing more: they give way to whoever has something to ask.
#[test]
fn idle_connections_keep_nobody_out() {
    let (broker, http) = start();
    let half = || {
        let mut stream = TcpStream::connect(&http.address).expect("a connection");
        let sent = stream.write_all(b"GET /api/overview HTTP/1.1\r\nhost: x");
        sent.expect("half a head");
        stream
    };
    let mut idle: Vec<TcpStream> = (0..900).map(|_| half()).collect();
    for _ in 0..20 {
        http.get("/whoami").is(200);
        idle.push(half());
    }
    // The first have had to go.
    let first = idle.first_mut().expect("one");
    first.set_read_timeout(Some(DEADLINE)).expect("a limit");
    assert!(matches!(first.read(&mut [0; 8]), Ok(0) | Err(_)));
    assert!(!broker.has_logged("too many management connections"));
}

#[test]
fn errors_are_those_of_rabbitmq() {
    let (_broker, http) = start();
    let missing = http.get("/nothing/of/the/kind");
    assert_eq!(
        missing.is(404).json(),
        json!({"error": "Object Not Found", "reason": "Not Found"})
    );
    http.get("/queues/nowhere/q").is(404);
    let method = http.send("DELETE", "/overview", None);
    assert_eq!(method.is(405).header("allow"), Some("HEAD, GET, OPTIONS"));
    let bad = http
        .send("PUT", "/queues/%2f/q", Some("[1]"))
        .is(400)
        .json();
    assert_eq!(bad, json!({"error": "bad_request", "reason": "not_json"}));
    let bad = http
        .put("/queues/%2f/q", &json!({"durable": "perhaps"}))
        .is(400)
        .json();
    assert_eq!(bad["reason"], json!(["not_boolean", "perhaps"]));
    let bad = http
        .put("/policies/%2f/p", &json!({"definition": {}}))
        .is(400)
        .json();
    assert_eq!(bad["reason"], "[{key_missing,pattern}]");
    let bad = http.get("/queues?page=0").is(400).json();
    assert_eq!(bad["error"], "invalid_pagination_parameters");
}

#[test]
fn only_json_is_there_to_be_accepted() {
    let (_broker, http) = start();
    let ask = |accept: &str| {
        let login = "authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nconnection: close";
        http.raw(&format!(
            "GET /api/whoami HTTP/1.1\r\naccept: {accept}\r\n{login}\r\n\r\n"
        ))
    };
    ask("text/html").is(406);
    ask("text/html, application/json;q=0.5").is(200);
    ask("*/*").is(200);
}

#[test]
fn what_is_no_http_or_too_large_is_refused_and_others_are_served_on() {
    let (_broker, http) = start();
    http.raw("AMQP\x00\x00\x09\x01\r\n\r\n").is(400);
    let long = "x".repeat(40_000);
    http.raw(&format!("GET /{long} HTTP/1.1\r\n\r\n")).is(431);
    let huge = "POST /api/definitions HTTP/1.1\r\ncontent-length: 10485761\r\n\r\n{";
    http.raw(huge).is(413);
    let two = "POST /api/definitions HTTP/1.1\r\ncontent-length: 2\r\n\
               transfer-encoding: chunked\r\n\r\n{}";
    http.raw(two).is(400);
    http.get("/whoami").is(200);
}

#[test]
fn bodies_may_come_in_chunks_and_connections_may_stay() {
    let (_broker, http) = start();
    let login = "authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
    let reply = http.raw(&format!(
        "PUT /api/queues/%2f/chunked HTTP/1.1\r\n{login}\r\ntransfer-encoding: chunked\r\n\r\n\
         8\r\n{{\"durabl\r\n9\r\ne\": true}}\r\n0\r\n\r\n\
         GET /api/queues/%2f/chunked HTTP/1.1\r\n{login}\r\nconnection: close\r\n\r\n"
    ));
    reply.is(201);
    assert!(reply.body.contains("HTTP/1.1 200 OK"), "{reply:?}");
    assert!(reply.body.contains("\"durable\":true"), "{reply:?}");
}

#[test]
fn every_change_is_in_the_log_with_its_author_and_without_its_secrets() {
    let (broker, http) = start();
    let body = json!({"password": "hush-hush", "tags": ""});
    http.put("/users/ann", &body).is(201);
    broker.logs("method=\"PUT\" path=\"/api/users/ann\" status=201");
    broker.logs("user=\"guest\"");
    let said = broker
        .log_lines()
        .iter()
        .any(|line| line.contains("hush-hush"));
    assert!(!said);
    let user = http.json("/users/ann");
    assert!(user.get("password").is_none());
}

#[test]
fn guest_may_come_from_this_machine_only_unless_configured() {
    let options = Options::default().managed().set("loopback_users=");
    let broker = Broker::start(options);
    broker.http().get("/whoami").is(200);
}
