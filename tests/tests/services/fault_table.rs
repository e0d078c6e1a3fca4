//! A table of services that fail, with what it costs the broker: memory, and the latency of others.
//! Not part of the suite: `cargo test --release --test services fault_table -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use serde_json::Value;
use warren_tests::kit::{Broker, Channel, persistent, transient};

use super::faults::{TASKS, faulty, granted};
use super::until;

const ROUNDS: usize = 2_000;

/// What the publisher of a message sees while the service does what it does.
struct Latency {
    median: Duration,
    high: Duration,
}

/// Publish, confirm and get, again and again.
async fn latency(channel: &Channel) -> Latency {
    channel.queue("table", Default::default()).await;
    let mut took = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let properties = if round % 2 == 0 {
            transient()
        } else {
            persistent()
        };
        let begun = Instant::now();
        channel.confirmed("", "table", b"x", properties).await;
        assert!(channel.take("table").await.is_some());
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Latency {
        median: took[ROUNDS / 2],
        high: took[ROUNDS * 99 / 100],
    }
}

struct Row {
    name: &'static str,
    tasks: usize,
    state: String,
    reason: String,
    restarts: u64,
    resident: u64,
    latency: Latency,
}

impl Row {
    fn print(&self) {
        println!(
            "| {} | {} | {} | {} | {} | {} MB | {:.2} ms | {:.2} ms |",
            self.name,
            self.tasks,
            self.state,
            self.restarts,
            self.reason,
            self.resident >> 20,
            self.latency.median.as_secs_f64() * 1e3,
            self.latency.high.as_secs_f64() * 1e3,
        );
    }
}

/// The row of a broker whose tasks have come to what is waited for.
async fn row(name: &'static str, broker: &Broker, come: impl Fn(&[Value]) -> bool) -> Row {
    until(broker, TASKS, come);
    let channel = broker.connect().await.confirming().await;
    let latency = latency(&channel).await;
    let rows = broker.http().json(TASKS);
    let rows = rows.as_array().cloned().unwrap_or_default();
    let first = rows.first().cloned().unwrap_or_default();
    let text = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
    Row {
        name,
        tasks: rows.len(),
        state: text("state"),
        reason: text("reason").lines().next().unwrap_or_default().to_owned(),
        restarts: first["restarts"].as_u64().unwrap_or_default(),
        resident: broker.resident_memory(),
        latency,
    }
}

fn says(rows: &[Value], what: &str) -> bool {
    rows.first()
        .is_some_and(|row| row["reason"].as_str().unwrap_or_default().contains(what))
}

fn all_run(rows: &[Value], count: usize) -> bool {
    rows.len() == count && rows.iter().all(|row| row["state"] == "running")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a table to look at"]
async fn fault_table() {
    println!("| service | tasks | state | restarts | reason | broker | median | 99th percentile |");
    println!("|---|---|---|---|---|---|---|---|");
    let (broker, _folder) = faulty("wait", 1, "");
    let row_of = row("none that fails", &broker, |rows| all_run(rows, 1)).await;
    row_of.print();
    let usual = row_of.resident;
    let (broker, _folder) = faulty("trap", 1, "");
    let come = |rows: &[Value]| says(rows, "quarantine");
    row("trap in run", &broker, come).await.print();
    let (broker, _folder) = faulty("loop", 1, "");
    let come = |rows: &[Value]| all_run(rows, 1);
    row("endless loop", &broker, come).await.print();
    let (broker, _folder) = faulty("loop", 4, "");
    let come = |rows: &[Value]| all_run(rows, 4);
    row("four endless loops", &broker, come).await.print();
    let (broker, _folder) = faulty("memory", 1, "memory = \"16MiB\"");
    let bomb = row("memory bomb", &broker, |rows| says(rows, "memory")).await;
    bomb.print();
    assert!(bomb.resident < usual + (64 << 20), "the limit holds");
    let (broker, _folder) = faulty("connect", 1, "");
    let come = |rows: &[Value]| says(rows, "127.0.0.1:1");
    row("connection refused for ever", &broker, come)
        .await
        .print();
    let (broker, _folder) = granted("connect", 1, "grants = [\"amqp:local\", \"http\"]");
    let come = |rows: &[Value]| says(rows, "not granted");
    row("grant missing", &broker, come).await.print();
    let (broker, _folder) = faulty("wait", 1_000, "");
    let crowd = row("a thousand that wait", &broker, |rows| all_run(rows, 1_000)).await;
    crowd.print();
    let each = crowd.resident.saturating_sub(usual) / 1_000;
    println!("a task that waits: {} KB", each >> 10);
}
