//! Live events: what a listener hears, who hears what, and that nobody waits for one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use warren_tests::kit::{Http, eventually};

use super::start;

/// An open stream.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(http: &Http, credentials: &str) -> Stream {
        let mut socket = TcpStream::connect(&http.address).expect("a connection");
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a time limit");
        let request = format!(
            "GET /api/warren/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\
             authorization: Basic {credentials}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).expect("sent");
        let mut stream = Stream(BufReader::new(socket));
        let status = stream.line();
        assert!(status.contains("200"), "{status}");
        while !stream.line().is_empty() {}
        // Its first piece says that it is listening.
        assert!(stream.line().starts_with("retry:"));
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line in time");
        line.trim_end().to_owned()
    }

    /// The next event of this kind.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            if self.line() == format!("event: {kind}") {
                let data = self.line();
                let data = data.strip_prefix("data: ").expect("data");
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }
}

/// guest:guest
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

#[test]
fn a_listener_hears_what_comes_and_goes() {
    let (_broker, http) = start();
    let mut stream = Stream::open(&http, GUEST);
    http.put("/queues/%2F/q", &json!({})).is(201);
    assert_eq!(
        stream.next("queue.created"),
        json!({"name": "q", "vhost": "/"})
    );
    http.put("/exchanges/%2F/x", &json!({"type": "topic"}))
        .is(201);
    assert_eq!(stream.next("exchange.created")["name"], "x");
    http.post("/bindings/%2F/e/x/q/q", &json!({"routing_key": "a.#"}))
        .is(201);
    let bound = stream.next("binding.created");
    let expected = json!({"name": "x", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "a.#"});
    assert_eq!(bound, expected);
    let policy = json!({"pattern": "q", "definition": {"max-length": 5}});
    http.put("/policies/%2F/p", &policy).is(201);
    assert_eq!(stream.next("policy.set")["name"], "p");
    http.delete("/policies/%2F/p").is(204);
    assert_eq!(stream.next("policy.cleared")["name"], "p");
    http.delete("/queues/%2F/q").is(204);
    // With the queue its bindings go, and are told.
    assert_eq!(stream.next("binding.deleted")["destination"], "q");
    http.delete("/exchanges/%2F/x").is(204);
    assert_eq!(stream.next("exchange.deleted")["name"], "x");
    http.post("/warren/plugins/fanout/disable", &json!({}))
        .is(204);
    let changed = stream.next("plugin.changed");
    assert_eq!(changed, json!({"name": "fanout", "state": "disabled"}));
}

#[test]
fn rates_and_totals_come_by_the_second() {
    let (_broker, http) = start();
    http.put("/queues/%2F/q", &json!({})).is(201);
    let mut stream = Stream::open(&http, GUEST);
    let mut last = stream.next("tick")["at"].as_f64().expect("a time");
    for _ in 0..20 {
        let message = json!({"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"});
        http.post("/exchanges/%2F/amq.default/publish", &message)
            .is(200);
    }
    let mut published = 0.0;
    loop {
        let tick = stream.next("tick");
        let at = tick["at"].as_f64().expect("a time");
        let rate = tick["rates"]["publish"].as_f64().expect("a rate");
        published += rate * (at - last) / 1000.0;
        last = at;
        if tick["totals"]["publish"] == 20 && tick["messages_ready"] == 20 {
            assert_eq!(tick["queues"], 1);
            break;
        }
    }
    assert!((19.9..20.1).contains(&published), "{published}");
}

#[test]
fn who_may_not_enter_a_vhost_hears_nothing_of_it() {
    let (_broker, http) = start();
    http.put("/vhosts/own", &json!({})).is(201);
    http.put(
        "/users/eve",
        &json!({"password": "p", "tags": "management"}),
    )
    .is(201);
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    http.put("/permissions/own/eve", &all).is(201);
    // eve:p
    let mut stream = Stream::open(&http, "ZXZlOnA=");
    http.put("/queues/%2F/secret", &json!({})).is(201);
    http.put("/queues/own/mine", &json!({})).is(201);
    let heard = stream.next("queue.created");
    assert_eq!(heard, json!({"name": "mine", "vhost": "own"}));
    let tick = stream.next("tick");
    assert_eq!(tick["queues"], 1);
    // Rights are those of now.
    http.delete("/users/eve").is(204);
    let mut rest = String::new();
    while stream.0.read_line(&mut rest).expect("an end in time") > 0 {}
}

#[test]
fn events_need_a_login_and_have_an_end_in_number() {
    let (_broker, http) = start();
    http.raw("GET /api/warren/events HTTP/1.1\r\nconnection: close\r\n\r\n")
        .is(401);
    let streams: Vec<Stream> = (0..64).map(|_| Stream::open(&http, GUEST)).collect();
    http.get("/warren/events").is(503);
    drop(streams);
    let free = || {
        let mut socket = TcpStream::connect(&http.address).expect("a connection");
        let request = format!(
            "GET /api/warren/events HTTP/1.1\r\nhost: x\r\nauthorization: Basic {GUEST}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).expect("sent");
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).expect("a line");
        line.contains("200")
    };
    eventually(Duration::from_secs(30), free);
}
