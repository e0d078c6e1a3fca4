//! Services that fail on purpose: what operators see, and that nobody else sees anything.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use warren_tests::kit::{Broker, DEADLINE, Options, durable, fixture, soon};

use super::until;

pub const TASKS: &str = "/warren/services/fault-service";

fn plugins(folder: &Path) {
    std::fs::copy(
        fixture("fault-service.wasm"),
        folder.join("fault-service.wasm"),
    )
    .expect("a fixture");
}

/// With the service in this mode, and so many tasks of it.
pub fn faulty(mode: &str, tasks: u32, more: &str) -> (Broker, tempfile::TempDir) {
    let grants = "grants = [\"amqp:remote=127.0.0.1:1\", \"http\"]";
    granted(mode, tasks, &format!("{grants}\n{more}"))
}

pub fn granted(mode: &str, tasks: u32, settings: &str) -> (Broker, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    plugins(folder.path());
    let config = format!(
        "[plugins.fault-service]\n{settings}\n[plugins.fault-service.config]\nmode = \"{mode}\"\ntasks = {tasks}\n\
         uri = \"amqp://127.0.0.1:1\"\n"
    );
    let options = Options {
        plugins_dir: Some(folder.path().to_owned()),
        ..Options::default().managed().config(config)
    };
    (Broker::start(options), folder)
}

fn reason(row: &Value) -> &str {
    row["reason"].as_str().unwrap_or_default()
}

#[test]
fn a_service_that_traps_again_and_again_is_put_into_quarantine() {
    let (broker, _folder) = faulty("trap", 1, "");
    let rows = until(&broker, TASKS, |rows| {
        rows.first()
            .is_some_and(|row| reason(row).contains("quarantine"))
    });
    assert_eq!(rows[0]["state"], "terminated");
    assert_eq!(rows[0]["restarts"], 4);
    let log = broker
        .http()
        .json("/warren/plugins/fault-service/log")
        .to_string();
    assert!(log.contains("trapped on purpose"), "{log}");
    broker
        .http()
        .post(&format!("{TASKS}/-/trap%200/restart"), &json!({}))
        .is(204);
    until(&broker, TASKS, |rows| {
        rows.first()
            .is_some_and(|row| reason(row).contains("in run"))
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_is_ended_and_others_run_on_meanwhile() {
    let (broker, _folder) = faulty("loop", 1, "");
    until(&broker, TASKS, |rows| {
        rows.first().is_some_and(|row| row["state"] == "running")
    });
    // A shovel on the same thread, and publishers on others.
    let channel = broker.connect().await.confirming().await;
    channel.queue("from", durable()).await;
    channel.queue("to", durable()).await;
    let shovel = json!({"src-uri": "amqp://", "src-queue": "from", "dest-uri": "amqp://",
        "dest-queue": "to"});
    broker
        .http()
        .put("/parameters/shovel/%2F/s", &json!({"value": shovel}))
        .is(201);
    channel
        .fill(
            "from",
            (0..1_000_u32).map(|number| number.to_string().into_bytes()),
        )
        .await;
    soon("the shovel moves", DEADLINE, async || {
        channel.count("to").await == 1_000
    })
    .await;
    until(&broker, TASKS, |rows| reason(&rows[0]).contains("timeout"));
}

#[test]
fn a_memory_bomb_ends_at_its_limit() {
    let (broker, _folder) = faulty("memory", 1, "memory = \"16MiB\"");
    until(&broker, TASKS, |rows| {
        rows.first()
            .is_some_and(|row| reason(row).contains("memory"))
    });
    let resident = broker.resident_memory();
    assert!(resident < 200 << 20, "{resident}");
}

#[test]
fn a_peer_that_is_never_there_is_asked_ever_more_rarely() {
    let (broker, _folder) = faulty("connect", 1, "");
    // Between two tries it has no reason for a moment.
    until(&broker, TASKS, |rows| {
        rows.first().is_some_and(|row| {
            row["restarts"].as_u64() >= Some(2) && reason(row).contains("127.0.0.1:1")
        })
    });
}

#[test]
fn what_was_not_granted_is_refused_and_the_refusal_names_it() {
    let (broker, _folder) = granted("connect", 1, "grants = [\"amqp:local\", \"http\"]");
    let rows = until(&broker, TASKS, |rows| {
        rows.first()
            .is_some_and(|row| reason(row).contains("not granted"))
    });
    assert!(
        reason(&rows[0]).contains("amqp:remote=127.0.0.1:1"),
        "{rows:?}"
    );
    let (broker, _folder) = granted("wait", 1, "grants = [\"http\"]");
    let plugin = broker.http().json("/warren/plugins/fault-service");
    assert_eq!(plugin["state"], "refused");
    assert!(
        reason(&plugin).contains("warren:service/amqp@0.1.0"),
        "{plugin}"
    );
}

#[test]
fn a_task_that_does_not_end_is_ended() {
    let (mut broker, _folder) = faulty("stubborn", 3, "");
    until(&broker, TASKS, |rows| {
        rows.len() == 3 && rows.iter().all(|row| row["state"] == "running")
    });
    let begun = Instant::now();
    broker.stop();
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn state_outlives_restarts_and_goes_with_the_task() {
    let (mut broker, _folder) = faulty("count", 1, "");
    let runs = |broker: &Broker, wanted: u64| {
        until(broker, TASKS, |rows| {
            rows.first()
                .is_some_and(|row| row["facts"]["runs"] == wanted)
        });
    };
    runs(&broker, 1);
    broker.kill();
    broker.restart();
    runs(&broker, 2);
    broker
        .http()
        .post(&format!("{TASKS}/-/count%200/restart"), &json!({}))
        .is(204);
    runs(&broker, 3);
}
