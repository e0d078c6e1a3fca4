//! Exchange type `topic`: binding keys are patterns of words between dots, where `*` stands for one
//! word and `#` for any number of them, none included.

mod trie;

use warren_plugin_sdk::{Answer, Binding, Decision, ExchangeType, Inputs, Message, Opening};

use trie::Trie;

pub struct Topic {
    trie: Trie,
}

impl ExchangeType for Topic {
    const TYPES: &'static [&'static str] = &["topic"];
    const SUMMARY: &'static str =
        "Routes to the bindings whose pattern matches the words of the routing key";

    fn open(exchange: &Opening) -> Result<Self, String> {
        // Clients choose the words; they do not know the millisecond.
        let trie = Trie::new(exchange.host.now());
        Ok(Topic { trie })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.trie.insert(binding.slot, binding.routing_key);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.trie.remove(slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::RoutingKey
    }

    fn route(&mut self, message: &Message) -> Answer {
        Decision::To(self.trie.matches(&message.routing_key())).into()
    }
}

warren_plugin_sdk::export!(Topic);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    #[test]
    fn routes_by_pattern_and_is_remembered_by_routing_key() {
        let mut bench = Bench::<Topic>::open(&TableBuf::new()).expect("opens");
        for (slot, pattern) in ["*.orange.*", "*.*.rabbit", "lazy.#"].iter().enumerate() {
            let slot = u32::try_from(slot).expect("small");
            bench.bind(slot, pattern, &TableBuf::new()).expect("binds");
        }
        let mut to = |key| bench.slots(&TestMessage::new(key)).expect("routed");
        assert_eq!(to("quick.orange.rabbit"), [0, 1]);
        assert_eq!(to("lazy.orange.elephant"), [0, 2]);
        assert_eq!(to("lazy"), [2]);
        assert_eq!(to("quick.brown.fox"), []);
        assert_eq!(to("quick.orange.new.rabbit"), []);
        assert!(bench.was_remembered());
    }
}
