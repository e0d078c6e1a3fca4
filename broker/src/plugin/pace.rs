//! How fast an exchange's instance has been, and what follows from it: the worker's own thread or
//! the plugin's slow lane. Pure: durations come in.

use std::time::Duration;

/// An exchange whose calls take longer than this on average is not called on a worker.
pub(super) const SLOW_CALL: Duration = Duration::from_micros(100);

/// A rebuild that takes longer than this is not done on a worker.
pub(super) const SLOW_REBUILD: Duration = Duration::from_millis(1);

/// No single call counts for more than this: a worker that lost its processor in the middle of a
/// call must not look like a slow plugin, and one that is slow is so again and again.
const HEAVIEST_CALL: Duration = Duration::from_millis(1);

/// A new call counts for one part in so many.
const CALL_WEIGHT: u64 = 32;
const BIND_WEIGHT: u64 = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    call_nanos: u64,
    open_nanos: u64,
    bind_nanos: u64,
}

impl Pace {
    pub fn called(&mut self, took: Duration) {
        self.call_nanos = average(self.call_nanos, took.min(HEAVIEST_CALL), CALL_WEIGHT);
    }

    /// A call that had to be ended weighs in full.
    pub fn timed_out(&mut self, took: Duration) {
        self.call_nanos = self.call_nanos.max(nanos(took));
    }

    pub fn opened(&mut self, took: Duration) {
        self.open_nanos = nanos(took);
    }

    pub fn bound(&mut self, took: Duration) {
        self.bind_nanos = average(self.bind_nanos, took, BIND_WEIGHT);
    }

    /// The whole table was bound at once.
    pub fn rebuilt(&mut self, binds: Duration, bindings: usize) {
        if let Some(each) = nanos(binds).checked_div(bindings as u64) {
            self.bind_nanos = each;
        }
    }

    pub fn calls_are_slow(&self) -> bool {
        self.call_nanos > nanos(SLOW_CALL)
    }

    pub fn rebuild_is_slow(&self, bindings: usize) -> bool {
        let binds = self.bind_nanos.saturating_mul(bindings as u64);
        self.open_nanos.saturating_add(binds) > nanos(SLOW_REBUILD)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn average(old: u64, took: Duration, weight: u64) -> u64 {
    let new = nanos(took);
    if old == 0 {
        return new;
    }
    old - old / weight + new / weight
}
