//! When queues want to be looked at again: for messages that expire and for their own end. A leaf
//! lock. Not the waiting (see `server/`), and not what happens then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::clock::Millis;
use crate::names::QueueId;

#[derive(Default)]
pub struct Schedule {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    times: BinaryHeap<Reverse<(Millis, QueueId)>>,
    /// Something was added that comes before everything else, and nobody has heard of it.
    earlier: bool,
    waker: Option<Waker>,
}

impl Schedule {
    /// The queue is called at this time, or a little later. A time cannot be taken back: whoever is
    /// called looks for itself what there is to do.
    pub fn call(&self, queue: QueueId, at: Millis) {
        let mut inside = self.inside.lock();
        let first = inside.times.peek();
        let is_first = first.is_none_or(|Reverse((first, _))| at < *first);
        inside.times.push(Reverse((at, queue)));
        if !is_first {
            return;
        }
        inside.earlier = true;
        let waker = inside.waker.take();
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// When the next one is to be called.
    pub fn next(&self) -> Option<Millis> {
        let inside = self.inside.lock();
        inside.times.peek().map(|Reverse((at, _))| *at)
    }

    /// One queue whose time has come.
    pub fn take_due(&self, now: Millis) -> Option<QueueId> {
        let times = &mut self.inside.lock().times;
        match times.peek() {
            Some(Reverse((at, _))) if *at <= now => times.pop().map(|Reverse((_, queue))| queue),
            Some(_) | None => None,
        }
    }

    /// Ready when something was added that comes before everything else.
    pub fn poll_earlier(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inside = self.inside.lock();
        if std::mem::take(&mut inside.earlier) {
            return Poll::Ready(());
        }
        inside.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_called_in_the_order_of_their_times_and_never_before() {
        let schedule = Schedule::default();
        for (queue, at) in [(1, 30), (2, 10), (3, 20)] {
            schedule.call(QueueId(queue), at);
        }
        assert_eq!(schedule.next(), Some(10));
        assert_eq!(schedule.take_due(9), None);
        let due: Vec<u64> = std::iter::from_fn(|| schedule.take_due(20))
            .map(|queue| queue.0)
            .collect();
        assert_eq!(due, [2, 3]);
        assert_eq!(schedule.next(), Some(30));
    }

    #[test]
    fn whoever_waits_hears_of_an_earlier_time_only() {
        let schedule = Schedule::default();
        let mut context = Context::from_waker(Waker::noop());
        assert!(schedule.poll_earlier(&mut context).is_pending());
        schedule.call(QueueId(1), 10);
        assert!(schedule.poll_earlier(&mut context).is_ready());
        schedule.call(QueueId(2), 20);
        assert!(schedule.poll_earlier(&mut context).is_pending());
    }
}
