//! When a connection that publishes faster than consumers take is read again. Not who rests (see
//! `queue/crowd.rs`), nor who is told to go on sooner (see `outbox/resting.rs`).

use std::mem;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::outbox::Outbox;
use crate::queue::Rest;

/// How long a publisher that is faster than the consumers lets them go ahead: this for each that rests
/// at the same time, so that all of them together publish what one would.
const REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A timer is kept for the next rest: nearly every one ends before its time, and tokio only notes that
/// a timer has longer than before, where a new one wakes the thread that waits for the first of all.
#[derive(Default)]
pub(super) enum Resting {
    #[default]
    Never,
    Before(Pin<Box<Sleep>>),
    Now(Rest, Pin<Box<Sleep>>),
}

impl Resting {
    pub fn begin(&mut self, rest: Rest) {
        let until = Instant::now() + (REST * rest.sharers()).min(LONGEST_REST);
        let timer = match mem::take(self) {
            Resting::Never => Box::pin(tokio::time::sleep_until(until)),
            Resting::Before(mut timer) | Resting::Now(_, mut timer) => {
                timer.as_mut().reset(until);
                timer
            }
        };
        *self = Resting::Now(rest, timer);
    }

    /// Ends a rest that is over.
    pub fn poll(&mut self, outbox: &Outbox, context: &mut Context<'_>) {
        *self = match mem::take(self) {
            Resting::Now(rest, mut timer) => {
                let goes_on = outbox.is_resting() && timer.as_mut().poll(context).is_pending();
                if goes_on {
                    Resting::Now(rest, timer)
                } else {
                    Resting::Before(timer)
                }
            }
            other @ (Resting::Never | Resting::Before(_)) => other,
        };
    }

    pub fn is_now(&self) -> bool {
        matches!(self, Resting::Now(..))
    }
}
