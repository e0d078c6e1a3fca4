//! How fast an exchange's instance has been, and what follows from it: the worker's own thread or
//! the plugin's slow lane. Pure: durations come in.

use std::time::Duration;

use super::engine::TICK;

/// An exchange whose calls take longer than this on average is not called on a worker.
pub(super) const SLOW_CALL: Duration = Duration::from_micros(100);

/// A rebuild that takes longer than this is not done on a worker.
pub(super) const SLOW_REBUILD: Duration = Duration::from_millis(1);

/// No single call counts for more than this: a worker that lost its processor in the middle of a
/// call must not look like a slow plugin, and one that is slow is so again and again.
const HEAVIEST_CALL: Duration = Duration::from_millis(1);

/// Asking for the time twice costs a good part of a fast call: one call in so many is timed.
const TIMED_ONE_IN: u32 = 8;

/// After a call that was long, this many are timed without a gap.
const TIMED_AFTER_LONG: u32 = 32;

/// A new call counts for one part in so many.
const CALL_WEIGHT: u64 = 32;
const BIND_WEIGHT: u64 = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    call_nanos: u64,
    open_nanos: u64,
    bind_nanos: u64,
    /// How many calls from now on are not timed.
    untimed: u32,
    /// How many are timed because there was a long one.
    suspicious: u32,
}

impl Pace {
    /// Whether the next call's duration is asked for, to be told with `called`. The first one's is.
    pub fn is_next_timed(&mut self) -> bool {
        match self.untimed.checked_sub(1) {
            Some(left) => {
                self.untimed = left;
                false
            }
            None => true,
        }
    }

    pub fn called(&mut self, took: Duration) {
        self.call_nanos = average(self.call_nanos, took.min(HEAVIEST_CALL), CALL_WEIGHT);
        self.suspicious = if took > SLOW_CALL {
            TIMED_AFTER_LONG
        } else {
            self.suspicious.saturating_sub(1)
        };
        if self.suspicious == 0 && !self.calls_are_slow() {
            self.untimed = TIMED_ONE_IN - 1;
        }
    }

    /// What a call took that was not timed, and during which the ticker went on by `ticks`: the
    /// average, unless it was longer for certain.
    pub fn guess(&mut self, ticks: u64) -> Duration {
        let average = Duration::from_nanos(self.call_nanos);
        match ticks.checked_sub(1) {
            None => average,
            Some(whole) => {
                self.untimed = 0;
                self.suspicious = TIMED_AFTER_LONG;
                let whole = u32::try_from(whole).unwrap_or(u32::MAX);
                TICK.saturating_mul(whole).max(average)
            }
        }
    }

    /// How many keys one call may be about, so that it stays far from what a single one may take.
    pub fn calls_at_once(&self, timeout: Duration) -> usize {
        let most = nanos(timeout / 4).checked_div(self.call_nanos);
        usize::try_from(most.unwrap_or(1)).unwrap_or(usize::MAX)
    }

    /// A call that had to be ended weighs in full.
    pub fn timed_out(&mut self, took: Duration) {
        self.call_nanos = self.call_nanos.max(nanos(took));
    }

    /// Not of one that is to start with its first call.
    pub fn has_opened(&self) -> bool {
        self.open_nanos > 0
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
