//! Exchange type `x-fault`: a plugin that fails on purpose, for the broker's own tests. Argument
//! `x-fault` says how, `x-fault-key` for which routing key alone; all else is routed to every
//! binding.

use std::collections::BTreeSet;
use std::hint::black_box;

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Host, Inputs, Level, Message};
use warren_plugin_sdk::{Named, Opening};

pub struct Faulty {
    fault: Fault,
    /// Fails for this key alone.
    key: Option<String>,
    host: Host,
    slots: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Trap,
    Loop,
    Memory,
    HugeResult,
    Slow4Ms,
    TrapInBind,
    UnknownSlots,
    HoldNow,
    Reject,
    LogFlood,
}

impl Fault {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "none" => Fault::None,
            "trap" => Fault::Trap,
            "loop" => Fault::Loop,
            "memory" => Fault::Memory,
            "huge-result" => Fault::HugeResult,
            "slow-4ms" => Fault::Slow4Ms,
            "trap-in-bind" => Fault::TrapInBind,
            "trap-in-open" => panic!("trap-in-open"),
            "unknown-slots" => Fault::UnknownSlots,
            "hold-now" => Fault::HoldNow,
            "reject" => Fault::Reject,
            "log-flood" => Fault::LogFlood,
            other => return Err(format!("no fault is named '{other}'")),
        })
    }
}

impl ExchangeType for Faulty {
    const TYPES: &'static [&'static str] = &["x-fault"];
    const SUMMARY: &'static str = "Fails on purpose";
    const ARGUMENTS: &'static [Named] = &[
        Named {
            name: "x-fault",
            summary: "none, trap, loop, memory, huge-result, slow-4ms, trap-in-bind, trap-in-open, \
                      unknown-slots, hold-now, reject or log-flood",
        },
        Named {
            name: "x-fault-key",
            summary: "The routing key to fail for; all without it",
        },
    ];

    fn open(exchange: &Opening) -> Result<Self, String> {
        let text = |name| {
            exchange
                .arguments
                .get(name)
                .and_then(|value| value.as_str())
        };
        Ok(Faulty {
            fault: Fault::named(text("x-fault").unwrap_or("none"))?,
            key: text("x-fault-key").map(str::to_owned),
            host: exchange.host.clone(),
            slots: BTreeSet::new(),
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        if self.fault == Fault::TrapInBind && self.is_due_for(binding.routing_key) {
            panic!("trap-in-bind");
        }
        self.slots.insert(binding.slot);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.slots.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        Inputs::RoutingKey
    }

    fn route(&mut self, message: &Message) -> Answer {
        if !self.is_due_for(&message.routing_key()) {
            return self.everywhere();
        }
        match self.fault {
            Fault::None | Fault::TrapInBind => self.everywhere(),
            Fault::Trap => panic!("trap"),
            Fault::Loop => loop {
                black_box(());
            },
            Fault::Memory => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(black_box(vec![1u8; 1 << 20]));
                }
            }
            // 16 MiB of slots.
            Fault::HugeResult => Answer::to(0..1 << 22),
            Fault::Slow4Ms => {
                let end = self.host.now() + 4;
                while self.host.now() < end {}
                self.everywhere()
            }
            Fault::UnknownSlots => {
                let unknown = [u32::MAX, 1_000_000, 1_000_000];
                Answer::to(self.slots.iter().copied().chain(unknown))
            }
            Fault::HoldNow => Answer::hold(self.host.now()),
            Fault::Reject => Answer::reject("rejected on purpose"),
            Fault::LogFlood => {
                let line = "flood ".repeat(200);
                for _ in 0..1000 {
                    self.host.log(Level::Warn, &line);
                }
                self.everywhere()
            }
        }
    }

    fn due(&mut self, _: &Message) -> Answer {
        self.everywhere()
    }
}

impl Faulty {
    fn is_due_for(&self, key: &str) -> bool {
        self.key.as_deref().is_none_or(|only| only == key)
    }

    fn everywhere(&self) -> Answer {
        Answer::to(self.slots.iter().copied())
    }
}

warren_plugin_sdk::export!(Faulty);

#[cfg(test)]
mod tests {
    use super::*;
    use warren_plugin_sdk::TableBuf;
    use warren_plugin_sdk::bench::{Bench, TestMessage};

    fn bench(fault: &str) -> Bench<Faulty> {
        let arguments = TableBuf::new().with("x-fault", fault);
        let arguments = arguments.with("x-fault-key", "bad");
        let mut bench = Bench::open(&arguments).expect("opens");
        bench.bind(0, "k", &TableBuf::new()).expect("binds");
        bench
    }

    #[test]
    fn fails_for_its_key_alone() {
        let mut reject = bench("reject");
        assert_eq!(reject.slots(&TestMessage::new("good")), Some(vec![0]));
        assert_eq!(reject.slots(&TestMessage::new("bad")), None);
        let mut unknown = bench("unknown-slots");
        let to = unknown.slots(&TestMessage::new("bad")).expect("slots");
        assert_eq!(to, [0, 1_000_000, u32::MAX]);
        let mut held = bench("hold-now");
        held.set_now(9);
        assert_eq!(held.route(&TestMessage::new("bad")), Answer::hold(9));
        assert_eq!(held.due(&TestMessage::new("bad")), Answer::to([0]));
    }

    #[test]
    fn another_fault_is_refused() {
        let arguments = TableBuf::new().with("x-fault", "typo");
        let refused = Bench::<Faulty>::open(&arguments).err();
        assert_eq!(refused, Some("no fault is named 'typo'".to_owned()));
    }
}
