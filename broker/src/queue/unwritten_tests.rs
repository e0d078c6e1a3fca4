use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::clock::Expiry;
use crate::message::Message;
use crate::names::QueueId;
use crate::store::{Confirm, ConfirmSink};

#[derive(Default)]
struct Publisher(Mutex<Vec<u64>>);

impl ConfirmSink for Publisher {
    fn confirmed(&self, publishes: &[u64]) {
        self.0.lock().extend_from_slice(publishes);
    }
}

fn append(seq: Seq) -> Append {
    let message = Message::from_parts(Arc::from(""), 0, 0, vec![0; 100]).expect("a message");
    Append {
        queue: QueueId(1),
        seq,
        message: Arc::new(message),
        persistent: true,
        expires: Expiry::NEVER,
        confirm: None,
    }
}

fn awaited(seq: Seq, publisher: &Arc<Publisher>) -> Append {
    let sink = Arc::clone(publisher) as Arc<dyn ConfirmSink>;
    let confirm = Some(Confirm::One { sink, publish: seq });
    Append {
        confirm,
        ..append(seq)
    }
}

fn numbers(appends: &[Append]) -> Vec<Seq> {
    appends.iter().map(|append| append.seq).collect()
}

#[test]
fn what_is_acknowledged_is_never_written_and_its_publisher_is_told() {
    let publisher = Arc::new(Publisher::default());
    let mut unwritten = Unwritten::default();
    (1..=4).for_each(|seq| unwritten.push(awaited(seq, &publisher)));
    let mut confirms = ConfirmBatch::default();
    let mut seqs = vec![1, 3, 9];
    let saved = unwritten.acknowledge(&mut seqs, &mut confirms);
    assert_eq!((saved.messages, saved.confirms), (2, 2));
    // The store is told of what it may know.
    assert_eq!(seqs, [9]);
    confirms.resolve();
    assert_eq!(*publisher.0.lock(), [1, 3]);
    assert_eq!(numbers(&unwritten.take_upto(Seq::MAX)), [2, 4]);
    assert!(unwritten.is_empty());
    assert_eq!((unwritten.bytes, unwritten.awaited), (0, 0));
}

#[test]
fn nothing_waits_less_than_its_patience_or_more_than_twice_that() {
    let publisher = Arc::new(Publisher::default());
    let mut unwritten = Unwritten::default();
    unwritten.push(awaited(1, &publisher));
    assert_eq!(unwritten.wants_look(|| 100), Some(100 + PATIENCE));
    unwritten.push(awaited(2, &publisher));
    assert_eq!(unwritten.wants_look(|| 101), None);
    // Somebody looks too early, and then in time.
    assert!(unwritten.look(101).0.is_empty());
    let (late, next) = unwritten.look(100 + PATIENCE);
    assert_eq!((numbers(&late), next), (vec![1], Some(100 + 2 * PATIENCE)));
    let (late, next) = unwritten.look(100 + 2 * PATIENCE);
    assert_eq!((numbers(&late), next), (vec![2], None));
}

#[test]
fn who_waits_for_a_confirm_does_not_wait_as_long_as_those_who_do_not() {
    let publisher = Arc::new(Publisher::default());
    let mut unwritten = Unwritten::default();
    unwritten.push(append(1));
    assert_eq!(
        unwritten.wants_look(|| 100),
        Some(100 + PATIENCE_UNCONFIRMED)
    );
    unwritten.push(awaited(2, &publisher));
    assert_eq!(unwritten.wants_look(|| 101), Some(101 + PATIENCE));
    let (late, next) = unwritten.look(101 + PATIENCE);
    assert_eq!((numbers(&late), next), (vec![1], Some(101 + 2 * PATIENCE)));
}

#[test]
fn consumers_that_keep_publishers_waiting_are_not_waited_for() {
    let publisher = Arc::new(Publisher::default());
    let mut unwritten = Unwritten::default();
    let mut seq = 0;
    let mut now = 0;
    while unwritten.is_worth_while(&awaited(seq + 1, &publisher)) {
        seq += 1;
        unwritten.push(awaited(seq, &publisher));
        unwritten.wants_look(|| now);
        now += PATIENCE;
        unwritten.look(now);
        assert!(seq < 100, "trust never ends");
    }
    // It does not matter who does not wait, and now and then they get another chance.
    assert!(unwritten.is_worth_while(&append(0)));
    let mut publishes = 0..=NEXT_CHANCE;
    assert!(publishes.any(|_| unwritten.is_worth_while(&awaited(0, &publisher))));
}
