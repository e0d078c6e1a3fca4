//! Plugins that fail on purpose, in a running broker: what a publisher sees, and that nobody else
//! sees anything. The whole table of faults, with figures, is `fault_table`:
//! `cargo test --release -p warren-tests --test plugin_faults -- --ignored --nocapture`.

mod faulty;

use std::time::{Duration, Instant};

use warren_tests::kit::{Broker, DEADLINE, durable, eventually};

use faulty::{
    Faulty, Outcome, Probe, Sample, beside_a_busy_thread, broker, broker_with, median, neighbours,
    rebuild_micros,
};

/// Neither loads nor keeps the broker from serving; the text is what the log says of it.
const UNFIT: [(&str, &str); 6] = [
    ("imports-sockets", "wasi:sockets"),
    ("imports-unknown", "import"),
    ("exports-nothing", "export"),
    ("other-version", "version"),
    ("truncated", ""),
    ("core-module", "component"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_costs_its_publish_and_nothing_else() {
    let broker = broker(&["fault"]);
    let faulty = Faulty::declare(&broker, "trap", 3).await;
    let client = broker.connect().await;
    let beside = client.channel().await;
    let confirming = client.confirming().await;
    assert_eq!(faulty.confirmed(&confirming, "bad").await, Outcome::Nacked);
    let plain = client.channel().await;
    let fresh = Faulty::declare_as(&broker, "trap", "trap-again", 3).await;
    match fresh.unconfirmed(&plain, "bad").await {
        Outcome::Closed(541, text) => assert!(text.starts_with("INTERNAL_ERROR"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Its rebuilt instance serves what does not trap, over the same connection.
    assert_eq!(fresh.confirmed(&confirming, "k0").await, Outcome::Acked);
    assert_eq!(beside.count(&fresh.queue).await, 1);
    broker.logs("plugin fault");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_keeps_no_other_connection_waiting() {
    let broker = broker_with(&["fault"], &["plugins.fault.route_timeout=2s"]);
    let beside = broker.channel().await;
    beside.queue("other", durable()).await;
    for round in 1..=2 {
        // A new one every time: what was slow once is called in a thread of its own.
        let faulty = Faulty::declare_as(&broker, "loop", &format!("loop-{round}"), 1).await;
        let channel = broker.channel().await;
        // The call begins in the thread that waits for sockets if nobody else has anything to do.
        let idle = broker.processor_ticks();
        channel.publish(&faulty.exchange, "bad", b"m").await;
        eventually(DEADLINE, || broker.processor_ticks() > idle + 20);
        beside.count("other").await;
        let fault = format!("exchange=\"{}\" fault=timeout", faulty.exchange);
        assert!(!broker.has_logged(&fault), "waited until the call ended");
        channel.refusal().await;
        broker.logs(&fault);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_refuses_is_no_fault() {
    let broker = broker(&["fault"]);
    let faulty = Faulty::declare(&broker, "reject", 1).await;
    let client = broker.connect().await;
    let confirming = client.confirming().await;
    assert_eq!(faulty.confirmed(&confirming, "bad").await, Outcome::Nacked);
    let plain = client.channel().await;
    match faulty.unconfirmed(&plain, "bad").await {
        Outcome::Closed(406, text) => assert!(text.contains("rejected on purpose"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(!broker.has_logged("plugin fault"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_in_open_refuses_the_declare() {
    let broker = broker(&["fault"]);
    let client = broker.connect().await;
    let channel = client.channel().await;
    let arguments = faulty::arguments("trap-in-open");
    let declared = channel.try_exchange("never", "x-fault", Default::default(), arguments);
    assert_eq!(declared.await.expect_err("refused").code, 541);
    let channel = client.channel().await;
    channel.queue("other", durable()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_that_do_not_fit_are_left_out_and_said_so() {
    let names: Vec<&str> = UNFIT.iter().map(|(name, _)| *name).collect();
    let broker = broker(&names);
    for (name, reason) in UNFIT {
        eventually(DEADLINE, || {
            let lines = broker.log_lines();
            let refused = |line: &&String| line.contains("refused") && line.contains(name);
            lines
                .iter()
                .find(refused)
                .is_some_and(|line| line.contains(reason))
        });
    }
    broker
        .channel()
        .await
        .exchange("t", "topic", Default::default())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slow_lane_keeps_every_channel_s_order() {
    let broker = broker(&["fault"]);
    let slow = Faulty::declare(&broker, "slow-4ms", 1).await;
    assert_eq!(slow.in_order(&broker, 4, 40).await, 160);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints a table, takes three minutes"]
async fn fault_table() {
    let names: Vec<&str> = UNFIT.iter().map(|(name, _)| *name).collect();
    let first = broker(&[&["fault"], names.as_slice()].concat());
    println!("\n## Components that do not fit");
    for (name, _) in UNFIT {
        let lines = first.log_lines();
        let refused = lines
            .iter()
            .find(|line| line.contains("refused") && line.contains(name));
        println!("{name:<18} {}", refused.map_or("nothing", String::as_str));
    }
    println!("\n## Faults, with 100 bindings");
    println!("{WINDOWS} seconds quiet and {WINDOWS} with faults by turns; medians of their us");
    let probe = Probe::start(&first).await;
    for fault in [
        "none",
        "trap",
        "loop",
        "memory",
        "huge-result",
        "unknown-slots",
        "hold-now",
        "reject",
        "log-flood",
    ] {
        fault_row(&first, &probe, fault).await;
    }
    println!("\n## Faults outside of route");
    bind_and_open(&first).await;
    println!("\n## A slow plugin: eight publishers at 4 ms a call, {WINDOWS} rounds");
    slow_rows(&first, &probe).await;
    probe.stop().await;
    drop(first);
    println!("\n## Again with a second for a call, so that other limits end it");
    let patient = broker_with(&["fault"], &["plugins.fault.route_timeout=1s"]);
    let probe = Probe::start(&patient).await;
    for fault in ["memory", "huge-result"] {
        fault_row(&patient, &probe, fault).await;
    }
    probe.stop().await;
}

const WINDOWS: usize = 5;

async fn fault_row(broker: &Broker, probe: &Probe, fault: &str) {
    let before = broker.log_lines().len();
    let faulty = Faulty::declare(broker, fault, 100).await;
    let client = broker.connect().await;
    let (beside, plain) = (client.channel().await, client.channel().await);
    let without = faulty.unconfirmed(&plain, "bad").await;
    let confirming = client.confirming().await;
    let with = faulty.confirmed(&confirming, "bad").await;
    println!("{fault:<14} with confirms: {with}; without: {without}");
    let (mut quiet, mut loud) = (Vec::new(), Vec::new());
    let (mut acks, mut nacks, mut slowest) = (0, 0, Duration::ZERO);
    for window in 0..WINDOWS {
        // A new one every time: the circuit of the last one may be open.
        let name = format!("{fault}-{window}");
        let faulty = Faulty::declare_as(broker, fault, &name, 100).await;
        probe.reset();
        tokio::time::sleep(Duration::from_secs(1)).await;
        quiet.push(probe.sample());
        probe.reset();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            let asked = Instant::now();
            match faulty.confirmed(&confirming, "bad").await {
                Outcome::Acked => acks += 1,
                Outcome::Nacked => nacks += 1,
                other => println!("    {other}"),
            }
            slowest = slowest.max(asked.elapsed());
            // As fast as faults come, but not as fast as the machine: the neighbours need it too.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        loud.push(probe.sample());
    }
    let lives = beside.counts(&faulty.queue).await.is_ok() && client.status().connected();
    println!(
        "    {acks} acks, {nacks} nacks, slowest {} us; connection and other channels live on: {lives}",
        slowest.as_micros()
    );
    print_neighbour("quiet", &quiet);
    print_neighbour("fault", &loud);
    print_log(&broker.log_lines().split_off(before));
}

fn print_neighbour(name: &str, samples: &[Sample]) {
    let of =
        |what: fn(&Sample) -> u64| median(samples.iter().map(|one| what(one) as f64).collect());
    let worst = samples.iter().map(|sample| sample.max).max();
    println!(
        "    neighbour, {name}: p50 {:.0}, p99 {:.0}, max {:.0}, worst of all {}",
        of(|one| one.p50),
        of(|one| one.p99),
        of(|one| one.max),
        worst.unwrap_or_default()
    );
}

fn print_log(log: &[String]) {
    for kind in [
        "\"fault\" vhost=",
        "circuit open ",
        "works again",
        "plugin_log",
        "rebuilt",
    ] {
        let lines: Vec<&String> = log.iter().filter(|line| line.contains(kind)).collect();
        if let Some(first) = lines.first() {
            let (_, said) = first.split_once("Z ").unwrap_or(("", first));
            println!("    log, {} times: {said:.210}", lines.len());
        }
    }
    let mut times: Vec<f64> = log.iter().filter_map(|line| rebuild_micros(line)).collect();
    times.sort_by(f64::total_cmp);
    if let (Some(least), Some(most)) = (times.first(), times.last()) {
        let median = median(times.clone());
        println!(
            "    {} rebuilds: {least:.0} to {most:.0} us, median {median:.0}",
            times.len()
        );
    }
}

async fn bind_and_open(broker: &Broker) {
    let client = broker.connect().await;
    let channel = client.channel().await;
    let arguments = faulty::arguments("trap-in-open");
    let refused = channel
        .try_exchange("never", "x-fault", Default::default(), arguments)
        .await;
    println!("trap-in-open   exchange.declare: {refused:?}");
    let faulty = Faulty::declare(broker, "trap-in-bind", 3).await;
    let channel = client.channel().await;
    let refused = channel
        .try_bind(&faulty.queue, &faulty.exchange, "bad", Default::default())
        .await;
    println!("trap-in-bind   queue.bind: {refused:?}");
    let channel = client.confirming().await;
    let after = faulty.confirmed(&channel, "k0").await;
    println!("               a publish through its other bindings after that: {after}");
}

async fn slow_rows(broker: &Broker, probe: &Probe) {
    const TIME: Duration = Duration::from_secs(4);
    let slow = Faulty::declare(broker, "slow-4ms", 1).await;
    let (mut alone, mut busy, mut with) = (Vec::new(), Vec::new(), Vec::new());
    let mut delivered = 0;
    for _ in 0..WINDOWS {
        alone.push(neighbours(broker, probe, TIME).await);
        let beside = beside_a_busy_thread(neighbours(broker, probe, TIME));
        busy.push(beside.await);
        let together = tokio::join!(
            neighbours(broker, probe, TIME),
            slow.in_order(broker, 8, 120)
        );
        with.push(together.0);
        delivered += together.1;
    }
    println!(
        "in order through the slow lane: {delivered} of {}",
        960 * WINDOWS
    );
    let rate = |samples: &[Sample]| median(samples.iter().map(|one| one.rate).collect());
    let p99 = |samples: &[Sample]| median(samples.iter().map(|one| one.p99 as f64).collect());
    for (name, samples) in [
        ("without", &alone),
        ("a busy thread of another process", &busy),
        ("with the slow plugin", &with),
    ] {
        let rates: Vec<u64> = samples.iter().map(|one| one.rate as u64).collect();
        println!(
            "{name:<34} {:.0} msg/s of {rates:?}, ratio {:.2}; p99 {:.0} us, ratio {:.2}",
            rate(samples),
            rate(samples) / rate(&alone),
            p99(samples),
            p99(samples) / p99(&alone)
        );
    }
}
