//! A publisher with confirms: one thread writes as fast as its window lets it, another reads the
//! confirms. Nothing is published a second time: every attempt has its own number.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use warren::amqp::frame::FrameKind;
use warren::amqp::method::{self, Method};
use warren::amqp::{
    AMQPClass, AMQPValue, BasicProperties, FieldTable, basic, properties, short_string, write,
};

use super::connection::{CHANNEL, Connection, Ended, FRAME_MAX, not_closed};
use super::{Random, SharedLedger};

/// A body begins with this: publisher, number, length.
pub const HEAD: usize = 20;

/// At most so many publishes in one write.
const BATCH: u64 = 64;

/// Where a message may be sent, and which queues it then reaches (a bit for each).
#[derive(Clone, Debug)]
pub struct Target {
    pub exchange: &'static str,
    pub key: &'static str,
    pub route: u8,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub targets: Vec<Target>,
    /// How many may wait for their confirm.
    pub window: u64,
    /// x-delay in milliseconds.
    pub delay: Option<std::ops::Range<u64>>,
    /// Ends by itself after so many.
    pub limit: Option<u64>,
}

struct Flow {
    settled: AtomicU64,
    closing: AtomicBool,
}

pub struct Publisher {
    flow: Arc<Flow>,
    reader: JoinHandle<Ended>,
    writer: JoinHandle<()>,
}

struct Job {
    id: usize,
    plan: Plan,
    random: Random,
    ledger: Arc<SharedLedger>,
    flow: Arc<Flow>,
}

impl Publisher {
    pub fn start(
        address: &str,
        id: usize,
        plan: &Plan,
        random: Random,
        ledger: &Arc<SharedLedger>,
    ) -> Result<Publisher, Ended> {
        let mut connection = Connection::open(address)?;
        connection.select_confirms()?;
        connection.poll()?;
        let stream = connection.writer()?;
        let flow = Arc::new(Flow {
            settled: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        });
        let job = Job {
            id,
            plan: plan.clone(),
            random,
            ledger: Arc::clone(ledger),
            flow: Arc::clone(&flow),
        };
        let base = ledger.with(|ledger| ledger.next(id));
        let writer = thread::spawn(move || job.write(stream));
        let confirms = Confirms {
            id,
            base,
            settled: 0,
            open: BTreeSet::new(),
            ledger: Arc::clone(ledger),
            flow: Arc::clone(&flow),
            writer: writer.thread().clone(),
        };
        let reader = thread::spawn(move || confirms.read(connection));
        Ok(Publisher {
            flow,
            reader,
            writer,
        })
    }

    /// Publishes so far that are confirmed.
    pub fn settled(&self) -> u64 {
        self.flow.settled.load(Ordering::Acquire)
    }

    /// The end of the connection has been seen.
    pub fn has_ended(&self) -> bool {
        self.reader.is_finished()
    }

    /// Stops writing; the connection is dropped without goodbye.
    pub fn stop(&self) {
        self.flow.closing.store(true, Ordering::Release);
    }

    /// After the broker was killed, or `stop`: how the connection ended.
    pub fn join(self) -> Ended {
        let ended = self.reader.join().expect("the reader of a publisher");
        self.flow.closing.store(true, Ordering::Release);
        self.writer.join().expect("the writer of a publisher");
        ended
    }
}

impl Job {
    fn write(mut self, mut stream: TcpStream) {
        let mut filler = vec![0; 64 << 10];
        for octet in &mut filler {
            *octet = self.random.draw() as u8;
        }
        let mut out = Vec::new();
        let mut sent = 0;
        while !self.flow.closing.load(Ordering::Acquire) {
            let open = sent - self.flow.settled.load(Ordering::Acquire);
            let left = self.plan.limit.unwrap_or(u64::MAX) - sent;
            let room = (self.plan.window - open).min(BATCH).min(left);
            if room == 0 {
                if left == 0 {
                    break;
                }
                // Unparked by the reader; a wake-up that came before is kept.
                thread::park_timeout(Duration::from_millis(5));
                continue;
            }
            out.clear();
            self.batch(room, &filler, &mut out);
            sent += room;
            if stream.write_all(&out).is_err() {
                break;
            }
        }
    }

    /// In the ledger before it is in the socket: the confirm may be faster than we are.
    fn batch(&mut self, count: u64, filler: &[u8], out: &mut Vec<u8>) {
        let picked: Vec<(usize, u64)> = (0..count)
            .map(|_| {
                let target = self.random.within(0..self.plan.targets.len() as u64);
                let delay = self.plan.delay.clone();
                let delay = delay.map_or(0, |range| self.random.within(range));
                (target as usize, delay)
            })
            .collect();
        let first = self.ledger.with(|ledger| {
            let at = self.ledger.now();
            let first = ledger.next(self.id);
            for (target, delay) in &picked {
                let route = self.plan.targets[*target].route;
                ledger.publish(self.id, route, Duration::from_millis(*delay), at);
            }
            first
        });
        for (number, (target, delay)) in (first..).zip(picked) {
            let target = &self.plan.targets[target];
            let list = properties::encode(&list(self.plan.delay.is_some().then_some(delay)));
            let length = length(&mut self.random);
            let mut body = Vec::with_capacity(length);
            body.extend_from_slice(&(self.id as u64).to_be_bytes());
            body.extend_from_slice(&number.to_be_bytes());
            body.extend_from_slice(&(length as u32).to_be_bytes());
            body.extend_from_slice(&filler[..length - HEAD - 1]);
            body.push(check(&body));
            let (exchange, key) = (target.exchange, target.key);
            write::publish(out, FRAME_MAX, CHANNEL, exchange, key, false, &list, &body);
        }
    }
}

/// What a body without its last octet ends with.
fn check(body: &[u8]) -> u8 {
    let sum = body
        .iter()
        .fold(7u32, |sum, octet| sum.rotate_left(5) ^ u32::from(*octet));
    (sum ^ (sum >> 16) ^ (sum >> 8)) as u8
}

/// Publisher and number, when the body is one of ours and whole.
pub fn parse(body: &[u8]) -> Option<(usize, u64)> {
    let (check_octet, rest) = body.split_last()?;
    let publisher = u64::from_be_bytes(*rest.first_chunk()?);
    let number = u64::from_be_bytes(*rest.get(8..)?.first_chunk()?);
    let length = u32::from_be_bytes(*rest.get(16..)?.first_chunk()?);
    let whole = length as usize == body.len() && *check_octet == check(rest);
    whole.then_some((publisher as usize, number))
}

/// Mostly 100 to 1000 octets; now and then one that the store keeps apart.
fn length(random: &mut Random) -> usize {
    let length = match random.within(0..1000) {
        0 => 40_000,
        1..5 => 6_000,
        _ => random.within(100..1001),
    };
    length as usize
}

fn list(delay: Option<u64>) -> BasicProperties {
    let list = BasicProperties::default().with_delivery_mode(2);
    let Some(delay) = delay else {
        return list;
    };
    let mut headers = FieldTable::default();
    let delay = AMQPValue::LongLongInt(delay as i64);
    headers.insert(short_string("x-delay"), delay);
    list.with_headers(headers)
}

struct Confirms {
    id: usize,
    /// The number that the first delivery tag stands for.
    base: u64,
    /// All up to this tag are settled, ...
    settled: u64,
    /// ... and these above it.
    open: BTreeSet<u64>,
    ledger: Arc<SharedLedger>,
    flow: Arc<Flow>,
    writer: Thread,
}

impl Confirms {
    fn read(mut self, mut connection: Connection) -> Ended {
        loop {
            if let Err(ended) = self.work_off(&mut connection) {
                return ended;
            }
            match connection.wait() {
                Ok(true) => {}
                Ok(false) if self.flow.closing.load(Ordering::Acquire) => {
                    return Ended::Lost("stopped".to_owned());
                }
                Ok(false) => {}
                Err(ended) => return ended,
            }
        }
    }

    fn work_off(&mut self, connection: &mut Connection) -> Result<(), Ended> {
        let ledger = Arc::clone(&self.ledger);
        let mut count = 0;
        let at = ledger.now();
        let outcome = ledger.with(|book| {
            while let Some(frame) = connection.frame()? {
                if frame.kind != FrameKind::Method {
                    continue;
                }
                match method::parse(frame.payload) {
                    Ok(Method::Ack {
                        delivery_tag,
                        multiple,
                    }) => count += self.settle(book, delivery_tag, multiple, Some(at)),
                    Ok(Method::Nack {
                        delivery_tag,
                        multiple,
                        ..
                    }) => count += self.settle(book, delivery_tag, multiple, None),
                    Ok(Method::Other(class)) => drop(not_blocked(*class)?),
                    other => return Err(Ended::Lost(format!("unexpected {other:?}"))),
                }
            }
            Ok(())
        });
        if count > 0 {
            self.flow.settled.fetch_add(count, Ordering::AcqRel);
            self.writer.unpark();
        }
        outcome
    }

    fn settle(
        &mut self,
        book: &mut super::Ledger,
        tag: u64,
        multiple: bool,
        confirmed: Option<Duration>,
    ) -> u64 {
        let from = if multiple { self.settled + 1 } else { tag };
        let mut count = 0;
        for one in from..=tag {
            if multiple && self.open.contains(&one) {
                continue;
            }
            count += 1;
            match confirmed {
                Some(at) => book.confirm(self.id, self.base + one - 1, at),
                None => book.nack(),
            }
            self.open.insert(one);
        }
        while self.open.first() == Some(&(self.settled + 1)) {
            self.settled += 1;
            self.open.pop_first();
        }
        count
    }
}

/// connection.blocked and its like are of no interest to one who waits anyway.
fn not_blocked(class: AMQPClass) -> Result<AMQPClass, Ended> {
    match class {
        AMQPClass::Basic(basic::AMQPMethod::Return(returned)) => {
            Err(Ended::Lost(format!("returned: {returned:?}")))
        }
        class => not_closed(class),
    }
}
