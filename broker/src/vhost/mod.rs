//! Topology and routing: what exists in a virtual host and where a published message goes.
//! Not sessions and not sockets; plugins are seen only through `exchange_type`.

mod apply;
mod binding;
mod broker;
mod dead_letter;
pub mod definition;
mod exchange;
mod exchange_declare;
pub mod exchange_type;
mod memo;
mod publish;
mod queue_arguments;
mod queue_declare;
mod reply;
mod router;
mod timers;
mod x_death;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

pub use binding::BindingRequest;
pub use broker::{Broker, Parts};
pub use exchange::Exchange;
pub use exchange_declare::ExchangeRequest;
pub use memo::Memo;
pub use publish::{ConfirmTo, Handed, Transaction};
pub use queue_arguments::{MAX_EXPIRY, QueueArguments, parse_age};
pub use queue_declare::QueueRequest;
pub use reply::{REPLY_TO, is_reply_name};
pub use router::{Route, Step, Waiting, carbon_copies};

use crate::clock::{Clock, Entropy};
use crate::names::Destination;
use crate::queue::{Called, Effects, Home, Queue, QueueRegistry};
use crate::store::{DefinitionChange, Move};
use exchange::Identity;
use exchange_type::ExchangeTypes;

pub struct Vhost {
    pub name: Arc<str>,
    shared: Arc<Shared>,
    exchanges: RwLock<HashMap<Arc<str>, Arc<Exchange>>>,
    queues: RwLock<HashMap<Arc<str>, Arc<Queue>>>,
    /// Held while the topology changes, so that the store sees changes in the order they happened.
    changing: Mutex<Incoming>,
}

/// Bindings by where they lead, for when that goes away.
type Incoming = HashMap<Destination, HashSet<(Arc<str>, Identity)>>;

/// What all virtual hosts of a broker share.
struct Shared {
    home: Arc<Home>,
    types: Arc<dyn ExchangeTypes>,
    registry: Arc<QueueRegistry>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    last_exchange: AtomicU64,
}

/// Whether the change is on disk, and if not, what to wait for before telling the client.
#[must_use = "a durable change is told only after it is synced"]
pub enum Saved {
    Nothing,
    Later(oneshot::Receiver<()>),
}

impl Vhost {
    pub fn exchange(&self, name: &str) -> Option<Arc<Exchange>> {
        self.exchanges.read().get(name).cloned()
    }

    pub fn queue(&self, name: &str) -> Option<Arc<Queue>> {
        self.queues.read().get(name).cloned()
    }

    pub fn queues(&self) -> Vec<Arc<Queue>> {
        self.queues.read().values().cloned().collect()
    }

    /// An alarm of this queue has gone off: it asked to be looked at now.
    fn call_queue(&self, queue: &Arc<Queue>) {
        let mut effects = Effects::default();
        match queue.called(&mut effects) {
            Called::Fine => {}
            // If somebody consumes meanwhile it stays.
            Called::Unused => match self.delete_queue(queue, true, false) {
                Ok((deleted, _saved)) => drop(deleted),
                Err(refusal) => tracing::debug!(queue = %queue.name, ?refusal, "used after all"),
            },
        }
        effects.apply();
    }

    /// Callers hold `changing`.
    fn save(&self, definitions: Vec<DefinitionChange>) -> Saved {
        if definitions.is_empty() {
            return Saved::Nothing;
        }
        self.commit(definitions)
    }

    /// Everything that stands in the store's mailbox now, synced.
    fn after_all_before(&self) -> Saved {
        self.commit(Vec::new())
    }

    fn commit(&self, definitions: Vec<DefinitionChange>) -> Saved {
        let (done, saved) = oneshot::channel();
        self.shared.home.store.commit(Move {
            definitions,
            synced: true,
            done: Some(Box::new(move || {
                // Nobody waits any more when the connection is gone.
                let _ = done.send(());
            })),
            ..Move::default()
        });
        Saved::Later(saved)
    }
}
