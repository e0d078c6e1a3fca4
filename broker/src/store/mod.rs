//! The only room that knows the disk: definitions, messages and timers, the commit thread that writes
//! them and the sync thread that makes them safe. Not queues: it knows messages by queue id and sequence number, nothing about
//! consumers.
//!
//! Everything here that is called from a tokio worker only pushes into a mailbox and returns;
//! reading and writing happen on the store's own threads, which answer through [`StoreEvents`].

mod batch;
mod bodies;
mod coding;
mod commit;
mod confirms;
mod disk;
mod error;
mod handle;
mod journal;
mod layout;
mod mailbox;
mod pack;
mod reader;
mod reclaim;
mod recovery;
mod row;
mod rows;
mod space;
mod stage;
mod sweep;
mod sync;
mod tables;
mod timers;
mod vigil;
mod writer;

#[cfg(test)]
mod tests;

pub use confirms::ConfirmBatch;
pub use disk::Faults;
pub use error::StoreError;
pub use handle::{
    CACHE_BYTES, MAILBOX_BYTES, MEMTABLE_BYTES, Recovered, Store, StoreOptions, StoreStats,
};

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::{Expiry, Millis};
use crate::message::Message;
use crate::names::{QueueId, Seq};

/// One message for one queue.
pub struct Append {
    pub queue: QueueId,
    pub seq: Seq,
    pub message: Arc<Message>,
    /// True: the message survives a restart. False: it is only paged out, is never synced for, and
    /// is dropped at the next start.
    pub persistent: bool,
    /// When it is dropped from the queue, should it still be there. What a stream holds does not
    /// expire: there it is the time of arrival. The store only keeps it.
    pub expires: Expiry,
    /// Told once the message is safe, see [`Confirm`].
    pub confirm: Option<Confirm>,
}

/// A message that waits for its time.
pub struct Hold {
    pub due: Millis,
    /// The virtual host whose exchange (named in the message) is asked again when due.
    pub vhost: Arc<str>,
    pub message: Arc<Message>,
    pub confirm: Option<Confirm>,
}

/// A held message, read back because its time has come.
pub struct Held {
    pub key: TimerKey,
    pub due: Millis,
    pub vhost: Arc<str>,
    pub message: Arc<Message>,
}

/// Names one held message: its due time and a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    pub due: Millis,
    pub seq: u64,
}

/// Several changes that happen together or not at all, and become visible only afterwards.
#[derive(Default)]
pub struct Move {
    /// Held messages that are released by this move.
    pub timers: Vec<TimerKey>,
    pub appends: Vec<Append>,
    pub holds: Vec<Hold>,
    pub settles: Vec<(QueueId, Seq)>,
    pub definitions: Vec<DefinitionChange>,
    /// Sync before `done` is called (tx.commit, definitions). Otherwise written is enough.
    pub synced: bool,
    /// Called on a thread of the store after the batch is written (or synced). Never called when the
    /// store has failed: then [`StoreEvents::failed`] says so.
    pub done: Option<Box<dyn FnOnce() + Send>>,
}

/// A row in the definitions keyspace. The rows' meaning belongs to `vhost/`.
#[derive(Clone, Debug)]
pub enum DefinitionChange {
    Put { key: Vec<u8>, value: Vec<u8> },
    Remove { key: Vec<u8> },
}

/// What a publisher is owed for one publish. Resolved when the message is synced in every queue it
/// went to, or was acknowledged there before it was ever written.
#[derive(Clone)]
pub enum Confirm {
    One {
        sink: Arc<dyn ConfirmSink>,
        publish: u64,
    },
    /// One publish that went to several places.
    Shared(Arc<SharedConfirm>),
}

pub struct SharedConfirm {
    pub open: AtomicU32,
    pub sink: Arc<dyn ConfirmSink>,
    pub publish: u64,
}

impl Confirm {
    /// One of the places is safe: the sink and publish number when it was the last one.
    pub fn resolve(self) -> Option<(Arc<dyn ConfirmSink>, u64)> {
        match self {
            Confirm::One { sink, publish } => Some((sink, publish)),
            Confirm::Shared(shared) => (shared.open.fetch_sub(1, Ordering::AcqRel) == 1)
                .then(|| (Arc::clone(&shared.sink), shared.publish)),
        }
    }
}

/// A channel in confirm mode. Called from a thread of the store: must only push, never block.
pub trait ConfirmSink: Send + Sync {
    /// These publishes are safe. Called once per batch and sink, in the order of resolution.
    fn confirmed(&self, publishes: &[u64]);
}

/// What the store tells the broker, from its own threads.
pub trait StoreEvents: Send + Sync {
    /// Everything appended to this queue with `seq <= upto` and the priority of `upto` before now is
    /// readable through `load` and `fetch` (unless it was settled). Called once per batch, queue
    /// and priority.
    fn written(&self, queue: QueueId, upto: Seq);

    /// The answer to [`Store::load`]: the live messages found, in order. A queue's answers come in
    /// the order of its requests.
    fn loaded(&self, queue: QueueId, messages: Vec<Stored>);

    /// The answer to [`Store::fetch`]: those that exist, in the order they were asked for.
    fn fetched(&self, queue: QueueId, messages: Vec<Stored>);

    /// These held messages are due, in order of (due, seq). The next ones are read only after every
    /// one of these was named in a [`Move`] (`timers`) that was written.
    fn due(&self, held: Vec<Held>);

    /// The mailbox is below its bound again: connections that stopped reading may go on.
    fn drained(&self);

    /// The disk failed. Nothing is confirmed any more; the broker must end.
    fn failed(&self, what: &str);
}

/// A message read back from a queue.
pub struct Stored {
    pub seq: Seq,
    pub message: Arc<Message>,
    pub persistent: bool,
    /// It was marked as delivered before (see [`Store::mark_redelivered`]).
    pub redelivered: bool,
    /// See [`Store::count_returns`].
    pub returns: u32,
    pub expires: Expiry,
}

/// What an earlier run left for one queue: at most one part for each priority, the lowest first.
pub type Backlogs = smallvec::SmallVec<[Backlog; 1]>;

/// What an earlier run left for one queue and one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub messages: u64,
    pub bytes: u64,
    /// The lowest and highest live sequence number.
    pub first: Seq,
    pub last: Seq,
    /// At least one of them has a time when it expires.
    pub expiring: bool,
}
