//! Exchange types `x-random` and `x-local-random`: each message to one binding, whichever. On a
//! broker of one node both are the same. The routing key does not matter, as in RabbitMQ.

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening};

pub struct Random {
    slots: Vec<u32>,
    state: u64,
}

impl ExchangeType for Random {
    const TYPES: &'static [&'static str] = &["x-random", "x-local-random"];
    const SUMMARY: &'static str = "Routes each message to one binding at random";

    fn open(exchange: &Opening) -> Result<Self, String> {
        // Load is spread, nothing is kept secret: the clock is random enough.
        let name = exchange.name.bytes().chain(exchange.vhost.bytes());
        let seed = name.fold(exchange.host.now(), |seed, octet| {
            seed.wrapping_mul(31).wrapping_add(octet.into())
        });
        Ok(Random {
            slots: Vec::new(),
            state: seed,
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        if !self.slots.contains(&binding.slot) {
            self.slots.push(binding.slot);
        }
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.slots.retain(|other| *other != slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::Anything
    }

    fn route(&mut self, _: &Message) -> Answer {
        let random = self.next();
        let place = random.checked_rem(self.slots.len() as u64);
        let slot = place.and_then(|place| self.slots.get(usize::try_from(place).ok()?));
        Answer::to(slot.copied())
    }
}

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.state;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }
}

warren_plugin_sdk::export!(Random);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    #[test]
    fn each_message_goes_to_one_binding_and_all_get_their_share() {
        let mut bench = Bench::<Random>::open(&TableBuf::new()).expect("opens");
        assert_eq!(bench.slots(&TestMessage::new("k")), Some(vec![]));
        for slot in 0..4 {
            bench.bind(slot, "any", &TableBuf::new()).expect("binds");
        }
        bench.unbind(2);
        let mut shares = [0_u32; 4];
        for _ in 0..9_000 {
            let routed = bench.slots(&TestMessage::new("k")).expect("slots");
            let [slot] = routed[..] else {
                panic!("not one binding");
            };
            shares[slot as usize] += 1;
            assert!(!bench.was_remembered());
        }
        assert_eq!(shares[2], 0);
        for slot in [0, 1, 3] {
            assert!(shares[slot].abs_diff(3_000) < 300, "{shares:?}");
        }
    }
}
