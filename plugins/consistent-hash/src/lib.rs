//! Exchange types `x-consistent-hash` and `x-modulus-hash`: each message to one binding, by a hash
//! of its routing key, of a header or of a property, so that what belongs together stays together.
//! Arguments and refusals are RabbitMQ's; which binding a value falls to is not (its hash is
//! Erlang's own).

mod property;

use std::collections::BTreeMap;

use property::Property;
use warren_plugin_sdk::{
    Answer, Binding, ExchangeType, FieldValue, Inputs, Message, Named, Opening, Value,
};

const CONSISTENT: &str = "x-consistent-hash";
const MODULUS: &str = "x-modulus-hash";
const HEADER: &str = "hash-header";
const PROPERTY: &str = "hash-property";
/// LavinMQ's names: the header, and one of two algorithms, which differ in nothing a client sees.
const HASH_ON: &str = "x-hash-on";
const ALGORITHM: &str = "x-algorithm";

pub struct ConsistentHash {
    by: By,
    of: Of,
    /// Slot to weight; in slot order, so that a rebuilt instance decides alike.
    weights: BTreeMap<u32, u64>,
}

/// How one of the bindings is picked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A binding that comes or goes moves only the values that it gets or had.
    Weight,
    /// The hash modulo the number of bindings, whatever their keys.
    Modulus,
}

/// What is hashed.
enum Of {
    RoutingKey,
    Header(String),
    Property(Property),
}

impl ExchangeType for ConsistentHash {
    const TYPES: &'static [&'static str] = &[CONSISTENT, MODULUS];
    const SUMMARY: &'static str =
        "Routes each message to one binding, by a hash of what it carries";
    const ARGUMENTS: &'static [Named] = &[
        Named {
            name: HEADER,
            summary: "Hash this header instead of the routing key",
        },
        Named {
            name: PROPERTY,
            summary: "Hash this property: correlation_id, message_id or timestamp",
        },
        Named {
            name: HASH_ON,
            summary: "As hash-header, by LavinMQ's name",
        },
        Named {
            name: ALGORITHM,
            summary: "ring or jump, by LavinMQ's name; both are the same here",
        },
    ];

    fn open(exchange: &Opening) -> Result<Self, String> {
        let text = |name: &str| match exchange.arguments.get(name) {
            None | Some(Value::Void) => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(format!("invalid arg '{name}': expected a string")),
            },
        };
        let by = match exchange.type_name {
            MODULUS => By::Modulus,
            _ => By::Weight,
        };
        if let Some(other) = text(ALGORITHM)?.filter(|name| name != "ring" && name != "jump") {
            return Err(format!("Unsupported algorithm: {other}"));
        }
        let header = match text(HEADER)? {
            Some(header) => Some(header),
            None => text(HASH_ON)?,
        };
        let of = match (header, text(PROPERTY)?) {
            (None, None) => Of::RoutingKey,
            (Some(header), None) => Of::Header(header),
            (None, Some(property)) => Of::Property(
                Property::named(&property)
                    .ok_or_else(|| format!("Unsupported property: {property}"))?,
            ),
            (Some(_), Some(_)) => {
                return Err(format!("{HEADER} and {PROPERTY} are mutually exclusive"));
            }
        };
        Ok(ConsistentHash {
            by,
            of,
            weights: BTreeMap::new(),
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        let key = binding.routing_key;
        let weight = match self.by {
            By::Modulus => 1,
            By::Weight => match key.parse::<i64>() {
                Ok(weight) => u64::try_from(weight).ok().filter(|weight| *weight > 0),
                Err(_) => {
                    let text = format!("The binding key must be an integer: <<\"{key}\">>");
                    return Err(text);
                }
            }
            .ok_or("The binding key must be greater than 0")?,
        };
        self.weights.insert(binding.slot, weight);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.weights.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        match &self.of {
            Of::RoutingKey => Inputs::RoutingKey,
            Of::Header(name) => Inputs::Headers(vec![name.clone()]),
            Of::Property(_) => Inputs::Anything,
        }
    }

    fn route(&mut self, message: &Message) -> Answer {
        let hash = match &self.of {
            Of::RoutingKey => hash(message.routing_key().as_bytes()),
            // What has no such header is of one kind.
            Of::Header(name) => {
                let value = message.header(name).map(FieldValue::into_bytes);
                hash(&value.unwrap_or_default())
            }
            Of::Property(property) => {
                let properties = message.properties();
                hash(property.of(&properties).unwrap_or_default())
            }
        };
        Answer::to(self.pick(hash))
    }
}

impl ConsistentHash {
    fn pick(&self, hash: u64) -> Option<u32> {
        match self.by {
            By::Modulus => {
                let place = hash.checked_rem(self.weights.len() as u64)?;
                let mut slots = self.weights.keys();
                slots.nth(usize::try_from(place).ok()?).copied()
            }
            // Rendezvous hashing: every binding has its own chance at every value, by its weight.
            By::Weight => {
                let score = |(slot, weight): (&u32, &u64)| {
                    let chance = mix(hash ^ mix(u64::from(*slot) + 1));
                    // In (0, 1): the logarithm is finite and below zero.
                    let share = ((chance >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
                    (*slot, *weight as f64 / -share.ln())
                };
                let scores = self.weights.iter().map(score);
                scores
                    .max_by(|(_, a), (_, b)| a.total_cmp(b))
                    .map(|(slot, _)| slot)
            }
        }
    }
}

/// FNV-1a, mixed: the same on every machine and in every run.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The finalizer of SplitMix64: every bit of the input moves half of the output's.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

warren_plugin_sdk::export!(ConsistentHash);

#[cfg(test)]
mod tests;
