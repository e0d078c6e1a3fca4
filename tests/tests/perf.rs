//! `warren perf` against a real broker: what it counts is what went through, and it leaves nothing
//! behind. How fast is not asked here.

use std::process::Command;

use serde_json::Value;
use warren_tests::kit::{Broker, Options, binary};

/// Runs `warren perf` with JSON as its output.
#[track_caller]
fn perf(arguments: &[&str]) -> Value {
    let output = Command::new(binary())
        .arg("perf")
        .args(arguments)
        .arg("--json")
        .output()
        .expect("warren runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(value: &Value, path: &str) -> u64 {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no {path} in {value:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_counts_every_message_and_cleans_up() {
    let broker = Broker::start(Options::default());
    let url = broker.url();
    let out = perf(&[
        "compare",
        &url,
        &url,
        "--presets",
        "A,C,G,H,I,J",
        "--rounds",
        "2",
        "-d",
        "200ms",
        "--backlog",
        "3000",
    ]);
    for side in ["/brokers/0/pids/0", "/brokers/1/pids/0"] {
        assert_eq!(number(&out, side), u64::from(broker.pid()));
    }
    let presets = out["presets"].as_array().expect("presets");
    let names: Vec<&str> = presets
        .iter()
        .filter_map(|preset| preset["preset"].as_str())
        .collect();
    assert_eq!(names, ["A", "C", "G", "H", "I", "J100", "J1000"]);
    for preset in presets {
        let name = preset["preset"].as_str().expect("a name");
        assert!(preset["rate_ratio"]["of_medians"].is_f64(), "{preset:#}");
        for side in 0..2 {
            let side = &preset["brokers"][side];
            let count = |what: &str| number(side, &format!("/{what}"));
            let rounds = side["rate"]["rounds"].as_array().expect("rounds");
            assert_eq!((rounds.len(), count("missing")), (2, 0), "{preset:#}");
            match name {
                "H" => assert_eq!((count("published"), count("consumed")), (6000, 0)),
                "I" => assert_eq!((count("published"), count("consumed")), (0, 6000)),
                "J100" | "J1000" => assert_eq!(count("confirmed"), count("published")),
                _ => assert_eq!(count("consumed"), count("published")),
            }
            assert!(count("published") + count("consumed") > 0, "{preset:#}");
        }
    }
    let channel = broker.channel().await;
    let refused = channel.counts("warren-perf").await.expect_err("deleted");
    assert_eq!(refused.code, 404);
}

#[test]
fn a_backlog_that_is_not_there_is_made() {
    let broker = Broker::start(Options::default());
    let url = broker.url();
    let out = perf(&["run", "I", "--uri", &url, "--backlog", "2000"]);
    assert_eq!(number(&out, "/presets/0/brokers/0/consumed"), 2000);
}

#[test]
fn keys_headers_and_bindings_route_every_message_once() {
    let broker = Broker::start(Options::default());
    let url = broker.url();
    for kind in ["topic", "headers", "direct", "fanout"] {
        let out = perf(&[
            "--uri",
            &url,
            "-e",
            kind,
            "--keys",
            "100",
            "--bindings",
            "50",
            "--headers",
            "2",
            "-m",
            "1000",
            "-x",
            "2",
            "-s",
            "16",
        ]);
        assert_eq!(number(&out, "/consumed/total"), 2000, "{kind}");
    }
}

#[test]
fn a_fanout_reaches_every_queue_and_a_rate_is_kept() {
    let broker = Broker::start(Options::default());
    let url = broker.url();
    let out = perf(&[
        "--uri", &url, "-e", "fanout", "--queues", "3", "-y", "3", "-m", "100", "-r", "1000", "-c",
        "10", "-a", "1", "-p", "10",
    ]);
    assert_eq!(number(&out, "/published/total"), 100);
    assert_eq!(number(&out, "/confirmed/total"), 100);
    assert_eq!(number(&out, "/consumed/total"), 300);
    let seconds = out["seconds"].as_f64().expect("seconds");
    assert!(seconds >= 0.099, "{seconds}");
}

#[test]
fn everything_that_scales_is_measured_and_taken_away() {
    let broker = Broker::start(Options::default());
    let out = perf(&[
        "scale",
        "--uri",
        &broker.url(),
        "--scale",
        "0.001",
        "--steps",
        "1",
        "-d",
        "100ms",
    ]);
    let points = out.as_array().expect("points");
    assert_eq!(points.len(), 9, "{out:#}");
    for point in points {
        assert!(point["error"].is_null(), "{point:#}");
        let rates = point["rates"].as_object().expect("rates");
        assert!(!rates.is_empty(), "{point:#}");
        for rate in rates.values() {
            assert!(rate.as_f64().is_some_and(|rate| rate > 0.0), "{point:#}");
        }
        assert!(number(point, "/resident_bytes") > 1 << 20, "{point:#}");
    }
}

#[test]
fn latencies_are_measured_below_the_highest_rate() {
    let mut broker = Broker::start(Options::default());
    let out = perf(&["latency", "C", "--uri", &broker.url(), "-d", "300ms"]);
    let shares: Vec<f64> = out
        .as_array()
        .expect("levels")
        .iter()
        .filter_map(|level| level["share"].as_f64())
        .collect();
    assert_eq!(shares, [1.0, 0.1, 0.5, 0.8]);
    for level in [1, 2, 3] {
        let load = &out[level]["load"];
        assert!(number(load, "/latency_us/p50") > 0, "{load:#}");
        assert!(number(load, "/confirm_latency_us/p99.9") > 0, "{load:#}");
        let (asked, kept) = (&out[level]["asked"], &load["published"]["rate"]);
        let (asked, kept) = (asked.as_f64().expect("asked"), kept.as_f64().expect("kept"));
        assert!(kept < asked * 1.2, "{kept} of {asked}");
    }
    // How C was confirmed is told when the broker stops.
    assert!(broker.stop().success());
    broker.logs("confirmed since the start by_sync=");
}

#[test]
fn exchange_types_are_compared_and_drawn() {
    let broker = Broker::start(Options::default());
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("plugins.svg");
    let out = perf(&[
        "plugins",
        "--uri",
        &broker.url(),
        "--few",
        "5",
        "--many",
        "50",
        "--bindings",
        "20",
        "--rounds",
        "1",
        "-d",
        "100ms",
        "--svg",
        svg.to_str().expect("a path"),
    ]);
    let rows = out["presets"].as_array().expect("rows");
    // A; fanout and topic; fanout of messages with a header, and headers: of few keys and of many.
    assert_eq!(rows.len(), 9, "{out:#}");
    for row in rows {
        let played = &row["brokers"][0];
        assert_eq!(number(played, "/missing"), 0, "{row:#}");
        assert!(number(played, "/consumed") > 0, "{row:#}");
    }
    let svg = std::fs::read_to_string(svg).expect("a chart");
    assert!(svg.contains("topic of 50 keys"), "{svg}");
    for known in ["Warren ", "Messages a second", "Processor time"] {
        assert!(svg.contains(known), "{known}: {svg}");
    }
}

#[test]
fn whatever_comes_and_goes_is_counted_in_pairs() {
    let broker = Broker::start(Options::default());
    for what in ["connection", "channel", "queue", "binding"] {
        let out = perf(&["churn", what, "--uri", &broker.url(), "-d", "200ms"]);
        assert!(number(&out, "/pairs") > 0, "{what}: {out:#}");
        assert!(number(&out, "/latency_us/p99") > 0, "{what}: {out:#}");
    }
}

#[test]
fn a_publisher_goes_round_many_queues() {
    let broker = Broker::start(Options::default());
    let url = broker.url();
    let out = perf(&[
        "--uri", &url, "--queues", "25", "--keys", "25", "-y", "3", "-m", "1000", "-a", "1",
    ]);
    assert_eq!(number(&out, "/consumed/total"), 1000);
}

#[test]
fn what_the_broker_refuses_is_told() {
    let broker = Broker::start(Options::default());
    let output = Command::new(binary())
        .args(["perf", "--uri", &broker.url(), "-e", "no-such-type"])
        .output()
        .expect("warren runs");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("no-such-type"), "{errors}");
}
