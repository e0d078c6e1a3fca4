//! Which bindings the headers of a message may match: a look-up in place of a walk over all of them.
//! Not whether they do (see `binding.rs`).

use std::collections::BTreeSet;

use warren_plugin_sdk::Value;

use crate::binding::{Quantity, Want, Wanted};
use crate::compare::sketch;

/// One header with one value, or that it is there at all. Others may have the same number: what is
/// found by it is looked at once more.
type Place = u64;

/// From so many bindings on at one place it makes no difference how many more there are.
const MANY: usize = 16;

#[derive(Default)]
pub struct Index {
    bindings: BTreeSet<(Place, u32)>,
    /// Match whatever comes.
    always: BTreeSet<u32>,
}

/// Where a binding stands.
pub enum Standing {
    Always,
    /// All that it needs is at one of these.
    At(Vec<Place>),
}

impl Index {
    /// Who wants all of its headers stands at one of them only, where there are the fewest others.
    pub fn add(&mut self, slot: u32, wanted: &Wanted) -> Standing {
        let places = wanted.headers.iter().map(|(name, want)| match want {
            Want::Present => place(name, None),
            Want::Equal(value) => place(name, Some(value.value())),
        });
        let places = match wanted.quantity {
            Quantity::Any => places.collect(),
            Quantity::All => {
                let others = |place: &Place| self.at(*place).take(MANY).count();
                match places.min_by_key(others) {
                    Some(place) => vec![place],
                    None => {
                        self.always.insert(slot);
                        return Standing::Always;
                    }
                }
            }
        };
        self.bindings
            .extend(places.iter().map(|place| (*place, slot)));
        Standing::At(places)
    }

    pub fn remove(&mut self, slot: u32, standing: &Standing) {
        match standing {
            Standing::Always => {
                self.always.remove(&slot);
            }
            Standing::At(places) => {
                for place in places {
                    self.bindings.remove(&(*place, slot));
                }
            }
        }
    }

    fn at(&self, place: Place) -> impl Iterator<Item = u32> {
        let all = (place, 0)..=(place, u32::MAX);
        self.bindings.range(all).map(|(_, slot)| *slot)
    }

    pub fn always(&self) -> impl Iterator<Item = u32> {
        self.always.iter().copied()
    }

    /// Those that this header may help to match; some of them twice.
    pub fn candidates(&self, name: &str, value: Value<'_>) -> impl Iterator<Item = u32> {
        let equal = self.at(place(name, Some(value)));
        self.at(place(name, None)).chain(equal)
    }
}

fn place(name: &str, value: Option<Value<'_>>) -> Place {
    let mut hash = Fnv::default();
    hash.add(name.as_bytes());
    if let Some(value) = value {
        // Two places of one number cost a second look, no more.
        hash.add(&[0]);
        sketch(value, &mut |octets| hash.add(octets));
    }
    hash.0
}

/// FNV-1a.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
