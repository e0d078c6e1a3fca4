//! A consumer that acknowledges in batches of random size, and so always leaves a few messages
//! unacknowledged when the broker is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use warren::amqp::content;
use warren::amqp::frame::FrameKind;
use warren::amqp::method::{self, Method};
use warren::amqp::write;

use super::connection::{CHANNEL, Connection, Ended, not_closed};
use super::{Random, SharedLedger, publisher};

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Acknowledges every batch of up to so many.
    Batches(u64),
    /// The last round: nothing stays unacknowledged.
    Drain,
}

#[derive(Default)]
struct Signs {
    closing: AtomicBool,
    deliveries: AtomicU64,
}

pub struct Consumer {
    signs: Arc<Signs>,
    thread: JoinHandle<Ended>,
}

struct Job {
    queue: usize,
    pace: Pace,
    random: Random,
    ledger: Arc<SharedLedger>,
    signs: Arc<Signs>,
    /// Delivered and not acknowledged, and how many of them make the next batch.
    unacked: Vec<(usize, u64)>,
    batch: u64,
    /// Of the last delivery that has come whole; the next one may have only begun to come.
    whole_tag: u64,
    coming_tag: u64,
    redelivered: bool,
    body: Vec<u8>,
    left: u64,
}

impl Consumer {
    pub fn start(
        address: &str,
        queue: usize,
        name: &str,
        pace: Pace,
        random: Random,
        ledger: &Arc<SharedLedger>,
    ) -> Result<Consumer, Ended> {
        let mut connection = Connection::open(address)?;
        connection.consume(name, 1000)?;
        connection.poll()?;
        let signs = Arc::new(Signs::default());
        let job = Job {
            queue,
            pace,
            random,
            ledger: Arc::clone(ledger),
            signs: Arc::clone(&signs),
            unacked: Vec::new(),
            batch: 1,
            whole_tag: 0,
            coming_tag: 0,
            redelivered: false,
            body: Vec::new(),
            left: 0,
        };
        let thread = thread::spawn(move || job.run(connection));
        Ok(Consumer { signs, thread })
    }

    pub fn deliveries(&self) -> u64 {
        self.signs.deliveries.load(Ordering::Acquire)
    }

    pub fn stop(&self) {
        self.signs.closing.store(true, Ordering::Release);
    }

    pub fn join(self) -> Ended {
        self.thread.join().expect("a consumer")
    }
}

impl Job {
    fn run(mut self, mut connection: Connection) -> Ended {
        loop {
            let mut acks = Vec::new();
            let outcome = self.work_off(&mut connection, &mut acks);
            if let Err(ended) = outcome.and_then(|()| connection.write(&acks)) {
                return ended;
            }
            match connection.wait() {
                Ok(true) => {}
                Ok(false) if self.signs.closing.load(Ordering::Acquire) => {
                    return Ended::Lost("stopped".to_owned());
                }
                Ok(false) => {}
                Err(ended) => return ended,
            }
        }
    }

    fn work_off(&mut self, connection: &mut Connection, acks: &mut Vec<u8>) -> Result<(), Ended> {
        let ledger = Arc::clone(&self.ledger);
        // Before the lock is waited for: early is what came early, not what was counted early.
        let at = ledger.now();
        ledger.with(|book| {
            let mut count = 0;
            while let Some(frame) = connection.frame()? {
                match frame.kind {
                    FrameKind::Method => match method::parse_deliver(frame.payload) {
                        Some(deliver) => {
                            self.coming_tag = deliver.delivery_tag;
                            self.redelivered = deliver.redelivered;
                        }
                        None => other(frame.payload)?,
                    },
                    FrameKind::Header => {
                        let header = content::parse_header(frame.payload);
                        let header = header.map_err(|error| Ended::Lost(error.to_string()))?;
                        self.left = header.body_size;
                        self.body.clear();
                    }
                    FrameKind::Body => {
                        self.body.extend_from_slice(frame.payload);
                        self.left = self.left.saturating_sub(frame.payload.len() as u64);
                        if self.left == 0 {
                            count += 1;
                            self.whole_tag = self.coming_tag;
                            self.delivered(book, at, acks);
                        }
                    }
                    FrameKind::Heartbeat => {}
                }
            }
            if matches!(self.pace, Pace::Drain) {
                self.ack(book, acks);
            }
            self.signs.deliveries.fetch_add(count, Ordering::AcqRel);
            Ok(())
        })
    }

    fn delivered(&mut self, book: &mut super::Ledger, at: std::time::Duration, acks: &mut Vec<u8>) {
        let Some((publisher, number)) = publisher::parse(&self.body) else {
            book.garbage();
            return;
        };
        book.deliver(self.queue, publisher, number, self.redelivered, at);
        self.unacked.push((publisher, number));
        match self.pace {
            Pace::Batches(most) if self.unacked.len() as u64 >= self.batch => {
                self.ack(book, acks);
                self.batch = self.random.within(1..most + 1);
            }
            Pace::Batches(_) | Pace::Drain => {}
        }
    }

    fn ack(&mut self, book: &mut super::Ledger, acks: &mut Vec<u8>) {
        if self.unacked.is_empty() {
            return;
        }
        for (publisher, number) in self.unacked.drain(..) {
            book.ack(self.queue, publisher, number);
        }
        write::ack(acks, CHANNEL, self.whole_tag, true);
    }
}

fn other(payload: &[u8]) -> Result<(), Ended> {
    match method::parse(payload) {
        Ok(Method::Other(class)) => not_closed(*class).map(drop),
        unexpected => Err(Ended::Lost(format!("unexpected {unexpected:?}"))),
    }
}
