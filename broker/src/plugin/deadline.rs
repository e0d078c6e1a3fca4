//! When a running call has had its time. Deadlines are ticks of the wall clock, but a thread that
//! waits for a processor must not lose its call for that: time on the processor decides.
//! Not the ticking (see `engine`).

use std::time::Duration;

use wasmtime::{Store, UpdateDeadline};

use super::engine::deadline_ticks;
use super::state::HostState;

/// On a machine so overloaded that a call gets no processor for as many halves of its time, the
/// call ends anyway.
const MOST_EXTENSIONS: u32 = 40;

/// A call runs for half of its time without being looked at. What it used of the processor is
/// known only from then on: asking at the start of every call costs as much as the call itself.
#[derive(Default)]
pub(super) struct Deadline {
    half: u64,
    extensions: u32,
    /// The thread's processor time when the call was first looked at.
    seen: Option<Duration>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Continue,
    End,
}

impl Deadline {
    fn new(timeout: Duration) -> Deadline {
        Deadline {
            half: deadline_ticks(timeout / 2),
            extensions: 0,
            seen: None,
        }
    }

    /// Half of the call's time went by on the wall clock; `processor` is the thread's own.
    fn passed(&mut self, processor: Option<Duration>) -> Verdict {
        let Some(now) = processor else {
            return Verdict::End;
        };
        self.extensions += 1;
        let used = now.saturating_sub(*self.seen.get_or_insert(now));
        // A tick may come late or early: half of a half on the processor is no waiting for it.
        if used >= ticks(self.half) / 2 || self.extensions > MOST_EXTENSIONS {
            Verdict::End
        } else {
            Verdict::Continue
        }
    }
}

fn ticks(count: u64) -> Duration {
    super::engine::TICK.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Once for every store.
pub(super) fn install(store: &mut Store<HostState>) {
    store.epoch_deadline_callback(|mut context| {
        let deadline = &mut context.data_mut().deadline;
        Ok(match deadline.passed(processor_time()) {
            Verdict::Continue => UpdateDeadline::Continue(deadline.half),
            Verdict::End => UpdateDeadline::Interrupt,
        })
    });
}

/// Before every call: a deadline that is not set anew is the rest of the last one.
pub(super) fn arm(store: &mut Store<HostState>, timeout: Duration) {
    let deadline = Deadline::new(timeout);
    store.set_epoch_deadline(deadline.half);
    store.data_mut().deadline = deadline;
}

/// What this thread has used of the processor so far; None where that cannot be asked.
fn processor_time() -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one `timespec` through the pointer, which points to one that is
    // alive and not borrowed elsewhere, and keeps nothing.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    if failed != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn who_runs_is_ended_at_the_second_half() {
        let mut deadline = Deadline::new(Duration::from_millis(4));
        assert_eq!(deadline.passed(at(1_000)), Verdict::Continue);
        assert_eq!(deadline.passed(at(1_003)), Verdict::End);
    }

    #[test]
    fn who_waits_for_a_processor_is_not_ended_for_it() {
        let mut deadline = Deadline::new(Duration::from_millis(4));
        for _ in 0..MOST_EXTENSIONS {
            assert_eq!(deadline.passed(at(1_000)), Verdict::Continue);
        }
        assert_eq!(deadline.passed(at(1_000)), Verdict::End, "but not for ever");
    }

    #[test]
    fn who_gets_a_processor_in_slices_is_ended_after_enough_of_them() {
        let mut deadline = Deadline::new(Duration::from_millis(4));
        let verdicts = (0..4).map(|slice| deadline.passed(at(1_000 + slice)));
        let ended = verdicts.filter(|verdict| *verdict == Verdict::End).count();
        assert_eq!(ended, 2);
    }

    #[test]
    fn without_a_processor_clock_the_wall_clock_rules() {
        let mut deadline = Deadline::new(Duration::from_millis(4));
        assert_eq!(deadline.passed(None), Verdict::End);
    }

    #[test]
    fn the_processor_clock_goes_on_with_work() {
        let begun = processor_time().expect("is there");
        while processor_time().expect("is there") == begun {
            std::hint::spin_loop();
        }
    }
}
