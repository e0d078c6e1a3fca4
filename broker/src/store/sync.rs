//! The sync thread: what the commit thread has written is synced, and then everybody is told, batch
//! by batch in order. Meanwhile the next batches are written. Not what is in them (see `commit.rs`).

use std::mem;
use std::sync::atomic::Ordering;

use parking_lot::{Condvar, Mutex};

use crate::names::{QueueId, Seq};

use super::confirms::ConfirmBatch;
use super::error::StoreError;
use super::handle::Shared;
use super::vigil::Vigil;
use super::{StoreEvents, TimerKey};

/// Written batches that wait for one sync. More, and the commit thread waits: what it owes is memory.
const MOST_WAITING: usize = 64;

/// More that are empty are not kept: each holds the memory of the largest batch that it told of.
const SPARE: usize = 4;

/// What is to be told once a batch is where it has to be.
#[derive(Default)]
pub(super) struct Tidings {
    /// It has to be on the disk; otherwise written is enough.
    pub(super) synced: bool,
    pub(super) confirms: ConfirmBatch,
    /// The highest number that was brought, by queue and priority.
    pub(super) written: Vec<(QueueId, Seq)>,
    pub(super) first_timer: Option<TimerKey>,
    pub(super) released: Vec<TimerKey>,
    pub(super) done: Vec<Box<dyn FnOnce() + Send>>,
}

impl Tidings {
    /// Confirms, then queues, then moves, in order. Nothing is left to tell.
    pub(super) fn tell(&mut self, shared: &Shared, events: &dyn StoreEvents) {
        self.synced = false;
        let places = self.confirms.places();
        let confirmed = &shared.counts.confirmed_by_sync;
        confirmed.fetch_add(places, Ordering::Relaxed);
        self.confirms.resolve();
        for (queue, upto) in self.written.drain(..) {
            events.written(queue, upto);
        }
        let first_timer = self.first_timer.take();
        shared.timers.written(first_timer, &self.released);
        self.released.clear();
        for done in self.done.drain(..) {
            done();
        }
    }
}

enum State {
    Idle,
    /// What is written now needs a sync more.
    Syncing,
    /// What is written now is covered by the next sync.
    Telling,
    /// Everybody was told, and the thread is to end.
    Closing,
    /// Nothing is told any more.
    Dead,
}

struct Inside {
    state: State,
    waiting: Vec<Tidings>,
    /// Told, and empty: their memory serves again.
    spare: Vec<Tidings>,
}

/// Where the commit thread leaves what it has written.
pub(super) struct SyncDesk {
    inside: Mutex<Inside>,
    /// The sync thread waits here.
    filled: Condvar,
    /// The commit thread waits here.
    emptied: Condvar,
}

impl SyncDesk {
    pub(super) fn new() -> SyncDesk {
        SyncDesk {
            inside: Mutex::new(Inside {
                state: State::Idle,
                waiting: Vec::new(),
                spare: Vec::new(),
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// A sync runs that does not cover what is written from now on.
    pub(super) fn is_syncing(&self) -> bool {
        matches!(self.inside.lock().state, State::Syncing)
    }

    /// Somebody is still to be told of what was written before.
    pub(super) fn is_behind(&self) -> bool {
        let inside = self.inside.lock();
        match inside.state {
            State::Idle => !inside.waiting.is_empty(),
            State::Syncing | State::Telling | State::Closing | State::Dead => true,
        }
    }

    /// An empty one.
    pub(super) fn blank(&self) -> Tidings {
        self.inside.lock().spare.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&self, blank: Tidings) {
        let mut inside = self.inside.lock();
        if inside.spare.len() < SPARE {
            inside.spare.push(blank);
        }
    }

    /// Waits while too many wait already.
    pub(super) fn give(&self, tidings: Tidings) -> Result<(), StoreError> {
        let mut inside = self.inside.lock();
        loop {
            match inside.state {
                State::Closing | State::Dead => return Err(StoreError::Failed),
                State::Idle | State::Syncing | State::Telling
                    if inside.waiting.len() >= MOST_WAITING =>
                {
                    self.emptied.wait(&mut inside);
                }
                State::Idle | State::Syncing | State::Telling => break,
            }
        }
        inside.waiting.push(tidings);
        drop(inside);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until everybody was told. Nothing may be given afterwards.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let mut inside = self.inside.lock();
        loop {
            match inside.state {
                State::Closing | State::Dead => return Err(StoreError::Failed),
                State::Idle if inside.waiting.is_empty() => break,
                State::Idle | State::Syncing | State::Telling => self.emptied.wait(&mut inside),
            }
        }
        inside.state = State::Closing;
        self.filled.notify_one();
        Ok(())
    }

    pub(super) fn abandon(&self) {
        self.inside.lock().state = State::Dead;
        self.filled.notify_one();
        self.emptied.notify_one();
    }

    /// Everything that waits; false when the thread is to end.
    fn take(&self, batches: &mut Vec<Tidings>) -> bool {
        let mut inside = self.inside.lock();
        loop {
            match inside.state {
                State::Closing | State::Dead => return false,
                State::Idle | State::Syncing | State::Telling if inside.waiting.is_empty() => {
                    inside.state = State::Idle;
                    self.emptied.notify_one();
                    self.filled.wait(&mut inside);
                }
                State::Idle | State::Syncing | State::Telling => break,
            }
        }
        inside.state = State::Syncing;
        mem::swap(&mut inside.waiting, batches);
        self.emptied.notify_one();
        true
    }

    /// `take` would not wait.
    fn is_wanted(&self) -> bool {
        let inside = self.inside.lock();
        match inside.state {
            State::Closing | State::Dead => true,
            State::Idle | State::Syncing | State::Telling => !inside.waiting.is_empty(),
        }
    }

    /// Nobody is left to be told, unless more has come meanwhile.
    fn told(&self) {
        let mut inside = self.inside.lock();
        match inside.state {
            State::Telling if inside.waiting.is_empty() => inside.state = State::Idle,
            State::Idle | State::Syncing | State::Telling | State::Closing | State::Dead => return,
        }
        drop(inside);
        self.emptied.notify_one();
    }

    /// False when the store was given up meanwhile.
    fn synced(&self) -> bool {
        let mut inside = self.inside.lock();
        match inside.state {
            State::Closing | State::Dead => return false,
            State::Idle | State::Syncing | State::Telling => inside.state = State::Telling,
        }
        true
    }
}

pub(super) fn run(shared: &Shared, events: &dyn StoreEvents) {
    if let Err(error) = serve(shared, events) {
        shared.fail(&error);
    }
}

fn serve(shared: &Shared, events: &dyn StoreEvents) -> Result<(), StoreError> {
    let mut batches: Vec<Tidings> = Vec::new();
    let mut vigil = Vigil::default();
    while shared.syncs.take(&mut batches) {
        if batches.iter().any(|tidings| tidings.synced) {
            shared.disk.sync()?;
            shared.counts.syncs.fetch_add(1, Ordering::Relaxed);
        }
        if !shared.syncs.synced() {
            return Ok(());
        }
        shared.mailbox.sync_ended();
        for mut tidings in batches.drain(..) {
            tidings.tell(shared, events);
            shared.syncs.give_back(tidings);
        }
        shared.syncs.told();
        vigil.keep(|| shared.syncs.is_wanted());
    }
    Ok(())
}
