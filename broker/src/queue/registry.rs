//! Queues by their number in the store: how the store's answers find their queue. Not topology.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use super::Queue;
use crate::names::QueueId;

#[derive(Default)]
pub struct QueueRegistry {
    queues: RwLock<HashMap<QueueId, Arc<Queue>>>,
}

impl QueueRegistry {
    pub fn add(&self, queue: &Arc<Queue>) {
        self.queues.write().insert(queue.id, Arc::clone(queue));
    }

    pub fn remove(&self, id: QueueId) {
        self.queues.write().remove(&id);
    }

    pub fn get(&self, id: QueueId) -> Option<Arc<Queue>> {
        self.queues.read().get(&id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Queue>> {
        self.queues.read().values().cloned().collect()
    }
}
