//! A queue or a stream: a lock around its state, and the order in which what happens under that lock
//! reaches the consumer's outbox and the store's mailbox. Not topology (see `vhost/`), not disk.

mod backlog;
mod cancelled;
mod consumers;
mod crowd;
mod dead_letter;
mod deliver;
mod lanes;
mod limits;
mod listing;
mod options;
mod publishing;
mod registry;
mod retry;
mod schedule;
mod settle;
mod state;
mod stream;
mod tap;
mod timeout;
mod unwritten;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

pub use cancelled::tell_consumers;
pub use consumers::{ConsumeRefusal, Consumer};
pub use crowd::Rest;
use crowd::Seen;
pub use dead_letter::{DeadLetter, DeadLetters, Office, Reason};
pub use deliver::{Accepted, Got};
pub use limits::Called;
pub use listing::{ListedConsumer, QueueLook};
pub use options::{DeadLetterTo, Options, Overflow, QueueType, Retry, RetryOf};
pub use publishing::Publishing;
pub use registry::QueueRegistry;
pub use schedule::Schedule;
pub use settle::{Back, Left, Reserved, Returned, Settle};
pub use state::Beginning;
use state::QueueState;
pub use stream::{Filter, Offset, Reading};
use stream::{StreamState, Streaming};

use crate::clock::Clock;
use crate::names::{ConnectionId, QueueId, Seq};
use crate::outbox::{ConsumerKey, Outbox};
use crate::store::{ConfirmBatch, Store};

pub struct Queue {
    pub id: QueueId,
    pub name: Arc<str>,
    pub vhost: Arc<str>,
    pub attributes: Attributes,
    home: Arc<Home>,
    deleted: AtomicBool,
    /// Its definition is on disk, or never will be.
    saved: AtomicBool,
    inside: Inside,
}

/// What a queue is, behind its one lock.
#[expect(
    clippy::large_enum_variant,
    reason = "few queues are streams, and a pointer would be followed for every message"
)]
enum Inside {
    /// Messages are here until they are settled.
    Line(Mutex<QueueState>),
    /// Messages stay, and each consumer reads them at its own place.
    Stream(Mutex<StreamState>),
}

/// What all queues of a broker have in common.
pub struct Home {
    pub store: Store,
    pub pressure: Arc<Pressure>,
    pub clock: Arc<dyn Clock>,
    pub schedule: Arc<Schedule>,
    /// Queues with messages that are not written yet, by the time of `uptime`.
    pub unwritten: Arc<Schedule>,
    /// Time that nobody sets.
    pub uptime: Arc<dyn Clock>,
    pub office: Office,
    /// Number of this run: it makes sequence numbers differ from those of any earlier run.
    pub run: u64,
}

/// Whether memory is getting short: then queues keep less of what they could page.
#[derive(Default)]
pub struct Pressure(AtomicBool);

impl Pressure {
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How the queue was declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Persistent messages survive a restart here.
    pub durable: bool,
    /// The only connection that may use it; it goes with that connection.
    pub exclusive: Option<ConnectionId>,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    pub queue_type: QueueType,
    /// 0: every message has the same.
    pub max_priority: u8,
    pub single_active_consumer: bool,
    /// Encoded AMQP field table without the length in front.
    pub arguments: Vec<u8>,
}

impl Attributes {
    /// Persistent messages are written: the queue is there again after a restart.
    pub fn outlives_run(&self) -> bool {
        self.durable && self.exclusive.is_none()
    }
}

/// What happened under a queue's lock and must be done after it is gone.
#[derive(Default)]
#[must_use = "effects must be applied once no lock is held"]
pub struct Effects {
    wakes: SmallVec<[Arc<Outbox>; 4]>,
    confirms: ConfirmBatch,
    ready: Vec<Box<dyn FnOnce() + Send>>,
    /// Consumers that the queue has ended.
    cancelled: Vec<Consumer>,
    letters: Vec<DeadLetter>,
    /// The publisher is faster than the consumers of some queue.
    rest: Option<Rest>,
    seen: Seen,
    /// Whose messages these are.
    publisher: Option<Arc<Outbox>>,
    rested: Vec<Arc<Outbox>>,
    taker: Option<Arc<dyn DeadLetters>>,
}

impl Effects {
    fn dead_letter(&mut self, office: &Office, letter: DeadLetter) {
        if self.taker.is_none() {
            self.taker = office.taker();
        }
        self.letters.push(letter);
    }

    pub fn wake(&mut self, outbox: &Arc<Outbox>) {
        self.wakes.push(Arc::clone(outbox));
    }

    /// Of what comes in on one connection, which rests when a queue is crowded by it.
    pub fn of(publisher: &Arc<Outbox>) -> Effects {
        Effects {
            publisher: Some(Arc::clone(publisher)),
            ..Effects::default()
        }
    }

    /// The publisher is to rest, if these are of one: it goes on sooner when it is told to.
    fn crowd(&mut self, rest: Rest) -> Option<Arc<Outbox>> {
        self.rest = Some(rest);
        let publisher = self.publisher.clone()?;
        publisher.rest();
        Some(publisher)
    }

    /// The publisher is to rest until the socket behind this outbox takes what waits in it.
    fn crowd_at(&mut self, consumer: &Arc<Outbox>) {
        // A connection that consumes what it publishes must not wait for itself.
        let itself = |publisher: &Arc<Outbox>| Arc::ptr_eq(publisher, consumer);
        if self.publisher.as_ref().is_some_and(itself) {
            return;
        }
        if let Some(publisher) = self.crowd(Rest::alone())
            && !consumer.tell_when_taken(&publisher)
        {
            self.rested.push(publisher);
        }
    }

    /// Whether the consumers of what was published should be given some time.
    pub fn take_rest(&mut self) -> Option<Rest> {
        self.rest.take()
    }

    /// Whoever takes dead letters further takes those that this has caused itself.
    pub fn take_letters(&mut self) -> Vec<DeadLetter> {
        self.taker = None;
        std::mem::take(&mut self.letters)
    }

    /// Whoever was given something hears of it, should the rest have to wait.
    pub fn wake_all(&mut self) {
        for outbox in self.wakes.drain(..) {
            outbox.wake();
        }
    }

    pub fn apply(&mut self) {
        if !self.confirms.is_empty() {
            self.confirms.resolve();
        }
        self.wake_all();
        for outbox in self.rested.drain(..) {
            outbox.rested();
        }
        for tell in self.ready.drain(..) {
            tell();
        }
        if !self.cancelled.is_empty() {
            tell_consumers(std::mem::take(&mut self.cancelled));
        }
        if let Some(taker) = self.taker.take() {
            taker.take(std::mem::take(&mut self.letters));
        }
    }
}

/// Counts that a client sees in declare-ok, delete-ok and get-ok.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ready: u64,
    pub unacked: u64,
    pub consumers: u32,
}

impl Queue {
    pub fn new(
        id: QueueId,
        name: Arc<str>,
        vhost: Arc<str>,
        attributes: Attributes,
        home: &Arc<Home>,
        beginning: Beginning<'_>,
    ) -> Queue {
        let inside = match attributes.queue_type {
            QueueType::Classic | QueueType::Quorum => {
                let state = QueueState::new(home.run, home.clock.now(), beginning);
                Inside::Line(Mutex::new(state))
            }
            QueueType::Stream => {
                let state = StreamState::new(beginning.recovered, &beginning.options);
                Inside::Stream(Mutex::new(state))
            }
        };
        Queue {
            id,
            name,
            vhost,
            attributes,
            home: Arc::clone(home),
            deleted: AtomicBool::new(false),
            saved: AtomicBool::new(true),
            inside,
        }
    }

    /// After it is in the registry: messages of an earlier run may be due, or the queue itself.
    pub fn begin(&self, effects: &mut Effects) {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => return Streaming::of(self, stream).begin(),
        };
        self.watch_for_disuse(&mut state);
        self.drain(&mut state, effects);
    }

    pub fn is_saved(&self) -> bool {
        self.saved.load(Ordering::Acquire)
    }

    pub fn set_saved(&self, saved: bool) {
        self.saved.store(saved, Ordering::Release);
    }

    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub fn counts(&self) -> Counts {
        match &self.inside {
            Inside::Line(state) => state.lock().counts(),
            Inside::Stream(stream) => Streaming::of(self, stream).counts(),
        }
    }

    /// Throws away what is ready; what is unacknowledged stays. Streams are not purged.
    pub fn purge(&self) -> u64 {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(_) => return 0,
        };
        self.write_all(&mut state);
        let purged = state.backlog.clear();
        // Under the lock, so that a later publish stands behind the purge in the mailbox.
        if !purged.stored.is_empty() {
            self.home.store.remove(self.id, &purged.stored);
        }
        for (first, last) in purged.paged {
            self.home.store.purge_range(self.id, first, last);
        }
        purged.messages
    }

    /// Ends the queue, unless it is in use or not empty where the caller asked for that. Its rows in
    /// the store go with `forget`.
    pub fn delete(&self, if_unused: bool, if_empty: bool) -> Result<Deleted, DeleteRefusal> {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => return Ok(Streaming::of(self, stream).delete()),
        };
        // Under the lock: what is published or consumed from now on finds the queue deleted.
        if if_empty && !state.backlog.is_empty() {
            return Err(DeleteRefusal::NotEmpty);
        }
        if if_unused && state.consumers.len() > 0 {
            return Err(DeleteRefusal::InUse);
        }
        self.deleted.store(true, Ordering::Release);
        // What was promised to publishers is still kept.
        self.write_all(&mut state);
        let messages = state.counts().ready;
        drop(state.backlog.clear());
        state.retries.clear();
        let consumers = state.consumers.take_all();
        let getters = std::mem::take(&mut state.getters);
        drop(state);
        for tell in getters {
            tell();
        }
        Ok(Deleted {
            messages,
            consumers,
        })
    }

    /// Whether this consumer is still served.
    pub fn knows(&self, key: ConsumerKey) -> bool {
        match &self.inside {
            Inside::Line(state) => state.lock().consumers.knows(key),
            Inside::Stream(_) => true,
        }
    }

    /// Clears the rows of a deleted queue. Its definition must be gone before: a stop in between
    /// must not bring back a queue that is half swept.
    pub fn forget(&self) {
        self.home.store.forget_queue(self.id);
    }

    /// At a clean stop: writes what waits, and remembers which ready messages were delivered before.
    pub fn note_redelivered(&self) {
        let seqs: Vec<Seq> = match &self.inside {
            Inside::Line(state) => {
                let mut state = state.lock();
                self.write_all(&mut state);
                let mut seqs = state.backlog.redelivered_in_store();
                seqs.extend(state.retries.stored());
                seqs
            }
            Inside::Stream(_) => return,
        };
        if !seqs.is_empty() {
            self.home.store.mark_redelivered(self.id, &seqs);
        }
    }
}

/// Why a queue was not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRefusal {
    InUse,
    NotEmpty,
}

/// What a deleted queue leaves to do.
#[derive(Default)]
#[must_use]
pub struct Deleted {
    pub messages: u64,
    /// To be told by basic.cancel, where the client wants to know.
    pub consumers: Vec<Consumer>,
}
