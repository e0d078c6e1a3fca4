//! Exchange type `headers`: binding arguments are headers that a message must have, all of them or
//! any. Argument `x-match` says which.

mod binding;
mod compare;
mod index;

use std::collections::BTreeMap;
use std::rc::Rc;

use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening, Value};

use binding::Wanted;
use index::{Index, Standing};

/// So many headers are asked for one by one and make a key that the broker can remember answers
/// by. Over it, one list of all headers is cheaper, and hardly two messages are alike.
const NAMED: usize = 32;

#[derive(Default)]
pub struct Headers {
    bindings: BTreeMap<u32, (Wanted, Standing)>,
    index: Index,
    /// Every header that bindings look at, and how many do.
    names: BTreeMap<Rc<str>, usize>,
}

impl ExchangeType for Headers {
    const TYPES: &'static [&'static str] = &["headers"];
    const SUMMARY: &'static str = "Routes to the bindings whose arguments the headers match";

    fn open(_: &Opening) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), String> {
        self.unbind(binding.slot);
        let wanted = Wanted::read(binding.arguments)?;
        for name in wanted.names() {
            *self.names.entry(Rc::clone(name)).or_default() += 1;
        }
        let standing = self.index.add(binding.slot, &wanted);
        self.bindings.insert(binding.slot, (wanted, standing));
        Ok(())
    }

    fn unbind(&mut self, slot: u32) {
        let Some((wanted, standing)) = self.bindings.remove(&slot) else {
            return;
        };
        self.index.remove(slot, &standing);
        for name in wanted.names() {
            if let Some(uses) = self.names.get_mut(name) {
                *uses -= 1;
                if *uses == 0 {
                    self.names.remove(name);
                }
            }
        }
    }

    fn inputs(&self) -> Inputs {
        match self.names.len() {
            0 => Inputs::Nothing,
            1..=NAMED => Inputs::Headers(self.names.keys().map(ToString::to_string).collect()),
            _ => Inputs::Anything,
        }
    }

    fn route(&mut self, message: &Message) -> Answer {
        if self.names.len() <= NAMED {
            let asked = self.names.keys().map(|name| (name, message.header(name)));
            let found: Vec<_> = asked
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            let headers: Vec<_> = found
                .iter()
                .map(|(name, value)| (&***name, value.value()))
                .collect();
            self.matching(&headers)
        } else {
            let all = message.headers();
            let mut headers: Vec<_> = all.as_table().fields().collect();
            // Stable, so that of a header that is there twice the first one counts, as elsewhere.
            headers.sort_by_key(|(name, _)| *name);
            headers.dedup_by_key(|(name, _)| *name);
            self.matching(&headers)
        }
    }
}

impl Headers {
    /// `headers` is sorted by name.
    fn matching(&self, headers: &[(&str, Value<'_>)]) -> Answer {
        let candidates = headers
            .iter()
            .flat_map(|(name, value)| self.index.candidates(name, *value))
            .filter(|slot| {
                let found = self.bindings.get(slot);
                found.is_some_and(|(wanted, _)| wanted.matches(headers))
            });
        let mut slots: Vec<u32> = self.index.always().chain(candidates).collect();
        slots.sort_unstable();
        slots.dedup();
        Answer::to(slots)
    }
}

warren_plugin_sdk::export!(Headers);

#[cfg(test)]
mod tests;
