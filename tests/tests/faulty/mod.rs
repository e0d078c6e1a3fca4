//! A broker with plugins that fail, publishers to them, and neighbours who should not notice.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lapin::Confirmation;
use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::task::JoinHandle;
use warren_tests::kit::{Broker, Channel, Options, fixture, headers, transient};

/// With these components of `tests/fixtures` in its plugin folder.
pub fn broker(names: &[&str]) -> Broker {
    broker_with(names, &[])
}

pub fn broker_with(names: &[&str], settings: &[&str]) -> Broker {
    let plugins = tempfile::tempdir().expect("a temporary folder").keep();
    for name in names {
        let file = format!("{name}.wasm");
        std::fs::copy(fixture(&file), plugins.join(&file)).expect("a fixture");
    }
    let log = (
        "WARREN_LOG".to_owned(),
        "info,warren::plugin=debug".to_owned(),
    );
    let options = Options {
        plugins_dir: Some(plugins),
        env: vec![log],
        ..Options::default()
    };
    let settings = settings
        .iter()
        .copied()
        .chain(["plugins.fault.enabled=true"]);
    Broker::start(settings.fold(options, Options::set))
}

/// Fails for the routing key `bad` alone.
pub fn arguments(fault: &str) -> FieldTable {
    headers([("x-fault", fault), ("x-fault-key", "bad")])
}

/// What a publisher sees of one publish.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Acked,
    Nacked,
    Returned,
    /// Without confirms, all is well.
    Nothing,
    Closed(u16, String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Acked => out.write_str("ack"),
            Outcome::Nacked => out.write_str("nack"),
            Outcome::Returned => out.write_str("return"),
            Outcome::Nothing => out.write_str("nothing"),
            Outcome::Closed(code, text) => write!(out, "close {code} {text}"),
        }
    }
}

/// An exchange that fails and a queue with bindings `k0`, `k1` ... to it.
pub struct Faulty {
    pub exchange: String,
    pub queue: String,
}

impl Faulty {
    pub async fn declare(broker: &Broker, fault: &str, bindings: usize) -> Faulty {
        Faulty::declare_as(broker, fault, fault, bindings).await
    }

    pub async fn declare_as(broker: &Broker, fault: &str, name: &str, bindings: usize) -> Faulty {
        let channel = broker.channel().await;
        let (exchange, queue) = (format!("x-{name}"), format!("q-{name}"));
        let options = ExchangeDeclareOptions::default();
        let declared = channel.try_exchange(&exchange, "x-fault", options, arguments(fault));
        declared.await.expect("exchange.declare");
        channel.queue(&queue, QueueDeclareOptions::default()).await;
        for number in 0..bindings {
            channel.bind(&queue, &exchange, &format!("k{number}")).await;
        }
        Faulty { exchange, queue }
    }

    pub async fn confirmed(&self, channel: &Channel, key: &str) -> Outcome {
        let confirm = channel.try_confirmed(&self.exchange, key, b"m", transient());
        match confirm.await {
            Ok(Confirmation::Ack(None)) => Outcome::Acked,
            Ok(Confirmation::Ack(Some(_))) => Outcome::Returned,
            Ok(Confirmation::Nack(_)) => Outcome::Nacked,
            Ok(other) => panic!("{other:?}"),
            Err(refused) => Outcome::Closed(refused.code, refused.text),
        }
    }

    pub async fn unconfirmed(&self, channel: &Channel, key: &str) -> Outcome {
        channel.publish(&self.exchange, key, b"m").await;
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        // By the time it is asked, the client may already know that the channel is closed.
        match channel.has_exchange("amq.direct", options).await {
            true => Outcome::Nothing,
            false => {
                let refused = channel.refusal().await;
                Outcome::Closed(refused.code, refused.text)
            }
        }
    }

    /// Publishers on their own connections send numbers; how many came, every publisher's in order.
    pub async fn in_order(&self, broker: &Broker, publishers: usize, each: usize) -> usize {
        let mut deliveries = broker.channel().await.consume_no_ack(&self.queue).await;
        let mut tasks = Vec::new();
        for publisher in 0..publishers {
            let (channel, exchange) = (broker.channel().await, self.exchange.clone());
            tasks.push(tokio::spawn(async move {
                for number in 0..each {
                    let body = format!("{publisher} {number}");
                    channel.publish(&exchange, "bad", body.as_bytes()).await;
                }
                channel.fence().await;
            }));
        }
        let mut next = HashMap::new();
        for _ in 0..publishers * each {
            let body = deliveries.next_text().await;
            let (publisher, number) = body.split_once(' ').expect("two numbers");
            let expected = next.entry(publisher.to_owned()).or_insert(0usize);
            assert_eq!(number, expected.to_string(), "of publisher {publisher}");
            *expected += 1;
        }
        for task in tasks {
            task.await.expect("a publisher");
        }
        next.values().sum()
    }
}

/// Microseconds of what a neighbour sees, and messages a second of another one.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub rate: f64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// A thousand messages a second through a topic exchange to a consumer on another connection.
pub struct Probe {
    latencies: Arc<Mutex<Vec<u64>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Probe {
    pub async fn start(broker: &Broker) -> Probe {
        let channel = topic(broker, "probe").await;
        let mut deliveries = broker.channel().await.consume_no_ack("probe").await;
        let latencies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&latencies);
        let epoch = Instant::now();
        let publisher = tokio::spawn(async move {
            let mut interval = tokio::time::interval(Duration::from_millis(1));
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            let mut number = 0u64;
            loop {
                interval.tick().await;
                number += 1;
                let body = (epoch.elapsed().as_nanos() as u64).to_be_bytes();
                let key = format!("region{}.service{}", number % 8, number % 5);
                channel.publish("probe", &key, &body).await;
            }
        });
        let consumer = tokio::spawn(async move {
            while let Some(delivery) = deliveries.next_or_end().await {
                let sent: [u8; 8] = delivery.data.as_slice().try_into().expect("eight octets");
                let took = epoch.elapsed().as_nanos() as u64 - u64::from_be_bytes(sent);
                seen.lock().expect("not poisoned").push(took / 1000);
            }
        });
        Probe {
            latencies,
            tasks: [publisher, consumer],
        }
    }

    /// Before the broker ends: its publisher would miss it.
    pub async fn stop(self) {
        for task in self.tasks {
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
        }
    }

    pub fn reset(&self) {
        self.latencies.lock().expect("not poisoned").clear();
    }

    /// Since `reset`.
    pub fn sample(&self) -> Sample {
        let mut sorted = self.latencies.lock().expect("not poisoned").clone();
        sorted.sort_unstable();
        let at = |part: usize| {
            sorted
                .get(sorted.len() * part / 100)
                .copied()
                .unwrap_or_default()
        };
        Sample {
            rate: 0.0,
            p50: at(50),
            p99: at(99),
            max: sorted.last().copied().unwrap_or_default(),
        }
    }
}

async fn topic(broker: &Broker, name: &str) -> Channel {
    let channel = broker.channel().await;
    channel
        .exchange(name, "topic", ExchangeDeclareOptions::default())
        .await;
    channel.queue(name, QueueDeclareOptions::default()).await;
    channel.bind(name, name, "#").await;
    channel
}

/// A publisher with confirms, two hundred at a time, as fast as it goes, and the probe meanwhile.
pub async fn neighbours(broker: &Broker, probe: &Probe, time: Duration) -> Sample {
    let channel = topic(broker, "rate").await;
    channel.confirm().await;
    let mut deliveries = broker.channel().await.consume_no_ack("rate").await;
    let drain = tokio::spawn(async move { while deliveries.next_or_end().await.is_some() {} });
    probe.reset();
    let begun = Instant::now();
    let mut sent = 0usize;
    while begun.elapsed() < time {
        let mut confirms = Vec::with_capacity(200);
        for _ in 0..200 {
            let options = BasicPublishOptions::default();
            let key = format!("region{}.service{}", sent % 8, sent % 31);
            let publishing = channel.basic_publish(
                "rate".into(),
                key.as_str().into(),
                options,
                b"body",
                transient(),
            );
            confirms.push(publishing.await.expect("basic.publish"));
            sent += 1;
        }
        for confirm in confirms {
            confirm.await.expect("a confirm");
        }
    }
    let rate = sent as f64 / begun.elapsed().as_secs_f64();
    drain.abort();
    Sample {
        rate,
        ..probe.sample()
    }
}

/// What a busy loop costs everybody on this machine, wherever it runs.
pub async fn beside_a_busy_thread<T>(work: impl Future<Output = T>) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let busy = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    let done = work.await;
    stop.store(true, Ordering::Relaxed);
    busy.join().expect("the busy thread");
    done
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Out of `rebuilt plugin="fault" ... took=150.2µs`.
pub fn rebuild_micros(line: &str) -> Option<f64> {
    if !line.contains("rebuilt") {
        return None;
    }
    let (_, took) = line.split_once("took=")?;
    let took = took.split_whitespace().next()?;
    let units = [
        ("µs", 1.0),
        ("ms", 1000.0),
        ("ns", 0.001),
        ("s", 1_000_000.0),
    ];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((took.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}
