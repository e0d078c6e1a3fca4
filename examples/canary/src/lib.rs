//! Exchange type `x-canary`: each message to one binding, by weight. A binding's key is its weight,
//! as in `90` and `10`. A routing key goes the same way as long as the weights are the same; without
//! the argument `sticky-header` it is the routing key that decides, otherwise that header.

use std::collections::BTreeMap;

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Named, Opening};

const STICKY: &str = "sticky-header";

pub struct Canary {
    /// Slot to weight.
    weights: BTreeMap<u32, u64>,
    sticky: Option<String>,
}

impl ExchangeType for Canary {
    const TYPES: &'static [&'static str] = &["x-canary"];
    const SUMMARY: &'static str = "Each message to one binding, by the weights in their keys";
    const ARGUMENTS: &'static [Named] = &[Named {
        name: STICKY,
        summary: "The header whose value always goes the same way; the routing key without",
    }];

    fn open(exchange: &Opening) -> Result<Self, String> {
        let sticky = match exchange.arguments.get(STICKY).map(|name| name.as_str()) {
            None => None,
            Some(Some(name)) if !name.is_empty() => Some(name.to_owned()),
            Some(_) => return Err(format!("argument '{STICKY}' must name a header")),
        };
        Ok(Canary {
            weights: BTreeMap::new(),
            sticky,
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        let weight: u32 = binding.routing_key.parse().map_err(|_| {
            let key = binding.routing_key;
            format!("the binding's key is its weight, a number, not '{key}'")
        })?;
        self.weights.insert(binding.slot, weight.into());
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.weights.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        match &self.sticky {
            None => Inputs::RoutingKey,
            Some(header) => Inputs::Headers(vec![header.clone()]),
        }
    }

    fn route(&mut self, message: &Message) -> Answer {
        let value = match &self.sticky {
            None => message.routing_key().into_bytes(),
            Some(header) => message
                .header(header)
                .map_or_else(Vec::new, |value| value.into_bytes()),
        };
        let all: u64 = self.weights.values().sum();
        let Some(mut at) = hash(&value).checked_rem(all) else {
            return Answer::nowhere();
        };
        for (slot, weight) in &self.weights {
            match at.checked_sub(*weight) {
                None => return Answer::to([*slot]),
                Some(rest) => at = rest,
            }
        }
        Answer::nowhere()
    }
}

/// FNV-1a, then mixed: neighbouring keys must not fall to one binding.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

warren_plugin_sdk::export!(Canary);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    #[test]
    fn each_binding_gets_its_share_and_a_key_stays() {
        let mut bench = Bench::<Canary>::open(&TableBuf::new()).expect("opens");
        bench.bind(0, "90", &TableBuf::new()).expect("binds");
        bench.bind(1, "10", &TableBuf::new()).expect("binds");
        let mut canaries = 0;
        for number in 0..10_000 {
            let message = TestMessage::new(&format!("customer-{number}"));
            let to = bench.slots(&message).expect("slots");
            assert_eq!(bench.slots(&message), Some(to.clone()));
            assert!(bench.was_remembered());
            canaries += usize::from(to == [1]);
        }
        assert!((900..1_100).contains(&canaries), "{canaries} of 10000");
    }
}
