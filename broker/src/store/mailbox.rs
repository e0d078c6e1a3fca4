//! The mailbox in front of the commit thread: whatever waits is taken out whole, which is the group
//! commit. Not a queue of messages in AMQP's sense.

use std::collections::HashSet;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;

use crate::names::{QueueId, Seq};

use super::{Append, Hold, Move};

/// A drained mailbox keeps at most this many places, so that one burst does not hold memory.
const KEPT_CAPACITY: usize = 16 * 1024;

/// While a sync runs, a batch is begun for so many items. Fewer lose no time when they wait: the next
/// sync cannot begin before.
const WORTH_A_BATCH: usize = 32;

/// Why messages leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// A consumer has it: its publisher need not wait for the disk any more.
    Acknowledged,
    /// Expired, purged, dropped: its publisher still learns it only after the batch is written.
    Removed,
}

pub(super) enum Item {
    Append(Append),
    Gone {
        queue: QueueId,
        seqs: SmallVec<[Seq; 4]>,
        why: Gone,
    },
    Redelivered {
        queue: QueueId,
        seqs: SmallVec<[Seq; 4]>,
    },
    /// How often each came back.
    Returned {
        queue: QueueId,
        counts: Vec<(Seq, u32)>,
    },
    Hold(Box<Hold>),
    Move(Box<Move>),
    Purge {
        queue: QueueId,
        first: Seq,
        last: Seq,
    },
    Forget(QueueId),
    SweepUnknown(HashSet<QueueId>),
}

impl Item {
    /// What it takes in memory until it is written.
    pub(super) fn bytes(&self) -> usize {
        let inside = match self {
            Item::Append(append) => append.message.size(),
            Item::Gone { seqs, .. } | Item::Redelivered { seqs, .. } => {
                if seqs.spilled() {
                    seqs.len() * 8
                } else {
                    0
                }
            }
            Item::Returned { counts, .. } => counts.len() * mem::size_of::<(Seq, u32)>(),
            Item::Hold(hold) => hold.message.size() + mem::size_of::<Hold>(),
            Item::Move(change) => move_bytes(change),
            Item::Purge { .. } | Item::Forget(_) | Item::SweepUnknown(_) => 0,
        };
        inside + mem::size_of::<Item>()
    }
}

fn move_bytes(change: &Move) -> usize {
    let appends = change.appends.iter().map(|append| append.message.size());
    let holds = change.holds.iter().map(|hold| hold.message.size());
    let rows = change.appends.len() + change.holds.len() + change.settles.len();
    appends.sum::<usize>() + holds.sum::<usize>() + rows * mem::size_of::<Append>()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Takes nothing new; what is inside is still written.
    Closing,
    /// Nothing is written any more.
    Dead,
}

/// What the commit thread is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Items,
    /// Nothing came: time is up, or somebody wants the commit thread to look around.
    Idle,
    /// Closed and empty: end well.
    Closed,
    /// The store was dropped without being closed.
    Abandoned,
}

struct Inside {
    items: Vec<Item>,
    state: State,
}

pub(super) struct Mailbox {
    inside: Mutex<Inside>,
    filled: Condvar,
    /// Items inside, to look at without the lock.
    count: AtomicUsize,
    /// Of everything pushed and not yet written.
    bytes: AtomicUsize,
    bound: usize,
    /// Somebody was told to stop publishing and waits for `drained`.
    stopped: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(bound: usize) -> Mailbox {
        Mailbox {
            inside: Mutex::new(Inside {
                items: Vec::new(),
                state: State::Open,
            }),
            filled: Condvar::new(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bound,
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn push(&self, item: Item) {
        let bytes = item.bytes();
        let mut inside = self.inside.lock();
        if inside.state != State::Open {
            drop(inside);
            return;
        }
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        inside.items.push(item);
        let count = inside.items.len();
        self.count.store(count, Ordering::Relaxed);
        drop(inside);
        if count == 1 || count == WORTH_A_BATCH {
            self.filled.notify_one();
        }
    }

    /// `take` would find what it wants. A hint.
    pub(super) fn has_a_batch(&self, is_syncing: impl Fn() -> bool) -> bool {
        match self.count.load(Ordering::Relaxed) {
            0 => false,
            few if few < WORTH_A_BATCH => !is_syncing(),
            _ => true,
        }
    }

    /// Swaps everything that waits into `items` (which must be empty). Waits without end, or for
    /// the given time.
    /// While a sync runs, little waits for more.
    pub(super) fn take(
        &self,
        items: &mut Vec<Item>,
        patience: Option<Duration>,
        is_syncing: impl Fn() -> bool,
    ) -> Taken {
        debug_assert!(items.is_empty());
        if items.capacity() > KEPT_CAPACITY {
            *items = Vec::with_capacity(KEPT_CAPACITY);
        }
        let mut inside = self.inside.lock();
        let mut waited = false;
        loop {
            match inside.state {
                State::Dead => return Taken::Abandoned,
                State::Open if (1..WORTH_A_BATCH).contains(&inside.items.len()) && is_syncing() => {
                    self.filled.wait(&mut inside);
                    continue;
                }
                State::Open | State::Closing if !inside.items.is_empty() => {
                    mem::swap(&mut inside.items, items);
                    self.count.store(0, Ordering::Relaxed);
                    return Taken::Items;
                }
                State::Closing => return Taken::Closed,
                State::Open if waited => return Taken::Idle,
                State::Open => match patience {
                    None => self.filled.wait(&mut inside),
                    Some(time) if time.is_zero() => return Taken::Idle,
                    Some(time) => {
                        self.filled.wait_for(&mut inside, time);
                    }
                },
            }
            waited = true;
        }
    }

    /// What waited for the end of a sync may be begun.
    pub(super) fn sync_ended(&self) {
        let inside = self.inside.lock();
        let waits = !inside.items.is_empty();
        drop(inside);
        if waits {
            self.filled.notify_one();
        }
    }

    pub(super) fn written(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Over its bound. Whoever is told so is owed a `drained`.
    pub(super) fn over_bound(&self, write_buffer_full: impl Fn() -> bool) -> bool {
        let over = || self.bytes.load(Ordering::SeqCst) > self.bound || write_buffer_full();
        if !over() {
            return false;
        }
        // The flag first, then look again: the commit thread counts down first and then looks at
        // the flag, so that one of the two sees the other.
        if !self.stopped.swap(true, Ordering::SeqCst) {
            // It may sleep without a time-out although the database's buffer empties by itself.
            let _inside = self.inside.lock();
            self.filled.notify_one();
        }
        over()
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// True once when publishers were stopped and may go on.
    pub(super) fn may_go_on(&self, write_buffer_full: bool) -> bool {
        self.has_stopped()
            && !write_buffer_full
            && self.bytes.load(Ordering::SeqCst) <= self.bound / 2
            && self.stopped.swap(false, Ordering::SeqCst)
    }

    pub(super) fn close(&self) {
        let mut inside = self.inside.lock();
        if inside.state == State::Open {
            inside.state = State::Closing;
        }
        self.filled.notify_all();
    }

    /// Drops what waits; nothing is taken any more.
    pub(super) fn abandon(&self) {
        let mut inside = self.inside.lock();
        inside.state = State::Dead;
        let items = mem::take(&mut inside.items);
        self.filled.notify_all();
        drop(inside);
        // Outside the lock: dropping may run code of other rooms.
        drop(items);
    }
}
