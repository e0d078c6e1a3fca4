//! A publishing connection: one thread writes prepared frames as fast as window and rate allow,
//! another reads confirms. Not the messages' way back (see `consumer.rs`).

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::client::{CHANNEL, Client, Inbox, POLL, not_closed};
use super::load::{Load, Phase};
use super::options::Options;
use super::report::new_histogram;
use super::window::Window;
use crate::amqp::frame::FrameKind;
use crate::amqp::method::{self, Method};
use crate::amqp::{AMQPClass, BasicProperties, basic, confirm, properties, write};

/// At the head of a body: when it was written (8 octets) and by which run (8 octets).
pub const STAMP: usize = 16;

/// One write holds about this much.
const BATCH_OCTETS: usize = 64 << 10;

/// How long we wait for the last confirms.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes ready to be written: only the time in each is missing.
struct Batch {
    octets: Vec<u8>,
    /// Where each publish ends.
    ends: Vec<usize>,
    /// Where each body begins; empty when bodies are too small for a stamp.
    bodies: Vec<usize>,
}

impl Batch {
    fn new(options: &Options, frame_max: u32, run: u64) -> Batch {
        let mut list = BasicProperties::default();
        if options.persistent {
            list = list.with_delivery_mode(2);
        }
        let list = properties::encode(&list);
        let (exchange, key) = (options.exchange_name(), options.routing_key());
        // Bodies that compress would flatter a store.
        let mut random = SmallRng::seed_from_u64(run);
        let mut body = vec![0; options.size];
        let mut batch = Batch {
            octets: Vec::new(),
            ends: Vec::new(),
            bodies: Vec::new(),
        };
        while batch.octets.len() < BATCH_OCTETS {
            random.fill_bytes(&mut body);
            if let Some(place) = body.get_mut(8..STAMP) {
                place.copy_from_slice(&run.to_be_bytes());
            }
            let out = &mut batch.octets;
            let start = out.len();
            write::publish(out, frame_max, CHANNEL, &exchange, key, false, &list, &[]);
            let head = out.len() - start;
            out.truncate(start);
            write::publish(out, frame_max, CHANNEL, &exchange, key, false, &list, &body);
            batch.ends.push(out.len());
            if options.measures_latency() {
                // Behind method and header frame, and the head of the first body frame.
                batch.bodies.push(start + head + 7);
            }
        }
        batch
    }

    fn stamp(&mut self, count: usize, now: Duration) {
        let now = (now.as_nanos() as u64).to_be_bytes();
        for start in self.bodies.iter().take(count) {
            if let Some(place) = self.octets.get_mut(*start..*start + 8) {
                place.copy_from_slice(&now);
            }
        }
    }

    fn first(&self, count: usize) -> &[u8] {
        let end = count
            .checked_sub(1)
            .and_then(|last| self.ends.get(last))
            .copied()
            .unwrap_or(0);
        self.octets.get(..end).unwrap_or_default()
    }
}

/// What writer and reader of one connection share.
struct Shared {
    sent: AtomicU64,
    settled: AtomicU64,
    /// Last tag and time of each write that is not confirmed as a whole.
    writes: Mutex<VecDeque<(u64, Instant)>>,
    closing: AtomicBool,
}

pub struct Publisher {
    client: Client,
    batch: Batch,
}

impl Publisher {
    pub fn connect(options: &Options, run: u64) -> Result<Publisher> {
        let mut client = Client::connect(&options.uri)?;
        if options.confirms > 0 {
            let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
            client.call(CHANNEL, AMQPClass::Confirm(select))?;
        }
        client.stream.set_read_timeout(Some(POLL))?;
        let batch = Batch::new(options, client.frame_max, run);
        Ok(Publisher { client, batch })
    }

    /// Publishes until the load is over; the time to confirm, per publish.
    pub fn run(self, load: &Load<'_>) -> Result<Histogram<u64>> {
        let shared = Shared {
            sent: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            writes: Mutex::new(VecDeque::new()),
            closing: AtomicBool::new(false),
        };
        let Publisher {
            mut client,
            mut batch,
        } = self;
        let mut incoming = client.stream.try_clone()?;
        let writer = thread::current();
        let inbox = &mut client.inbox;
        let result = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                read_confirms(inbox, &mut incoming, &shared, load, &writer).inspect_err(|_| {
                    load.fail();
                    writer.unpark();
                })
            });
            let written = publish(&client.stream, &mut batch, &shared, load);
            if written.is_ok() {
                wait_for_confirms(&shared, load);
            }
            shared.closing.store(true, Ordering::Release);
            let read = reader
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the reader of a publisher panicked")));
            // A close that the broker sent says more than the broken pipe behind it.
            let latencies = read?;
            written.map(|()| latencies)
        });
        client.close();
        result
    }
}

fn publish(
    mut stream: &TcpStream,
    batch: &mut Batch,
    shared: &Shared,
    load: &Load<'_>,
) -> Result<()> {
    let options = load.options;
    let started = Instant::now();
    let mut sent = 0;
    while load.phase() == Phase::Load {
        let left = options.messages.unwrap_or(u64::MAX) - sent;
        if left == 0 {
            break;
        }
        let room = match options.confirms {
            0 => u64::MAX,
            window => window.saturating_sub(sent - shared.settled.load(Ordering::Acquire)),
        };
        let due = match options.rate {
            0 => u64::MAX,
            rate => ((started.elapsed().as_secs_f64() * rate as f64) as u64).saturating_sub(sent),
        };
        let count = left.min(room).min(due).min(batch.ends.len() as u64);
        if room == 0 {
            thread::park_timeout(POLL);
            continue;
        }
        if count == 0 {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        sent += count;
        if options.confirms > 0 {
            // Before the write: the confirm may be faster than we are.
            shared.writes.lock().push_back((sent, Instant::now()));
        }
        shared.sent.store(sent, Ordering::Release);
        batch.stamp(count as usize, load.clock());
        stream.write_all(batch.first(count as usize))?;
        load.published.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}

fn wait_for_confirms(shared: &Shared, load: &Load<'_>) {
    if load.options.confirms == 0 {
        return;
    }
    let end = Instant::now() + CONFIRM_TIMEOUT;
    let sent = shared.sent.load(Ordering::Acquire);
    while shared.settled.load(Ordering::Acquire) < sent
        && Instant::now() < end
        && load.phase() != Phase::Failed
    {
        thread::park_timeout(Duration::from_millis(10));
    }
}

fn read_confirms(
    inbox: &mut Inbox,
    stream: &mut TcpStream,
    shared: &Shared,
    load: &Load<'_>,
    writer: &Thread,
) -> Result<Histogram<u64>> {
    // The writer need not wake up for every single confirm.
    let enough = (load.options.confirms / 4).max(1);
    let mut window = Window::default();
    let mut latencies = new_histogram();
    let mut unannounced = 0;
    while !shared.closing.load(Ordering::Acquire) {
        inbox.fill(stream)?;
        let mut settled = 0;
        while let Some(frame) = inbox.frame()? {
            if frame.kind == FrameKind::Method {
                settled += confirmed(method::parse(frame.payload)?, &mut window, shared, load)?;
            }
        }
        if settled == 0 {
            continue;
        }
        load.confirmed.fetch_add(settled, Ordering::Relaxed);
        record(&mut latencies, window.base(), shared);
        let now = shared.settled.fetch_add(settled, Ordering::AcqRel) + settled;
        unannounced += settled;
        if unannounced >= enough || now == shared.sent.load(Ordering::Acquire) {
            unannounced = 0;
            writer.unpark();
        }
    }
    Ok(latencies)
}

/// How many publishes a method settled.
fn confirmed(
    method: Method<'_>,
    window: &mut Window,
    shared: &Shared,
    load: &Load<'_>,
) -> Result<u64> {
    let sent = shared.sent.load(Ordering::Acquire);
    match method {
        Method::Ack {
            delivery_tag,
            multiple,
        } => Ok(window.settle(delivery_tag, multiple, sent)),
        Method::Nack {
            delivery_tag,
            multiple,
            ..
        } => {
            let settled = window.settle(delivery_tag, multiple, sent);
            load.nacked.fetch_add(settled, Ordering::Relaxed);
            Ok(settled)
        }
        Method::Other(class) => {
            if let AMQPClass::Basic(basic::AMQPMethod::Return(_)) = class {
                load.returned.fetch_add(1, Ordering::Relaxed);
            }
            not_closed(class).map(|_| 0)
        }
        Method::Publish(_) | Method::Reject { .. } => Ok(0),
    }
}

/// A write counts when all of it is confirmed.
fn record(latencies: &mut Histogram<u64>, base: u64, shared: &Shared) {
    let now = Instant::now();
    let mut writes = shared.writes.lock();
    while let Some((last, written)) = writes.front().copied() {
        if last > base {
            return;
        }
        writes.pop_front();
        let micros = now.duration_since(written).as_micros() as u64;
        latencies.saturating_record(micros);
    }
}
