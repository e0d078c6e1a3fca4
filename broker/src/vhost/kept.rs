//! What an exchange keeps for its types while their instances come and go: a map of octets, and
//! messages for bindings to come. Not what a type makes of it, and not when it is written (see
//! `written_behind.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::written_behind::Unwritten;
use crate::message::Message;

/// What all exchanges of one plugin keep, and how many there are.
#[derive(Debug, Default)]
pub struct Usage {
    pub keys: AtomicU64,
    /// Of keys, values and messages.
    pub bytes: AtomicU64,
    pub exchanges: AtomicU64,
    pub bindings: AtomicU64,
    /// Puts that were refused, and messages that went before their time.
    pub refused: AtomicU64,
}

/// What one plugin may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub keys: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    Run,
    Durable,
}

/// A change to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Vec<u8>, Lifetime),
    Remove,
}

/// Everything that one exchange keeps, by exchange type: of an outer type, an inner one and a
/// fallback, none sees what another keeps.
pub struct Kept {
    owner: Owner,
    unwritten: Arc<Unwritten>,
    types: Mutex<BTreeMap<String, Arc<OfType>>>,
}

/// Whose it is, as its rows name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub vhost: Arc<str>,
    pub exchange: Arc<str>,
    pub durable: bool,
}

/// What one exchange keeps for one type.
pub struct OfType {
    pub owner: Owner,
    pub type_name: String,
    unwritten: Arc<Unwritten>,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    entries: BTreeMap<Vec<u8>, Entry>,
    messages: VecDeque<Arc<Message>>,
    /// Whom it is counted for.
    usage: Option<Arc<Usage>>,
    bytes: u64,
    bindings: u64,
    /// Durable keys that have changed since the last `write`.
    changed: BTreeSet<Vec<u8>>,
    /// As they were at the last `write`, which the next one writes: by then the messages that
    /// caused them are on their way to the disk.
    resting: Rows,
    /// In line to be written.
    announced: bool,
    /// Nothing is written any more: the exchange is gone.
    closed: bool,
}

/// Keys with their values; none where they are gone.
pub(super) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

struct Entry {
    value: Vec<u8>,
    lifetime: Lifetime,
}

impl Kept {
    pub fn new(owner: Owner, unwritten: Arc<Unwritten>) -> Kept {
        Kept {
            owner,
            unwritten,
            types: Mutex::default(),
        }
    }

    /// For an instance that serves nobody.
    pub fn nowhere() -> Kept {
        let owner = Owner {
            vhost: Arc::from(""),
            exchange: Arc::from(""),
            durable: false,
        };
        Kept::new(owner, Arc::default())
    }

    pub fn of(&self, type_name: &str) -> Arc<OfType> {
        let mut types = self.types.lock();
        if let Some(of_type) = types.get(type_name) {
            return Arc::clone(of_type);
        }
        let of_type = Arc::new(OfType {
            owner: self.owner.clone(),
            type_name: type_name.to_owned(),
            unwritten: Arc::clone(&self.unwritten),
            content: Mutex::default(),
        });
        types.insert(type_name.to_owned(), Arc::clone(&of_type));
        of_type
    }

    /// What an earlier run has written.
    pub(super) fn remember(&self, type_name: &str, key: Vec<u8>, value: Vec<u8>) {
        let of_type = self.of(type_name);
        let mut content = of_type.content.lock();
        content.set(key, Some((value, Lifetime::Durable)));
    }

    /// The exchange goes: nothing is written from now on. By type, the keys that may have rows.
    pub(super) fn close(&self) -> Vec<(Arc<OfType>, Vec<Vec<u8>>)> {
        let types: Vec<Arc<OfType>> = self.types.lock().values().cloned().collect();
        types
            .into_iter()
            .map(|of_type| {
                let keys = of_type.close();
                (of_type, keys)
            })
            .collect()
    }
}

impl OfType {
    /// Everything in here counts for this plugin from now on.
    pub fn count_for(&self, usage: &Arc<Usage>) {
        let mut content = self.content.lock();
        let same = content.usage.as_ref();
        if same.is_some_and(|counted| Arc::ptr_eq(counted, usage)) {
            return;
        }
        content.uncount();
        let keys = content.entries.len() as u64;
        usage.exchanges.fetch_add(1, Ordering::Relaxed);
        usage.keys.fetch_add(keys, Ordering::Relaxed);
        usage.bytes.fetch_add(content.bytes, Ordering::Relaxed);
        usage
            .bindings
            .fetch_add(content.bindings, Ordering::Relaxed);
        content.usage = Some(Arc::clone(usage));
    }

    pub fn count_bindings(&self, bindings: usize) {
        let mut content = self.content.lock();
        let before = std::mem::replace(&mut content.bindings, bindings as u64);
        if let Some(usage) = &content.usage {
            // Wraps where it is fewer, and the sum wraps back.
            let more = (bindings as u64).wrapping_sub(before);
            usage.bindings.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let content = self.content.lock();
        content.entries.get(key).map(|entry| entry.value.clone())
    }

    /// At most `most` entries behind `key`.
    pub fn after(&self, key: &[u8], most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let content = self.content.lock();
        let behind = (Bound::Excluded(key), Bound::Unbounded);
        let entries = content.entries.range::<[u8], _>(behind).take(most);
        entries
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect()
    }

    pub fn value_length(&self, key: &[u8]) -> Option<usize> {
        let content = self.content.lock();
        content.entries.get(key).map(|entry| entry.value.len())
    }

    pub fn apply(self: &Arc<Self>, changes: BTreeMap<Vec<u8>, Change>) {
        let mut content = self.content.lock();
        for (key, change) in changes {
            let after = match change {
                Change::Put(value, lifetime) => Some((value, lifetime)),
                Change::Remove => None,
            };
            let durable = after
                .as_ref()
                .is_some_and(|(_, lifetime)| *lifetime == Lifetime::Durable);
            let was_durable = content.set(key.clone(), after);
            if self.owner.durable && (durable || was_durable) {
                content.changed.insert(key);
            }
        }
        let due = !content.changed.is_empty() && !content.announced && !content.closed;
        content.announced |= due;
        drop(content);
        if due {
            self.unwritten.announce(Arc::clone(self));
        }
    }

    /// The newest of at most `most` from now on; fewer where the plugin's room is at its end.
    pub fn keep(&self, message: Arc<Message>, most: usize, room: Room) {
        let mut content = self.content.lock();
        content.add(size(&message), true);
        content.messages.push_back(message);
        while content.messages.len() > most {
            content.forget_oldest();
        }
        let over = |content: &Content| {
            let usage = content.usage.as_ref();
            usage.is_some_and(|usage| usage.bytes.load(Ordering::Relaxed) > room.bytes)
        };
        while over(&content) && !content.messages.is_empty() {
            content.forget_oldest();
            if let Some(usage) = &content.usage {
                usage.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The oldest first.
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.content.lock().messages.iter().cloned().collect()
    }

    /// Hands out what has rested, and lets rest what has changed since. True when there is more to
    /// come. `write` is called under the lock, so that nothing is written behind a `close`.
    pub(super) fn write(&self, write: impl FnOnce(Rows)) -> bool {
        let mut content = self.content.lock();
        if content.closed {
            return false;
        }
        let changed = std::mem::take(&mut content.changed);
        let durable = |key: &Vec<u8>| {
            let entry = content.entries.get(key);
            let durable = entry.filter(|entry| entry.lifetime == Lifetime::Durable);
            durable.map(|entry| entry.value.clone())
        };
        let resting = changed.into_iter().map(|key| {
            let value = durable(&key);
            (key, value)
        });
        let resting = resting.collect();
        let rested = std::mem::replace(&mut content.resting, resting);
        content.announced = !content.resting.is_empty();
        if !rested.is_empty() {
            write(rested);
        }
        content.announced
    }

    fn close(&self) -> Vec<Vec<u8>> {
        let mut content = self.content.lock();
        content.closed = true;
        let mut keys = std::mem::take(&mut content.changed);
        keys.extend(std::mem::take(&mut content.resting).into_keys());
        let entries = content.entries.iter();
        let durable = entries.filter(|(_, entry)| entry.lifetime == Lifetime::Durable);
        keys.extend(durable.map(|(key, _)| key.clone()));
        content.uncount();
        keys.into_iter().collect()
    }
}

impl Drop for OfType {
    fn drop(&mut self) {
        self.content.get_mut().uncount();
    }
}

impl Content {
    /// Whether there was a durable value before.
    fn set(&mut self, key: Vec<u8>, after: Option<(Vec<u8>, Lifetime)>) -> bool {
        let length = key.len();
        let before = match after {
            Some((value, lifetime)) => {
                self.add((length + value.len()) as u64, true);
                let before = self.entries.insert(key, Entry { value, lifetime });
                if before.is_none() {
                    self.count_key(1);
                }
                before
            }
            None => {
                let before = self.entries.remove(&key);
                if before.is_some() {
                    self.count_key(u64::MAX);
                }
                before
            }
        };
        let Some(before) = before else { return false };
        self.add((length + before.value.len()) as u64, false);
        before.lifetime == Lifetime::Durable
    }

    fn forget_oldest(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.add(size(&message), false);
        }
    }

    /// Counters wrap, so that adding the greatest number takes one away.
    fn count_key(&self, by: u64) {
        if let Some(usage) = &self.usage {
            usage.keys.fetch_add(by, Ordering::Relaxed);
        }
    }

    fn add(&mut self, bytes: u64, more: bool) {
        let by = if more { bytes } else { bytes.wrapping_neg() };
        self.bytes = self.bytes.wrapping_add(by);
        if let Some(usage) = &self.usage {
            usage.bytes.fetch_add(by, Ordering::Relaxed);
        }
    }

    fn uncount(&mut self) {
        let Some(usage) = self.usage.take() else {
            return;
        };
        let keys = self.entries.len() as u64;
        usage.exchanges.fetch_sub(1, Ordering::Relaxed);
        usage.keys.fetch_sub(keys, Ordering::Relaxed);
        usage.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        usage.bindings.fetch_sub(self.bindings, Ordering::Relaxed);
    }
}

fn size(message: &Message) -> u64 {
    message.size() as u64
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
