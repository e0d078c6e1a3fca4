//! Exchange type `x-recent-history`: to every binding, and whoever is bound later gets the last
//! messages first. Compatible with RabbitMQ's plugin of that name. Keeping the messages is the
//! broker's part.

use std::collections::BTreeSet;

use warren_plugin_sdk::{
    Answer, Binding, ExchangeType, History, Inputs, Message, Named, Opening, Value,
};

const LENGTH: &str = "x-recent-history-length";
const NO_STORE: &str = "x-recent-history-no-store";
/// RabbitMQ's.
const DEFAULT_LENGTH: u32 = 20;

pub struct RecentHistory {
    length: u32,
    slots: BTreeSet<u32>,
    history: History,
}

impl ExchangeType for RecentHistory {
    const TYPES: &'static [&'static str] = &["x-recent-history"];
    const SUMMARY: &'static str =
        "To every binding, and the last messages to whoever is bound later";
    const ARGUMENTS: &'static [Named] = &[Named {
        name: LENGTH,
        summary: "How many messages are kept (20)",
    }];
    /// Kept once, however many keys it has.
    const WHOLE_MESSAGE: bool = true;

    fn open(exchange: &Opening) -> Result<Self, String> {
        let length = match exchange.arguments.get(LENGTH) {
            None => DEFAULT_LENGTH,
            Some(value) => length(value)?,
        };
        Ok(RecentHistory {
            length,
            slots: BTreeSet::new(),
            history: exchange.history.clone(),
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.slots.insert(binding.slot);
        self.history.replay();
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.slots.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::Anything
    }

    fn route(&mut self, message: &Message) -> Answer {
        let no_store = message.header(NO_STORE);
        if no_store.is_none_or(|header| header.value() != Value::Bool(true)) {
            self.history.keep(self.length);
        }
        Answer::to(self.slots.iter().copied())
    }
}

fn length(value: Value<'_>) -> Result<u32, String> {
    let shown = match (value.as_int(), value.as_str()) {
        (Some(length), _) if length > 0 => return Ok(u32::try_from(length).unwrap_or(u32::MAX)),
        (Some(length), _) => length.to_string(),
        (None, Some(text)) => format!("<<\"{text}\">>"),
        (None, None) => format!("{value:?}"),
    };
    Err(format!(
        "Invalid argument {shown}, '{LENGTH}' must be a positive integer"
    ))
}

warren_plugin_sdk::export!(RecentHistory);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    fn open(arguments: &TableBuf) -> Result<Bench<RecentHistory>, String> {
        Bench::open(arguments)
    }

    #[test]
    fn every_binding_gets_every_message_and_what_was_before() {
        let mut bench = open(&TableBuf::new()).expect("opens");
        bench.bind(3, "any", &TableBuf::new()).expect("binds");
        assert!(bench.replays());
        bench.bind(1, "", &TableBuf::new()).expect("binds");
        assert_eq!(bench.slots(&TestMessage::new("k")), Some(vec![1, 3]));
        assert_eq!(bench.keeps(), Some(20));
        assert!(!bench.was_remembered());
    }

    #[test]
    fn what_is_not_to_be_stored_is_only_routed() {
        let mut bench = open(&TableBuf::new().with(LENGTH, 2)).expect("opens");
        bench.bind(0, "", &TableBuf::new()).expect("binds");
        let plain = TestMessage::new("k");
        assert_eq!(
            bench.slots(&plain.clone().header(NO_STORE, true)),
            Some(vec![0])
        );
        assert_eq!(bench.keeps(), None);
        // Nothing but true, as in RabbitMQ.
        for other in [Value::Bool(false), Value::Int32(1), "true".into()] {
            bench.slots(&plain.clone().header(NO_STORE, other));
            assert_eq!(bench.keeps(), Some(2));
        }
    }

    #[test]
    fn a_length_is_a_positive_integer() {
        let refused = |value: Value| open(&TableBuf::new().with(LENGTH, value)).err();
        let text = |shown: &str| {
            Some(format!(
                "Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
            ))
        };
        assert_eq!(refused(Value::Int32(0)), text("0"));
        assert_eq!(refused(Value::Int64(-1)), text("-1"));
        assert_eq!(refused("5".into()), text("<<\"5\">>"));
        assert_eq!(refused(Value::UInt8(1)), None);
    }
}
