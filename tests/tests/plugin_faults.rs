//! Plugins that fail on purpose, in a running broker: what a publisher sees, and that nobody else
//! sees anything. The whole table of faults, with figures, is `fault_table`:
//! `cargo test --release -p warren-tests --test plugin_faults -- --ignored --nocapture`.

mod faulty;

use std::time::{Duration, Instant};

use warren_tests::kit::{Broker, DEADLINE, durable, eventually};

use faulty::{Faulty, Outcome, Probe, Sample, broker, median};

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
#[ignore = "prints a table, takes two minutes"]
async fn fault_table() {
    let names: Vec<&str> = UNFIT.iter().map(|(name, _)| *name).collect();
    let broker = broker(&[&["fault"], names.as_slice()].concat());
    println!("\n## Components that do not fit");
    for (name, _) in UNFIT {
        let lines = broker.log_lines();
        let refused = lines
            .iter()
            .find(|line| line.contains("refused") && line.contains(name));
        println!("{name:<18} {}", refused.map_or("nothing", String::as_str));
    }
    let probe = Probe::start(&broker).await;
    println!("\n## Faults: 100 bindings, one publisher that goes on for three seconds");
    println!(
        "{:<14} {:<10} {:<58} {:<6} {:>6} {:>6} {:>9} {:>9} {:>9} {:>9}",
        "fault",
        "confirms",
        "no confirms",
        "lives",
        "acks",
        "nacks",
        "slowest",
        "p50 us",
        "p99 us",
        "max us"
    );
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
        "none",
    ] {
        fault_row(&broker, &probe, fault).await;
    }
    bind_and_open(&broker).await;
    println!("\n## Slow plugin: eight publishers at 4 ms a call");
    slow_rows(&broker, &probe).await;
}

async fn fault_row(broker: &Broker, probe: &Probe, fault: &str) {
    let before = broker.log_lines().len();
    let unique = format!("{fault}-{before}");
    let faulty = Faulty::declare_as(broker, fault, &unique, 100).await;
    let client = broker.connect().await;
    let (beside, plain) = (client.channel().await, client.channel().await);
    let without = faulty.unconfirmed(&plain, "bad").await;
    let other = Faulty::declare_as(broker, fault, &format!("{unique}-c"), 100).await;
    let confirming = client.confirming().await;
    let with = other.confirmed(&confirming, "bad").await;
    probe.reset();
    let (mut acks, mut nacks, mut slowest) = (0, 0, Duration::ZERO);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        match other.confirmed(&confirming, "bad").await {
            Outcome::Acked => acks += 1,
            Outcome::Nacked => nacks += 1,
            other => println!("{other:?}"),
        }
        slowest = slowest.max(asked.elapsed());
        // As fast as faults come, but not as fast as the machine: the neighbours need it too.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let Sample { p50, p99, max, .. } = probe.sample();
    let lives = beside.counts(&faulty.queue).await.is_ok() && client.status().connected();
    println!(
        "{fault:<14} {:<10} {:<58} {lives:<6} {acks:>6} {nacks:>6} {:>9} {p50:>9} {p99:>9} {max:>9}",
        with.to_string(),
        without.to_string(),
        slowest.as_micros(),
    );
    let log = broker.log_lines().split_off(before);
    let log: Vec<String> = log
        .into_iter()
        .filter(|line| !line.contains("connection "))
        .collect();
    for kind in [
        "rebuilt",
        "plugin fault",
        "works again",
        "x-fault",
        "plugin=\"fault\"",
    ] {
        let lines: Vec<&String> = log.iter().filter(|line| line.contains(kind)).collect();
        if let Some(first) = lines.first() {
            println!("    {} x {first:.220}", lines.len());
        }
    }
    let times = log
        .iter()
        .filter_map(|line| faulty::rebuild_micros(line))
        .collect::<Vec<_>>();
    if !times.is_empty() {
        let longest = times.iter().copied().fold(0.0, f64::max);
        println!(
            "    rebuilds {}, median {:.0} us, longest {longest:.0} us",
            times.len(),
            median(times.clone())
        );
    }
}

async fn bind_and_open(broker: &Broker) {
    println!("\n## Faults outside of route");
    let client = broker.connect().await;
    let channel = client.channel().await;
    let arguments = faulty::arguments("trap-in-open");
    let refused = channel
        .try_exchange("never", "x-fault", Default::default(), arguments)
        .await;
    println!("trap-in-open   exchange.declare: {refused:?}");
    let faulty = Faulty::declare_as(broker, "trap-in-bind", "trap-in-bind", 3).await;
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
    let slow = Faulty::declare(broker, "slow-4ms", 1).await;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        without.push(faulty::neighbours(broker, probe, Duration::from_secs(4)).await);
        let (neighbours, delivered) = tokio::join!(
            faulty::neighbours(broker, probe, Duration::from_secs(4)),
            slow.in_order(broker, 8, 120)
        );
        println!("in order through the slow lane: {delivered} of 960");
        with.push(neighbours);
    }
    for (name, samples) in [("without", &without), ("with", &with)] {
        for sample in samples {
            println!(
                "{name:<8} {:>8.0} msg/s, p50 {} us, p99 {} us, max {} us",
                sample.rate, sample.p50, sample.p99, sample.max
            );
        }
    }
    let rate = |samples: &[Sample]| median(samples.iter().map(|sample| sample.rate).collect());
    let p99 = |samples: &[Sample]| median(samples.iter().map(|sample| sample.p99 as f64).collect());
    println!(
        "ratio of medians, with to without: rate {:.2}, p99 {:.2}",
        rate(&with) / rate(&without),
        p99(&with) / p99(&without)
    );
}
