//! Calls queues when they have asked to be called. Not what they do then.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::names::QueueId;
use crate::queue::Schedule;

/// The wall clock may be set while we sleep: it is looked at again this often.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// After this many calls others get the thread.
const CALLS_AT_ONCE: usize = 64;

pub(super) async fn run(schedule: Arc<Schedule>, clock: Arc<dyn Clock>, call: impl Fn(QueueId)) {
    loop {
        let mut calls = 0;
        while let Some(queue) = schedule.take_due(clock.now()) {
            call(queue);
            calls += 1;
            if calls % CALLS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        let sleep = match schedule.next() {
            Some(at) => Duration::from_millis(at.saturating_sub(clock.now())),
            None => LONGEST_SLEEP,
        };
        tokio::select! {
            () = tokio::time::sleep(sleep.min(LONGEST_SLEEP)) => {}
            () = poll_fn(|context| schedule.poll_earlier(context)) => {}
        }
    }
}
