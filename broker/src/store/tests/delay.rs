//! Held messages: in order, not before their time, and not lost.

use super::*;

fn hold(run: &Run, due: Millis, body: &[u8], publish: Option<u64>) {
    run.store.hold(Hold {
        due,
        vhost: Arc::from("/"),
        message: message(body),
        confirm: publish.and_then(|publish| run.confirm(publish)),
    });
}

fn at(run: &Run, now: Millis) {
    run.clock.set(now);
    run.store.look_at_clock();
}

fn next_due(run: &Run) -> Vec<Held> {
    run.witness.until("due messages", |seen| {
        (!seen.due.is_empty()).then(|| seen.due.remove(0))
    })
}

fn release(run: &Run, held: &[Held]) {
    run.store.commit(Move {
        timers: held.iter().map(|one| one.key).collect(),
        ..Move::default()
    });
}

fn bodies(held: &[Held]) -> Vec<&[u8]> {
    held.iter().map(|one| one.message.body()).collect()
}

#[test]
fn held_messages_come_in_order_and_never_early() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    hold(&run, 300, b"c", Some(1));
    hold(&run, 100, b"a", Some(2));
    hold(&run, 200, b"b", Some(3));
    hold(&run, 100, b"a2", Some(4));
    run.wait_confirmed(4);
    at(&run, 99);
    run.settle_down();
    assert!(run.witness.now(|seen| seen.due.is_empty()));
    at(&run, 200);
    let first = next_due(&run);
    assert_eq!(bodies(&first), [b"a".as_slice(), b"a2", b"b"]);
    assert_eq!(first[0].due, 100);
    assert_eq!(&*first[0].vhost, "/");
    // The next ones wait until these are released.
    at(&run, 400);
    run.settle_down();
    assert!(run.witness.now(|seen| seen.due.is_empty()));
    release(&run, &first);
    let second = next_due(&run);
    assert_eq!(bodies(&second), [b"c".as_slice()]);
    release(&run, &second);
    run.settle_down();
    assert_eq!(run.store.disk().timers.len().unwrap(), 0);
}

#[test]
fn an_earlier_message_wakes_the_timer() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    at(&run, 1000);
    hold(&run, 100_000, b"late", None);
    run.settle_down();
    hold(&run, 900, b"at once", None);
    let held = next_due(&run);
    assert_eq!(bodies(&held), [b"at once".as_slice()]);
    release(&run, &held);
    // Below what was released already: raised to it, not lost.
    hold(&run, 10, b"past", None);
    let held = next_due(&run);
    assert_eq!(bodies(&held), [b"past".as_slice()]);
    assert_eq!(held[0].due, 900);
}

#[test]
fn pending_and_unreleased_messages_survive_a_crash() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    hold(&run, 100, b"given out", Some(1));
    hold(&run, 500, &[9; 50_000], Some(2));
    run.wait_confirmed(2);
    at(&run, 100);
    assert_eq!(next_due(&run).len(), 1);
    let crashed = folder.copy();
    let again = Run::start(&crashed);
    at(&again, 100);
    let first = next_due(&again);
    assert_eq!(bodies(&first), [b"given out".as_slice()]);
    release(&again, &first);
    at(&again, 500);
    let second = next_due(&again);
    assert_eq!(bodies(&second), [[9; 50_000].as_slice()]);
    assert_eq!(again.store.disk().bodies.len().unwrap(), 1);
    release(&again, &second);
    again.settle_down();
    assert_eq!(again.store.disk().bodies.len().unwrap(), 0);
}

#[test]
fn many_due_messages_come_in_bounded_parts() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    for number in 0..5000u32 {
        hold(&run, u64::from(number % 7), &number.to_be_bytes(), None);
    }
    run.settle_down();
    at(&run, 10);
    let mut keys = Vec::new();
    while keys.len() < 5000 {
        let held = next_due(&run);
        assert!(held.len() <= 512);
        keys.extend(held.iter().map(|one| one.key));
        release(&run, &held);
    }
    // Some were held while the first ones were read: those have a raised due time, not a lower one.
    assert!(keys.is_sorted());
    keys.dedup();
    assert_eq!(keys.len(), 5000);
}
