//! What is counted about a plugin, and how it is shown. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::fault::FaultKind;

/// How a plugin came out of `PluginHost::load`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Loaded,
    Disabled,
    Refused(String),
}

#[derive(Clone, Debug)]
pub struct LoadReport {
    pub name: String,
    /// Of the `warren:exchange` package the component was built against.
    pub version: Option<String>,
    pub types: Vec<String>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// Being compiled.
    Loading,
    Running,
    /// The breaker of at least one of its exchanges is open.
    Degraded,
    Disabled,
    Refused {
        reason: String,
    },
}

#[derive(Clone, Debug)]
pub struct PluginStatus {
    pub name: String,
    pub version: Option<String>,
    pub summary: String,
    pub types: Vec<String>,
    pub state: PluginState,
    /// Of `route` and `due`.
    pub calls: u64,
    pub faults: Vec<(FaultKind, u64)>,
    pub rebuilds: u64,
    pub longest_rebuild: Duration,
    /// Of all calls. Most of the fast ones are not timed but taken for the average.
    pub time: Duration,
    pub longest_call: Duration,
    pub open_breakers: usize,
    pub live_instances: usize,
    pub evictions: u64,
    pub log_lines: u64,
    pub log_lines_dropped: u64,
}

/// Shared by all exchanges of one plugin.
#[derive(Default)]
pub(super) struct Tallies {
    calls: Mutex<Calls>,
    faults: [AtomicU64; FaultKind::ALL.len()],
    rebuilds: AtomicU64,
    longest_rebuild: AtomicU64,
    pub open_breakers: AtomicUsize,
    pub evictions: AtomicU64,
}

/// Calls are counted by each exchange for itself: what all of them counted in one place, all
/// workers would write to.
#[derive(Default)]
struct Calls {
    of_exchanges: Vec<Arc<Counts>>,
    /// Of exchanges that are gone.
    before: Sum,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    calls: u64,
    nanos: u64,
    longest: u64,
}

impl Sum {
    fn add(&mut self, counts: &Counts) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.calls += get(&counts.calls);
        self.nanos += get(&counts.nanos);
        self.longest = self.longest.max(get(&counts.longest));
    }
}

/// One exchange's calls.
#[derive(Default)]
pub(super) struct Counts {
    calls: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
}

impl Counts {
    /// Callers hold the exchange's seat: nobody else writes, so no addition needs to be atomic.
    pub fn called(&self, took: Duration) {
        let nanos = nanos(took);
        let add = |count: &AtomicU64, more: u64| {
            count.store(
                count.load(Ordering::Relaxed).wrapping_add(more),
                Ordering::Relaxed,
            );
        };
        add(&self.calls, 1);
        add(&self.nanos, nanos);
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.store(nanos, Ordering::Relaxed);
        }
    }
}

impl Tallies {
    pub fn enrol(&self) -> Arc<Counts> {
        let counts = Arc::new(Counts::default());
        self.calls.lock().of_exchanges.push(Arc::clone(&counts));
        counts
    }

    pub fn retire(&self, counts: &Arc<Counts>) {
        let mut calls = self.calls.lock();
        calls
            .of_exchanges
            .retain(|other| !Arc::ptr_eq(other, counts));
        calls.before.add(counts);
    }

    fn sum(&self) -> Sum {
        let calls = self.calls.lock();
        let mut sum = calls.before;
        calls.of_exchanges.iter().for_each(|counts| sum.add(counts));
        sum
    }

    pub fn faulted(&self, kind: FaultKind) {
        for (known, count) in FaultKind::ALL.iter().zip(&self.faults) {
            if *known == kind {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn rebuilt(&self, took: Duration) {
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
        self.longest_rebuild
            .fetch_max(nanos(took), Ordering::Relaxed);
    }

    /// Everything that `status` can tell by counting.
    pub fn fill(&self, status: &mut PluginStatus) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let sum = self.sum();
        status.calls = sum.calls;
        status.time = Duration::from_nanos(sum.nanos);
        status.longest_call = Duration::from_nanos(sum.longest);
        status.rebuilds = get(&self.rebuilds);
        status.longest_rebuild = Duration::from_nanos(get(&self.longest_rebuild));
        status.evictions = get(&self.evictions);
        status.open_breakers = self.open_breakers.load(Ordering::Relaxed);
        status.faults = FaultKind::ALL
            .into_iter()
            .zip(self.faults.iter().map(get))
            .collect();
    }
}

impl PluginStatus {
    pub(super) fn new(name: &str, state: PluginState) -> PluginStatus {
        PluginStatus {
            name: name.to_owned(),
            version: None,
            summary: String::new(),
            types: Vec::new(),
            state,
            calls: 0,
            faults: Vec::new(),
            rebuilds: 0,
            longest_rebuild: Duration::ZERO,
            time: Duration::ZERO,
            longest_call: Duration::ZERO,
            open_breakers: 0,
            live_instances: 0,
            evictions: 0,
            log_lines: 0,
            log_lines_dropped: 0,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
