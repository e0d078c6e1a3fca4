//! All virtual hosts, and how they come back at start. Not one of them (see `Vhost`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::administration::{Metadata, Seed, VhostLimits};
use super::definition::Definition;
use super::exchange_type::ExchangeTypes;
use super::kept::Kept;
use super::memo::Room;
use super::parameters::{GlobalParameters, Parameters};
use super::reply::Replies;
use super::service_rows::ServiceRows;
use super::taps::Taps;
use super::{ExchangeCounts, Front, Incoming, Memo, Shared, Vhost};
use crate::clock::{Clock, Entropy};
use crate::names::{ConnectionId, QueueId, Seq};
use crate::queue::{DeadLetters, Effects, Home, Office, Pressure, Queue, QueueRegistry, Schedule};
use crate::store::{self, Move, Recovered, Store, Stored};

/// What connections may remember of their exchanges' answers, all together and in octets: a
/// connection with a million distinct keys of twenty octets holds about 55 MB. The process grows by
/// more, because tables that were outgrown are not given back at once.
const MEMO_ROOM: usize = 128 << 20;

pub struct Broker {
    pub(super) shared: Arc<Shared>,
    vhosts: RwLock<HashMap<Arc<str>, Arc<Vhost>>>,
    /// Held while virtual hosts come, go and change, so that the store sees it in this order.
    pub(super) changing_vhosts: Mutex<()>,
    last_connection: AtomicU64,
    /// Where dead letters went before.
    pub(super) dead_routes: Mutex<Memo>,
    memo_room: Arc<Room>,
    pub(super) replies: Replies,
    pub(super) global_parameters: GlobalParameters,
    pub(super) taps: Taps,
    pub(super) service_rows: ServiceRows,
}

/// What a broker is put together from.
pub struct Parts {
    pub store: Store,
    pub pressure: Arc<Pressure>,
    pub schedule: Arc<Schedule>,
    pub unwritten: Arc<Schedule>,
    pub uptime: Arc<dyn Clock>,
    pub types: Arc<dyn ExchangeTypes>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

/// What recovery needs to know about messages.
pub(super) struct Found {
    pub backlogs: HashMap<QueueId, store::Backlogs>,
    /// The last run did not end by itself: anything may have been delivered.
    pub unclean: bool,
}

impl Broker {
    /// For a connection that publishes.
    pub fn memo(&self) -> Memo {
        Memo::within(Arc::clone(&self.memo_room))
    }

    /// Builds everything the store remembers. `seed` is made when it remembers no vhost.
    pub fn recover(parts: Parts, recovered: Recovered, seed: &Seed) -> anyhow::Result<Arc<Broker>> {
        let Recovered {
            definitions,
            backlogs,
            clean,
            run,
        } = recovered;
        let broker = Broker {
            shared: Arc::new(Shared::new(parts, run)),
            vhosts: RwLock::default(),
            changing_vhosts: Mutex::default(),
            last_connection: AtomicU64::new(0),
            dead_routes: Mutex::default(),
            memo_room: Arc::new(Room::new(MEMO_ROOM)),
            replies: Replies::default(),
            global_parameters: GlobalParameters::default(),
            taps: Taps::default(),
            service_rows: ServiceRows::default(),
        };
        let backlogs = Found {
            backlogs: backlogs.into_iter().collect(),
            unclean: !clean,
        };
        let rows = definitions.iter();
        let mut definitions = rows
            .map(|(_, value)| Definition::read(value))
            .collect::<anyhow::Result<Vec<Definition>>>()?;
        definitions.sort_by_key(Definition::rank);
        for definition in definitions {
            broker.apply(definition, &backlogs)?;
        }
        if broker.vhosts.read().is_empty() {
            let mut definitions = Vec::new();
            for definition in seed.definitions() {
                definitions.push(definition.put());
                broker.apply(definition, &backlogs)?;
            }
            broker.shared.home.store.commit(Move {
                definitions,
                ..Move::default()
            });
        }
        let known: HashSet<QueueId> = broker
            .shared
            .registry
            .all()
            .iter()
            .map(|queue| queue.id)
            .collect();
        broker
            .shared
            .home
            .store
            .sweep_unknown(known.into_iter().collect());
        let broker = Arc::new(broker);
        let taker: Weak<dyn DeadLetters> = Arc::downgrade(&broker) as Weak<dyn DeadLetters>;
        broker.shared.home.office.open(taker);
        Ok(broker)
    }

    fn apply(&self, definition: Definition, backlogs: &Found) -> anyhow::Result<()> {
        let in_vhost = |name: &str| {
            self.vhost(name)
                .ok_or_else(|| anyhow::anyhow!("definition in unknown vhost '{name}'"))
        };
        match definition {
            Definition::Vhost {
                name,
                metadata,
                limits,
            } => drop(self.apply_vhost(&name, metadata, limits)),
            Definition::Policy {
                vhost,
                origin,
                policy,
            } => in_vhost(&vhost)?.recover_policy(origin, policy),
            Definition::Exchange { vhost, exchange } => {
                in_vhost(&vhost)?.recover_exchange(exchange);
            }
            Definition::Queue { vhost, queue } => in_vhost(&vhost)?.recover_queue(queue, backlogs),
            Definition::Binding { vhost, binding } => in_vhost(&vhost)?.recover_binding(binding),
            Definition::Parameter { vhost, parameter } => {
                in_vhost(&vhost)?.apply_parameter(parameter);
            }
            // Its virtual host goes in one batch with it.
            Definition::State {
                vhost,
                exchange,
                type_name,
                key,
                value,
            } => {
                if let Some(vhost) = self.vhost(&vhost) {
                    vhost.remember(exchange, (type_name, key.0, value.0));
                }
            }
            Definition::Service { row } => self.service_rows.recover(row),
            Definition::GlobalParameter { name, value } => {
                self.global_parameters.write().insert(name, value);
            }
        }
        Ok(())
    }

    pub(super) fn apply_vhost(
        &self,
        name: &str,
        metadata: Metadata,
        limits: VhostLimits,
    ) -> Arc<Vhost> {
        let vhost = Arc::new(Vhost {
            name: Arc::from(name),
            shared: Arc::clone(&self.shared),
            exchanges: RwLock::default(),
            queues: RwLock::default(),
            metadata: RwLock::new(metadata),
            limits: RwLock::new(limits),
            policies: RwLock::default(),
            parameters: Parameters::default(),
            remembered: Mutex::default(),
            counted_by_default_exchange: ExchangeCounts::default(),
            counted_by_queues_before: Mutex::default(),
            deleted: AtomicBool::new(false),
            traced: AtomicBool::new(false),
            tapped: AtomicBool::new(false),
            tap: RwLock::default(),
            front: Front::default(),
            kept_in_front: Kept::nowhere(),
            changing: Mutex::new(Incoming::default()),
        });
        vhost.predeclare();
        vhost.give_fronts(None);
        let name = Arc::clone(&vhost.name);
        self.vhosts.write().insert(name, Arc::clone(&vhost));
        self.tap_new(&vhost);
        vhost
    }

    pub(super) fn remove_vhost(&self, name: &str) {
        self.vhosts.write().remove(name);
    }

    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut vhosts: Vec<Arc<Vhost>> = self.vhosts.read().values().cloned().collect();
        vhosts.sort_by(|a, b| a.name.cmp(&b.name));
        vhosts
    }

    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.read().get(name).cloned()
    }

    pub fn store(&self) -> &Store {
        &self.shared.home.store
    }

    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.last_connection.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub fn random_name(&self, prefix: &str) -> String {
        self.shared.random_name(prefix)
    }

    pub fn queue_by_id(&self, id: QueueId) -> Option<Arc<Queue>> {
        self.shared.registry.get(id)
    }

    /// At a clean stop, after the last connection is gone.
    pub fn note_redelivered(&self) {
        self.shared
            .registry
            .all()
            .iter()
            .for_each(|queue| queue.note_redelivered());
    }

    /// After the store has been started: what was left by earlier runs may be over its time.
    pub fn begin(&self) {
        let mut effects = Effects::default();
        for queue in self.shared.registry.all() {
            queue.begin(&mut effects);
        }
        effects.apply();
    }

    /// A queue has asked to be called at about this time.
    pub fn call_queue(&self, id: QueueId) {
        if let Some(queue) = self.queue_by_id(id)
            && let Some(vhost) = self.vhost(&queue.vhost)
        {
            vhost.call_queue(&queue);
        }
    }

    /// The same for messages that are not written yet.
    pub fn write_late(&self, id: QueueId) {
        if let Some(queue) = self.queue_by_id(id) {
            queue.write_late();
        }
    }

    pub fn written(&self, queue: QueueId, upto: Seq) {
        if let Some(queue) = self.queue_by_id(queue) {
            let mut effects = Effects::default();
            queue.written(upto, &mut effects);
            effects.apply();
        }
    }

    pub fn loaded(&self, queue: QueueId, messages: Vec<Stored>) {
        if let Some(queue) = self.queue_by_id(queue) {
            let mut effects = Effects::default();
            queue.loaded(messages, &mut effects);
            effects.apply();
        }
    }
}

impl Shared {
    fn new(parts: Parts, run: u64) -> Shared {
        Shared {
            home: Arc::new(Home {
                store: parts.store,
                pressure: parts.pressure,
                clock: Arc::clone(&parts.clock),
                schedule: parts.schedule,
                unwritten: parts.unwritten,
                uptime: parts.uptime,
                office: Office::default(),
                run,
            }),
            types: parts.types,
            registry: Arc::new(QueueRegistry::default()),
            connections: Arc::default(),
            clock: parts.clock,
            entropy: parts.entropy,
            last_exchange: AtomicU64::new(0),
            unwritten: Arc::default(),
            parameters_changed: watch::Sender::new(()),
        }
    }

    /// RabbitMQ's form: a prefix and 22 characters.
    pub fn random_name(&self, prefix: &str) -> String {
        use base64::Engine as _;
        let random = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.entropy.bytes());
        format!("{prefix}{random}")
    }
}
