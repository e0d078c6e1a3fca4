//! When a publisher is told, and when not.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Expiry;

use super::*;

/// A disk that stands still, or breaks, when told.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    moved: Condvar,
    arrived: AtomicU64,
    synced: AtomicU64,
    broken: AtomicBool,
}

impl Gate {
    fn shut(&self) {
        *self.shut.lock() = true;
    }

    fn open(&self) {
        *self.shut.lock() = false;
        self.moved.notify_all();
    }

    fn wait_for_arrivals(&self, count: u64) {
        let mut shut = self.shut.lock();
        while self.arrived.load(Ordering::SeqCst) < count {
            let late = self.moved.wait_for(&mut shut, PATIENCE).timed_out();
            assert!(!late, "no batch came to the disk");
        }
    }
}

impl Faults for Gate {
    fn before_write(&self, synced: bool) -> io::Result<()> {
        let mut shut = self.shut.lock();
        self.arrived.fetch_add(1, Ordering::SeqCst);
        self.synced.fetch_add(u64::from(synced), Ordering::SeqCst);
        self.moved.notify_all();
        while *shut {
            self.moved.wait(&mut shut);
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }
}

fn gated(folder: &Folder) -> (StoreOptions, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let mut options = StoreOptions::new(folder.path());
    options.faults = Some(Arc::clone(&gate) as Arc<dyn Faults>);
    (options, gate)
}

#[test]
fn a_confirmed_message_is_there_after_a_crash() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    run.append_confirmed(Q, 1, b"hello", 7);
    assert_eq!(run.wait_confirmed(1), [7]);
    let crashed = folder.copy();
    let again = Run::start(&crashed);
    assert!(!again.recovered.clean);
    assert_eq!(again.recovered.run, 2);
    let expected = Backlog {
        messages: 1,
        bytes: 5,
        first: 1,
        last: 1,
        expiring: false,
    };
    assert_eq!(again.recovered.backlogs[&Q].as_slice(), [expected]);
    let found = again.load(Q, 0, 10);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message.body(), b"hello");
    assert_eq!(found[0].message.routing_key(), "some.key");
    assert_eq!(found[0].message.properties(), [0x10, 0, 2]);
    assert_eq!(&**found[0].message.exchange(), "amq.topic");
    assert!(found[0].persistent && !found[0].redelivered);
}

#[test]
fn no_confirm_leaves_before_the_sync_returned() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::with(options);
    let before = gate.arrived.load(Ordering::SeqCst);
    gate.shut();
    run.append_confirmed(Q, 1, b"slow", 1);
    gate.wait_for_arrivals(before + 1);
    // These wait in the mailbox while the disk stands still and make one batch.
    for seq in 2..=100 {
        run.append_confirmed(Q, seq, b"slow", seq);
    }
    assert!(
        run.witness
            .now(|seen| seen.confirmed.is_empty() && seen.written.is_empty())
    );
    gate.open();
    assert_eq!(run.wait_confirmed(100), (1..=100).collect::<Vec<_>>());
    assert_eq!(gate.arrived.load(Ordering::SeqCst), before + 2);
    assert_eq!(run.store.stats().confirmed_by_sync, 100);
}

#[test]
fn a_failed_disk_confirms_nothing_and_says_so_once() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::with(options);
    gate.broken.store(true, Ordering::SeqCst);
    run.append_confirmed(Q, 1, b"lost", 1);
    run.witness.until("the failure", |seen| {
        (!seen.failed.is_empty()).then_some(())
    });
    gate.broken.store(false, Ordering::SeqCst);
    run.append_confirmed(Q, 2, b"lost too", 2);
    assert!(matches!(run.store.close(), Err(StoreError::Failed)));
    run.witness.now(|seen| {
        assert_eq!(seen.failed, ["input/output error"]);
        assert!(seen.confirmed.is_empty());
    });
}

#[test]
fn an_acknowledged_message_is_never_written_and_confirmed_without_a_sync() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::waiting(options);
    let before = gate.synced.load(Ordering::SeqCst);
    for seq in 1..=10 {
        run.append_confirmed(Q, seq, b"fast", seq);
    }
    run.store.settle(Q, &(1..=10).collect::<Vec<_>>());
    run.begin();
    assert_eq!(run.wait_confirmed(10), (1..=10).collect::<Vec<_>>());
    run.settle_down();
    let stats = run.store.stats();
    assert_eq!((stats.confirmed_by_ack, stats.confirmed_by_sync), (10, 0));
    assert_eq!((stats.messages_cancelled, stats.messages_written), (10, 0));
    assert_eq!(gate.synced.load(Ordering::SeqCst), before);
    assert!(run.load(Q, 0, 10).is_empty());
}

#[test]
fn a_removed_message_is_confirmed_only_after_its_batch() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::waiting(options);
    let before = gate.arrived.load(Ordering::SeqCst);
    gate.shut();
    run.append_confirmed(Q, 1, b"expired", 1);
    run.append_confirmed(Q, 2, b"stays", 2);
    run.store.remove(Q, &[1]);
    run.begin();
    gate.wait_for_arrivals(before + 1);
    assert!(run.witness.now(|seen| seen.confirmed.is_empty()));
    gate.open();
    let mut confirmed = run.wait_confirmed(2);
    confirmed.sort_unstable();
    assert_eq!(confirmed, [1, 2]);
    assert_eq!(run.load_all(Q), [(2, b"stays".to_vec())]);
}

#[test]
fn a_publish_to_two_queues_is_confirmed_once_both_have_it() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    let shared = Arc::new(SharedConfirm {
        open: AtomicU32::new(2),
        sink: Arc::clone(&run.witness) as Arc<dyn ConfirmSink>,
        publish: 9,
    });
    let message = message(b"twice");
    let append = |queue| Append {
        queue,
        seq: 1,
        message: Arc::clone(&message),
        persistent: true,
        expires: Expiry::NEVER,
        confirm: Some(Confirm::Shared(Arc::clone(&shared))),
    };
    run.store.append(append(Q));
    run.settle_down();
    assert!(run.witness.now(|seen| seen.confirmed.is_empty()));
    run.store.append(append(OTHER));
    assert_eq!(run.wait_confirmed(1), [9]);
}

#[test]
fn publishers_are_stopped_over_the_bound_and_told_when_it_drained() {
    let folder = Folder::new();
    let (mut options, gate) = gated(&folder);
    options.mailbox_bytes = 64 * 1024;
    let run = Run::with(options);
    assert!(!run.store.over_bound());
    gate.shut();
    for seq in 1..=100 {
        run.append(Q, seq, &[0; 1024]);
    }
    assert!(run.store.over_bound());
    gate.open();
    run.witness
        .until("drained", |seen| (seen.drained == 1).then_some(()));
    assert!(!run.store.over_bound());
}
