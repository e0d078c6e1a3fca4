//! Puts definitions into effect: the one place where exchanges, queues and bindings come to be,
//! whether a client declares them or the store remembers them. Checks nothing that a client may
//! get wrong (see `exchange_declare.rs`, `queue_declare.rs`, `binding.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::broker::Found;
use super::definition::{Arguments, BindingDefinition, ExchangeDefinition, QueueDefinition};
use super::exchange::{Binding, Bound, Exchange, Identity, Target};
use super::exchange_type::{BindRefusal, OpenRefusal};
use super::kept::{Kept, Owner};
use super::{Incoming, QueueArguments, Vhost};
use crate::names::{Destination, QueueId};
use crate::queue::{Attributes, Beginning, Queue, QueueType};
use crate::store::Backlogs;

/// The exchanges that every virtual host has: name, type, internal.
const PREDECLARED: [(&str, &str, bool); 6] = [
    ("amq.direct", "direct", false),
    ("amq.fanout", "fanout", false),
    ("amq.topic", "topic", false),
    ("amq.headers", "headers", false),
    ("amq.match", "headers", false),
    ("amq.rabbitmq.trace", "topic", true),
];

impl Vhost {
    pub(super) fn predeclare(&self) {
        for (name, type_name, internal) in PREDECLARED {
            self.recover_exchange(ExchangeDefinition {
                name: name.to_owned(),
                type_name: type_name.to_owned(),
                durable: true,
                auto_delete: false,
                internal,
                arguments: Arguments::default(),
            });
        }
    }

    /// Callers hold `changing`, or nobody else knows the vhost yet.
    pub(super) fn apply_exchange(
        &self,
        definition: ExchangeDefinition,
    ) -> Result<Arc<Exchange>, OpenRefusal> {
        let id = self.shared.last_exchange.fetch_add(1, Ordering::Relaxed) + 1;
        let types = self.shared.types.as_ref();
        let kept = self.kept_for(&definition);
        let exchange = Exchange::open(id, &self.name, definition, types, kept)?;
        Ok(self.add_exchange(exchange))
    }

    /// As a rule the exchange comes behind; one that every virtual host has is there already.
    pub(super) fn remember(&self, exchange: String, remembered: super::Remembered) {
        if let Some(there) = self.exchange(&exchange) {
            let (type_name, key, value) = remembered;
            return there.kept().remember(&type_name, key, value);
        }
        let mut all = self.remembered.lock();
        all.entry(exchange).or_default().push(remembered);
    }

    fn kept_for(&self, definition: &ExchangeDefinition) -> Kept {
        let owner = Owner {
            vhost: Arc::clone(&self.name),
            exchange: Arc::from(definition.name.as_str()),
            durable: definition.durable,
        };
        let kept = Kept::new(owner, Arc::clone(&self.shared.unwritten));
        let remembered = self.remembered.lock();
        for (type_name, key, value) in remembered.get(&definition.name).into_iter().flatten() {
            kept.remember(type_name, key.clone(), value.clone());
        }
        kept
    }

    fn add_exchange(&self, exchange: Exchange) -> Arc<Exchange> {
        let exchange = Arc::new(exchange);
        self.give_alternate(&exchange);
        self.give_front_to(&exchange, None);
        self.exchanges
            .write()
            .insert(Arc::clone(&exchange.name), Arc::clone(&exchange));
        exchange
    }

    /// A type that is not there any more makes the exchange unavailable; it is never deleted.
    pub(super) fn recover_exchange(&self, definition: ExchangeDefinition) {
        if let Err(refusal) = self.apply_exchange(definition.clone()) {
            let name = &definition.name;
            tracing::error!(exchange = %name, ?refusal, "exchange is unavailable");
            let id = self.shared.last_exchange.fetch_add(1, Ordering::Relaxed) + 1;
            let types = self.shared.types.as_ref();
            let kept = self.kept_for(&definition);
            let name = &self.name;
            let away = Exchange::unavailable(id, name, definition.clone(), types, kept);
            self.add_exchange(away);
        }
        self.remembered.lock().remove(&definition.name);
    }

    pub(super) fn apply_queue(
        &self,
        id: QueueId,
        name: &str,
        attributes: Attributes,
        arguments: &QueueArguments,
        recovered: &Backlogs,
        all_redelivered: bool,
    ) -> Arc<Queue> {
        let beginning = Beginning {
            recovered,
            all_redelivered,
            max_priority: attributes.max_priority,
            single_active_consumer: attributes.single_active_consumer,
            counts_returns: attributes.queue_type == QueueType::Quorum,
            options: self.effective_options(name, arguments),
        };
        let vhost = Arc::clone(&self.name);
        let home = &self.shared.home;
        let queue = Queue::new(id, Arc::from(name), vhost, attributes, home, beginning);
        let queue = Arc::new(queue);
        queue.set_tap(self.tap.read().as_ref());
        self.shared.registry.add(&queue);
        self.queues
            .write()
            .insert(Arc::clone(&queue.name), Arc::clone(&queue));
        queue
    }

    pub(super) fn recover_queue(&self, definition: QueueDefinition, found: &Found) {
        let QueueDefinition {
            name,
            id,
            auto_delete,
            arguments,
        } = definition;
        let id = QueueId::from(id);
        let parsed = QueueArguments::parse(&arguments.0).unwrap_or_else(|error| {
            let vhost = &self.name;
            tracing::error!(queue = %name, text = error.text(&name, vhost), "arguments ignored");
            QueueArguments::default()
        });
        let attributes = Attributes {
            durable: true,
            exclusive: None,
            auto_delete,
            queue_type: parsed.queue_type,
            max_priority: parsed.max_priority.unwrap_or(0),
            single_active_consumer: parsed.single_active_consumer,
            arguments: arguments.0,
        };
        let none = Backlogs::default();
        let recovered = found.backlogs.get(&id).unwrap_or(&none);
        self.apply_queue(id, &name, attributes, &parsed, recovered, found.unclean);
    }

    /// `Ok(None)`: one end is missing.
    pub(super) fn apply_binding(
        &self,
        incoming: &mut Incoming,
        source: &Arc<Exchange>,
        identity: Identity,
    ) -> Result<Option<(Bound, bool)>, BindRefusal> {
        let (target, durable) = match &identity.destination {
            Destination::Queue(name) => match self.queue(name) {
                Some(queue) => {
                    let durable = queue.attributes.outlives_run();
                    (Target::Queue(queue), durable)
                }
                None => return Ok(None),
            },
            Destination::Exchange(name) => match self.exchange(name) {
                Some(exchange) => {
                    let durable = exchange.definition.durable;
                    (Target::Exchange(exchange), durable)
                }
                None => return Ok(None),
            },
        };
        let durable = durable && source.definition.durable;
        let bound = source.bind(Binding {
            destination: identity.destination.clone(),
            target,
            routing_key: identity.routing_key.clone(),
            arguments: identity.arguments.clone(),
            durable,
        })?;
        let destination = identity.destination.clone();
        incoming
            .entry(destination)
            .or_default()
            .insert((Arc::clone(&source.name), identity));
        Ok(Some((bound, durable)))
    }

    pub(super) fn recover_binding(&self, definition: BindingDefinition) {
        let mut incoming = self.changing.lock();
        let Some(source) = self.exchange(&definition.source) else {
            tracing::error!(source = %definition.source, "binding of an exchange that is not there");
            return;
        };
        let identity = Identity {
            destination: definition.destination.into(),
            routing_key: definition.routing_key,
            arguments: definition.arguments.0,
        };
        match self.apply_binding(&mut incoming, &source, identity) {
            Ok(Some(_)) => {}
            Ok(None) => tracing::error!(source = %source.name, "binding to nothing"),
            Err(refusal) => {
                tracing::error!(source = %source.name, ?refusal, "binding was refused at start");
            }
        }
    }
}
