//! The services among the examples, built by their own tool chains and run: `.ci/languages`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use warren_tests::kit::{Broker, Options, binary, durable, eventually};

use super::until;

/// Compiling an interpreter takes half a minute, and the machine may be busy.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(240);

/// Builds the example into a plugins folder; false where its tool chain is missing.
fn build(language: &str, into: &Path) -> bool {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let source = examples.join(format!("bridge-{language}"));
    let work = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(source).expect("an example").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), work.path().join(entry.file_name())).expect("copies");
        }
    }
    if language == "javascript" {
        let mut npm = Command::new("npm");
        let installed = npm
            .args(["install", "--silent"])
            .current_dir(work.path())
            .status();
        if !installed.is_ok_and(|status| status.success()) {
            return false;
        }
    }
    let output = Command::new(binary())
        .args(["plugin", "build"])
        .arg(work.path())
        .arg("-o")
        .arg(into.join("bridge.wasm"))
        .output()
        .expect("warren plugin build");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("the tool chain is missing") {
        return false;
    }
    assert!(output.status.success(), "{said}");
    true
}

async fn carries(language: &str, expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    if !build(language, folder.path()) {
        println!("left out: {language}");
        return;
    }
    // It is compiled when the broker starts, which may take longer than a start may.
    let plugins_dir = tempfile::tempdir().expect("a folder");
    let options = Options {
        plugins_dir: Some(plugins_dir.path().to_owned()),
        ..Options::default().managed().config(
            "[plugins.bridge]\ngrants = [\"amqp:local\"]\nmemory = \"256MiB\"\n\
             config = { source = \"in\", target = \"out\" }\n",
        )
    };
    let broker = Broker::start(options);
    let to = plugins_dir.path().join("bridge.wasm");
    std::fs::copy(folder.path().join("bridge.wasm"), to).expect("copies");
    let http = broker.http();
    eventually(PATIENCE, || {
        let rows = http.json("/warren/services");
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter().any(|row| row["state"] == "running")
    });
    let channel = broker.connect().await.confirming().await;
    channel.queue("in", durable()).await;
    channel
        .fill(
            "in",
            (0..500_u32).map(|number| format!("Ab{number}").into_bytes()),
        )
        .await;
    let mut deliveries = channel.consume("out").await;
    let got = deliveries.texts(500).await;
    assert_eq!(got[7], expected);
    let rows = until(&broker, "/warren/services", |rows| {
        rows[0]["counters"]["messages"] == 500
    });
    assert_eq!(rows[0]["reason"], Value::Null);
    println!("{language}: 500 messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and tool chains"]
async fn a_service_in_python_carries_messages() {
    carries("python", "AB7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and tool chains"]
async fn a_service_in_javascript_carries_messages() {
    carries("javascript", "ab7").await;
}
