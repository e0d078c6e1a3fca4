//! What tracers post: taken as it is, tried again while that may help, and dropped beyond.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use serde_json::Value;
use warren_tests::kit::{Answer, Broker, DEADLINE, Options, WebServer, eventually};

use super::faults::told;

fn bodies(count: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| number.to_string().into_bytes())
}

fn sum(server: &WebServer) -> u64 {
    let asked = server.asked().into_iter();
    let counts = asked.map(|asked| String::from_utf8(asked.body).expect("text"));
    counts
        .map(|count| count.parse::<u64>().expect("a number"))
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_gathered_and_posted_in_batches() {
    let server = WebServer::start(|_| Answer::Status(200));
    let traced = told("post", &server.url(), "observe_every = \"300ms\"");
    let channel = traced.channel().await;
    channel.fill("q", bodies(1_000)).await;
    eventually(DEADLINE, || sum(&server) == 1_000);
    // A call has 512 events at most; others than messages come between.
    let asked = server.asked();
    assert!(asked.len() <= 8, "{} calls", asked.len());
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("x-kind") == Some("count"))
    );
    assert_eq!(server.connections(), 1);
    eventually(DEADLINE, || traced.number("uploads") == asked.len() as u64);
    assert_eq!(traced.number("uploads_dropped"), 0, "{}", traced.plugin());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let status = Arc::new(AtomicU16::new(503));
    let calls = Arc::new(AtomicUsize::new(0));
    let (says, counts) = (Arc::clone(&status), Arc::clone(&calls));
    let server = WebServer::start(move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        Answer::Status(says.load(Ordering::SeqCst))
    });
    let traced = told("post", &server.url(), "observe_every = \"100ms\"");
    let channel = traced.channel().await;
    channel.fill("q", bodies(10)).await;
    eventually(DEADLINE, || calls.load(Ordering::SeqCst) >= 3);
    assert_eq!(traced.number("uploads"), 0);
    assert_eq!(traced.number("uploads_dropped"), 0);
    status.store(200, Ordering::SeqCst);
    eventually(DEADLINE, || traced.number("uploads") >= 1);
    eventually(DEADLINE, || traced.number("uploads_waiting") == 0);
    status.store(400, Ordering::SeqCst);
    channel.fill("q", bodies(10)).await;
    eventually(DEADLINE, || traced.number("uploads_dropped") >= 1);
    traced.broker.logs("answered 400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_or_silent_holds_nobody_up() {
    let server = WebServer::start(|_| Answer::Silence);
    let traced = told("post", &server.url(), "");
    let channel = traced.channel().await;
    while traced.number("uploads_dropped") == 0 {
        channel.fill("q", bodies(100)).await;
    }
    assert!(
        traced.number("uploads_waiting") <= 257,
        "{}",
        traced.plugin()
    );
    traced.broker.logs("more waits to be posted than may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_posted_there_is_dropped_and_said() {
    let traced = told("post", "http://example.invalid/", "");
    let channel = traced.channel().await;
    channel.fill("q", bodies(10)).await;
    eventually(DEADLINE, || traced.number("uploads_dropped") >= 1);
    traced.broker.logs("http=example.invalid:80");
}

fn asked(plugin: &Value) -> Vec<(&str, bool)> {
    let asked = plugin["asked"].as_array().into_iter().flatten();
    let asked = asked.filter_map(|asked| {
        let import = asked["import"].as_str()?;
        Some((import, asked["granted"].as_bool()?))
    });
    asked.collect()
}

#[test]
fn a_tracer_asks_for_what_its_code_calls_and_no_more() {
    let plugin = told("good", "", "").plugin();
    let (files, uploads) = ("warren:tracer/files@0.1.0", "warren:tracer/uploads@0.1.0");
    assert_eq!(asked(&plugin), [(files, true), (uploads, true)]);
    let enabled = ["event-exchange", "opentelemetry"];
    let options = enabled
        .iter()
        .fold(Options::default().managed(), |options, name| {
            options.set(format!("plugins.{name}.enabled=true"))
        });
    let broker = Broker::start(options);
    let plugin = |name: &str| broker.http().json(&format!("/warren/plugins/{name}"));
    let exchanges = "warren:tracer/exchanges@0.1.0";
    assert_eq!(asked(&plugin("event-exchange")), [(exchanges, true)]);
    assert_eq!(asked(&plugin("opentelemetry")), [(uploads, true)]);
}
