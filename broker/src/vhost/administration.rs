//! The door for whoever administers: virtual hosts come and go, and their limits and properties
//! change, while clients are connected. Users are behind `auth/`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::policy::{InvalidPolicy, Origin, PolicyDefinition};
use super::{Broker, Concerns, Connections, Kind, Saved, Vhost};
use crate::queue::{Consumer, QueueType};
use crate::store::DefinitionChange;

/// What is known about a virtual host besides what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub description: String,
    pub tags: Vec<String>,
    /// Of queues that are declared without x-queue-type.
    pub default_queue_type: Option<String>,
    pub protected_from_deletion: bool,
}

/// Negative is no limit, 0 is none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct VhostLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queues: Option<i64>,
}

/// A limit as it counts.
pub fn bound(limit: Option<i64>) -> Option<u64> {
    limit.and_then(|limit| u64::try_from(limit).ok())
}

/// Why something was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorError {
    NoSuchVhost(String),
    NoSuchUser(String),
    NoSuchPolicy,
    VhostExists(String),
    /// The vhost is not to be deleted.
    Protected(String),
    InvalidName,
    UnknownQueueType(String),
    InvalidPattern(String),
    InvalidPolicy(InvalidPolicy),
}

impl std::fmt::Display for DoorError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DoorError::NoSuchVhost(name) => write!(formatter, "vhost '{name}' does not exist"),
            DoorError::NoSuchUser(name) => write!(formatter, "user '{name}' does not exist"),
            DoorError::NoSuchPolicy => formatter.write_str("Parameter does not exist"),
            DoorError::VhostExists(name) => write!(formatter, "vhost '{name}' exists"),
            DoorError::Protected(name) => {
                write!(formatter, "vhost '{name}' is protected from deletion")
            }
            DoorError::InvalidName => formatter.write_str("a name has 1 to 255 octets"),
            DoorError::UnknownQueueType(name) => {
                write!(formatter, "unsupported queue type '{name}'")
            }
            DoorError::InvalidPattern(pattern) => {
                write!(formatter, "regular expression '{pattern}' is invalid")
            }
            DoorError::InvalidPolicy(invalid) => invalid.fmt(formatter),
        }
    }
}

impl std::error::Error for DoorError {}

/// A name that fits a key in the store, and AMQP's short string.
pub fn check_name(name: &str) -> Result<(), DoorError> {
    match name.len() {
        1..=255 => Ok(()),
        _ => Err(DoorError::InvalidName),
    }
}

/// What an empty store begins with.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    pub vhosts: Vec<(String, Metadata, VhostLimits)>,
    /// By vhost.
    pub policies: Vec<(String, Origin, PolicyDefinition)>,
}

impl Seed {
    /// One virtual host with nothing said about it.
    pub fn vhost(name: &str) -> Seed {
        Seed {
            vhosts: vec![(name.to_owned(), Metadata::default(), VhostLimits::default())],
            ..Seed::default()
        }
    }

    pub(super) fn definitions(&self) -> impl Iterator<Item = Definition> {
        let vhosts = self.vhosts.iter().cloned();
        let vhosts = vhosts.map(|(name, metadata, limits)| Definition::Vhost {
            name,
            metadata,
            limits,
        });
        let policies = self.policies.iter().cloned();
        vhosts.chain(policies.map(|(vhost, origin, policy)| Definition::Policy {
            vhost,
            origin,
            policy,
        }))
    }
}

impl Broker {
    pub fn create_vhost(&self, name: &str, metadata: Metadata) -> Result<Saved, DoorError> {
        check_name(name)?;
        check_queue_type(&metadata)?;
        let _changing = self.changing_vhosts.lock();
        if self.vhost(name).is_some() {
            return Err(DoorError::VhostExists(name.to_owned()));
        }
        let vhost = self.apply_vhost(name, metadata, VhostLimits::default());
        tracing::info!(vhost = name, "vhost created");
        self.tell_about(
            Kind::VhostCreated,
            Concerns::Vhost(Arc::from(name)),
            name,
            |facts| {
                let metadata = vhost.metadata();
                facts
                    .text("description", &metadata.description)
                    .texts("tags", &metadata.tags)
                    .flag("tracing", false)
            },
        );
        Ok(self.shared.commit(vec![vhost.own_row().put()]))
    }

    /// Its connections are closed, and everything in it is gone. The rows `along` go in the same
    /// batch: permissions are gone too when it is deleted by `auth::Users`.
    pub fn delete_vhost(
        &self,
        name: &str,
        along: Vec<DefinitionChange>,
    ) -> Result<Saved, DoorError> {
        let missing = || DoorError::NoSuchVhost(name.to_owned());
        let (consumers, saved) = {
            let _changing = self.changing_vhosts.lock();
            let vhost = self.vhost(name).ok_or_else(missing)?;
            if vhost.metadata.read().protected_from_deletion {
                return Err(DoorError::Protected(name.to_owned()));
            }
            let emptied = vhost.empty(along);
            self.remove_vhost(name);
            self.shared.parameters_changed.send_replace(());
            emptied
        };
        self.forget_traces(name);
        super::tell_consumers(consumers);
        self.shared.connections.dismiss_vhost(name);
        tracing::info!(vhost = name, "vhost deleted");
        self.tell_about(
            Kind::VhostDeleted,
            Concerns::Vhost(Arc::from(name)),
            name,
            |facts| facts,
        );
        Ok(saved)
    }

    pub fn set_vhost_metadata(&self, name: &str, metadata: Metadata) -> Result<Saved, DoorError> {
        check_queue_type(&metadata)?;
        self.change_vhost(name, |vhost| *vhost.metadata.write() = metadata)
    }

    pub fn set_vhost_limits(&self, name: &str, limits: VhostLimits) -> Result<Saved, DoorError> {
        let saved = self.change_vhost(name, |vhost| *vhost.limits.write() = limits)?;
        let kind = match limits == VhostLimits::default() {
            true => Kind::VhostLimitsCleared,
            false => Kind::VhostLimitsSet,
        };
        self.tell(kind, "limits", |facts| facts.text("vhost", name));
        Ok(saved)
    }

    fn change_vhost(&self, name: &str, change: impl FnOnce(&Vhost)) -> Result<Saved, DoorError> {
        let _changing = self.changing_vhosts.lock();
        let missing = || DoorError::NoSuchVhost(name.to_owned());
        let vhost = self.vhost(name).ok_or_else(missing)?;
        change(&vhost);
        Ok(self.shared.commit(vec![vhost.own_row().put()]))
    }

    /// Where a policy is set and cleared.
    pub fn vhost_to_change(&self, name: &str) -> Result<Arc<Vhost>, DoorError> {
        let missing = || DoorError::NoSuchVhost(name.to_owned());
        self.vhost(name).ok_or_else(missing)
    }

    /// Rows of whoever keeps its own among the definitions.
    pub fn commit(&self, definitions: Vec<DefinitionChange>) -> Saved {
        self.shared.commit(definitions)
    }

    pub fn connections(&self) -> &Arc<Connections> {
        &self.shared.connections
    }
}

impl Vhost {
    pub fn metadata(&self) -> Metadata {
        self.metadata.read().clone()
    }

    pub fn limits(&self) -> VhostLimits {
        *self.limits.read()
    }

    fn own_row(&self) -> Definition {
        Definition::Vhost {
            name: self.name.to_string(),
            metadata: self.metadata(),
            limits: self.limits(),
        }
    }

    /// Takes everything out, for good. One batch takes all rows, so that no start finds a part.
    fn empty(&self, along: Vec<DefinitionChange>) -> (Vec<Consumer>, Saved) {
        let mut incoming = self.changing.lock();
        self.mark_deleted();
        let mut rows = along;
        let mut consumers = Vec::new();
        let exchanges: Vec<_> = self.exchanges.write().drain().collect();
        for (_, exchange) in exchanges {
            exchange.mark_deleted();
            for identity in exchange.identities() {
                self.drop_binding(&mut incoming, &exchange, &identity, &mut rows);
            }
            rows.extend(self.forget_kept(&exchange));
            rows.extend(self.exchange_row(&exchange));
        }
        incoming.clear();
        let queues: Vec<_> = self.queues.write().drain().collect();
        for (_, queue) in &queues {
            self.count_gone(queue);
            if let Ok(deleted) = queue.delete(false, false) {
                consumers.extend(deleted.consumers);
            }
            self.shared.registry.remove(queue.id);
            rows.extend(self.queue_row(queue).map(|row| row.remove()));
        }
        for origin in [Origin::User, Origin::Operator] {
            let stated = self.policies(origin);
            let policies = stated.iter();
            rows.extend(policies.map(|policy| self.policy_row(origin, policy).remove()));
        }
        let parameters = self.parameters();
        let parameters = parameters.iter();
        rows.extend(parameters.map(|parameter| self.parameter_row(parameter).remove()));
        rows.push(self.own_row().remove());
        let saved = self.save(rows);
        // Behind the definitions in the mailbox, as with a single queue.
        queues.iter().for_each(|(_, queue)| queue.forget());
        (consumers, saved)
    }

    /// What to take out of the store when this exchange goes.
    fn exchange_row(&self, exchange: &super::Exchange) -> Option<DefinitionChange> {
        exchange.definition.durable.then(|| {
            let (vhost, exchange) = (self.name.to_string(), exchange.definition.clone());
            Definition::Exchange { vhost, exchange }.remove()
        })
    }
}

fn check_queue_type(metadata: &Metadata) -> Result<(), DoorError> {
    let types = [QueueType::Classic, QueueType::Quorum, QueueType::Stream];
    match metadata.default_queue_type.as_deref() {
        None => Ok(()),
        Some(name) if types.iter().any(|one| one.name() == name) => Ok(()),
        Some(other) => Err(DoorError::UnknownQueueType(other.to_owned())),
    }
}
