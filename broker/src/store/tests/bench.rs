//! Figures, run by hand: `cargo test --release -p warren store::tests::bench -- --ignored --nocapture`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Expiry;

use super::*;

struct Window {
    open: Mutex<u64>,
    moved: Condvar,
}

impl ConfirmSink for Window {
    fn confirmed(&self, publishes: &[u64]) {
        *self.open.lock() -= publishes.len() as u64;
        self.moved.notify_one();
    }
}

fn confirms_per_second(window: u64, settle_behind: bool) -> f64 {
    let folder = Folder::new();
    let run = Run::start(&folder);
    let sink = Arc::new(Window {
        open: Mutex::new(0),
        moved: Condvar::new(),
    });
    let begun = Instant::now();
    let mut seq = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        for _ in 0..window.min(32) {
            {
                let mut open = sink.open.lock();
                while *open >= window {
                    sink.moved.wait(&mut open);
                }
                *open += 1;
            }
            seq += 1;
            run.store.append(Append {
                queue: Q,
                seq,
                message: message(&[(seq % 251) as u8; 1024]),
                persistent: true,
                expires: Expiry::NEVER,
                confirm: Some(Confirm::One {
                    sink: Arc::clone(&sink) as Arc<dyn ConfirmSink>,
                    publish: seq,
                }),
            });
        }
        if settle_behind && seq > 20_000 && seq % 64 < 32 {
            let done: Vec<Seq> = (seq - 20_000..seq - 20_000 + 64).collect();
            run.store.settle(Q, &done);
        }
    }
    seq as f64 / begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a figure"]
fn confirms() {
    for window in [1, 64, 1000] {
        let rate = confirms_per_second(window, false);
        println!("1 KiB, window {window}: {:.0} k confirms/s", rate / 1e3);
    }
    let rate = confirms_per_second(1000, true);
    println!("1 KiB, window 1000, settled behind: {:.0} k/s", rate / 1e3);
}

fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn wait_below_bound(run: &Run) {
    let before = run.witness.now(|seen| seen.drained);
    if run.store.over_bound() {
        run.witness
            .until("drained", |seen| (seen.drained > before).then_some(()));
    }
}

#[test]
#[ignore = "a figure"]
fn ten_million_messages() {
    const MESSAGES: u64 = 10_000_000;
    let folder = Folder::new();
    let run = Run::start(&folder);
    let highest = AtomicU64::new(0);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let begun = Instant::now();
    for seq in 1..=MESSAGES {
        let mut body = [0u8; 100];
        for part in body.chunks_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            part.copy_from_slice(&random.to_le_bytes()[..part.len()]);
        }
        run.append(Q, seq, &body);
        if seq % 256 == 0 {
            wait_below_bound(&run);
        }
        if seq % 65_536 == 0 {
            highest.fetch_max(rss(), Ordering::Relaxed);
        }
    }
    run.settle_down();
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64() / 1e6;
    println!(
        "fill {rate:.2} M/s, highest RSS {} MiB, now {} MiB",
        highest.load(Ordering::Relaxed),
        rss()
    );
    println!("{:?}", run.store.stats());
    drop(run);
    let begun = Instant::now();
    let run = Run::start(&folder);
    println!(
        "reopen {:?}, backlog {:?}",
        begun.elapsed(),
        run.recovered.backlogs[&Q][0]
    );
    drain(&run, MESSAGES);
    println!("RSS {} MiB, {:?}", rss(), run.store.stats());
    let begun = Instant::now();
    drop(run);
    let run = Run::start(&folder);
    println!("reopen when drained {:?}", begun.elapsed());
    assert!(run.recovered.backlogs.is_empty());
}

fn drain(run: &Run, messages: u64) {
    let begun = Instant::now();
    let (mut from, mut left, mut highest) = (0, messages, 0);
    let mut settled: Vec<Seq> = Vec::new();
    let mut slowest = Duration::ZERO;
    run.store.load(Q, from, 4096, 1 << 20);
    while left > 0 {
        let asked = Instant::now();
        let found = run.witness.until("a load", |seen| seen.loaded.pop()).1;
        slowest = slowest.max(asked.elapsed());
        from = found.last().map_or(from, |last| last.seq + 1);
        left -= found.len() as u64;
        // The next part is read while this one is settled.
        run.store.load(Q, from, 4096, 1 << 20);
        settled.clear();
        settled.extend(found.iter().map(|one| one.seq));
        for part in settled.chunks(64) {
            run.store.settle(Q, part);
        }
        wait_below_bound(run);
        highest = highest.max(rss());
    }
    run.settle_down();
    let rate = messages as f64 / begun.elapsed().as_secs_f64() / 1e6;
    println!("drain {rate:.2} M/s, slowest load {slowest:?}, highest RSS {highest} MiB");
}

#[test]
#[ignore = "a figure"]
fn packs_of_one_message() {
    const MESSAGES: u64 = 200_000;
    let folder = Folder::new();
    let run = Run::start(&folder);
    for seq in 1..=MESSAGES {
        run.append(Q, seq, &[1; 100]);
        run.settle_down();
    }
    println!("{:?}", run.store.stats());
    drop(run);
    let run = Run::start(&folder);
    drain(&run, MESSAGES);
}

#[test]
#[ignore = "a figure"]
fn a_million_held_messages() {
    const MESSAGES: u64 = 1_000_000;
    let folder = Folder::new();
    let run = Run::start(&folder);
    let begun = Instant::now();
    for number in 0..MESSAGES {
        run.store.hold(Hold {
            due: 1000 + number * 7919 % 1_000_000,
            vhost: Arc::from("/"),
            message: message(&[1; 100]),
            confirm: None,
        });
        if number % 256 == 0 {
            wait_below_bound(&run);
        }
    }
    run.settle_down();
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64() / 1e3;
    println!("held {rate:.0} k/s, RSS {} MiB", rss());
    let begun = Instant::now();
    run.clock.set(2_000_000);
    run.store.look_at_clock();
    let mut left = MESSAGES;
    while left > 0 {
        let held = run.witness.until("due messages", |seen| seen.due.pop());
        left -= held.len() as u64;
        run.store.commit(Move {
            timers: held.iter().map(|one| one.key).collect(),
            ..Move::default()
        });
    }
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64() / 1e3;
    println!("released {rate:.0} k/s, RSS {} MiB", rss());
}
