//! Waiting for conditions instead of for time.

use std::time::{Duration, Instant};

/// Generous: the machine may be busy. Only a broken broker takes as long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Asks until the answer is yes; panics after `deadline`.
#[track_caller]
pub fn eventually(deadline: Duration, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < until, "not within {deadline:?}");
        std::thread::sleep(INTERVAL);
    }
}

/// As [`eventually`], for a condition that has to be awaited.
pub async fn soon(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + deadline;
    while !condition().await {
        assert!(Instant::now() < until, "{what}: not within {deadline:?}");
        tokio::time::sleep(INTERVAL).await;
    }
}
