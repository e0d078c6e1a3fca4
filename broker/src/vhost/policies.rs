//! The policies of one virtual host, and the one place where they reach its queues and exchanges.
//! What a policy means is in `policy.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::definition::Definition;
use super::exchange::Exchange;
use super::front::named;
use super::policy::{Object, Origin, Policy, PolicyDefinition, alternate, combine, winner};
use super::{DoorError, Kind, QueueArguments, Saved, Vhost, check_name};
use crate::queue::{Effects, Options, Queue};

/// By origin and name: so they are gone through in the order of their names.
#[derive(Default)]
pub(super) struct Policies(BTreeMap<(Origin, String), Policy>);

impl Policies {
    fn of(&self, origin: Origin) -> impl Iterator<Item = &Policy> {
        let of_origin = self.0.iter().filter(move |((by, _), _)| *by == origin);
        of_origin.map(|(_, policy)| policy)
    }

    fn winner(&self, origin: Origin, object: Object, name: &str) -> Option<&Policy> {
        winner(self.of(origin), object, name)
    }
}

/// Which policies a queue or exchange has, for whoever lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    pub policy: Option<String>,
    pub operator: Option<String>,
}

/// What a policy would be for.
pub struct Matched {
    pub queues: Vec<Arc<Queue>>,
    pub exchanges: Vec<Arc<Exchange>>,
}

impl Vhost {
    pub fn set_policy(&self, origin: Origin, stated: PolicyDefinition) -> Result<Saved, DoorError> {
        check_name(&stated.name)?;
        let name = stated.name.clone();
        let told = stated.clone();
        let policy = Policy::new(origin, stated).map_err(DoorError::InvalidPolicy)?;
        let mut effects = Effects::default();
        let saved = {
            let _changing = self.change().map_err(|_| self.missing())?;
            let row = self.policy_row(origin, &policy.stated).put();
            self.add_policy(origin, policy);
            self.policies_changed(&mut effects);
            self.save(vec![row])
        };
        effects.apply();
        self.tell(Kind::PolicySet, &name, |facts| {
            facts
                .text("pattern", &told.pattern)
                .text("apply-to", &told.apply_to)
                .number("priority", told.priority)
                .json(
                    "definition",
                    &serde_json::Value::Object(told.definition.clone()),
                )
        });
        Ok(saved)
    }

    pub fn clear_policy(&self, origin: Origin, name: &str) -> Result<Saved, DoorError> {
        let mut effects = Effects::default();
        let saved = {
            let _changing = self.change().map_err(|_| self.missing())?;
            let removed = self.policies.write().0.remove(&(origin, name.to_owned()));
            let policy = removed.ok_or(DoorError::NoSuchPolicy)?;
            self.policies_changed(&mut effects);
            self.save(vec![self.policy_row(origin, &policy.stated).remove()])
        };
        effects.apply();
        self.tell(Kind::PolicyCleared, name, |facts| facts);
        Ok(saved)
    }

    /// The queues and the exchanges of now that a policy like this would be for.
    pub fn matches(&self, origin: Origin, stated: PolicyDefinition) -> Result<Matched, DoorError> {
        let policy = Policy::new(origin, stated).map_err(DoorError::InvalidPolicy)?;
        let is_for =
            |queue: &Queue| policy.is_for(Object::Queue(queue.attributes.queue_type), &queue.name);
        let mut queues = self.queues();
        queues.retain(|queue| is_for(queue));
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        let mut exchanges = self.exchanges();
        exchanges.retain(|exchange| policy.is_for(Object::Exchange, &exchange.name));
        Ok(Matched { queues, exchanges })
    }

    pub fn policies(&self, origin: Origin) -> Vec<PolicyDefinition> {
        let policies = self.policies.read();
        let stated = policies.of(origin).map(|policy| policy.stated.clone());
        stated.collect()
    }

    pub fn policies_of_queue(&self, queue: &Queue) -> InForce {
        let object = Object::Queue(arguments_of(queue).queue_type);
        self.in_force(object, &queue.name)
    }

    pub fn policies_of_exchange(&self, exchange: &Exchange) -> InForce {
        self.in_force(Object::Exchange, &exchange.name)
    }

    /// What these two say together: of a number that both name, the smaller one.
    pub fn effective_policy_definition(&self, in_force: &InForce) -> Map<String, Value> {
        let policies = self.policies.read();
        let find = |origin, name: &Option<String>| {
            let key = (origin, name.clone()?);
            policies.0.get(&key).map(|policy| &policy.stated.definition)
        };
        let own = find(Origin::User, &in_force.policy);
        let mut effective = own.cloned().unwrap_or_default();
        for (key, bound) in find(Origin::Operator, &in_force.operator)
            .into_iter()
            .flatten()
        {
            let smaller = match (effective.get(key).and_then(Value::as_i64), bound.as_i64()) {
                (Some(own), Some(bound)) => own <= bound,
                (_, _) => false,
            };
            if !smaller {
                effective.insert(key.clone(), bound.clone());
            }
        }
        effective
    }

    fn in_force(&self, object: Object, name: &str) -> InForce {
        let policies = self.policies.read();
        let name_of = |origin| {
            let won = policies.winner(origin, object, name);
            won.map(|policy| policy.name().to_owned())
        };
        InForce {
            policy: name_of(Origin::User),
            operator: name_of(Origin::Operator),
        }
    }

    /// Says nothing to the objects that are there: they are told by `policies_changed`, and those
    /// to come ask themselves.
    fn add_policy(&self, origin: Origin, policy: Policy) {
        let keys: Vec<&str> = policy.mirroring().collect();
        if !keys.is_empty() {
            let (vhost, name) = (&self.name, policy.name());
            let keys = keys.join(", ");
            tracing::warn!(%vhost, policy = name, keys, "queues are not mirrored: no effect");
        }
        let key = (origin, policy.name().to_owned());
        self.policies.write().0.insert(key, policy);
    }

    pub(super) fn recover_policy(&self, origin: Origin, stated: PolicyDefinition) {
        let name = stated.name.clone();
        match Policy::new(origin, stated) {
            Ok(policy) => self.add_policy(origin, policy),
            Err(error) => tracing::error!(policy = name, %error, "policy has no effect"),
        }
    }

    pub(super) fn policy_row(&self, origin: Origin, stated: &PolicyDefinition) -> Definition {
        Definition::Policy {
            vhost: self.name.to_string(),
            origin,
            policy: stated.clone(),
        }
    }

    /// What a queue of this name and with these arguments is like under the policies of now.
    pub(super) fn effective_options(&self, name: &str, arguments: &QueueArguments) -> Options {
        let policies = self.policies.read();
        let object = Object::Queue(arguments.queue_type);
        let won = |origin| policies.winner(origin, object, name);
        combine(arguments, won(Origin::User), won(Origin::Operator))
    }

    /// Every queue there is and every one to come gets its options here.
    pub(super) fn give_options(&self, queue: &Queue, effects: &mut Effects) {
        let options = self.effective_options(&queue.name, &arguments_of(queue));
        queue.set_options(options, effects);
    }

    pub(super) fn interceptors_by_policy(&self, exchange: &str) -> Vec<String> {
        let policies = self.policies.read();
        let policy = policies.winner(Origin::User, Object::Exchange, exchange);
        policy.map(named).unwrap_or_default()
    }

    pub(super) fn give_alternate(&self, exchange: &Exchange) {
        let policies = self.policies.read();
        let policy = policies.winner(Origin::User, Object::Exchange, &exchange.name);
        exchange.set_alternate(alternate(exchange.own_alternate(), policy));
    }

    /// Callers hold `changing`: nothing is declared meanwhile.
    fn policies_changed(&self, effects: &mut Effects) {
        let exchanges: Vec<Arc<Exchange>> = self.exchanges.read().values().cloned().collect();
        for exchange in exchanges {
            self.give_alternate(&exchange);
        }
        self.give_fronts(None);
        for queue in self.queues() {
            self.give_options(&queue, effects);
        }
    }
}

/// They were right when the queue was declared.
fn arguments_of(queue: &Queue) -> QueueArguments {
    QueueArguments::parse(&queue.attributes.arguments).unwrap_or_default()
}
