//! How a loaded plugin is doing, by the breakers of its exchanges. Pure: times come in. Not the
//! breakers themselves (see `breaker`).

use crate::clock::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Running,
    /// The breaker of at least one exchange is open.
    Degraded {
        reason: String,
    },
    /// The breakers of all exchanges are open: nothing of this plugin works.
    Tripped {
        reason: String,
    },
}

#[derive(Debug)]
pub(super) struct Health {
    exchanges: usize,
    open: usize,
    condition: Condition,
    since: Millis,
}

impl Health {
    pub fn new(now: Millis) -> Health {
        Health {
            exchanges: 0,
            open: 0,
            condition: Condition::Running,
            since: now,
        }
    }

    pub fn condition(&self) -> (&Condition, Millis) {
        (&self.condition, self.since)
    }

    pub fn exchanges(&self) -> usize {
        self.exchanges
    }

    pub fn open_breakers(&self) -> usize {
        self.open
    }

    /// These return the condition when it is another one than before.
    pub fn exchange_came(&mut self, now: Millis) -> Option<&Condition> {
        self.exchanges += 1;
        self.look(None, now)
    }

    pub fn exchange_went(&mut self, its_breaker_was_open: bool, now: Millis) -> Option<&Condition> {
        self.exchanges = self.exchanges.saturating_sub(1);
        self.open = self.open.saturating_sub(usize::from(its_breaker_was_open));
        self.look(None, now)
    }

    pub fn breaker_opened(&mut self, reason: &str, now: Millis) -> Option<&Condition> {
        self.open += 1;
        self.look(Some(reason), now)
    }

    pub fn breaker_closed(&mut self, now: Millis) -> Option<&Condition> {
        self.open = self.open.saturating_sub(1);
        self.look(None, now)
    }

    fn look(&mut self, reason: Option<&str>, now: Millis) -> Option<&Condition> {
        let reason = || match (reason, &self.condition) {
            (Some(reason), _) => reason.to_owned(),
            (None, Condition::Degraded { reason } | Condition::Tripped { reason }) => {
                reason.clone()
            }
            (None, Condition::Running) => String::new(),
        };
        let condition = if self.open == 0 {
            Condition::Running
        } else if self.open < self.exchanges {
            Condition::Degraded { reason: reason() }
        } else {
            Condition::Tripped { reason: reason() }
        };
        let same = std::mem::discriminant(&condition) == std::mem::discriminant(&self.condition);
        self.condition = condition;
        if same {
            return None;
        }
        self.since = now;
        Some(&self.condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_open_breakers_degrade_a_plugin_and_all_of_them_trip_it() {
        let mut health = Health::new(1);
        health.exchange_came(2);
        health.exchange_came(2);
        assert_eq!(health.condition(), (&Condition::Running, 1));
        let reason = "trap".to_owned();
        let degraded = Condition::Degraded {
            reason: reason.clone(),
        };
        assert_eq!(health.breaker_opened("trap", 3), Some(&degraded));
        let tripped = Condition::Tripped {
            reason: "loop".to_owned(),
        };
        assert_eq!(health.breaker_opened("loop", 4), Some(&tripped));
        assert_eq!(health.condition().1, 4);
        // A new exchange works: not everything is broken any more.
        assert!(matches!(
            health.exchange_came(5),
            Some(Condition::Degraded { .. })
        ));
        assert_eq!(health.exchange_went(true, 6), None);
        assert_eq!(health.breaker_closed(7), Some(&Condition::Running));
        assert_eq!(health.condition(), (&Condition::Running, 7));
    }
}
