//! Tests of the store through its public door, with a folder of their own each.

#![allow(clippy::unwrap_used)]

mod bench;
mod codec;
mod confirm;
mod delay;
mod keep;
mod model;
mod purge;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::clock::Clock;
use crate::clock::Millis;
use crate::message::Message;
use crate::names::{QueueId, Seq};

/// Long enough for the slowest machine; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "warren-store-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        Folder(std::env::temp_dir().join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What a machine would find here that lost power now (and had synced all it was given).
    pub(super) fn copy(&self) -> Folder {
        let copy = Folder::new();
        copy_folder(&self.0, &copy.0);
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Default)]
pub(super) struct TestClock(AtomicU64);

impl TestClock {
    pub(super) fn set(&self, now: Millis) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) confirmed: Vec<u64>,
    pub(super) written: HashMap<QueueId, Seq>,
    pub(super) loaded: Vec<(QueueId, Vec<Stored>)>,
    pub(super) fetched: Vec<(QueueId, Vec<Stored>)>,
    pub(super) due: Vec<Vec<Held>>,
    pub(super) drained: u32,
    pub(super) failed: Vec<String>,
    pub(super) done: u32,
}

/// Writes down what the store says.
#[derive(Default)]
pub(super) struct Witness {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Witness {
    pub(super) fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock());
        self.changed.notify_all();
    }

    /// Waits until `find` finds what it wants.
    pub(super) fn until<T>(&self, what: &str, mut find: impl FnMut(&mut Seen) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.seen.lock();
        loop {
            if let Some(found) = find(&mut seen) {
                return found;
            }
            let late = self.changed.wait_until(&mut seen, deadline).timed_out();
            assert!(!late, "waited in vain for {what}");
        }
    }

    pub(super) fn now<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock())
    }
}

impl StoreEvents for Witness {
    fn written(&self, queue: QueueId, upto: Seq) {
        self.note(|seen| {
            let known = seen.written.entry(queue).or_default();
            *known = upto.max(*known);
        });
    }

    fn loaded(&self, queue: QueueId, messages: Vec<Stored>) {
        self.note(|seen| seen.loaded.push((queue, messages)));
    }

    fn fetched(&self, queue: QueueId, messages: Vec<Stored>) {
        self.note(|seen| seen.fetched.push((queue, messages)));
    }

    fn due(&self, held: Vec<Held>) {
        self.note(|seen| seen.due.push(held));
    }

    fn drained(&self) {
        self.note(|seen| seen.drained += 1);
    }

    fn failed(&self, what: &str) {
        self.note(|seen| seen.failed.push(what.to_owned()));
    }
}

impl ConfirmSink for Witness {
    fn confirmed(&self, publishes: &[u64]) {
        self.note(|seen| seen.confirmed.extend_from_slice(publishes));
    }
}

/// One run of a store and its witness.
pub(super) struct Run {
    pub(super) store: Store,
    pub(super) recovered: Recovered,
    pub(super) witness: Arc<Witness>,
    pub(super) clock: Arc<TestClock>,
}

impl Run {
    pub(super) fn start(folder: &Folder) -> Run {
        Run::with(StoreOptions::new(folder.path()))
    }

    pub(super) fn with(options: StoreOptions) -> Run {
        let run = Run::waiting(options);
        run.begin();
        run
    }

    /// Opened, but its threads do not run yet: what is pushed becomes one batch.
    pub(super) fn waiting(options: StoreOptions) -> Run {
        let clock = Arc::new(TestClock::default());
        let given: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let (store, recovered) = Store::open(options, given).unwrap();
        Run {
            store,
            recovered,
            witness: Arc::new(Witness::default()),
            clock,
        }
    }

    pub(super) fn begin(&self) {
        let events: Arc<dyn StoreEvents> = Arc::clone(&self.witness) as Arc<dyn StoreEvents>;
        self.store.start(events).unwrap();
    }

    pub(super) fn confirm(&self, publish: u64) -> Option<Confirm> {
        Some(Confirm::One {
            sink: Arc::clone(&self.witness) as Arc<dyn ConfirmSink>,
            publish,
        })
    }

    pub(super) fn append(&self, queue: QueueId, seq: Seq, body: &[u8]) {
        self.store.append(Append {
            queue,
            seq,
            message: message(body),
            persistent: true,
            expires: Expiry::NEVER,
            confirm: None,
        });
    }

    pub(super) fn append_confirmed(&self, queue: QueueId, seq: Seq, body: &[u8], publish: u64) {
        self.store.append(Append {
            queue,
            seq,
            message: message(body),
            persistent: true,
            expires: Expiry::NEVER,
            confirm: self.confirm(publish),
        });
    }

    /// Waits until everything pushed so far is written.
    pub(super) fn settle_down(&self) {
        let before = self.witness.now(|seen| seen.done);
        let witness = Arc::clone(&self.witness);
        self.store.commit(Move {
            done: Some(Box::new(move || witness.note(|seen| seen.done += 1))),
            ..Move::default()
        });
        self.witness
            .until("the move", |seen| (seen.done > before).then_some(()));
    }

    pub(super) fn wait_confirmed(&self, count: usize) -> Vec<u64> {
        self.witness.until("confirms", |seen| {
            (seen.confirmed.len() >= count).then(|| seen.confirmed.clone())
        })
    }

    pub(super) fn load(&self, queue: QueueId, from: Seq, max: usize) -> Vec<Stored> {
        self.store.load(queue, from, max, usize::MAX);
        self.witness.until("a load", |seen| {
            let at = seen.loaded.iter().position(|(of, _)| *of == queue)?;
            Some(seen.loaded.remove(at).1)
        })
    }

    pub(super) fn fetch(&self, queue: QueueId, seqs: &[Seq]) -> Vec<Stored> {
        self.store.fetch(queue, seqs.to_vec());
        self.witness.until("a fetch", |seen| {
            let at = seen.fetched.iter().position(|(of, _)| *of == queue)?;
            Some(seen.fetched.remove(at).1)
        })
    }

    pub(super) fn load_all(&self, queue: QueueId) -> Vec<(Seq, Vec<u8>)> {
        let mut all = Vec::new();
        let mut from = 0;
        loop {
            let part = self.load(queue, from, 100);
            let Some(last) = part.last() else {
                return all;
            };
            from = last.seq + 1;
            all.extend(
                part.iter()
                    .map(|one| (one.seq, one.message.body().to_vec())),
            );
        }
    }
}

pub(super) fn message(body: &[u8]) -> Arc<Message> {
    let exchange: Arc<str> = Arc::from("amq.topic");
    let mut data = b"some.key".to_vec();
    data.extend_from_slice(&[0x10, 0, 2]);
    data.extend_from_slice(body);
    Arc::new(Message::from_parts(exchange, 8, 3, data).unwrap())
}

pub(super) const Q: QueueId = QueueId(1 << 32);
pub(super) const OTHER: QueueId = QueueId((1 << 32) + 1);
