//! `x-federation-upstream`: the exchange that a broker downstream puts between an exchange of ours
//! and the queue that it consumes from. It routes to all bindings, but for messages that have been
//! there already or have come far enough.

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening, Value};

const HOPS: &str = "x-max-hops";
const NAME: &str = "x-downstream-name";
const VHOST: &str = "x-downstream-vhost";
const RECEIVED_FROM: &str = "x-received-from";

struct Upstream {
    slots: Vec<u32>,
    max_hops: i64,
    name: String,
    vhost: String,
}

impl ExchangeType for Upstream {
    const TYPES: &'static [&'static str] = &["x-federation-upstream"];
    const SUMMARY: &'static str = "What a federated exchange of another broker consumes from";

    fn open(opening: &Opening) -> Result<Self, String> {
        let text = |name: &str| {
            let value = opening.arguments.get(name);
            let text = value.and_then(|value| value.as_str().map(str::to_owned));
            text.unwrap_or_else(|| "unknown".to_owned())
        };
        let hops = opening.arguments.get(HOPS);
        Ok(Upstream {
            slots: Vec::new(),
            max_hops: hops.and_then(|hops| hops.as_int()).unwrap_or(1),
            name: text(NAME),
            vhost: text(VHOST),
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.slots.push(binding.slot);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.slots.retain(|bound| *bound != slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::Headers(vec![RECEIVED_FROM.to_owned()])
    }

    fn route(&mut self, message: &Message) -> Answer {
        let header = message.header(RECEIVED_FROM);
        let forward = match header.as_ref().map(|header| header.value()) {
            Some(Value::Array(been)) => {
                let mut hops = 0;
                let mut seen = false;
                for value in been.items() {
                    hops += 1;
                    seen |= self.is_me(&value);
                }
                hops < self.max_hops && !seen
            }
            _ => true,
        };
        match forward {
            true => Answer::to(self.slots.iter().copied()),
            false => Answer::to([]),
        }
    }
}

impl Upstream {
    /// Whether the message has come through the broker that consumes here.
    fn is_me(&self, station: &Value) -> bool {
        let Value::Table(station) = station else {
            return false;
        };
        let is = |name: &str, wanted: &str| {
            let value = station.get(name);
            value.is_some_and(|value| value.as_str() == Some(wanted))
        };
        is("cluster-name", &self.name) && is("vhost", &self.vhost)
    }
}

warren_plugin_sdk::export!(Upstream);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::bench::{Bench, TestMessage};
    use warren_plugin_sdk::{ArrayBuf, TableBuf};

    fn received_from(stations: &[(&str, &str)]) -> ArrayBuf {
        let mut array = ArrayBuf::new();
        for (name, vhost) in stations {
            let table = TableBuf::new()
                .with("cluster-name", Value::LongString(name.as_bytes()))
                .with("vhost", Value::LongString(vhost.as_bytes()));
            array = array.with(Value::Table(table.as_table()));
        }
        array
    }

    #[test]
    fn a_message_that_was_there_or_came_too_far_goes_nowhere() {
        let arguments = TableBuf::new()
            .with(HOPS, Value::Int64(2))
            .with(NAME, Value::LongString(b"down"))
            .with(VHOST, Value::LongString(b"/"));
        let mut bench = Bench::<Upstream>::open(&arguments).expect("opens");
        bench.bind(3, "", &TableBuf::new()).expect("binds");
        let mut routed = |stations: &[(&str, &str)]| {
            let array = received_from(stations);
            let message =
                TestMessage::new("k").header(RECEIVED_FROM, Value::Array(array.as_array()));
            bench.route(&message)
        };
        assert_eq!(routed(&[]), Answer::to([3]));
        assert_eq!(routed(&[("other", "/")]), Answer::to([3]));
        assert_eq!(
            routed(&[("down", "v")]),
            Answer::to([3]),
            "another virtual host"
        );
        assert_eq!(routed(&[("down", "/")]), Answer::to([]));
        assert_eq!(routed(&[("a", "/"), ("b", "/")]), Answer::to([]));
    }
}
