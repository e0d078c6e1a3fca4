//! What an exchange keeps while its instances come and go: the optional imports `state` and
//! `history`. A component imports, and must be granted, only what its code calls. Natively a bench
//! stands in the broker's place.

#[cfg(not(target_arch = "wasm32"))]
use native as behind;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::Shelf;
#[cfg(target_arch = "wasm32")]
use wasm as behind;

/// How long an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the broker stops.
    Run,
    /// Over restarts, where the exchange is durable. Written behind the messages, within half a
    /// second.
    Durable,
}

/// A small map of octets that outlives the instance, one for each exchange. Granted as
/// `warren:plugin/state`. What a call changes counts once the call has succeeded; an answer that
/// looked into it is not remembered.
#[derive(Clone, Default)]
pub struct State(behind::State);

impl State {
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    /// Adds the entry or replaces it. A key has 1 to 255 octets, a value up to 64 KiB. The error is
    /// a limit in words, and nothing was changed.
    pub fn put(&self, key: &[u8], value: &[u8], lifetime: Lifetime) -> Result<(), String> {
        self.0.put(key, value, lifetime)
    }

    pub fn remove(&self, key: &[u8]) {
        self.0.remove(key);
    }

    /// At most `most` entries (and at most 1000) behind this key, in the order of their keys. The
    /// empty key is in front of all others.
    pub fn after(&self, key: &[u8], most: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0.after(key, most)
    }
}

/// Messages that the exchange has seen, for bindings that come later. Granted as
/// `warren:plugin/history`. In memory, until the broker stops.
#[derive(Clone, Default)]
pub struct History(behind::History);

impl History {
    /// In `route`: keeps the message as the newest of at most `most`.
    pub fn keep(&self, most: u32) {
        self.0.keep(most);
    }

    /// In `bind`: gives the binding everything that is kept, the oldest message first.
    pub fn replay(&self) {
        self.0.replay();
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl State {
    pub(crate) fn on(shelf: &std::rc::Rc<Shelf>) -> State {
        State(native::State(shelf.clone()))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl History {
    pub(crate) fn on(shelf: &std::rc::Rc<Shelf>) -> History {
        History(native::History(shelf.clone()))
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::Lifetime;
    use crate::component::bindings::warren::plugin::{history, state};

    #[derive(Clone, Default)]
    pub struct State;

    impl State {
        pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
            state::get(key)
        }

        pub fn put(&self, key: &[u8], value: &[u8], lifetime: Lifetime) -> Result<(), String> {
            let lifetime = match lifetime {
                Lifetime::Run => state::Lifetime::Run,
                Lifetime::Durable => state::Lifetime::Durable,
            };
            state::put(key, value, lifetime)
        }

        pub fn remove(&self, key: &[u8]) {
            state::remove(key);
        }

        pub fn after(&self, key: &[u8], most: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
            let entries = state::after(key, most).into_iter();
            entries.map(|entry| (entry.key, entry.value)).collect()
        }
    }

    #[derive(Clone, Default)]
    pub struct History;

    impl History {
        pub fn keep(&self, most: u32) {
            history::keep(most);
        }

        pub fn replay(&self) {
            history::replay();
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::ops::Bound;
    use std::rc::Rc;

    use super::Lifetime;

    /// A value, and for how long it is kept.
    type Entry = (Vec<u8>, Lifetime);

    #[derive(Default)]
    pub struct Shelf {
        pub entries: RefCell<BTreeMap<Vec<u8>, Entry>>,
        /// Keys that fit; no limit without.
        pub most_keys: Cell<Option<usize>>,
        /// A call has looked at it.
        pub touched: Cell<bool>,
        pub keep: Cell<Option<u32>>,
        pub replay: Cell<bool>,
    }

    #[derive(Clone, Default)]
    pub struct State(pub Rc<Shelf>);

    impl State {
        pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
            self.0.touched.set(true);
            let entries = self.0.entries.borrow();
            entries.get(key).map(|(value, _)| value.clone())
        }

        pub fn put(&self, key: &[u8], value: &[u8], lifetime: Lifetime) -> Result<(), String> {
            self.0.touched.set(true);
            let mut entries = self.0.entries.borrow_mut();
            let most = self.0.most_keys.get().unwrap_or(usize::MAX);
            if entries.len() >= most && !entries.contains_key(key) {
                return Err(format!("the plugin has its {most} keys"));
            }
            entries.insert(key.to_vec(), (value.to_vec(), lifetime));
            Ok(())
        }

        pub fn remove(&self, key: &[u8]) {
            self.0.touched.set(true);
            self.0.entries.borrow_mut().remove(key);
        }

        pub fn after(&self, key: &[u8], most: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
            self.0.touched.set(true);
            let entries = self.0.entries.borrow();
            let behind = (Bound::Excluded(key), Bound::Unbounded);
            let entries = entries
                .range::<[u8], _>(behind)
                .take(most.min(1000) as usize);
            entries
                .map(|(key, (value, _))| (key.clone(), value.clone()))
                .collect()
        }
    }

    #[derive(Clone, Default)]
    pub struct History(pub Rc<Shelf>);

    impl History {
        pub fn keep(&self, most: u32) {
            self.0.touched.set(true);
            self.0.keep.set(Some(most));
        }

        pub fn replay(&self) {
            self.0.replay.set(true);
        }
    }
}
