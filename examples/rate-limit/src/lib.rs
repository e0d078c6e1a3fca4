//! Exchange type `x-rate-limit`: to every binding, but what comes faster than a rate is held, on
//! disk, until its turn. Nothing is lost and the order is kept.
//!
//! The rate is the exchange's argument `x-rate` (messages a second), otherwise `rate` of the plugin's
//! configuration; `x-burst` messages may come at once.
//!
//! Each message takes a place in a line of places that are one interval apart. Where the line has got
//! to is the exchange's state: another instance goes on there.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use warren_plugin_sdk::{
    Answer, Binding, ExchangeType, Host, Inputs, Lifetime, Message, Named, Opening, State, WrongKey,
};

const RATE: &str = "x-rate";
const BURST: &str = "x-burst";
/// Of the next free place, in microseconds since the Unix epoch.
const NEXT: &[u8] = b"next";

pub struct RateLimit {
    interval_us: u64,
    burst: u64,
    slots: BTreeSet<u32>,
    host: Host,
    state: State,
}

impl ExchangeType for RateLimit {
    const TYPES: &'static [&'static str] = &["x-rate-limit"];
    const SUMMARY: &'static str = "To every binding, and held while it comes too fast";
    const ARGUMENTS: &'static [Named] = &[
        Named {
            name: RATE,
            summary: "Messages a second",
        },
        Named {
            name: BURST,
            summary: "How many may come at once (1)",
        },
    ];
    const WHOLE_MESSAGE: bool = true;

    fn check(configuration: &str) -> Result<(), WrongKey> {
        rate(configuration).map(drop)
    }

    fn open(exchange: &Opening) -> Result<Self, String> {
        let whole = |name: &str, otherwise: u64| match exchange.arguments.get(name) {
            None => Ok(otherwise),
            Some(value) => value
                .as_int()
                .and_then(|value| u64::try_from(value).ok())
                .filter(|value| (1..=MOST).contains(value))
                .ok_or_else(|| format!("argument '{name}' must be an integer from 1 to {MOST}")),
        };
        let otherwise = rate(exchange.configuration).map_err(|wrong| wrong.reason)?;
        Ok(RateLimit {
            interval_us: MICROSECONDS / whole(RATE, otherwise)?,
            burst: whole(BURST, 1)?,
            slots: BTreeSet::new(),
            host: exchange.host.clone(),
            state: exchange.state.clone(),
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.slots.insert(binding.slot);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.slots.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::Anything
    }

    fn route(&mut self, _: &Message) -> Answer {
        let now = self.host.now().saturating_mul(1_000);
        let next = self.state.get(NEXT);
        let next = next.and_then(|next| Some(u64::from_be_bytes(next.try_into().ok()?)));
        // Places that nobody took are gone, but for as many as may come at once.
        let free = now.saturating_sub(self.interval_us.saturating_mul(self.burst - 1));
        let place = next.unwrap_or(0).max(free);
        let after = place.saturating_add(self.interval_us);
        if let Err(reason) = self.state.put(NEXT, &after.to_be_bytes(), Lifetime::Run) {
            return Answer::reject(reason);
        }
        match place > now {
            true => Answer::hold(place.div_ceil(1_000)),
            false => self.everywhere(),
        }
    }

    fn due(&mut self, _: &Message) -> Answer {
        self.everywhere()
    }
}

const MICROSECONDS: u64 = 1_000_000;
/// A place a microsecond.
const MOST: u64 = MICROSECONDS;

/// `rate` of the configuration.
fn rate(configuration: &str) -> Result<u64, WrongKey> {
    let parsed: Json = serde_json::from_str(configuration)
        .map_err(|error| WrongKey::new("", error.to_string()))?;
    let rate = match parsed.get("rate") {
        None => return Ok(DEFAULT_RATE),
        Some(rate) => rate.as_u64(),
    };
    let rate = rate.filter(|rate| (1..=MOST).contains(rate));
    rate.ok_or_else(|| WrongKey::new("rate", format!("is from 1 to {MOST}")))
}

const DEFAULT_RATE: u64 = 100;

impl RateLimit {
    fn everywhere(&self) -> Answer {
        Answer::to(self.slots.iter().copied())
    }
}

warren_plugin_sdk::export!(RateLimit);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    #[test]
    fn what_comes_too_fast_waits_for_its_place() {
        let arguments = TableBuf::new().with(RATE, 10).with(BURST, 2);
        let mut bench = Bench::<RateLimit>::open(&arguments).expect("opens");
        bench.bind(3, "", &TableBuf::new()).expect("binds");
        let message = TestMessage::new("k");
        bench.set_now(1_000);
        let answers = [
            Answer::to([3]),
            Answer::to([3]),
            Answer::hold(1_100),
            Answer::hold(1_200),
        ];
        for expected in answers {
            assert_eq!(bench.route(&message), expected);
        }
        bench.set_now(1_200);
        assert_eq!(bench.due(&message), Answer::to([3]));
        assert_eq!(bench.route(&message), Answer::hold(1_300));
        // Another instance goes on where this one was.
        let mut bench = bench.reopen(&arguments).expect("opens");
        assert_eq!(bench.route(&message), Answer::hold(1_400));
        bench.set_now(60_000);
        assert_eq!(bench.route(&message), Answer::nowhere());
    }

    #[test]
    fn a_wrong_rate_is_named() {
        let wrong = RateLimit::check(r#"{"rate": 0}"#).expect_err("refused");
        assert_eq!(wrong.key, "rate");
        assert_eq!(RateLimit::check("{}"), Ok(()));
        let refused = Bench::<RateLimit>::open(&TableBuf::new().with(RATE, 0)).err();
        let text = "argument 'x-rate' must be an integer from 1 to 1000000";
        assert_eq!(refused.as_deref(), Some(text));
    }
}
