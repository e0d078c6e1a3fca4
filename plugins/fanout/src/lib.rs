//! Exchange type `fanout`: to every binding, whatever the message.

use std::collections::BTreeSet;

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening};

#[derive(Default)]
pub struct Fanout {
    slots: BTreeSet<u32>,
}

impl ExchangeType for Fanout {
    const TYPES: &'static [&'static str] = &["fanout"];
    const SUMMARY: &'static str = "Routes to every binding";

    fn open(_: &Opening) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.slots.insert(binding.slot);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.slots.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::Nothing
    }

    fn route(&mut self, _: &Message) -> Answer {
        Answer::to(self.slots.iter().copied())
    }
}

warren_plugin_sdk::export!(Fanout);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    #[test]
    fn routes_to_every_binding_until_it_is_gone() {
        let mut bench = Bench::<Fanout>::open(&TableBuf::new()).expect("opens");
        assert_eq!(bench.slots(&TestMessage::new("a")), Some(vec![]));
        for slot in 0..3 {
            bench.bind(slot, "k", &TableBuf::new()).expect("binds");
        }
        bench.unbind(1);
        bench.unbind(77);
        assert_eq!(bench.slots(&TestMessage::new("a")), Some(vec![0, 2]));
        assert!(bench.was_remembered());
    }
}
