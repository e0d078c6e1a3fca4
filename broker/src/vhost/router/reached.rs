//! The queues that a walk has reached, each once. Knows nothing of how it came there.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::names::QueueId;
use crate::queue::Queue;

/// Looking through more queues than this one by one costs more than hashing.
const FEW: usize = 16;

/// A publisher's next message goes to the same queues as a rule. Those of the walk before stay until
/// this walk is over, and are compared: counting each up and down would cost more than the rest of it.
#[derive(Default)]
pub struct Reached {
    /// Of this walk up to `count`; behind that of the one before.
    queues: Vec<Arc<Queue>>,
    count: usize,
    /// The same, once they are more than a few.
    many: HashSet<QueueId>,
}

impl Reached {
    pub(super) fn add(&mut self, queue: &Arc<Queue>) {
        if !self.is_new(queue.id) {
            return;
        }
        match self.queues.get_mut(self.count) {
            Some(before) if Arc::ptr_eq(before, queue) => {}
            Some(before) => *before = Arc::clone(queue),
            None => self.queues.push(Arc::clone(queue)),
        }
        self.count += 1;
    }

    fn is_new(&mut self, id: QueueId) -> bool {
        if self.count < FEW {
            return !self.iter().any(|other| other.id == id);
        }
        if self.many.is_empty() {
            let reached = self.queues.iter().take(self.count);
            self.many.extend(reached.map(|queue| queue.id));
        }
        self.many.insert(id)
    }

    pub fn retain(&mut self, stays: impl Fn(&Queue) -> bool) {
        self.queues.truncate(self.count);
        self.queues.retain(|queue| stays(queue));
        self.count = self.queues.len();
        self.many.clear();
    }

    pub(super) fn clear(&mut self) {
        self.queues.truncate(self.count);
        self.count = 0;
        self.many.clear();
    }
}

impl Deref for Reached {
    type Target = [Arc<Queue>];

    fn deref(&self) -> &[Arc<Queue>] {
        self.queues.get(..self.count).unwrap_or_default()
    }
}

impl Clone for Reached {
    fn clone(&self) -> Reached {
        Reached {
            queues: self.to_vec(),
            count: self.count,
            many: HashSet::new(),
        }
    }
}
