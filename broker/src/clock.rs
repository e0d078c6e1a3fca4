//! Wall-clock time and randomness as parameters, so that tests can hold them still. Not timers (see
//! `store/`).

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// When a message is not wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(Millis);

impl Expiry {
    pub const NEVER: Expiry = Expiry(Millis::MAX);

    pub fn at(time: Millis) -> Expiry {
        Expiry(time)
    }

    pub fn is_due(self, now: Millis) -> bool {
        self.0 <= now
    }

    pub fn time(self) -> Option<Millis> {
        (self != Expiry::NEVER).then_some(self.0)
    }
}

pub trait Clock: Send + Sync {
    fn now(&self) -> Millis;
}

/// The machine's own clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as Millis)
    }
}

/// Time since this was made, which nobody can set.
pub struct Uptime(std::time::Instant);

impl Default for Uptime {
    fn default() -> Uptime {
        Uptime(std::time::Instant::now())
    }
}

impl Clock for Uptime {
    fn now(&self) -> Millis {
        self.0.elapsed().as_millis() as Millis
    }
}

/// Randomness as a parameter, for the same reason.
pub trait Entropy: Send + Sync {
    fn bytes(&self) -> [u8; 16];
}

/// The operating system's randomness.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bytes(&self) -> [u8; 16] {
        rand::random()
    }
}
