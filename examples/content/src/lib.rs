//! Exchange type `x-content`: to every binding whose condition the body fulfils.
//!
//! A binding's arguments are `path`, a JSONPath (names, `[number]` and `[*]`), and one of `equals`
//! (text, number or boolean), `matches` (a regular expression, for text) and none, which asks only
//! whether there is something. Without `path`, `matches` is held against the whole body.
//!
//! The body stays in the broker and is read piece by piece, and only where a binding asks for it. A
//! body over 1 MiB goes nowhere.

mod condition;
mod path;

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde_json::Value as Json;
use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening};

use condition::{Condition, Looks};

/// Larger ones take longer to look through than a call may last.
const LARGEST: u64 = 1 << 20;

const PIECE: u64 = 16 << 10;

#[derive(Default)]
pub struct Content(BTreeMap<u32, Condition>);

impl ExchangeType for Content {
    const TYPES: &'static [&'static str] = &["x-content"];
    const SUMMARY: &'static str = "To every binding whose condition the body fulfils";

    fn open(_: &Opening) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        let condition = Condition::read(binding.arguments)?;
        self.0.insert(binding.slot, condition);
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        self.0.remove(&slot);
    }

    fn inputs(&self) -> Inputs {
        match self.0.is_empty() {
            true => Inputs::Nothing,
            false => Inputs::Anything,
        }
    }

    fn route(&mut self, message: &Message) -> Answer {
        if self.0.is_empty() || message.body_length() > LARGEST {
            return Answer::nowhere();
        }
        let conditions = || self.0.values();
        let json = conditions().any(|condition| condition.looks() == Looks::AtJson);
        let text = conditions().any(|condition| condition.looks() == Looks::AtText);
        // Once, however many bindings there are.
        let json = json.then(|| parse(message)).flatten();
        let text = text.then(|| whole(message)).flatten();
        let fulfilled = self.0.iter().filter(|(_, condition)| {
            let json = json.as_ref();
            condition.is_fulfilled(json, text.as_deref())
        });
        Answer::to(fulfilled.map(|(slot, _)| *slot))
    }
}

/// None where it is no JSON: reading ends at the first octet that tells.
fn parse(message: &Message) -> Option<Json> {
    serde_json::from_reader(io::BufReader::new(Body { message, at: 0 })).ok()
}

fn whole(message: &Message) -> Option<String> {
    String::from_utf8(message.body(..)).ok()
}

/// The body of the running call, a piece at a time.
struct Body<'a> {
    message: &'a Message<'a>,
    at: u64,
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = PIECE.min(into.len() as u64);
        let piece = self.message.body(self.at..self.at + length);
        self.at += piece.len() as u64;
        let (there, _) = into.split_at_mut(piece.len().min(into.len()));
        there.copy_from_slice(piece.get(..there.len()).unwrap_or_default());
        Ok(there.len())
    }
}

warren_plugin_sdk::export!(Content);
