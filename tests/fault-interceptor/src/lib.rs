//! An interceptor that fails on purpose, as the message's header `fault` says, for the broker's own tests.
//! Every other message gets its number into the header `x-number`, which it keeps (grant
//! `warren:plugin/state`). Committed as a component in `tests/fixtures`.

use std::hint::black_box;

use warren_plugin_sdk::interceptor::{Interceptor, InterceptorOpening, Verdict};
use warren_plugin_sdk::{FieldValue, Lifetime, Message, State, Value};

const NUMBER: &[u8] = b"number";

pub struct Faulty {
    state: State,
}

impl Interceptor for Faulty {
    const SUMMARY: &'static str = "Fails on purpose";

    fn open(opening: &InterceptorOpening) -> Result<Self, String> {
        // The plugin's configuration is JSON; nobody looks closer here.
        if opening.configuration.contains("refuse-to-open") {
            return Err("not today".to_owned());
        }
        Ok(Faulty {
            state: opening.state.clone(),
        })
    }

    fn before_route(&mut self, message: &Message) -> Verdict {
        let fault = message.header("fault");
        match fault.as_ref().and_then(FieldValue::as_str) {
            None => self.numbered(),
            Some("trap") => panic!("trapped on purpose"),
            Some("loop") => loop {
                black_box(0);
            },
            Some("memory") => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    black_box(&hoard);
                }
            }
            Some("many-headers") => {
                let header = |number: i64| {
                    let value = FieldValue::from(Value::from(number));
                    (format!("x-{number}"), value)
                };
                Verdict::Stamp((0..1_000_000).map(header).collect())
            }
            // Fits what a call may return, but with a long message not into a frame.
            Some("long-header") => Verdict::stamp("x-long", "x".repeat(60_000).as_str()),
            Some("bad-header") => Verdict::stamp(&"n".repeat(300), 1i64),
            Some(other) => Verdict::reject(format!("no fault is named '{other}'")),
        }
    }
}

impl Faulty {
    fn numbered(&self) -> Verdict {
        let last = self.state.get(NUMBER).unwrap_or_default();
        let last = last.try_into().map_or(0, i64::from_be_bytes);
        let number = last + 1;
        let kept = self
            .state
            .put(NUMBER, &number.to_be_bytes(), Lifetime::Durable);
        match kept {
            Ok(()) => Verdict::stamp("x-number", number),
            Err(limit) => Verdict::reject(limit),
        }
    }
}

warren_plugin_sdk::export_interceptor!(Faulty);
