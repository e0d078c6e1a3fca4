//! When a publisher is told, and when not.

use std::io;
use std::sync::atomic::AtomicU32;

use crate::clock::Expiry;

use super::*;

/// A disk that stands still, or breaks, when told.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    moved: Condvar,
}

#[derive(Default)]
struct GateState {
    writes_stand: bool,
    syncs_stand: bool,
    /// That came, also those that stand.
    writes: u64,
    syncs: u64,
    writes_break: bool,
    syncs_break: bool,
}

impl Gate {
    fn set(&self, set: impl FnOnce(&mut GateState)) {
        set(&mut self.state.lock());
        self.moved.notify_all();
    }

    fn wait_for(&self, what: &str, found: impl Fn(&GateState) -> bool) {
        let mut state = self.state.lock();
        while !found(&state) {
            let late = self.moved.wait_for(&mut state, PATIENCE).timed_out();
            assert!(!late, "waited in vain for {what}");
        }
    }

    fn writes(&self) -> u64 {
        self.state.lock().writes
    }

    fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }
}

fn broken(is_broken: bool) -> io::Result<()> {
    match is_broken {
        true => Err(io::Error::other("input/output error")),
        false => Ok(()),
    }
}

impl Faults for Gate {
    fn before_write(&self) -> io::Result<()> {
        self.set(|state| state.writes += 1);
        let mut state = self.state.lock();
        while state.writes_stand {
            self.moved.wait(&mut state);
        }
        broken(state.writes_break)
    }

    fn before_sync(&self) -> io::Result<()> {
        self.set(|state| state.syncs += 1);
        let mut state = self.state.lock();
        while state.syncs_stand {
            self.moved.wait(&mut state);
        }
        broken(state.syncs_break)
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
    let before = gate.syncs();
    gate.set(|gate| gate.syncs_stand = true);
    run.append_confirmed(Q, 1, b"slow", 1);
    gate.wait_for("a sync", |gate| gate.syncs > before);
    let silent = |seen: &mut Seen| seen.confirmed.is_empty() && seen.written.is_empty();
    assert!(run.witness.now(silent));
    gate.set(|gate| gate.syncs_stand = false);
    assert_eq!(run.wait_confirmed(1), [1]);
    assert_eq!(run.store.stats().confirmed_by_sync, 1);
}

#[test]
fn what_comes_during_a_sync_is_written_meanwhile_and_waits_for_the_next() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::with(options);
    let (writes, syncs) = (gate.writes(), gate.syncs());
    gate.set(|gate| gate.syncs_stand = true);
    run.append_confirmed(Q, 1, b"slow", 1);
    gate.wait_for("a sync", |gate| gate.syncs > syncs);
    for seq in 2..=100 {
        run.append_confirmed(Q, seq, b"slow", seq);
    }
    gate.wait_for("a second batch", |gate| gate.writes > writes + 1);
    assert!(run.witness.now(|seen| seen.confirmed.is_empty()));
    gate.set(|gate| gate.syncs_stand = false);
    assert_eq!(run.wait_confirmed(100), (1..=100).collect::<Vec<_>>());
    // The second batch, and what was too little for a third.
    assert!((2..=3).contains(&(gate.syncs() - syncs)));
}

#[test]
fn nobody_is_told_of_a_later_batch_before_all_were_told_of_an_earlier_one() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::with(options);
    let syncs = gate.syncs();
    gate.set(|gate| gate.syncs_stand = true);
    run.append_confirmed(Q, 1, b"synced", 1);
    gate.wait_for("a sync", |gate| gate.syncs > syncs);
    let writes = gate.writes();
    // Asks for no sync, and there are enough of them for a batch of their own.
    for seq in 1..=100 {
        run.append(OTHER, seq, b"not synced");
    }
    gate.wait_for("a second batch", |gate| gate.writes > writes);
    assert!(run.witness.now(|seen| seen.written.is_empty()));
    gate.set(|gate| gate.syncs_stand = false);
    run.settle_down();
    assert_eq!(run.witness.now(|seen| seen.written[&OTHER]), 100);
    assert_eq!(run.wait_confirmed(1), [1]);
}

#[test]
fn a_store_that_is_closed_during_a_sync_tells_everybody_first() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::with(options);
    let syncs = gate.syncs();
    gate.set(|gate| gate.syncs_stand = true);
    run.append_confirmed(Q, 1, b"first", 1);
    gate.wait_for("a sync", |gate| gate.syncs > syncs);
    run.append_confirmed(Q, 2, b"second", 2);
    let store = run.store.clone();
    let closing = std::thread::spawn(move || store.close());
    gate.set(|gate| gate.syncs_stand = false);
    closing.join().unwrap().unwrap();
    assert_eq!(run.wait_confirmed(2), [1, 2]);
}

#[test]
fn a_failed_disk_confirms_nothing_and_says_so_once() {
    let breaks: [fn(&mut GateState, bool); 2] = [
        |gate, is_broken| gate.writes_break = is_broken,
        |gate, is_broken| gate.syncs_break = is_broken,
    ];
    for breaks in breaks {
        let folder = Folder::new();
        let (options, gate) = gated(&folder);
        let run = Run::with(options);
        gate.set(|gate| breaks(gate, true));
        run.append_confirmed(Q, 1, b"lost", 1);
        run.witness.until("the failure", |seen| {
            (!seen.failed.is_empty()).then_some(())
        });
        gate.set(|gate| breaks(gate, false));
        run.append_confirmed(Q, 2, b"lost too", 2);
        assert!(matches!(run.store.close(), Err(StoreError::Failed)));
        run.witness.now(|seen| {
            assert_eq!(seen.failed, ["input/output error"]);
            assert!(seen.confirmed.is_empty());
        });
    }
}

#[test]
fn an_acknowledged_message_is_never_written_and_confirmed_without_a_sync() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::waiting(options);
    let before = gate.syncs();
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
    assert_eq!(gate.syncs(), before);
    assert!(run.load(Q, 0, 10).is_empty());
}

#[test]
fn a_removed_message_is_confirmed_only_after_its_batch() {
    let folder = Folder::new();
    let (options, gate) = gated(&folder);
    let run = Run::waiting(options);
    let before = gate.writes();
    gate.set(|gate| gate.writes_stand = true);
    run.append_confirmed(Q, 1, b"expired", 1);
    run.append_confirmed(Q, 2, b"stays", 2);
    run.store.remove(Q, &[1]);
    run.begin();
    gate.wait_for("a batch", |gate| gate.writes > before);
    assert!(run.witness.now(|seen| seen.confirmed.is_empty()));
    gate.set(|gate| gate.writes_stand = false);
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
    gate.set(|gate| gate.writes_stand = true);
    for seq in 1..=100 {
        run.append(Q, seq, &[0; 1024]);
    }
    assert!(run.store.over_bound());
    gate.set(|gate| gate.writes_stand = false);
    run.witness
        .until("drained", |seen| (seen.drained == 1).then_some(()));
    assert!(!run.store.over_bound());
}
