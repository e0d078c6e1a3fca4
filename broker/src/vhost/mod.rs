//! Topology and routing: what exists in a virtual host and where a published message goes.
//! Not sessions and not sockets; plugins are seen only through `exchange_type`.

mod administration;
mod apply;
mod binding;
mod broker;
mod connections;
mod dead_letter;
mod declared;
pub mod definition;
mod erlang;
mod exchange;
mod exchange_declare;
pub mod exchange_type;
mod facts;
mod front;
mod internal;
pub mod kept;
mod limits;
mod listing;
mod live;
mod memo;
mod news;
mod parameters;
mod policies;
pub mod policy;
mod policy_keys;
mod publish;
mod queue_arguments;
mod queue_declare;
mod renew;
mod reply;
mod router;
mod service_rows;
mod taps;
mod timers;
mod told;
mod written_behind;
mod x_death;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

pub use crate::queue::tell_consumers;
pub use administration::{DoorError, Metadata, Seed, VhostLimits, bound, check_name};
pub use binding::BindingRequest;
pub use broker::{Broker, Parts};
pub use connections::{Connections, Entering, Full, Presence};
pub use declared::Declared;
pub use exchange::{Exchange, ExchangeCounts, Target};
pub use exchange_declare::ExchangeRequest;
pub use facts::{ChannelFacts, ChannelMode, Churn, ConnectionFacts, Introduction};
pub use front::{Front, Interceptor, Interceptors, NoBindings};
use kept::Kept;
pub use listing::ListedBinding;
pub use live::Stage;
pub use memo::Memo;
pub use news::{Concerns, Event, Facts, Kind, Listening, News};
pub use parameters::{CLUSTER_NAME, Parameter};
pub use policies::{InForce, Matched};
pub use publish::{ConfirmTo, Handed, Transaction};
pub use queue_arguments::{MAX_EXPIRY, QueueArguments, parse_age};
pub use queue_declare::QueueRequest;
pub use renew::{Loss, NotRenewed, Renewed};
pub use reply::{REPLY_TO, is_reply_name};
pub use router::{Route, Step, Waiting, carbon_copies, foresee};
pub use service_rows::ServiceRow;
pub use taps::{Trace, TraceFormat, Wish};
pub use written_behind::WRITE_BEHIND;

use crate::clock::{Clock, Entropy};
use crate::names::Destination;
use crate::queue::{Called, Effects, Home, Queue, QueueRegistry};
use crate::store::{DefinitionChange, Move};
use crate::tally::Messages;
use crate::trace::Tap;
use exchange::Identity;
use exchange_type::ExchangeTypes;
use parameters::Parameters;
use policies::Policies;
use written_behind::Unwritten;

pub struct Vhost {
    pub name: Arc<str>,
    shared: Arc<Shared>,
    exchanges: RwLock<HashMap<Arc<str>, Arc<Exchange>>>,
    queues: RwLock<HashMap<Arc<str>, Arc<Queue>>>,
    metadata: RwLock<Metadata>,
    limits: RwLock<VhostLimits>,
    policies: RwLock<Policies>,
    parameters: Parameters,
    /// Until its exchange has come back: what an earlier run kept for it.
    remembered: Mutex<HashMap<String, Vec<Remembered>>>,
    counted_by_default_exchange: ExchangeCounts,
    counted_by_queues_before: Mutex<Messages>,
    deleted: AtomicBool,
    /// Its firehose is on.
    traced: AtomicBool,
    /// `tap` is there: read for every message.
    tapped: AtomicBool,
    tap: RwLock<Option<Arc<Tap>>>,
    /// Of the default exchange.
    front: Front,
    /// What its interceptors keep: in memory, as long as the broker runs.
    kept_in_front: Kept,
    /// Held while the topology changes, so that the store sees changes in the order they happened.
    changing: Mutex<Incoming>,
}

/// Type, key and value.
type Remembered = (String, Vec<u8>, Vec<u8>);

/// Bindings by where they lead, for when that goes away.
type Incoming = HashMap<Destination, HashSet<(Arc<str>, Identity)>>;

/// What all virtual hosts of a broker share.
struct Shared {
    home: Arc<Home>,
    types: Arc<dyn ExchangeTypes>,
    registry: Arc<QueueRegistry>,
    connections: Arc<Connections>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    last_exchange: AtomicU64,
    unwritten: Arc<Unwritten>,
    /// A runtime parameter has come, changed or gone.
    parameters_changed: watch::Sender<()>,
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

    /// The same for a queue that is new: whoever declares it again meanwhile has to wait too.
    fn save_new(&self, queue: &Arc<Queue>, definition: DefinitionChange) -> Saved {
        queue.set_saved(false);
        let queue = Arc::clone(queue);
        self.commit_and(vec![definition], move || queue.set_saved(true))
    }

    /// Whether anything can be kept at all.
    pub fn touch(&self) -> Saved {
        self.after_all_before()
    }

    /// Everything that stands in the store's mailbox now, synced.
    fn after_all_before(&self) -> Saved {
        self.commit(Vec::new())
    }

    fn commit(&self, definitions: Vec<DefinitionChange>) -> Saved {
        self.commit_and(definitions, || {})
    }

    fn commit_and(
        &self,
        definitions: Vec<DefinitionChange>,
        also: impl FnOnce() + Send + 'static,
    ) -> Saved {
        self.shared.commit_and(definitions, also)
    }

    /// Callers hold `changing`.
    fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }
}

impl Shared {
    fn commit(&self, definitions: Vec<DefinitionChange>) -> Saved {
        self.commit_and(definitions, || {})
    }

    fn commit_and(
        &self,
        definitions: Vec<DefinitionChange>,
        also: impl FnOnce() + Send + 'static,
    ) -> Saved {
        let (done, saved) = oneshot::channel();
        self.home.store.commit(Move {
            definitions,
            synced: true,
            done: Some(Box::new(move || {
                also();
                // Nobody waits any more when the connection is gone.
                let _ = done.send(());
            })),
            ..Move::default()
        });
        Saved::Later(saved)
    }
}
