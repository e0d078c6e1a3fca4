//! Tracers that misbehave: what they miss is counted, and nobody waits for them.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use warren_tests::kit::{Broker, Channel, DEADLINE, Http, Options, durable, eventually, fixture};

/// As many as may wait in front of a tracer.
const LINE: u64 = 32_768;

pub struct Traced {
    pub broker: Broker,
    http: Http,
    folder: tempfile::TempDir,
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("fault-tracer.wasm")
}

/// A broker with the tracer in this mode.
fn faulty(mode: &str, settings: &str) -> Traced {
    told(mode, "", settings)
}

/// The same, with an address for what it posts.
pub fn told(mode: &str, url: &str, settings: &str) -> Traced {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(fixture("fault-tracer.wasm"), file(folder.path())).expect("a fixture");
    let config = format!(
        "[plugins.fault-tracer]\n\
         grants = [\"http=127.0.0.1\", \"warren:tracer/files\"]\n{settings}\n\
         [plugins.fault-tracer.config]\nmode = \"{mode}\"\nurl = \"{url}\"\n"
    );
    let options = Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..Options::default().managed().config(config)
    };
    let broker = Broker::start(options);
    let http = broker.http();
    Traced {
        broker,
        http,
        folder,
    }
}

impl Traced {
    pub fn plugin(&self) -> Value {
        self.http.json("/warren/plugins/fault-tracer")
    }

    pub fn number(&self, name: &str) -> u64 {
        self.plugin()[name].as_u64().unwrap_or_default()
    }

    fn faults(&self) -> u64 {
        let plugin = self.plugin();
        let faults = plugin["faults"].as_object().into_iter().flatten();
        faults.filter_map(|(_, count)| count.as_u64()).sum()
    }

    pub async fn channel(&self) -> Channel {
        let channel = self.broker.connect().await.confirming().await;
        channel.queue("q", durable()).await;
        channel
    }
}

fn bodies(count: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| number.to_string().into_bytes())
}

/// Messages go on as ever while the tracer fails again and again.
async fn fails_and_nobody_minds(mode: &str, settings: &str) -> Traced {
    let traced = faulty(mode, settings);
    let channel = traced.channel().await;
    let mut sent = 0;
    // Until it has failed so often that it rests.
    while traced.number("open_breakers") == 0 {
        channel.fill("q", bodies(100)).await;
        sent += 100;
        assert!(sent < 100_000, "{}", traced.plugin());
    }
    assert!(traced.faults() >= 3, "{}", traced.plugin());
    channel.fill("q", bodies(100)).await;
    sent += 100;
    eventually(DEADLINE, || {
        traced.number("events_dropped") >= 100 && traced.number("events_waiting") == 0
    });
    assert_eq!(channel.count("q").await, sent);
    traced
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracer_that_traps_loses_its_events_and_rests() {
    let mut traced = fails_and_nobody_minds("trap", "").await;
    assert!(traced.broker.has_logged("trapped on purpose"));
    traced.broker.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_of_a_tracer_ends_at_its_timeout() {
    let mut traced = fails_and_nobody_minds("loop", "observe_timeout = \"50ms\"").await;
    traced.broker.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_bomb_of_a_tracer_ends_at_its_limit() {
    let mut traced = fails_and_nobody_minds("memory", "memory = \"16MiB\"").await;
    let resident = traced.broker.resident_memory();
    assert!(resident < 300 << 20, "{resident}");
    traced.broker.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_tracer_cannot_take_is_dropped_and_counted_and_publishers_do_not_wait() {
    let mut traced = faulty("slow", "observe_timeout = \"60s\"");
    let channel = traced.channel().await;
    let begun = Instant::now();
    let count = 60_000;
    channel.fill("q", bodies(count)).await;
    let took = begun.elapsed();
    let taken = traced.number("events");
    assert!(taken < u64::from(count), "it keeps up: {}", traced.plugin());
    assert!(traced.number("events_waiting") <= LINE);
    eventually(DEADLINE, || traced.number("events_dropped") > 0);
    println!("60,000 confirmed in {took:?}, told of {taken}");
    assert_eq!(channel.count("q").await, count);
    traced.broker.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracer_that_is_taken_away_in_use_takes_nothing_with_it() {
    let mut traced = faulty("good", "");
    let channel = traced.channel().await;
    channel.fill("q", bodies(1_000)).await;
    eventually(DEADLINE, || traced.number("events") >= 1_000);
    let publishing = {
        let channel = channel.clone();
        tokio::spawn(async move { channel.fill("q", bodies(50_000)).await })
    };
    std::fs::remove_file(file(traced.folder.path())).expect("is there");
    eventually(DEADLINE, || {
        traced.http.get("/warren/plugins/fault-tracer").status == 404
    });
    publishing.await.expect("all are confirmed");
    assert_eq!(channel.count("q").await, 51_000);
    let seen = traced
        .http
        .get("/trace-files/seen.log")
        .is(200)
        .body
        .clone();
    assert!(seen.lines().count() >= 1_000);
    traced.broker.stop();
}
