//! The handle that the rest of the broker holds: opens the store, pushes into its mailboxes, ends
//! its threads. Does no reading or writing of messages itself.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::names::{QueueId, Seq};

use super::commit::Committer;
use super::disk::{Disk, Faults};
use super::error::StoreError;
use super::mailbox::{Gone, Item, Mailbox};
use super::reader::{self, ReadDesk, Request};
use super::sweep::Purge;
use super::sync::{self, SyncDesk};
use super::timers::{self, TimerDesk};
use super::{Append, Backlogs, Hold, Move, StoreEvents, recovery};

/// What waits for the commit thread may take this much memory before publishers are stopped.
pub const MAILBOX_BYTES: usize = 64 * 1024 * 1024;

/// Small memtables keep memory flat and the next start short; below this they cost throughput.
pub const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;

/// Blocks of the database in memory.
pub const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// All memtables together may take this many times the size of one. fjall itself sleeps inside a
/// commit at four sealed ones of one keyspace; publishers are stopped about there.
const WRITE_BUFFER_FACTOR: u64 = 8;

/// Queue numbers of one run.
const RUN_SHIFT: u32 = 32;

#[derive(Clone)]
pub struct StoreOptions {
    pub directory: PathBuf,
    pub mailbox_bytes: usize,
    pub memtable_bytes: u64,
    pub cache_bytes: u64,
    pub faults: Option<Arc<dyn Faults>>,
}

impl StoreOptions {
    pub fn new(directory: impl Into<PathBuf>) -> StoreOptions {
        StoreOptions {
            directory: directory.into(),
            mailbox_bytes: MAILBOX_BYTES,
            memtable_bytes: MEMTABLE_BYTES,
            cache_bytes: CACHE_BYTES,
            faults: None,
        }
    }
}

/// What an earlier run left.
#[derive(Debug)]
pub struct Recovered {
    /// Keys and values as the vhost room wrote them, in order of keys.
    pub definitions: Vec<(Vec<u8>, Vec<u8>)>,
    pub backlogs: HashMap<QueueId, Backlogs>,
    /// The last run ended by [`Store::close`] (or there was none).
    pub clean: bool,
    /// The number of this run, from 1.
    pub run: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Places resolved after their batch was written.
    pub confirmed_by_sync: u64,
    /// Places resolved because a consumer acknowledged before anything was written.
    pub confirmed_by_ack: u64,
    pub batches: u64,
    pub syncs: u64,
    pub messages_written: u64,
    /// Left before they were written.
    pub messages_cancelled: u64,
    /// Pushed and not yet written.
    pub mailbox_bytes: u64,
    pub write_buffer_bytes: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) confirmed_by_sync: AtomicU64,
    pub(super) confirmed_by_ack: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) messages_written: AtomicU64,
    pub(super) messages_cancelled: AtomicU64,
}

/// What the threads and the handles share.
pub(super) struct Shared {
    pub(super) disk: Disk,
    pub(super) mailbox: Mailbox,
    pub(super) syncs: SyncDesk,
    pub(super) reads: ReadDesk,
    pub(super) timers: TimerDesk,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counts: Counts,
    pub(super) run: u64,
    write_buffer_bound: u64,
    next_queue: AtomicU64,
    found: Mutex<Vec<QueueId>>,
    /// Purges whose rows are still being swept: what they cover is not read any more.
    pub(super) purges: Mutex<HashMap<QueueId, Arc<Purge>>>,
    events: Mutex<Option<Arc<dyn StoreEvents>>>,
    failed: AtomicBool,
}

impl Shared {
    pub(super) fn write_buffer_full(&self) -> bool {
        self.disk.write_buffer() > self.write_buffer_bound
    }

    /// The queues that had rows when the store was opened; asked once.
    pub(super) fn found_at_start(&self) -> Vec<QueueId> {
        std::mem::take(&mut *self.found.lock())
    }

    /// The disk failed: from here on nothing is taken, written or confirmed.
    pub(super) fn fail(&self, error: &StoreError) {
        self.stop();
        if !self.failed.swap(true, Ordering::SeqCst) {
            tracing::error!(%error, "the store has failed");
            let events = self.events.lock().clone();
            if let Some(events) = events {
                events.failed(&error.to_string());
            }
        }
    }

    fn stop(&self) {
        self.reads.stop();
        self.timers.stop();
        self.mailbox.abandon();
        self.syncs.abandon();
    }
}

/// A thread of the store that panics must not leave publishers waiting for ever.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(&StoreError::Panicked);
        }
    }
}

/// A handle; the store ends when it is closed or the last handle is gone. Without
/// [`Store::close`] the latter is like a killed process: what was not yet written is lost.
#[derive(Clone)]
pub struct Store(Arc<Owner>);

struct Owner {
    shared: Arc<Shared>,
    unfinished: Mutex<Vec<(QueueId, Purge)>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
        self.join();
    }
}

impl Owner {
    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for one in threads {
            // The last handle may go in an event, on one of these threads itself.
            if one.thread().id() != thread::current().id() && one.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Store {
    /// Opens the folder, creates it when there is none, and reads what is known about it. Nothing is
    /// written or released before [`Store::start`].
    pub fn open(
        options: StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<(Store, Recovered), StoreError> {
        let disk = Disk::open(&options)?;
        let (last, clean) = disk.last_run()?;
        let run = last + 1;
        disk.write_run(run, false)?;
        let found = recovery::read(&disk, run)?;
        let purges = found.unfinished.iter();
        let purges = purges.map(|(queue, purge)| (*queue, Arc::new(purge.clone())));
        let shared = Shared {
            purges: Mutex::new(purges.collect()),
            disk,
            mailbox: Mailbox::new(options.mailbox_bytes),
            syncs: SyncDesk::new(),
            reads: ReadDesk::default(),
            timers: TimerDesk::new(),
            clock,
            counts: Counts::default(),
            run,
            write_buffer_bound: options.memtable_bytes.saturating_mul(WRITE_BUFFER_FACTOR),
            next_queue: AtomicU64::new(run << RUN_SHIFT),
            found: Mutex::new(found.queues),
            events: Mutex::new(None),
            failed: AtomicBool::new(false),
        };
        let store = Store(Arc::new(Owner {
            shared: Arc::new(shared),
            unfinished: Mutex::new(found.unfinished),
            threads: Mutex::new(Vec::new()),
        }));
        let recovered = Recovered {
            definitions: found.definitions,
            backlogs: found.backlogs,
            clean,
            run,
        };
        Ok((store, recovered))
    }

    /// Starts the commit, sync, reader and timer threads.
    pub fn start(&self, events: Arc<dyn StoreEvents>) -> Result<(), StoreError> {
        let shared = &self.0.shared;
        *shared.events.lock() = Some(Arc::clone(&events));
        let unfinished = std::mem::take(&mut *self.0.unfinished.lock());
        let committer = Committer::new(Arc::clone(shared), Arc::clone(&events), unfinished);
        self.spawn("store-commit", move || committer.run())?;
        let (own, told) = (Arc::clone(shared), Arc::clone(&events));
        self.spawn("store-sync", move || sync::run(&own, &*told))?;
        let (own, told) = (Arc::clone(shared), Arc::clone(&events));
        self.spawn("store-read", move || reader::run(&own, &told))?;
        let own = Arc::clone(shared);
        self.spawn("store-timer", move || timers::run(&own, &events))
    }

    fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let watch = Watch(Arc::clone(&self.0.shared));
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _watch = watch;
                body();
            })?;
        self.0.threads.lock().push(thread);
        Ok(())
    }

    fn push(&self, item: Item) {
        self.0.shared.mailbox.push(item);
    }

    /// To be called under the queue's lock: per queue the order of calls is the order of numbers,
    /// but for the appends of a [`Move`], which may come later with lower ones.
    pub fn append(&self, append: Append) {
        self.push(Item::Append(append));
    }

    /// A consumer acknowledged these (only what was appended: the search for others costs). What is not written yet will not be, and its confirm goes out
    /// without a sync.
    pub fn settle(&self, queue: QueueId, seqs: &[Seq]) {
        self.gone(queue, seqs, Gone::Acknowledged);
    }

    /// These expired, were dropped or rejected. As [`Store::settle`], but a confirm still waits for
    /// its batch.
    pub fn remove(&self, queue: QueueId, seqs: &[Seq]) {
        self.gone(queue, seqs, Gone::Removed);
    }

    /// Messages, and confirms among them, that consumers acknowledged before they were ever appended.
    pub fn saved(&self, messages: u64, confirms: u64) {
        let counts = &self.0.shared.counts;
        counts
            .messages_cancelled
            .fetch_add(messages, Ordering::Relaxed);
        counts
            .confirmed_by_ack
            .fetch_add(confirms, Ordering::Relaxed);
    }

    fn gone(&self, queue: QueueId, seqs: &[Seq], why: Gone) {
        if !seqs.is_empty() {
            let seqs = seqs.into();
            self.push(Item::Gone { queue, seqs, why });
        }
    }

    /// These were delivered before: for a clean stop, and for a requeued message that is paged out.
    pub fn mark_redelivered(&self, queue: QueueId, seqs: &[Seq]) {
        if !seqs.is_empty() {
            let seqs = seqs.into();
            self.push(Item::Redelivered { queue, seqs });
        }
    }

    /// How often these came back from consumers: their new counts. A count of a message that is not
    /// there (any more) is passed over.
    pub fn count_returns(&self, queue: QueueId, counts: Vec<(Seq, u32)>) {
        if !counts.is_empty() {
            self.push(Item::Returned { queue, counts });
        }
    }

    pub fn hold(&self, hold: Hold) {
        self.push(Item::Hold(Box::new(hold)));
    }

    /// All of it in one batch.
    pub fn commit(&self, change: Move) {
        self.push(Item::Move(Box::new(change)));
    }

    /// Everything of this queue from `first` to `last`, both included, is gone. Appends pushed later
    /// stay, whatever their number.
    pub fn purge_range(&self, queue: QueueId, first: Seq, last: Seq) {
        self.push(Item::Purge { queue, first, last });
    }

    /// The queue is deleted. Its definition must be gone before: an interrupted sweep is taken up
    /// by [`Store::sweep_unknown`] of the next run.
    pub fn forget_queue(&self, queue: QueueId) {
        self.push(Item::Forget(queue));
    }

    /// To be called once after recovery: clears the rows of every queue that is not in `known`.
    pub fn sweep_unknown(&self, known: HashSet<QueueId>) {
        self.push(Item::SweepUnknown(known));
    }

    /// Asks for the live messages from `from` on: [`StoreEvents::loaded`].
    pub fn load(&self, queue: QueueId, from: Seq, max_messages: usize, max_bytes: usize) {
        self.0.shared.reads.push(Request::Load {
            queue,
            from,
            max_messages,
            max_bytes,
        });
    }

    /// Asks for these messages: [`StoreEvents::fetched`].
    pub fn fetch(&self, queue: QueueId, seqs: Vec<Seq>) {
        let then = None;
        self.0
            .shared
            .reads
            .push(Request::Fetch { queue, seqs, then });
    }

    /// As [`Store::fetch`], and `then` is called on the reader thread instead. Never called when the
    /// store has failed.
    pub fn fetch_for(
        &self,
        queue: QueueId,
        seqs: Vec<Seq>,
        then: Box<dyn FnOnce(Vec<super::Stored>) + Send>,
    ) {
        let then = Some(then);
        self.0
            .shared
            .reads
            .push(Request::Fetch { queue, seqs, then });
    }

    /// A number that no queue had and none will have: the run's number, which is durable, leads it.
    pub fn next_queue_id(&self) -> QueueId {
        QueueId(self.0.shared.next_queue.fetch_add(1, Ordering::Relaxed))
    }

    /// Publishers should stop. Whoever is told so is called by [`StoreEvents::drained`].
    pub fn over_bound(&self) -> bool {
        let shared = &self.0.shared;
        shared.mailbox.over_bound(|| shared.write_buffer_full())
    }

    pub fn stats(&self) -> StoreStats {
        let shared = &self.0.shared;
        let counts = &shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StoreStats {
            confirmed_by_sync: read(&counts.confirmed_by_sync),
            confirmed_by_ack: read(&counts.confirmed_by_ack),
            batches: read(&counts.batches),
            syncs: read(&counts.syncs),
            messages_written: read(&counts.messages_written),
            messages_cancelled: read(&counts.messages_cancelled),
            mailbox_bytes: shared.mailbox.waiting_bytes() as u64,
            write_buffer_bytes: shared.disk.write_buffer(),
        }
    }

    /// Writes and syncs everything that was pushed, notes the good end, and ends the threads. What
    /// is pushed from now on is lost.
    pub fn close(&self) -> Result<(), StoreError> {
        let shared = &self.0.shared;
        shared.reads.stop();
        shared.timers.stop();
        shared.mailbox.close();
        let started = shared.events.lock().is_some();
        self.0.join();
        // The events may hold handles of this store: a circle that would never be freed.
        *shared.events.lock() = None;
        if shared.failed.load(Ordering::SeqCst) {
            return Err(StoreError::Failed);
        }
        if !started {
            shared.disk.write_run(shared.run, true)?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn look_at_clock(&self) {
        self.0.shared.timers.look_at_clock();
    }

    #[cfg(test)]
    pub(super) fn disk(&self) -> &Disk {
        &self.0.shared.disk
    }
}
