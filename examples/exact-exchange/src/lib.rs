//! Exchange type `x-exact`: to every binding whose key is exactly the routing key.

use std::collections::HashMap;

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening};

#[derive(Default)]
struct Exact(HashMap<u32, String>);

impl ExchangeType for Exact {
    const TYPES: &'static [&'static str] = &["x-exact"];
    const SUMMARY: &'static str = "Routes to the bindings whose key equals the routing key";

    fn open(_: &Opening) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.0.insert(binding.slot, binding.routing_key.to_owned());
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.0.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::RoutingKey
    }

    fn route(&mut self, message: &Message) -> Answer {
        let key = message.routing_key();
        let exact = self.0.iter().filter(|(_, bound)| **bound == key);
        Answer::to(exact.map(|(slot, _)| *slot))
    }
}

warren_plugin_sdk::export!(Exact);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    #[test]
    fn only_the_same_key_is_routed() {
        let mut bench = Bench::<Exact>::open(&TableBuf::new()).expect("opens");
        bench.bind(4, "orders", &TableBuf::new()).expect("binds");
        assert_eq!(bench.route(&TestMessage::new("orders")), Answer::to([4]));
        assert_eq!(bench.route(&TestMessage::new("order")), Answer::nowhere());
        assert!(bench.was_remembered());
    }
}
