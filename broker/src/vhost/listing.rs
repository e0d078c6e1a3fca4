//! What is in a virtual host, for whoever lists it. Nothing here changes anything.

use std::sync::Arc;

use super::exchange::{Binding, Target};
use super::{Exchange, ExchangeCounts, Kind, Vhost};
use crate::names::{Destination, Slot};
use crate::queue::Queue;
use crate::tally::Messages;

/// A binding and the exchange that it is of.
pub struct ListedBinding {
    pub source: Arc<str>,
    pub destination: Destination,
    pub routing_key: String,
    /// Encoded AMQP field table without the length in front.
    pub arguments: Vec<u8>,
    /// Ends with the connection that its queue belongs to.
    pub of_exclusive_queue: bool,
}

impl Vhost {
    /// By name. The default exchange is not among them: it is no exchange here, but the table of
    /// queue names.
    pub fn exchanges(&self) -> Vec<Arc<Exchange>> {
        let mut exchanges: Vec<_> = self.exchanges.read().values().cloned().collect();
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        exchanges
    }

    /// The default exchange counts here.
    pub fn count_default(&self, published: u64, routed: u64) {
        self.counted_by_default_exchange.published_in.add(published);
        self.counted_by_default_exchange.published_out.add(routed);
    }

    pub fn counted_by_default_exchange(&self) -> &ExchangeCounts {
        &self.counted_by_default_exchange
    }

    /// A queue goes; what it has counted stays in the vhost's sums.
    pub(super) fn count_gone(&self, queue: &Queue) {
        let churn = self.shared.connections.churn();
        churn.queues_deleted.add(1);
        self.tell(Kind::QueueDeleted, &queue.name, |facts| facts);
        let counted = queue.look().counted;
        *self.counted_by_queues_before.lock() += counted;
        let connections = &self.shared.connections;
        connections.add_gone_queue(queue.attributes.queue_type, counted);
    }

    /// By queues that are deleted.
    pub fn counted_by_queues_before(&self) -> Messages {
        *self.counted_by_queues_before.lock()
    }

    pub fn exchange_count(&self) -> usize {
        self.exchanges.read().len()
    }

    pub fn queue_count(&self) -> usize {
        self.queues.read().len()
    }
}

impl Exchange {
    /// What the slots of an answer stand for.
    pub fn bindings_at(&self, slots: &[Slot]) -> Vec<ListedBinding> {
        let found = self.live_bindings_at(slots);
        found.iter().map(|binding| self.listed(binding)).collect()
    }

    pub fn bindings(&self) -> Vec<ListedBinding> {
        let bindings = self.live_bindings();
        bindings
            .iter()
            .map(|binding| self.listed(binding))
            .collect()
    }

    fn listed(&self, binding: &Binding) -> ListedBinding {
        ListedBinding {
            source: Arc::clone(&self.name),
            destination: binding.destination.clone(),
            routing_key: binding.routing_key.clone(),
            arguments: binding.arguments.clone(),
            of_exclusive_queue: match &binding.target {
                Target::Queue(queue) => queue.attributes.exclusive.is_some(),
                Target::Exchange(_) => false,
            },
        }
    }
}
