//! Exchange type `direct`: to every binding whose key is the message's routing key.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::FixedState;
use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening};

pub struct Direct {
    slots: HashMap<Rc<str>, Vec<u32>, FixedState>,
    keys: HashMap<u32, Rc<str>, FixedState>,
}

impl ExchangeType for Direct {
    const TYPES: &'static [&'static str] = &["direct"];
    const SUMMARY: &'static str = "Routes to the bindings whose key equals the routing key";

    fn open(exchange: &Opening) -> Result<Self, String> {
        // Clients choose the keys; they do not know the millisecond.
        let hash = FixedState::with_seed(exchange.host.now());
        Ok(Direct {
            slots: HashMap::with_hasher(hash.clone()),
            keys: HashMap::with_hasher(hash),
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.unbind(binding.slot);
        let key: Rc<str> = binding.routing_key.into();
        self.keys.insert(binding.slot, Rc::clone(&key));
        self.slots.entry(key).or_default().push(binding.slot);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        let Some(key) = self.keys.remove(&slot) else {
            return;
        };
        if let Some(bound) = self.slots.get_mut(&key) {
            bound.retain(|other| *other != slot);
            if bound.is_empty() {
                self.slots.remove(&key);
            }
        }
    }

    fn inputs(&self) -> Inputs {
        Inputs::RoutingKey
    }

    fn route(&mut self, message: &Message) -> Answer {
        match self.slots.get(message.routing_key().as_str()) {
            Some(bound) => Answer::to(bound.iter().copied()),
            None => Answer::nowhere(),
        }
    }
}

warren_plugin_sdk::export!(Direct);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    fn bench(bindings: &[(u32, &str)]) -> Bench<Direct> {
        let mut bench = Bench::open(&TableBuf::new()).expect("opens");
        for (slot, key) in bindings {
            bench.bind(*slot, key, &TableBuf::new()).expect("binds");
        }
        bench
    }

    #[test]
    fn routes_to_every_binding_of_exactly_this_key() {
        let mut bench = bench(&[(0, "a"), (1, "b"), (2, "a"), (3, "A"), (4, "")]);
        assert_eq!(bench.slots(&TestMessage::new("a")), Some(vec![0, 2]));
        assert!(bench.was_remembered());
        assert_eq!(bench.slots(&TestMessage::new("")), Some(vec![4]));
        assert_eq!(bench.slots(&TestMessage::new("a.b")), Some(vec![]));
    }

    #[test]
    fn an_unbound_slot_gets_nothing_and_can_be_used_again() {
        let mut bench = bench(&[(0, "a"), (1, "a")]);
        bench.unbind(0);
        bench.unbind(9);
        assert_eq!(bench.slots(&TestMessage::new("a")), Some(vec![1]));
        bench.bind(0, "b", &TableBuf::new()).expect("binds");
        assert_eq!(bench.slots(&TestMessage::new("b")), Some(vec![0]));
        assert_eq!(bench.slots(&TestMessage::new("a")), Some(vec![1]));
    }
}
