//! Durable definitions as rows in the store: what an exchange, a queue and a binding are made of,
//! and how they are written down. Not what they do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::administration::{Metadata, VhostLimits};
use super::parameters::Parameter;
use super::policy::{Origin, PolicyDefinition};
use super::service_rows::ServiceRow;
use crate::names::{Destination, QueueId};
use crate::store::DefinitionChange;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Definition {
    Vhost {
        name: String,
        #[serde(default)]
        metadata: Metadata,
        #[serde(default)]
        limits: VhostLimits,
    },
    Policy {
        vhost: String,
        origin: Origin,
        policy: PolicyDefinition,
    },
    Exchange {
        vhost: String,
        exchange: ExchangeDefinition,
    },
    Queue {
        vhost: String,
        queue: QueueDefinition,
    },
    Binding {
        vhost: String,
        binding: BindingDefinition,
    },
    Parameter {
        vhost: String,
        parameter: Parameter,
    },
    /// What an exchange keeps for its type: any octets.
    State {
        vhost: String,
        exchange: String,
        #[serde(rename = "type")]
        type_name: String,
        key: Arguments,
        value: Arguments,
    },
    GlobalParameter {
        name: String,
        value: Value,
    },
    Service {
        row: ServiceRow,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeDefinition {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    /// Encoded AMQP field table without the length in front, here and below.
    pub arguments: Arguments,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDefinition {
    pub name: String,
    pub id: QueueNumber,
    pub auto_delete: bool,
    pub arguments: Arguments,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingDefinition {
    pub source: String,
    pub destination: DestinationName,
    pub routing_key: String,
    pub arguments: Arguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueNumber(pub u64);

impl From<QueueNumber> for QueueId {
    fn from(number: QueueNumber) -> QueueId {
        QueueId(number.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationName {
    Queue(String),
    Exchange(String),
}

impl From<&Destination> for DestinationName {
    fn from(destination: &Destination) -> DestinationName {
        match destination {
            Destination::Queue(name) => DestinationName::Queue(name.clone()),
            Destination::Exchange(name) => DestinationName::Exchange(name.clone()),
        }
    }
}

impl From<DestinationName> for Destination {
    fn from(name: DestinationName) -> Destination {
        match name {
            DestinationName::Queue(name) => Destination::Queue(name),
            DestinationName::Exchange(name) => Destination::Exchange(name),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(pub Vec<u8>);

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Arguments, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Arguments)
            .map_err(serde::de::Error::custom)
    }
}

impl Definition {
    /// Rows are read back in the order of their keys: vhosts, exchanges, queues, bindings, policies.
    fn key(&self) -> Vec<u8> {
        match self {
            Definition::Vhost { name, .. } => key(b'1', &[name.as_bytes()]),
            Definition::Exchange { vhost, exchange } => {
                key(b'2', &[vhost.as_bytes(), exchange.name.as_bytes()])
            }
            Definition::Queue { vhost, queue } => {
                key(b'3', &[vhost.as_bytes(), queue.name.as_bytes()])
            }
            Definition::Binding { vhost, binding } => {
                let (kind, name) = match &binding.destination {
                    DestinationName::Queue(name) => (b"q", name),
                    DestinationName::Exchange(name) => (b"x", name),
                };
                // Arguments may be longer than a key can be.
                let arguments = Sha256::digest(&binding.arguments.0);
                key(
                    b'4',
                    &[
                        vhost.as_bytes(),
                        binding.source.as_bytes(),
                        kind,
                        name.as_bytes(),
                        binding.routing_key.as_bytes(),
                        &arguments,
                    ],
                )
            }
            Definition::Policy {
                vhost,
                origin,
                policy,
            } => {
                let origin: &[u8] = match origin {
                    Origin::User => b"u",
                    Origin::Operator => b"o",
                };
                key(b'5', &[vhost.as_bytes(), origin, policy.name.as_bytes()])
            }
            Definition::Parameter { vhost, parameter } => {
                let (component, name) = (parameter.component.as_bytes(), parameter.name.as_bytes());
                key(b'6', &[vhost.as_bytes(), component, name])
            }
            Definition::GlobalParameter { name, .. } => key(b'7', &[name.as_bytes()]),
            Definition::Service { row } => service_key(row),
            Definition::State {
                vhost,
                exchange,
                type_name,
                key: own,
                ..
            } => {
                // Names of the three and a key of 255 octets would be near the limit of a row's key.
                let own = Sha256::digest(&own.0);
                key(
                    b'8',
                    &[
                        vhost.as_bytes(),
                        exchange.as_bytes(),
                        type_name.as_bytes(),
                        &own,
                    ],
                )
            }
        }
    }

    /// Policies and state are there before what they are for, whatever the order of the keys.
    pub fn rank(&self) -> u8 {
        match self {
            Definition::Vhost { .. } => 0,
            Definition::Policy { .. } => 1,
            Definition::State { .. } => 2,
            Definition::Exchange { .. } => 3,
            Definition::Queue { .. } => 4,
            Definition::Binding { .. } => 5,
            Definition::Parameter { .. }
            | Definition::GlobalParameter { .. }
            | Definition::Service { .. } => 6,
        }
    }

    pub fn put(&self) -> DefinitionChange {
        // Serialising plain strings and numbers cannot fail.
        let value = serde_json::to_vec(self).unwrap_or_default();
        DefinitionChange::Put {
            key: self.key(),
            value,
        }
    }

    pub fn remove(&self) -> DefinitionChange {
        DefinitionChange::Remove { key: self.key() }
    }

    pub fn read(value: &[u8]) -> anyhow::Result<Definition> {
        Ok(serde_json::from_slice(value)?)
    }
}

fn service_key(row: &ServiceRow) -> Vec<u8> {
    // Tasks name themselves, and may be longer than a key's part.
    let task = Sha256::digest(row.task.as_bytes());
    let (plugin, vhost) = (row.plugin.as_bytes(), row.vhost.as_bytes());
    key(b'9', &[plugin, vhost, &task, row.key.as_bytes()])
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        // Names are AMQP short strings, so the length fits an octet.
        key.push(part.len().min(255) as u8);
        key.extend_from_slice(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_survives_being_written_down() {
        let binding = Definition::Binding {
            vhost: "/".into(),
            binding: BindingDefinition {
                source: "logs".into(),
                destination: DestinationName::Queue("q".into()),
                routing_key: "a.*".into(),
                arguments: Arguments(vec![1, b'x', b't', 1]),
            },
        };
        let DefinitionChange::Put { value, .. } = binding.put() else {
            panic!("not a put")
        };
        assert_eq!(Definition::read(&value).unwrap(), binding);
    }

    #[test]
    fn a_vhost_of_an_earlier_version_is_understood() {
        let row = br#"{"kind":"vhost","name":"/"}"#;
        let expected = Definition::Vhost {
            name: "/".into(),
            metadata: Metadata::default(),
            limits: VhostLimits::default(),
        };
        assert_eq!(Definition::read(row).unwrap(), expected);
    }

    #[test]
    fn bindings_that_differ_only_in_arguments_have_different_keys() {
        let binding = |arguments: &[u8]| Definition::Binding {
            vhost: "/".into(),
            binding: BindingDefinition {
                source: "s".into(),
                destination: DestinationName::Exchange("d".into()),
                routing_key: String::new(),
                arguments: Arguments(arguments.to_vec()),
            },
        };
        assert_ne!(binding(b"1").key(), binding(b"2").key());
        assert_eq!(binding(b"1").key(), binding(b"1").key());
    }
}
