//! Whether a batch that could be begun waits a little for more. Not how it waits (see `mailbox.rs`).

use std::time::Duration;

/// Longer than this nobody is waited for, however slow the disk.
const MOST: Duration = Duration::from_millis(1);

/// After so many times in vain nobody is waited for any more.
const MOST_MISSED: u32 = 4;

/// After so many syncs it is tried again.
const TRY_AGAIN: u32 = 64;

/// How long a batch that could be begun waits for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gather {
    /// It is begun at once when it has so many items.
    pub(super) items: usize,
    pub(super) limit: Duration,
}

/// Whoever is told that a batch is synced publishes again a moment later. Without a little patience
/// two halves of one publisher's window would take turns, each waiting for the sync of the other.
pub(super) struct Company {
    mood: Mood,
    next: Option<Gather>,
}

enum Mood {
    /// What was expected came, but for so many times in a row.
    Awaiting { missed: u32 },
    /// It does not come. Tried again after so many syncs.
    Alone { syncs: u32 },
}

impl Default for Company {
    fn default() -> Company {
        Company {
            mood: Mood::Awaiting { missed: 0 },
            next: None,
        }
    }
}

impl Company {
    /// A sync took so long; so many publishes are confirmed by it, while so many items have come.
    pub(super) fn expect(&mut self, confirmed: u64, waiting: usize, took: Duration) {
        self.next = None;
        if confirmed < 2 {
            return;
        }
        match &mut self.mood {
            Mood::Awaiting { .. } => {
                self.next = Some(Gather {
                    items: waiting.saturating_add(confirmed as usize),
                    limit: took.min(MOST),
                });
            }
            Mood::Alone { syncs: 0 } => {
                self.mood = Mood::Awaiting {
                    missed: MOST_MISSED - 1,
                };
            }
            Mood::Alone { syncs } => *syncs -= 1,
        }
    }

    /// For the next batch.
    pub(super) fn gather(&self) -> Option<Gather> {
        self.next
    }

    /// A batch of so many items is begun. Most of what was expected is enough: some confirms are
    /// answered by no publish.
    pub(super) fn came(&mut self, items: usize) {
        let Some(gather) = self.next.take() else {
            return;
        };
        if let Mood::Awaiting { missed } = &mut self.mood {
            *missed = match items >= gather.items / 4 * 3 {
                true => 0,
                false => *missed + 1,
            };
            if *missed >= MOST_MISSED {
                self.mood = Mood::Alone { syncs: TRY_AGAIN };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(500);

    #[test]
    fn a_batch_waits_for_those_who_were_just_told_and_for_what_came_meanwhile() {
        let mut company = Company::default();
        assert_eq!(company.gather(), None);
        company.expect(60, 40, SYNC);
        let gather = Gather {
            items: 100,
            limit: SYNC,
        };
        assert_eq!(company.gather(), Some(gather));
        company.came(100);
        assert_eq!(company.gather(), None, "only the batch behind the sync");
    }

    #[test]
    fn one_publish_at_a_time_never_waits() {
        let mut company = Company::default();
        company.expect(1, 5, SYNC);
        assert_eq!(company.gather(), None);
    }

    #[test]
    fn nobody_is_waited_for_who_does_not_come_until_it_is_tried_again() {
        let mut company = Company::default();
        for _ in 0..MOST_MISSED {
            company.expect(100, 0, SYNC);
            assert!(company.gather().is_some());
            company.came(10);
        }
        for _ in 0..=TRY_AGAIN {
            company.expect(100, 0, SYNC);
            assert_eq!(company.gather(), None);
            company.came(10);
        }
        company.expect(100, 0, SYNC);
        assert!(company.gather().is_some());
        company.came(10);
        company.expect(100, 0, SYNC);
        assert_eq!(company.gather(), None, "one more miss is enough");
    }

    #[test]
    fn a_slow_disk_makes_nobody_wait_longer_than_the_most() {
        let mut company = Company::default();
        company.expect(2, 0, Duration::from_secs(1));
        assert_eq!(company.gather().map(|gather| gather.limit), Some(MOST));
    }
}
