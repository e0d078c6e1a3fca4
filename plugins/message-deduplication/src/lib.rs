//! Exchange type `x-message-deduplication`: to every binding, but a message whose header
//! `x-deduplication-header` was seen before goes nowhere. Compatible with the community plugin of
//! that name for RabbitMQ; full, it forgets the oldest value and not whichever.

mod arguments;
mod seen;

use std::collections::BTreeSet;

use warren_plugin_sdk::{
    Answer, Binding, ExchangeType, Host, Inputs, Level, Message, Named, Opening,
};

use arguments::{Settings, integer};
use seen::{Seen, Verdict};

const SIZE: &str = "x-cache-size";
const TTL: &str = "x-cache-ttl";
const PERSISTENCE: &str = "x-cache-persistence";
const HEADER: &str = "x-deduplication-header";

pub struct MessageDeduplication {
    settings: Settings,
    seen: Seen,
    slots: BTreeSet<u32>,
    host: Host,
}

impl ExchangeType for MessageDeduplication {
    const TYPES: &'static [&'static str] = &["x-message-deduplication"];
    const SUMMARY: &'static str = "To every binding, each x-deduplication-header once";
    const ARGUMENTS: &'static [Named] = &[
        Named {
            name: SIZE,
            summary: "How many values are remembered (required)",
        },
        Named {
            name: TTL,
            summary: "For how many milliseconds; a message's header x-cache-ttl goes before it",
        },
        Named {
            name: PERSISTENCE,
            summary: "memory (default), or disk: over restarts too",
        },
        Named {
            name: HEADER,
            summary: "The header that tells messages apart (x-deduplication-header)",
        },
    ];
    /// Seen once, however many keys it has.
    const WHOLE_MESSAGE: bool = true;

    fn open(exchange: &Opening) -> Result<Self, String> {
        let settings = Settings::read(exchange.arguments)?;
        let state = exchange.state.clone();
        Ok(MessageDeduplication {
            seen: Seen::open(state, settings.size, settings.lifetime),
            settings,
            slots: BTreeSet::new(),
            host: exchange.host.clone(),
        })
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.slots.insert(binding.slot);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.slots.remove(&slot);
    }

    /// Answers to messages without the header are remembered.
    fn inputs(&self) -> Inputs {
        Inputs::Headers(vec![self.settings.header.clone(), TTL.to_owned()])
    }

    fn route(&mut self, message: &Message) -> Answer {
        let Some(value) = message.header(&self.settings.header) else {
            return self.everywhere();
        };
        let own = message.header(TTL);
        let own = own.and_then(|own| integer(own.value()));
        let now = self.host.now();
        let ttl = own.or(self.settings.ttl);
        let expires = ttl.map_or(u64::MAX, |ttl| now.saturating_add_signed(ttl));
        match self.seen.add(value.value(), now, expires) {
            Verdict::New => self.everywhere(),
            Verdict::Duplicate => Answer::nowhere(),
            Verdict::NoRoom(reason) => {
                // Rather twice than never.
                let line = format!("a message is not remembered: {reason}");
                self.host.log(Level::Warn, &line);
                self.everywhere()
            }
        }
    }
}

impl MessageDeduplication {
    fn everywhere(&self) -> Answer {
        Answer::to(self.slots.iter().copied())
    }
}

warren_plugin_sdk::export!(MessageDeduplication);

#[cfg(test)]
mod tests;
