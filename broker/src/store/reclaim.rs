//! The disk's space of messages that are gone. The database gives it back as it is written to; where
//! nobody writes any more (a backlog was drained or purged, perhaps because the disk is full), it is
//! asked to. Not what removes messages (see `rows.rs`, `sweep.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::error::StoreError;
use super::handle::Shared;

/// After so long without anything to write.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Fewer packs, of at most 32 KiB each, are not worth it.
const WORTH_IT: u64 = 2048;

/// Nor is a database that takes no more than this.
const LEAST_SPACE: u64 = 32 << 20;

pub(super) struct Reclaim {
    /// Packs, and bodies that stood apart, since the last time.
    removed: u64,
    state: Arc<State>,
}

struct State {
    running: AtomicBool,
    /// All that lives is written anew: it is worth it when as much has gone.
    worth_it: AtomicU64,
}

impl Reclaim {
    pub(super) fn new() -> Reclaim {
        Reclaim {
            removed: 0,
            state: Arc::new(State {
                running: AtomicBool::new(false),
                worth_it: AtomicU64::new(WORTH_IT),
            }),
        }
    }

    pub(super) fn removed(&mut self, packs: u64) {
        self.removed += packs;
    }

    pub(super) fn is_due(&self) -> bool {
        self.removed >= self.state.worth_it.load(Ordering::Relaxed)
            && !self.state.running.load(Ordering::Acquire)
    }

    /// On a thread of its own: it takes seconds where much is there. A process that ends meanwhile
    /// loses nothing but the work.
    pub(super) fn begin(&mut self, shared: &Arc<Shared>) {
        let (shared, state) = (Arc::clone(shared), Arc::clone(&self.state));
        let removed = self.removed;
        state.running.store(true, Ordering::Release);
        let work = move || {
            match reclaim(&shared.disk, removed) {
                Ok(live) => state.worth_it.store(live.max(WORTH_IT), Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "the space of removed messages was not freed"),
            }
            drop(shared);
            state.running.store(false, Ordering::Release);
        };
        self.removed = 0;
        let thread = thread::Builder::new().name("store-reclaim".to_owned());
        if let Err(error) = thread.spawn(work) {
            self.state.running.store(false, Ordering::Release);
            tracing::warn!(%error, "cannot start a thread");
        }
    }
}

/// The number of packs that live, as far as it was counted.
fn reclaim(disk: &Disk, removed: u64) -> Result<u64, StoreError> {
    let before = disk.space();
    if before < LEAST_SPACE {
        return Ok(WORTH_IT);
    }
    let live = disk.count_packs(removed.saturating_add(1))?;
    if live > removed {
        return Ok(live);
    }
    let begun = Instant::now();
    disk.compact()?;
    let after = disk.space();
    tracing::info!(before, after, took = ?begun.elapsed(), "freed the space of removed messages");
    Ok(live)
}
