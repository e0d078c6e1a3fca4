//! When an exchange whose plugin keeps failing is left alone, and when it is tried again.
//! Pure: time comes in, what to do comes out.

use crate::clock::Millis;

/// So many strikes within `STRIKE_WINDOW` open the breaker.
pub(super) const STRIKES: usize = 3;
pub(super) const STRIKE_WINDOW: Millis = 10_000;
pub(super) const FIRST_PAUSE: Millis = 1_000;
pub(super) const LONGEST_PAUSE: Millis = 60_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Breaker {
    /// Calls go through. Holds when the last strikes were, oldest first.
    Closed {
        strikes: [Option<Millis>; STRIKES - 1],
    },
    /// No calls until `until`.
    Open { until: Millis, pause: Millis },
    /// One call is being tried.
    Trial { pause: Millis },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Call,
    /// The one call that decides whether the breaker closes.
    Trial,
    Refused {
        retry_in: Millis,
    },
}

impl Breaker {
    pub const fn new() -> Breaker {
        Breaker::Closed {
            strikes: [None; STRIKES - 1],
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Breaker::Closed { .. } => true,
            Breaker::Open { .. } | Breaker::Trial { .. } => false,
        }
    }

    pub fn admit(&mut self, now: Millis) -> Admission {
        match *self {
            Breaker::Closed { .. } => Admission::Call,
            Breaker::Open { until, pause } => {
                let retry_in = until.saturating_sub(now);
                // More than the pause is left only when the wall clock was set back.
                if retry_in > 0 && retry_in <= pause {
                    return Admission::Refused { retry_in };
                }
                *self = Breaker::Trial { pause };
                Admission::Trial
            }
            Breaker::Trial { .. } => Admission::Trial,
        }
    }

    /// A call failed. True when no further call may be made now.
    pub fn strike(&mut self, now: Millis) -> bool {
        match *self {
            Breaker::Closed { strikes } => {
                let recent = |at: &Millis| now.saturating_sub(*at) < STRIKE_WINDOW;
                let kept = strikes.into_iter().flatten().filter(recent);
                let mut next = [None; STRIKES - 1];
                let mut places = next.iter_mut();
                for at in kept.chain(std::iter::once(now)) {
                    match places.next() {
                        Some(place) => *place = Some(at),
                        None => {
                            *self = Breaker::open(now, FIRST_PAUSE);
                            return true;
                        }
                    }
                }
                *self = Breaker::Closed { strikes: next };
                false
            }
            Breaker::Trial { pause } => {
                *self = Breaker::open(now, pause.saturating_mul(2).min(LONGEST_PAUSE));
                true
            }
            Breaker::Open { .. } => true,
        }
    }

    /// A call succeeded. True when that closed the breaker.
    pub fn success(&mut self) -> bool {
        match self {
            Breaker::Closed { .. } => false,
            Breaker::Open { .. } | Breaker::Trial { .. } => {
                *self = Breaker::new();
                true
            }
        }
    }

    fn open(now: Millis, pause: Millis) -> Breaker {
        Breaker::Open {
            until: now.saturating_add(pause),
            pause,
        }
    }
}
