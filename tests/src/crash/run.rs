//! Rounds: start, load, SIGKILL at a random moment, start again on the same folder; at the end drain
//! and look into the ledger.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{
    Connection, Consumer, Ended, Ledger, Loss, Pace, Plan, Publisher, Random, Report, Shim, Taken,
    Target,
};
use crate::kit::{Broker, Options};

/// Nothing more comes after this much silence ...
const SILENCE: Duration = Duration::from_millis(1500);

/// ... and what has not come after that much of it does not come.
const GIVEN_UP: Duration = Duration::from_secs(15);

const PUBLISHERS: usize = 2;

/// The ledger, its lock and its clock.
pub struct SharedLedger {
    book: Mutex<Ledger>,
    started: Instant,
}

impl SharedLedger {
    pub fn new(book: Ledger) -> Arc<SharedLedger> {
        Arc::new(SharedLedger {
            book: Mutex::new(book),
            started: Instant::now(),
        })
    }

    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A direct exchange, a topic exchange and a fanout to two queues.
    Routed,
    /// x-delayed-message, 200 to 3000 ms.
    Delayed,
}

pub struct Run<'a> {
    pub name: &'static str,
    pub kind: Kind,
    pub rounds: u64,
    pub seed: u64,
    /// The disk that loses what was not synced.
    pub shim: Option<(&'a Shim, Loss)>,
}

impl Kind {
    pub fn queues(self) -> &'static [&'static str] {
        match self {
            Kind::Routed => &["direct", "topic", "fanned"],
            Kind::Delayed => &["delayed"],
        }
    }

    pub fn declare(self, connection: &mut Connection) -> Result<(), super::Ended> {
        for queue in self.queues() {
            connection.declare_queue(queue)?;
        }
        match self {
            Kind::Routed => {
                connection.declare_exchange("crash.direct", "direct")?;
                connection.declare_exchange("crash.topic", "topic")?;
                connection.declare_exchange("crash.fanout", "fanout")?;
                connection.bind("direct", "crash.direct", "key")?;
                connection.bind("topic", "crash.topic", "crash.*.#")?;
                connection.bind("topic", "crash.fanout", "")?;
                connection.bind("fanned", "crash.fanout", "")
            }
            Kind::Delayed => {
                connection.declare_exchange("crash.delayed", "x-delayed-message")?;
                connection.bind("delayed", "crash.delayed", "key")
            }
        }
    }

    pub fn plan(self, window: u64) -> Plan {
        let target = |exchange, key, route| Target {
            exchange,
            key,
            route,
        };
        let (targets, delay) = match self {
            Kind::Routed => {
                let targets = vec![
                    target("crash.direct", "key", 0b001),
                    target("crash.topic", "crash.some.where", 0b010),
                    target("crash.fanout", "", 0b110),
                ];
                (targets, None)
            }
            Kind::Delayed => (vec![target("crash.delayed", "key", 0b1)], Some(200..3000)),
        };
        Plan {
            targets,
            window,
            delay,
            limit: None,
        }
    }
}

impl Run<'_> {
    /// All rounds and the drain. Panics only when the broker does not start or does not answer;
    /// what was wrong with the messages is in the report.
    pub fn run(&self) -> Report {
        println!("{}: WARREN_SEED={}", self.name, self.seed);
        let mut random = Random::new(self.seed);
        let mut options = Options::default();
        if let Some((shim, _)) = self.shim {
            options.data_dir = Some(shim.data());
            options.env = shim.environment(0);
        }
        let mut broker = Broker::start(options);
        let mut connection = Connection::open(broker.address()).expect("a connection");
        self.kind.declare(&mut connection).expect("declared");
        drop(connection);
        let queues = self.kind.queues();
        let ledger = Ledger::new(PUBLISHERS, queues.len(), self.kind == Kind::Routed);
        let ledger = SharedLedger::new(ledger);
        let mut taken = Taken::default();
        let mut slowest = Duration::ZERO;
        for round in 0..self.rounds {
            let ran = self.round(&mut broker, &ledger, &mut random);
            if let Some((shim, loss)) = self.shim {
                taken += shim.lose(loss, &mut random);
            }
            let before = Instant::now();
            if let Err(failed) = broker.try_restart() {
                panic!("round {round} after {ran:?}: no start: {failed:#?}");
            }
            slowest = slowest.max(before.elapsed());
        }
        self.drain(&broker, &ledger, &mut random);
        if self.shim.is_some() {
            println!("{}: not synced and taken back: {taken:?}", self.name);
        }
        println!("{}: slowest restart {slowest:?}", self.name);
        ledger.with(|ledger| ledger.report())
    }

    /// One life of the broker, and how long it was.
    fn round(
        &self,
        broker: &mut Broker,
        ledger: &Arc<SharedLedger>,
        random: &mut Random,
    ) -> Duration {
        let life = Duration::from_millis(random.within(30..1200));
        let nacked = ledger.with(|ledger| ledger.report().nacked);
        let plan = self.kind.plan(random.within(100..501));
        let address = broker.address().to_owned();
        let pace = Pace::Batches(random.within(20..200));
        let consumers = self.consumers(&address, pace, ledger, random);
        let publishers: Vec<Publisher> = (0..PUBLISHERS)
            .map(|id| {
                let random = random.fork();
                Publisher::start(&address, id, &plan, random, ledger).expect("a publisher")
            })
            .collect();
        std::thread::sleep(life);
        broker.kill();
        // What the broker had sent before its end is still read.
        let publishers = publishers.into_iter().map(Publisher::join);
        for ended in publishers.chain(consumers.into_iter().map(Consumer::join)) {
            without_close(&ended);
        }
        if ledger.with(|ledger| ledger.report().nacked) > nacked {
            let log = broker.log_lines().into_iter();
            let words = log.filter(|line| line.contains("WARN") || line.contains("ERROR"));
            println!("refused: {:#?}", words.take(12).collect::<Vec<_>>());
        }
        ledger.with(|ledger| ledger.next_round());
        life
    }

    fn consumers(
        &self,
        address: &str,
        pace: Pace,
        ledger: &Arc<SharedLedger>,
        random: &mut Random,
    ) -> Vec<Consumer> {
        let queues = self.kind.queues().iter().enumerate();
        queues
            .map(|(queue, name)| {
                Consumer::start(address, queue, name, pace, random.fork(), ledger)
                    .expect("a consumer")
            })
            .collect()
    }

    /// Consumes until all that was confirmed has come and nothing more comes.
    pub fn drain(&self, broker: &Broker, ledger: &Arc<SharedLedger>, random: &mut Random) {
        let consumers = self.consumers(broker.address(), Pace::Drain, ledger, random);
        drain(&consumers, ledger, self.kind);
        for consumer in consumers {
            consumer.stop();
            without_close(&consumer.join());
        }
    }
}

/// Nobody here does anything a broker may object to.
fn without_close(ended: &Ended) {
    assert!(!matches!(ended, Ended::Closed { .. }), "{ended}");
}

/// Until all that was confirmed has come and nothing more comes.
fn drain(consumers: &[Consumer], ledger: &SharedLedger, kind: Kind) {
    let silence = match kind {
        Kind::Routed => SILENCE,
        // Uncertain ones may still be held.
        Kind::Delayed => SILENCE + Duration::from_secs(3),
    };
    let mut last = (0, Instant::now());
    loop {
        let delivered = consumers.iter().map(Consumer::deliveries).sum();
        if delivered != last.0 {
            last = (delivered, Instant::now());
        }
        let quiet = last.1.elapsed();
        if quiet > GIVEN_UP || quiet > silence && ledger.with(|ledger| ledger.missing()) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
