//! How much of one connection is worked off before others have their turn: who has always more to do
//! would keep them waiting otherwise. Not who is held back (see `gate.rs`).

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of a connection that is alone. Short enough that one which comes meanwhile waits some milliseconds.
pub(super) const TURN_MAX: usize = 512 * 1024;

/// However many there are: below, changing turns would cost more than the turns.
const TURN_MIN: usize = 16 * 1024;

/// What all connections with more to do take together before the first has its next turn. With so many
/// that each takes the least, a round grows with their number.
const ROUND: usize = 4 * 1024 * 1024;

/// Connections that wait for their next turn.
#[derive(Default)]
pub(super) struct Turns {
    waiting: AtomicUsize,
}

impl Turns {
    /// Comes back when it is the caller's turn again, with the octets that it may take then.
    pub(super) async fn next(&self) -> usize {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let waiting = self.waiting.fetch_sub(1, Ordering::Relaxed);
        turn(waiting)
    }
}

/// With so many who wait for one.
fn turn(waiting: usize) -> usize {
    (ROUND / waiting.max(1)).clamp(TURN_MIN, TURN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_the_shorter_the_more_wait_for_theirs() {
        assert_eq!(turn(1), TURN_MAX);
        assert_eq!(turn(8), TURN_MAX);
        assert_eq!(turn(64), ROUND / 64);
        assert_eq!(turn(100_000), TURN_MIN);
    }
}
