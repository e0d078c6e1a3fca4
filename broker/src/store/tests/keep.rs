//! What survives a restart, and what does not.

use crate::clock::Expiry;

use super::*;
use crate::store::batch::Batch;
use crate::store::tables::Tables;

#[test]
fn a_clean_stop_is_told_from_a_crash() {
    let folder = Folder::new();
    let first = Run::start(&folder);
    assert!(first.recovered.clean);
    assert_eq!(first.recovered.run, 1);
    first.append(Q, 1, b"one");
    first.store.close().unwrap();
    drop(first);
    let second = Run::start(&folder);
    assert!(second.recovered.clean);
    assert_eq!(second.recovered.backlogs[&Q][0].messages, 1);
    drop(second);
    let third = Run::start(&folder);
    assert!(!third.recovered.clean);
    assert_eq!(third.recovered.run, 3);
}

#[test]
fn a_folder_in_use_is_refused_by_name() {
    let folder = Folder::new();
    let _run = Run::start(&folder);
    let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
    let second = Store::open(StoreOptions::new(folder.path()), clock);
    let error = second.err().unwrap().to_string();
    assert!(
        error.contains(&folder.path().display().to_string()),
        "{error}"
    );
}

#[test]
fn a_newer_format_is_refused() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    let disk = run.store.disk();
    let mut batch = Batch::with_capacity(1);
    batch.insert(&disk.definitions, layout::FORMAT_KEY, 3u32.to_be_bytes());
    disk.write(batch).unwrap();
    drop(run);
    let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
    let again = Store::open(StoreOptions::new(folder.path()), clock);
    assert!(matches!(
        again.err(),
        Some(StoreError::NewerFormat {
            found: 3,
            known: 2,
            ..
        })
    ));
}

/// In format 1 fjall kept the journal.
#[test]
fn what_an_older_warren_left_in_fjalls_journal_is_kept_and_comes_only_once() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    run.store.close().unwrap();
    drop(run);
    let options = StoreOptions::new(folder.path());
    let database = folder.path().join("database");
    let old = Tables::open(&database, &options).unwrap();
    let format = 1u32.to_be_bytes();
    old.definitions.insert(layout::FORMAT_KEY, format).unwrap();
    let key = layout::definition_key(b"old");
    for _ in 0..1000 {
        old.definitions.insert(&*key, b"kept").unwrap();
    }
    drop(old);

    let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
    let (store, found) = Store::open(options.clone(), Arc::clone(&clock)).unwrap();
    assert_eq!(found.definitions, [(b"old".to_vec(), b"kept".to_vec())]);
    let disk = store.disk();
    let mut batch = Batch::with_capacity(1);
    batch.remove(&disk.definitions, &*key);
    disk.write(batch).unwrap();
    drop(store);
    for _ in 0..2 {
        let (store, found) = Store::open(options.clone(), Arc::clone(&clock)).unwrap();
        assert!(found.definitions.is_empty());
        assert_eq!(store.disk().format().unwrap(), Some(layout::FORMAT));
        store.disk().definitions.major_compact().unwrap();
    }
}

#[test]
fn the_folder_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let _run = Run::start(&folder);
    let mode = std::fs::metadata(folder.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn queue_numbers_are_never_given_twice() {
    let folder = Folder::new();
    let first = Run::start(&folder);
    let before = [first.store.next_queue_id(), first.store.next_queue_id()];
    drop(first);
    let second = Run::start(&folder);
    let after = second.store.next_queue_id();
    assert!(before[0] < before[1] && before[1] < after);
}

#[test]
fn a_half_settled_pack_comes_back_as_it_was() {
    let folder = Folder::new();
    let run = Run::waiting(StoreOptions::new(folder.path()));
    for seq in 1..=100 {
        run.append(Q, seq, format!("{seq}").as_bytes());
    }
    run.begin();
    run.settle_down();
    let odd: Vec<Seq> = (1..=100).filter(|seq| seq % 2 == 1).collect();
    run.store.settle(Q, &odd);
    run.store.mark_redelivered(Q, &[2, 4]);
    run.settle_down();
    drop(run);
    let again = Run::start(&folder);
    let backlog = again.recovered.backlogs[&Q][0];
    assert_eq!(
        (backlog.messages, backlog.first, backlog.last),
        (50, 2, 100)
    );
    assert_eq!(backlog.bytes, 4 + 45 * 2 + 3);
    let found = again.load(Q, 0, 1000);
    let seqs: Vec<Seq> = found.iter().map(|one| one.seq).collect();
    assert_eq!(seqs, (1..=50).map(|half| half * 2).collect::<Vec<_>>());
    let again_delivered: Vec<Seq> = found
        .iter()
        .filter(|one| one.redelivered)
        .map(|one| one.seq)
        .collect();
    assert_eq!(again_delivered, [2, 4]);
    let fetched = again.fetch(Q, &[100, 3, 50]);
    let bodies: Vec<_> = fetched.iter().map(|one| one.message.body()).collect();
    assert_eq!(bodies, [b"100".as_slice(), b"50".as_slice()]);
}

#[test]
fn a_settled_pack_leaves_no_row_behind() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    for seq in 1..=1000 {
        run.append(Q, seq, &[7; 200]);
    }
    run.settle_down();
    run.store.settle(Q, &(1..=1000).collect::<Vec<_>>());
    run.settle_down();
    let disk = run.store.disk();
    assert_eq!(disk.entries.len().unwrap(), 0);
    assert_eq!(disk.packs.len().unwrap(), 0);
}

#[test]
fn transient_messages_end_with_their_run() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    for seq in 1..=10 {
        run.store.append(Append {
            queue: Q,
            seq,
            message: message(&[1; 40_000]),
            persistent: seq % 5 == 0,
            expires: Expiry::NEVER,
            confirm: None,
        });
    }
    run.settle_down();
    let found = run.load(Q, 0, 100);
    assert_eq!(found.iter().filter(|one| one.persistent).count(), 2);
    assert_eq!(found.len(), 10);
    run.store.close().unwrap();
    drop(run);
    let again = Run::start(&folder);
    assert_eq!(again.recovered.backlogs[&Q][0].messages, 2);
    assert_eq!(again.load_all(Q).len(), 2);
    assert_eq!(again.store.disk().bodies.len().unwrap(), 2);
}

#[test]
fn a_long_body_goes_with_its_last_holder() {
    let folder = Folder::new();
    let run = Run::waiting(StoreOptions::new(folder.path()));
    let (long, middle) = (message(&[1; 40_000]), message(&[2; 5_000]));
    for (seq, message) in [(1, &long), (2, &middle)] {
        for queue in [Q, OTHER] {
            run.store.append(Append {
                queue,
                seq,
                message: Arc::clone(message),
                persistent: true,
                expires: Expiry::NEVER,
                confirm: None,
            });
        }
    }
    run.append(Q, 3, &[3; 5_000]);
    run.begin();
    run.settle_down();
    let bodies = || run.store.disk().bodies.len().unwrap();
    assert_eq!(bodies(), 2);
    assert_eq!(run.store.disk().holders.len().unwrap(), 4);
    run.store.settle(Q, &[1, 2, 3]);
    run.settle_down();
    assert_eq!(bodies(), 2);
    let found = run.load_all(OTHER);
    assert_eq!(found, [(1, vec![1; 40_000]), (2, vec![2; 5_000])]);
    run.store.settle(OTHER, &[2, 1]);
    run.settle_down();
    assert_eq!(bodies(), 0);
    assert_eq!(run.store.disk().holders.len().unwrap(), 0);
}

#[test]
fn both_holders_of_a_body_may_let_go_in_one_batch() {
    let folder = Folder::new();
    let run = Run::waiting(StoreOptions::new(folder.path()));
    let long = message(&[1; 40_000]);
    for queue in [Q, OTHER] {
        run.store.append(Append {
            queue,
            seq: 1,
            message: Arc::clone(&long),
            persistent: true,
            expires: Expiry::NEVER,
            confirm: None,
        });
    }
    run.begin();
    run.settle_down();
    run.store.commit(Move {
        settles: vec![(Q, 1), (OTHER, 1)],
        ..Move::default()
    });
    run.settle_down();
    assert_eq!(run.store.disk().bodies.len().unwrap(), 0);
}

#[test]
fn a_move_happens_whole() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    run.append(Q, 1, b"rejected");
    run.settle_down();
    let before = folder.copy();
    run.store.commit(Move {
        settles: vec![(Q, 1)],
        appends: vec![Append {
            queue: OTHER,
            seq: 1,
            message: message(b"dead letter"),
            persistent: true,
            expires: Expiry::NEVER,
            confirm: run.confirm(5),
        }],
        definitions: vec![DefinitionChange::Put {
            key: b"queue/x".to_vec(),
            value: b"declared".to_vec(),
        }],
        synced: true,
        ..Move::default()
    });
    run.wait_confirmed(1);
    let after = folder.copy();
    let before = Run::start(&before);
    assert_eq!(before.load_all(Q), [(1, b"rejected".to_vec())]);
    assert!(before.load_all(OTHER).is_empty());
    assert!(before.recovered.definitions.is_empty());
    let after = Run::start(&after);
    assert!(after.load_all(Q).is_empty());
    assert_eq!(after.load_all(OTHER), [(1, b"dead letter".to_vec())]);
    let definitions = vec![(b"queue/x".to_vec(), b"declared".to_vec())];
    assert_eq!(after.recovered.definitions, definitions);
}

#[test]
fn moves_with_lower_numbers_are_read_in_order() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    for seq in [10, 12, 20, 4000, 4100] {
        run.append(Q, seq, b"first");
    }
    run.settle_down();
    for seq in [11, 3, 15] {
        run.store.commit(Move {
            appends: vec![Append {
                queue: Q,
                seq,
                message: message(b"moved"),
                persistent: true,
                expires: Expiry::NEVER,
                confirm: None,
            }],
            ..Move::default()
        });
        run.settle_down();
    }
    let order = |from, max| -> Vec<Seq> {
        let found = run.load(Q, from, max);
        found.iter().map(|one| one.seq).collect()
    };
    assert_eq!(order(0, 100), [3, 10, 11, 12, 15, 20, 4000, 4100]);
    assert_eq!(order(0, 3), [3, 10, 11]);
    assert_eq!(order(11, 3), [11, 12, 15]);
    assert_eq!(order(12, 1), [12]);
    assert_eq!(order(16, 2), [20, 4000]);
    run.store.settle(Q, &[12, 4000]);
    run.settle_down();
    assert_eq!(order(0, 100), [3, 10, 11, 15, 20, 4100]);
}

#[test]
fn a_load_stops_at_its_bytes_but_reads_at_least_one() {
    let folder = Folder::new();
    let run = Run::start(&folder);
    for seq in 1..=10 {
        run.append(Q, seq, &[0; 10_000]);
    }
    run.settle_down();
    let sizes = |max_bytes| {
        run.store.load(Q, 1, 100, max_bytes);
        let loaded = run.witness.until("a load", |seen| seen.loaded.pop());
        loaded.1.len()
    };
    assert_eq!(sizes(1), 1);
    assert_eq!(sizes(30_000), 3);
}
