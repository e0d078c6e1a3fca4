//! What is counted about a plugin, and how it is shown. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::check::Asked;
use super::fault::FaultKind;
use super::health::{Condition, Health};
use super::limits::Limits;
use super::manifest::Manifest;
use super::tracer::UploadCounts;
use crate::clock::Millis;
use crate::trace::LineCounts;

/// How a plugin came out of `PluginHost::load`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Loaded,
    /// It will be, once it is needed.
    Idle,
    Disabled,
    Refused(String),
}

#[derive(Clone, Debug)]
pub struct LoadReport {
    pub name: String,
    /// Of one that is loaded.
    pub kind: Option<PluginKind>,
    /// Of the `warren:exchange` package the component was built against.
    pub version: Option<String>,
    pub types: Vec<String>,
    pub asked: Vec<Asked>,
    pub outcome: Outcome,
}

/// Where a plugin stands. What it is now; since when is beside it in [`PluginStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// Being compiled and opened. A new version of a running plugin is not: the old one runs.
    Loading,
    /// Loaded once it is needed.
    Idle,
    Running,
    /// The breaker of at least one of its exchanges is open; `reason` is the last fault.
    Degraded {
        reason: String,
    },
    /// The breakers of all its exchanges are open.
    Tripped {
        reason: String,
    },
    /// By the configuration, or by whoever asked for it.
    Disabled,
    Refused {
        reason: String,
    },
}

impl PluginState {
    /// As it stands in logs and metric labels.
    pub fn name(&self) -> &'static str {
        match self {
            PluginState::Loading => "loading",
            PluginState::Idle => "idle",
            PluginState::Running => "running",
            PluginState::Degraded { .. } => "degraded",
            PluginState::Tripped { .. } => "tripped",
            PluginState::Disabled => "disabled",
            PluginState::Refused { .. } => "refused",
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self {
            PluginState::Loading
            | PluginState::Idle
            | PluginState::Running
            | PluginState::Disabled => None,
            PluginState::Degraded { reason }
            | PluginState::Tripped { reason }
            | PluginState::Refused { reason } => Some(reason),
        }
    }
}

/// What a plugin is to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    Exchange,
    Interceptor,
    Tracer,
    Service,
}

impl PluginKind {
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Exchange => "exchange",
            PluginKind::Interceptor => "interceptor",
            PluginKind::Tracer => "tracer",
            PluginKind::Service => "service",
        }
    }
}

/// A new version that did not come into force; the one before runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    pub reason: String,
    pub at: Millis,
}

#[derive(Clone, Debug)]
pub struct PluginStatus {
    pub name: String,
    pub kind: PluginKind,
    /// Of the `warren:exchange` package that the component was built against.
    pub version: Option<String>,
    /// What the component says of itself, where it carries it.
    pub manifest: Option<Manifest>,
    pub summary: String,
    pub types: Vec<String>,
    pub builtin: bool,
    pub state: PluginState,
    pub since: Millis,
    /// The last attempt at another version, if it failed.
    pub rolled_back: Option<RolledBack>,
    /// How often another version has come into force since the broker was started.
    pub replacements: u64,
    /// What its configuration grants.
    pub grants: Vec<String>,
    /// What its component has to be granted.
    pub asked: Vec<Asked>,
    pub limits: Limits,
    /// Of `route` and `due`.
    pub calls: u64,
    /// Messages that it has refused, remembered answers not counted.
    pub rejected: u64,
    /// Publishes that a remembered answer was found for.
    pub memo_hits: u64,
    /// Calls whose answer could have been a remembered one, by what the exchange's `inputs` say.
    pub memo_misses: u64,
    pub faults: Vec<(FaultKind, u64)>,
    pub rebuilds: u64,
    pub longest_rebuild: Duration,
    /// Of all calls. Most of the fast ones are not timed but taken for the average.
    pub time: Duration,
    pub longest_call: Duration,
    /// Calls by how long they took.
    pub call_times: Histogram,
    pub exchanges: usize,
    pub open_breakers: usize,
    pub live_instances: usize,
    /// Linear memory of all live instances, in bytes.
    pub memory: u64,
    pub evictions: u64,
    pub log_lines: u64,
    pub log_lines_dropped: u64,
    pub bindings: u64,
    pub state_keys: u64,
    /// Of keys, values and messages that are kept.
    pub state_bytes: u64,
    /// Changes over its limits, and messages that went before their time.
    pub state_refused: u64,
    /// Of a tracer.
    pub events: LineCounts,
    pub uploads: UploadCounts,
}

/// Calls by duration. `counts[i]` are those that took up to `Histogram::bound(i)`, but longer than
/// the bound before; the last one are all that took longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub counts: [u64; Histogram::BUCKETS],
}

impl Histogram {
    pub const BUCKETS: usize = 18;

    /// None for the last bucket.
    pub fn bound(bucket: usize) -> Option<Duration> {
        (bucket + 1 < Histogram::BUCKETS).then(|| Duration::from_nanos(FIRST_BOUND << bucket))
    }

    fn bucket(nanos: u64) -> usize {
        let over = nanos.saturating_sub(1) / FIRST_BOUND;
        let bucket = (u64::BITS - over.leading_zeros()) as usize;
        bucket.min(Histogram::BUCKETS - 1)
    }
}

/// A quarter of a microsecond: a call of a small component.
const FIRST_BOUND: u64 = 256;

/// Shared by all exchanges of one plugin, and by all its versions.
pub(super) struct Tallies {
    calls: Mutex<Calls>,
    health: Mutex<Health>,
    faults: [AtomicU64; FaultKind::ALL.len()],
    rebuilds: AtomicU64,
    longest_rebuild: AtomicU64,
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
    rejected: u64,
    hits: u64,
    misses: u64,
    nanos: u64,
    longest: u64,
    memory: u64,
    times: Histogram,
}

impl Sum {
    fn add(&mut self, counts: &Counts) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.calls += get(&counts.calls);
        self.rejected += get(&counts.rejected);
        self.hits += get(&counts.hits);
        self.misses += get(&counts.misses);
        self.nanos += get(&counts.nanos);
        self.longest = self.longest.max(get(&counts.longest));
        self.memory += get(&counts.memory);
        for (sum, count) in self.times.counts.iter_mut().zip(&counts.times) {
            *sum += u64::from(count.load(Ordering::Relaxed));
        }
    }
}

/// One exchange's calls.
#[derive(Default)]
pub(super) struct Counts {
    calls: AtomicU64,
    rejected: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
    memory: AtomicU64,
    times: [AtomicU32; Histogram::BUCKETS],
}

impl Counts {
    pub fn called(&self, took: Duration, could_be_remembered: bool) {
        self.add_call(took, u64::from(could_be_remembered));
    }

    /// One call that was about so many keys, none of which was remembered.
    pub fn called_by_key(&self, took: Duration, keys: usize) {
        self.add_call(took, keys as u64);
    }

    /// Callers hold the exchange's seat: nobody else writes, so no addition needs to be atomic.
    fn add_call(&self, took: Duration, misses: u64) {
        let nanos = nanos(took);
        let add = |count: &AtomicU64, more: u64| {
            count.store(
                count.load(Ordering::Relaxed).wrapping_add(more),
                Ordering::Relaxed,
            );
        };
        add(&self.calls, 1);
        add(&self.nanos, nanos);
        add(&self.misses, misses);
        if let Some(count) = self.times.get(Histogram::bucket(nanos)) {
            count.store(
                count.load(Ordering::Relaxed).wrapping_add(1),
                Ordering::Relaxed,
            );
        }
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.store(nanos, Ordering::Relaxed);
        }
    }

    pub fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Several at once: connections count them for themselves first.
    pub fn remembered(&self, hits: u64) {
        self.hits.fetch_add(hits, Ordering::Relaxed);
    }

    /// The linear memory of its live instance; 0 without one.
    pub fn uses(&self, memory: usize) {
        let memory = memory as u64;
        if self.memory.load(Ordering::Relaxed) != memory {
            self.memory.store(memory, Ordering::Relaxed);
        }
    }
}

impl Tallies {
    pub fn new(now: Millis) -> Tallies {
        Tallies {
            calls: Mutex::default(),
            health: Mutex::new(Health::new(now)),
            faults: Default::default(),
            rebuilds: AtomicU64::new(0),
            longest_rebuild: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    pub fn enrol(&self, now: Millis) -> Arc<Counts> {
        let counts = Arc::new(Counts::default());
        self.calls.lock().of_exchanges.push(Arc::clone(&counts));
        self.health.lock().exchange_came(now);
        counts
    }

    pub fn retire(&self, counts: &Arc<Counts>, its_breaker_is_open: bool, now: Millis) {
        self.health.lock().exchange_went(its_breaker_is_open, now);
        counts.uses(0);
        let mut calls = self.calls.lock();
        calls
            .of_exchanges
            .retain(|other| !Arc::ptr_eq(other, counts));
        calls.before.add(counts);
    }

    pub fn breaker_opened(&self, plugin: &str, reason: &str, now: Millis) {
        match self.health.lock().breaker_opened(reason, now) {
            Some(Condition::Tripped { reason }) => {
                tracing::error!(plugin, reason, "plugin tripped: nothing of it works");
            }
            Some(Condition::Degraded { reason }) => {
                tracing::warn!(plugin, reason, "plugin degraded");
            }
            Some(Condition::Running) | None => {}
        }
    }

    pub fn breaker_closed(&self, plugin: &str, now: Millis) {
        match self.health.lock().breaker_closed(now) {
            Some(Condition::Running) => tracing::info!(plugin, "plugin runs again"),
            Some(Condition::Degraded { .. } | Condition::Tripped { .. }) | None => {}
        }
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

    /// How a plugin that is loaded is doing.
    pub fn state(&self) -> (PluginState, Millis) {
        let health = self.health.lock();
        let (condition, since) = health.condition();
        let state = match condition.clone() {
            Condition::Running => PluginState::Running,
            Condition::Degraded { reason } => PluginState::Degraded { reason },
            Condition::Tripped { reason } => PluginState::Tripped { reason },
        };
        (state, since)
    }

    /// Everything that `status` can tell by counting.
    pub fn fill(&self, status: &mut PluginStatus) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let sum = self.sum();
        status.calls = sum.calls;
        status.rejected = sum.rejected;
        status.memo_hits = sum.hits;
        status.memo_misses = sum.misses;
        status.time = Duration::from_nanos(sum.nanos);
        status.longest_call = Duration::from_nanos(sum.longest);
        status.call_times = sum.times;
        status.memory = sum.memory;
        status.rebuilds = get(&self.rebuilds);
        status.longest_rebuild = Duration::from_nanos(get(&self.longest_rebuild));
        status.evictions = get(&self.evictions);
        status.faults = FaultKind::ALL
            .into_iter()
            .zip(self.faults.iter().map(get))
            .collect();
        let health = self.health.lock();
        status.open_breakers = health.open_breakers();
        status.exchanges = health.exchanges();
    }
}

impl PluginStatus {
    pub(super) fn new(name: &str, state: PluginState, since: Millis) -> PluginStatus {
        PluginStatus {
            name: name.to_owned(),
            kind: PluginKind::Exchange,
            version: None,
            manifest: None,
            summary: String::new(),
            types: Vec::new(),
            builtin: false,
            state,
            since,
            rolled_back: None,
            replacements: 0,
            grants: Vec::new(),
            asked: Vec::new(),
            limits: Limits::default(),
            calls: 0,
            rejected: 0,
            memo_hits: 0,
            memo_misses: 0,
            faults: Vec::new(),
            rebuilds: 0,
            longest_rebuild: Duration::ZERO,
            time: Duration::ZERO,
            longest_call: Duration::ZERO,
            call_times: Histogram::default(),
            exchanges: 0,
            open_breakers: 0,
            live_instances: 0,
            memory: 0,
            evictions: 0,
            log_lines: 0,
            log_lines_dropped: 0,
            bindings: 0,
            state_keys: 0,
            state_bytes: 0,
            state_refused: 0,
            events: LineCounts::default(),
            uploads: UploadCounts::default(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let bounds = (0..Histogram::BUCKETS).filter_map(Histogram::bound);
        for (bucket, bound) in bounds.enumerate() {
            assert_eq!(Histogram::bucket(nanos(bound)), bucket);
            assert_eq!(Histogram::bucket(nanos(bound) + 1), bucket + 1);
        }
        assert_eq!(Histogram::bucket(0), 0);
        assert_eq!(Histogram::bucket(u64::MAX), Histogram::BUCKETS - 1);
    }
}
