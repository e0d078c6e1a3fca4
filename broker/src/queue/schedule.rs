//! When queues want to be looked at again: for messages that expire and for their own end. A leaf
//! lock. Not the waiting (see `server/`), and not what happens then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Millis;
use crate::names::QueueId;

#[derive(Default)]
pub struct Schedule {
    times: Mutex<BinaryHeap<Reverse<(Millis, QueueId)>>>,
    earlier: Notify,
}

impl Schedule {
    /// The queue is called at this time, or a little later. A time cannot be taken back: whoever is
    /// called looks for itself what there is to do.
    pub fn call(&self, queue: QueueId, at: Millis) {
        let mut times = self.times.lock();
        let is_first = times.peek().is_none_or(|Reverse((first, _))| at < *first);
        times.push(Reverse((at, queue)));
        drop(times);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// When the next one is to be called.
    pub fn next(&self) -> Option<Millis> {
        let times = self.times.lock();
        times.peek().map(|Reverse((at, _))| *at)
    }

    /// One queue whose time has come.
    pub fn take_due(&self, now: Millis) -> Option<QueueId> {
        let mut times = self.times.lock();
        match times.peek() {
            Some(Reverse((at, _))) if *at <= now => times.pop().map(|Reverse((_, queue))| queue),
            Some(_) | None => None,
        }
    }

    /// Something was added that comes before everything else.
    pub async fn earlier(&self) {
        self.earlier.notified().await;
    }
}
