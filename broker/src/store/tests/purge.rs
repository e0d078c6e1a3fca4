//! Purged backlogs and deleted queues.

use std::collections::HashSet;

use super::*;

const MANY: u64 = 100_000;

fn fill(run: &Run, queue: QueueId) {
    for seq in 1..=MANY {
        run.append(queue, seq, &[5; 100]);
    }
    run.settle_down();
}

fn wait_until_swept(run: &Run, rows: usize) {
    let deadline = Instant::now() + PATIENCE;
    while run.store.disk().entries.len().unwrap() > rows
        || run.store.disk().definitions.len().unwrap() > 2
    {
        assert!(Instant::now() < deadline, "not swept");
        std::thread::yield_now();
    }
}

#[test]
fn the_space_of_a_purged_backlog_is_given_back_although_nobody_writes_any_more() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    // Bodies that do not compress: xorshift64*.
    let mut state = 0x5eed_u64;
    let mut word = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()
    };
    for seq in 1..=150_000 {
        let body: Vec<u8> = (0..125).flat_map(|_| word()).collect();
        run.append(Q, seq, &body);
    }
    run.append(QueueId(1000), 1, b"stays");
    run.settle_down();
    let deadline = Instant::now() + PATIENCE;
    while run.store.disk().space() < 64 << 20 {
        assert!(Instant::now() < deadline, "not on the disk");
        std::thread::yield_now();
    }
    run.store.purge_range(Q, 1, 150_000);
    let deadline = Instant::now() + PATIENCE;
    while run.store.disk().space() > 1 << 20 {
        assert!(Instant::now() < deadline, "{}", run.store.disk().space());
        std::thread::yield_now();
    }
    assert_eq!(run.load_all(QueueId(1000)), [(1, b"stays".to_vec())]);
    assert_eq!(run.load_all(Q), []);
}

#[test]
fn a_purged_backlog_stays_purged_from_the_first_batch_on() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    fill(&run, Q);
    for (first, last) in [(1, 4), (6, 77_776), (77_778, MANY - 1)] {
        run.store.purge_range(Q, first, last);
    }
    run.settle_down();
    let crashed = folder.copy();
    let again = Run::start(&crashed);
    let backlog = again.recovered.backlogs[&Q][0];
    assert_eq!((backlog.messages, backlog.bytes), (3, 300));
    assert_eq!((backlog.first, backlog.last), (5, MANY));
    let left: Vec<Seq> = again.load_all(Q).iter().map(|(seq, _)| *seq).collect();
    assert_eq!(left, [5, 77_777, MANY]);
    wait_until_swept(&again, 3);
    assert_eq!(again.load_all(Q).len(), 3);
    wait_until_swept(&run, 3);
    assert_eq!(run.load_all(Q).len(), 3);
}

#[test]
fn a_purge_takes_what_is_not_written_and_spares_what_comes_after() {
    let folder = Folder::new();
    let run = Run::waiting(StoreOptions::new(folder.path()));
    run.append_confirmed(Q, 1, b"purged", 1);
    run.append_confirmed(Q, 2, b"kept", 2);
    run.store.purge_range(Q, 1, 1);
    run.store.purge_range(Q, 3, 10);
    run.append_confirmed(Q, 9, b"moved here later", 3);
    run.append_confirmed(Q, 11, b"new", 4);
    run.begin();
    run.wait_confirmed(4);
    let expected = [
        (2, b"kept".to_vec()),
        (9, b"moved here later".to_vec()),
        (11, b"new".to_vec()),
    ];
    assert_eq!(run.load_all(Q), expected);
    drop(run);
    let again = Run::start(&folder);
    again.settle_down();
    assert_eq!(again.load_all(Q), expected);
}

#[test]
fn a_deleted_queue_is_swept_now_or_by_the_next_run() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    fill(&run, Q);
    run.append(OTHER, 1, &[1; 40_000]);
    run.settle_down();
    let crashed = folder.copy();
    run.store.forget_queue(Q);
    wait_until_swept(&run, 1);
    let again = Run::start(&crashed);
    again.store.sweep_unknown(HashSet::from([Q]));
    let deadline = Instant::now() + PATIENCE;
    while again.store.disk().bodies.len().unwrap() > 0 {
        assert!(Instant::now() < deadline, "not swept");
        std::thread::yield_now();
    }
    assert!(again.load_all(OTHER).is_empty());
    assert_eq!(again.load_all(Q).len() as u64, MANY);
}

#[test]
fn a_purge_that_begins_inside_a_pack_takes_its_part_of_it() {
    let folder = Folder::new();
    let run = Run::waiting(StoreOptions::new(folder.path()));
    for seq in 1..=10 {
        run.append(Q, seq, &[5; 100]);
    }
    run.begin();
    run.settle_down();
    run.store.purge_range(Q, 5, 10);
    run.settle_down();
    wait_until_swept(&run, 1);
    let left: Vec<Seq> = run.load_all(Q).iter().map(|(seq, _)| *seq).collect();
    assert_eq!(left, [1, 2, 3, 4]);
}
