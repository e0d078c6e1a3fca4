//! Calls queues when they have asked to be called. Not what they do then.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::queue::Schedule;
use crate::vhost::Broker;

/// The wall clock may be set while we sleep: it is looked at again this often.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// After this many calls others get the thread.
const CALLS_AT_ONCE: usize = 64;

pub(super) async fn run(schedule: Arc<Schedule>, broker: Arc<Broker>, clock: Arc<dyn Clock>) {
    loop {
        let mut calls = 0;
        while let Some(queue) = schedule.take_due(clock.now()) {
            broker.call_queue(queue);
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
            () = schedule.earlier() => {}
        }
    }
}
