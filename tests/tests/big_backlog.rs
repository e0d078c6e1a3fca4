//! Ten million messages that wait: memory must not grow with them, the start must not read them, and
//! they come back in order. Prints what it measured:
//! `cargo test --release -p warren-tests --test big_backlog -- --ignored --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use warren::amqp::frame::FrameKind;
use warren::amqp::method::{self, Method};
use warren::amqp::{BasicProperties, properties, write};
use warren_tests::crash::Connection;
use warren_tests::kit::{Broker, Options};

const QUEUE: &str = "backlog";
const BODY: usize = 100;
const WINDOW: u64 = 4000;
const MEMORY_BOUND: u64 = 200 << 20;

fn messages() -> u64 {
    let given = std::env::var("WARREN_MESSAGES").ok();
    given
        .and_then(|count| count.parse().ok())
        .unwrap_or(10_000_000)
}

/// Samples the resident memory of a process until it is dropped.
struct Watch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

/// VmRSS and its anonymous part, in bytes.
fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes << 10)
    };
    Some((of("VmRSS:")?, of("RssAnon:")?))
}

impl Watch {
    fn start(broker: &Broker, what: &'static str) -> Watch {
        let pid = broker.pid();
        let stop = Arc::new(AtomicBool::new(false));
        let peak = Arc::new(AtomicU64::new(0));
        let (stopped, highest) = (Arc::clone(&stop), Arc::clone(&peak));
        let started = Instant::now();
        let mut printed = started;
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                let Some((resident, anonymous)) = memory(pid) else {
                    return;
                };
                highest.fetch_max(resident, Ordering::AcqRel);
                if printed.elapsed() > Duration::from_secs(5) {
                    printed = Instant::now();
                    println!(
                        "  {what} {:>3} s: RSS {} MiB, anonymous {} MiB",
                        started.elapsed().as_secs(),
                        resident >> 20,
                        anonymous >> 20
                    );
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        Watch {
            stop,
            peak,
            thread: Some(thread),
        }
    }

    fn peak(mut self) -> u64 {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watch");
        }
        self.peak.load(Ordering::Acquire)
    }
}

/// Publishes with confirms and returns when the last one came.
fn publish(broker: &Broker, count: u64) -> Duration {
    let mut connection = Connection::open(broker.address()).expect("a connection");
    connection.declare_queue(QUEUE).expect("declared");
    connection.select_confirms().expect("confirms");
    let list = properties::encode(&BasicProperties::default().with_delivery_mode(2));
    let mut body = vec![0; BODY];
    let mut random = warren_tests::crash::Random::new(count);
    let started = Instant::now();
    let (mut sent, mut confirmed) = (0, 0);
    let mut out = Vec::new();
    while confirmed < count {
        out.clear();
        let room = (WINDOW - (sent - confirmed)).min(count - sent).min(500);
        for number in sent..sent + room {
            body[..8].copy_from_slice(&number.to_be_bytes());
            for chunk in body[8..].chunks_mut(8) {
                let octets = random.draw().to_be_bytes();
                chunk.copy_from_slice(&octets[..chunk.len()]);
            }
            write::publish(&mut out, 131_072, 1, "", QUEUE, false, &list, &body);
        }
        connection.write(&out).expect("written");
        sent += room;
        // With room left, look only once in a while.
        if room == 500 && sent - confirmed + 500 <= WINDOW {
            continue;
        }
        assert!(connection.wait().expect("the connection"), "no confirm");
        while let Some(frame) = connection.frame().expect("a frame") {
            match method::parse(frame.payload).expect("a method") {
                // Cumulative: the commit thread confirms in order.
                Method::Ack {
                    delivery_tag,
                    multiple,
                } if multiple || delivery_tag == confirmed + 1 => {
                    confirmed = confirmed.max(delivery_tag);
                }
                other => panic!("{other:?} after {confirmed}"),
            }
        }
    }
    started.elapsed()
}

/// Consumes everything with acknowledgements; every message, once, in order.
fn drain(broker: &Broker, count: u64) -> Duration {
    let mut connection = Connection::open(broker.address()).expect("a connection");
    connection.consume(QUEUE, 5000).expect("consuming");
    let started = Instant::now();
    let (mut next, mut tag, mut acked) = (0, 0, 0);
    let mut acks = Vec::new();
    while next < count {
        while let Some(frame) = connection.frame().expect("a frame") {
            match frame.kind {
                FrameKind::Method => {
                    tag = method::parse_deliver(frame.payload)
                        .expect("a delivery")
                        .delivery_tag;
                }
                FrameKind::Body => {
                    let number = frame.payload.first_chunk().copied();
                    let number = u64::from_be_bytes(number.expect("eight octets"));
                    assert_eq!(number, next, "out of order, twice, or lost");
                    assert_eq!(frame.payload.len(), BODY);
                    next += 1;
                }
                FrameKind::Header | FrameKind::Heartbeat => {}
            }
            if tag >= acked + 1000 || next == count {
                acks.clear();
                write::ack(&mut acks, 1, tag, true);
                connection.write(&acks).expect("acknowledged");
                acked = tag;
            }
        }
        if next < count {
            let came = connection.wait().expect("the connection");
            assert!(came, "nothing more after {next}");
        }
    }
    started.elapsed()
}

fn rate(count: u64, taken: Duration) -> String {
    format!(
        "{taken:.1?}, {:.0} messages/s",
        count as f64 / taken.as_secs_f64()
    )
}

#[test]
#[ignore = "ten million messages"]
fn ten_million_messages_wait_on_disk_and_not_in_memory() {
    let count = messages();
    let mut broker = Broker::start(Options::default());
    println!(
        "idle: RSS {:?} MiB",
        memory(broker.pid()).map(|(all, _)| all >> 20)
    );
    let watch = Watch::start(&broker, "publishing");
    let taken = publish(&broker, count);
    let publishing = watch.peak();
    println!(
        "published and confirmed {count}: {}, peak RSS {} MiB",
        rate(count, taken),
        publishing >> 20
    );
    thread::sleep(Duration::from_secs(3));
    println!("waiting: (RSS, anonymous) {:?}", memory(broker.pid()));

    broker.kill();
    let before = Instant::now();
    broker.restart();
    println!("ready after SIGKILL: {:.1?}", before.elapsed());
    println!("waiting: (RSS, anonymous) {:?}", memory(broker.pid()));
    let before = Instant::now();
    assert!(broker.stop().success());
    println!("clean stop: {:.1?}", before.elapsed());
    let before = Instant::now();
    broker.restart();
    println!("ready after a clean stop: {:.1?}", before.elapsed());

    let watch = Watch::start(&broker, "draining");
    let taken = drain(&broker, count);
    let draining = watch.peak();
    println!(
        "drained in order: {}, peak RSS {} MiB",
        rate(count, taken),
        draining >> 20
    );
    assert!(
        publishing < MEMORY_BOUND,
        "{} MiB while publishing",
        publishing >> 20
    );
    assert!(
        draining < MEMORY_BOUND,
        "{} MiB while draining",
        draining >> 20
    );
}
