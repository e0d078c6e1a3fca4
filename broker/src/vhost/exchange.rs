//! An exchange: its bindings, which are the truth, and the live instance that decides over them,
//! which can be built again from them. Not the walk from exchange to exchange (see `router.rs`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;
use smallvec::SmallVec;

use super::Declared;
use super::definition::ExchangeDefinition;
use super::exchange_type::{
    BindRefusal, BindingTable, BindingView, ExchangeTypes, Inputs, OpenRefusal,
};
use super::front::Front;
use super::kept::Kept;
use super::live::{Instances, Live, Stage};
use crate::amqp::table::{Table, Value};
use crate::message::Message;
use crate::names::{Destination, Slot};
use crate::queue::Queue;
use crate::tally::Shared;

pub struct Exchange {
    /// Differs from that of any other exchange of this run, also of an earlier one of this name.
    pub id: u64,
    pub name: Arc<str>,
    pub definition: ExchangeDefinition,
    /// Where messages go that its bindings give no destination: its argument, or a policy.
    alternate: RwLock<Option<Arc<str>>>,
    bindings: RwLock<Bindings>,
    generation: AtomicU64,
    deleted: AtomicBool,
    front: Front,
    counted: ExchangeCounts,
    /// For questions that no memo answers; changed while the vhost's change lock is held.
    live: RwLock<Arc<Live>>,
    /// What the answers of the outer and of the inner instance depend on: asked for every publish.
    declared: [Declared; 2],
    /// How many messages wait for the type to come back.
    waiting: AtomicU64,
    /// What its instances want to find again.
    kept: Kept,
}

/// What an exchange has seen. Publishers add to it once a batch.
#[derive(Debug, Default)]
pub struct ExchangeCounts {
    pub published_in: Shared,
    /// Queues that it went to, added up.
    pub published_out: Shared,
}

/// Where a binding leads, live.
#[derive(Clone)]
pub enum Target {
    Queue(Arc<Queue>),
    Exchange(Arc<Exchange>),
}

pub struct Binding {
    pub destination: Destination,
    pub target: Target,
    pub routing_key: String,
    pub arguments: Vec<u8>,
    pub durable: bool,
}

#[derive(Default)]
struct Bindings {
    slots: Vec<Option<Arc<Binding>>>,
    free: Vec<Slot>,
    by_identity: HashMap<Identity, Slot>,
}

/// AMQP knows a binding by these three.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub destination: Destination,
    pub routing_key: String,
    pub arguments: Vec<u8>,
}

/// What came of a bind.
pub enum Bound {
    New {
        slot: Slot,
        /// Messages that the exchange has kept for whoever is bound now, the oldest first.
        replay: Vec<Arc<Message>>,
    },
    /// It was there before.
    Same,
}

/// Live queues and exchanges behind the slots of one answer, each once.
pub type Targets = SmallVec<[Target; 2]>;

impl Exchange {
    /// Opens the live instances. `OpenRefusal::UnknownType` becomes an unavailable exchange only
    /// where the caller says so (recovery).
    pub fn open(
        id: u64,
        vhost: &str,
        definition: ExchangeDefinition,
        types: &dyn ExchangeTypes,
        kept: Kept,
    ) -> Result<Exchange, OpenRefusal> {
        let live = Live::open(vhost, &definition, types, &kept)?;
        Ok(Exchange::with(id, definition, live, kept))
    }

    pub fn unavailable(
        id: u64,
        vhost: &str,
        definition: ExchangeDefinition,
        types: &dyn ExchangeTypes,
        kept: Kept,
    ) -> Exchange {
        let live = Live::away(vhost, &definition, types, &kept, None);
        Exchange::with(id, definition, live, kept)
    }

    fn with(id: u64, definition: ExchangeDefinition, live: Live, kept: Kept) -> Exchange {
        let alternate = RwLock::new(own_alternate(&definition).map(Arc::from));
        Exchange {
            id,
            name: Arc::from(definition.name.as_str()),
            definition,
            alternate,
            front: Front::default(),
            bindings: RwLock::default(),
            generation: AtomicU64::new(0),
            deleted: AtomicBool::new(false),
            counted: ExchangeCounts::default(),
            declared: [Stage::Outer, Stage::Inner].map(|stage| Declared::new(inputs(&live, stage))),
            live: RwLock::new(Arc::new(live)),
            waiting: AtomicU64::new(0),
            kept,
        }
    }

    pub fn count(&self, published: u64, routed: u64) {
        self.counted.published_in.add(published);
        self.counted.published_out.add(routed);
    }

    pub fn counted(&self) -> &ExchangeCounts {
        &self.counted
    }

    /// What a message meets before this is asked.
    pub fn front(&self) -> &Front {
        &self.front
    }

    pub fn alternate(&self) -> Option<Arc<str>> {
        self.alternate.read().clone()
    }

    pub(super) fn set_alternate(&self, name: Option<Arc<str>>) {
        *self.alternate.write() = name;
    }

    /// The one it was declared with.
    pub(super) fn own_alternate(&self) -> Option<&str> {
        own_alternate(&self.definition)
    }

    /// Taken out of the topology; publishers that remember it must look again.
    pub fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Whether it is its own type that decides.
    pub fn is_available(&self) -> bool {
        self.live.read().is_available()
    }

    /// Whether it fails everything because its type is away.
    pub fn is_failing(&self) -> bool {
        self.live.read().is_failing()
    }

    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read())
    }

    /// Whether a change to these types concerns it.
    pub(super) fn depends_on(&self, changed: &HashSet<String>) -> bool {
        let type_name = &self.definition.type_name;
        self.live.read().depends_on(type_name, changed)
    }

    /// The new instances decide from now on; the old ones come back. Callers hold the vhost's
    /// change lock, and `live` has all bindings.
    pub(super) fn change_over(&self, live: Live) -> Arc<Live> {
        let live = Arc::new(live);
        // Some were counted and then not kept: a transaction that was rolled back.
        self.waiting.store(0, Ordering::Relaxed);
        let old = std::mem::replace(&mut *self.live.write(), Arc::clone(&live));
        self.declare(&live);
        old
    }

    /// Whether its type wants to be asked once for all keys of a message.
    pub(super) fn wants_whole_message(&self) -> bool {
        let live = self.live();
        let outer = live.instance(Stage::Outer);
        outer.is_some_and(|instance| instance.wants_whole_message())
    }

    /// Whether a client may make one more binding; the error is what it sees.
    pub(super) fn room_for_binding(&self) -> Result<(), String> {
        let live = self.live();
        let instances = live.instances();
        instances
            .iter()
            .try_for_each(|instance| instance.room_for_binding())
    }

    /// What decisions of this stage depend on. Wider than the truth for a moment at most: who
    /// remembers an answer compares with what the instance itself says.
    pub fn inputs(&self, stage: Stage) -> Inputs {
        let [outer, inner] = &self.declared;
        match stage {
            Stage::Outer => outer.get(),
            Stage::Inner => inner.get(),
        }
    }

    /// Before the generation grows, so that who sees the new one sees the new inputs.
    fn declare(&self, live: &Live) {
        let [outer, inner] = &self.declared;
        outer.set(inputs(live, Stage::Outer));
        inner.set(inputs(live, Stage::Inner));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// One more message waits for the type; false when there are `limit` already.
    pub(super) fn wait(&self, limit: u64) -> bool {
        let more = |waiting| (waiting < limit).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// A message that waited is asked about again. Those of an earlier run were not counted.
    pub(super) fn wait_over(&self) {
        let less = |waiting: u64| waiting.checked_sub(1);
        let _ = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Grows with every change to the bindings. Read before a decision is asked for: an answer
    /// belongs to the generation that was current before the question.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Callers hold the vhost's change lock, here and in `unbind`.
    pub fn bind(&self, binding: Binding) -> Result<Bound, BindRefusal> {
        let identity = Identity {
            destination: binding.destination.clone(),
            routing_key: binding.routing_key.clone(),
            arguments: binding.arguments.clone(),
        };
        let binding = Arc::new(binding);
        let slot = {
            let mut bindings = self.bindings.write();
            if bindings.by_identity.contains_key(&identity) {
                return Ok(Bound::Same);
            }
            bindings.insert(identity.clone(), Arc::clone(&binding))
        };
        let view = BindingView {
            slot,
            routing_key: &binding.routing_key,
            arguments: &binding.arguments,
        };
        let live = self.live();
        let mut taken: Instances<'_> = SmallVec::new();
        let mut replay = Vec::new();
        for instance in live.instances() {
            match instance.bind(view, self) {
                Ok(messages) => replay.extend(messages),
                Err(refusal) => {
                    self.bindings.write().remove(&identity);
                    taken
                        .iter()
                        .for_each(|instance| instance.unbind(slot, self));
                    self.declare(&live);
                    self.bindings.write().free.push(slot);
                    return Err(refusal);
                }
            }
            taken.push(instance);
        }
        self.declare(&live);
        Ok(Bound::New { slot, replay })
    }

    /// The removed binding, or none where there was none.
    pub fn unbind(&self, identity: &Identity) -> Option<Arc<Binding>> {
        let (slot, binding) = self.bindings.write().remove(identity)?;
        let live = self.live();
        live.instances()
            .iter()
            .for_each(|instance| instance.unbind(slot, self));
        self.declare(&live);
        // Only now: an answer from before must not find another binding in this slot unnoticed.
        self.bindings.write().free.push(slot);
        Some(binding)
    }

    pub fn is_bound(&self, identity: &Identity) -> bool {
        self.bindings.read().by_identity.contains_key(identity)
    }

    pub fn has_bindings(&self) -> bool {
        !self.bindings.read().by_identity.is_empty()
    }

    pub fn identities(&self) -> Vec<Identity> {
        self.bindings.read().by_identity.keys().cloned().collect()
    }

    pub(super) fn live_bindings_at(&self, slots: &[Slot]) -> Vec<Arc<Binding>> {
        let bindings = self.bindings.read();
        let found = slots
            .iter()
            .filter_map(|slot| bindings.slots.get(*slot as usize));
        found.flatten().cloned().collect()
    }

    pub(super) fn live_bindings(&self) -> Vec<Arc<Binding>> {
        let bindings = self.bindings.read();
        bindings.slots.iter().flatten().cloned().collect()
    }

    /// What the slots of an answer stand for; `None` when the bindings have changed since.
    pub fn targets(&self, slots: &[Slot], generation: u64) -> Option<Targets> {
        let bindings = self.bindings.read();
        if self.generation() != generation {
            return None;
        }
        let mut seen: hashbrown::HashSet<&Destination> = hashbrown::HashSet::new();
        let mut targets = Targets::new();
        for slot in slots {
            let Some(Some(binding)) = bindings.slots.get(*slot as usize) else {
                continue;
            };
            if slots.len() == 1 || seen.insert(&binding.destination) {
                targets.push(binding.target.clone());
            }
        }
        Some(targets)
    }
}

/// Nothing to be remembered of what is not asked.
fn inputs(live: &Live, stage: Stage) -> Inputs {
    live.instance(stage)
        .map_or(Inputs::Anything, |instance| instance.inputs())
}

fn own_alternate(definition: &ExchangeDefinition) -> Option<&str> {
    match Table::new(&definition.arguments.0).get("alternate-exchange") {
        Some(Value::Str(name)) => std::str::from_utf8(name).ok(),
        Some(_) | None => None,
    }
}

impl BindingTable for Exchange {
    fn for_each(&self, visit: &mut dyn FnMut(BindingView<'_>)) {
        // A plugin call must not happen under a lock.
        let slots = self.bindings.read().slots.clone();
        for (slot, binding) in slots.iter().enumerate() {
            if let Some(binding) = binding {
                visit(BindingView {
                    slot: slot as Slot,
                    routing_key: &binding.routing_key,
                    arguments: &binding.arguments,
                });
            }
        }
    }

    fn len(&self) -> usize {
        self.bindings.read().by_identity.len()
    }
}

impl Bindings {
    fn insert(&mut self, identity: Identity, binding: Arc<Binding>) -> Slot {
        let slot = self.free.pop().unwrap_or(self.slots.len() as Slot);
        match self.slots.get_mut(slot as usize) {
            Some(empty) => *empty = Some(binding),
            None => self.slots.push(Some(binding)),
        }
        self.by_identity.insert(identity, slot);
        slot
    }

    /// Leaves the slot empty but not free.
    fn remove(&mut self, identity: &Identity) -> Option<(Slot, Arc<Binding>)> {
        let slot = self.by_identity.remove(identity)?;
        let binding = self.slots.get_mut(slot as usize)?.take()?;
        Some((slot, binding))
    }
}
