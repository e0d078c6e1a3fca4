//! The optional imports `state` and `history`: what one call wants its exchange to keep. Nothing of
//! it counts before the call has succeeded. Not the keeping itself (see `vhost::kept`).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bindings::warren::plugin::state::{Entry, Lifetime};
use super::bindings::warren::plugin::{history, state};
use super::reads::Field;
use super::state::HostState;
use crate::message::{Message, MessageView};
use crate::vhost::kept::{self, Change, Kept, OfType, Room, Usage};

/// `state.put` promises plugin authors this much.
const MAX_KEY: usize = 255;
const MAX_VALUE: usize = 64 << 10;

/// The most that `state.after` answers with.
const MAX_ENTRIES: u32 = 1000;

/// One call is no place to build a table in.
const MAX_CHANGES: usize = 1000;

/// For whom an instance keeps what.
#[derive(Clone)]
pub(super) struct Keeper {
    pub of_type: Arc<OfType>,
    pub usage: Arc<Usage>,
    pub room: Room,
}

impl Keeper {
    /// For an instance that serves nothing.
    pub fn of_nothing() -> Keeper {
        Keeper {
            of_type: Kept::nowhere().of(""),
            usage: Arc::default(),
            room: Room { keys: 0, bytes: 0 },
        }
    }
}

/// What the running call has asked for so far.
pub(super) struct Keeping {
    keeper: Keeper,
    changes: BTreeMap<Vec<u8>, Change>,
    /// What `changes` add to what is kept.
    keys: i64,
    bytes: i64,
    keep: Option<u32>,
    replay: bool,
}

impl Keeping {
    pub fn new(keeper: Keeper) -> Keeping {
        Keeping {
            keeper,
            changes: BTreeMap::new(),
            keys: 0,
            bytes: 0,
            keep: None,
            replay: false,
        }
    }

    /// Whatever a call before has left undone is forgotten.
    pub fn start_call(&mut self) {
        self.changes.clear();
        (self.keys, self.bytes) = (0, 0);
        self.keep = None;
        self.replay = false;
    }

    /// The call has succeeded. True when it has changed something.
    pub fn succeed(&mut self, message: Option<MessageView<'_>>) -> bool {
        let Keeper { of_type, room, .. } = &self.keeper;
        let changed = !self.changes.is_empty();
        if changed {
            of_type.apply(std::mem::take(&mut self.changes));
        }
        let kept = self.keep.take().zip(message);
        let Some((most, message)) = kept else {
            return changed;
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        of_type.keep(Arc::new(message.to_message()), most, *room);
        true
    }

    /// What a binding that was just taken is to be given.
    pub fn replay(&self) -> Vec<Arc<Message>> {
        match self.replay {
            true => self.keeper.of_type.messages(),
            false => Vec::new(),
        }
    }

    fn length(&self, key: &[u8]) -> Option<usize> {
        match self.changes.get(key) {
            Some(Change::Put(value, _)) => Some(value.len()),
            Some(Change::Remove) => None,
            None => self.keeper.of_type.value_length(key),
        }
    }

    fn refuse(&self, text: String) -> Result<(), String> {
        self.keeper.usage.refused.fetch_add(1, Ordering::Relaxed);
        Err(text)
    }

    fn put(
        &mut self,
        key: Vec<u8>,
        value: Vec<u8>,
        lifetime: kept::Lifetime,
    ) -> Result<(), String> {
        if key.is_empty() || key.len() > MAX_KEY {
            let length = key.len();
            return self.refuse(format!("a key has 1 to {MAX_KEY} octets, not {length}"));
        }
        if value.len() > MAX_VALUE {
            let length = value.len();
            return self.refuse(format!(
                "a value has up to {MAX_VALUE} octets, not {length}"
            ));
        }
        if self.changes.len() >= MAX_CHANGES && !self.changes.contains_key(&key) {
            return self.refuse(format!("a call may change {MAX_CHANGES} keys"));
        }
        let before = self.length(&key);
        let keys = i64::from(before.is_none());
        let old = before.map_or(0, |length| key.len() + length);
        let bytes = (key.len() + value.len()) as i64 - old as i64;
        let Keeper { usage, room, .. } = &self.keeper;
        let after = |used: &AtomicU64, pending: i64, more: i64| {
            let used = used.load(Ordering::Relaxed);
            used.saturating_add_signed(pending.saturating_add(more))
        };
        if keys > 0 && after(&usage.keys, self.keys, keys) > room.keys {
            let most = room.keys;
            return self.refuse(format!("the plugin has its {most} keys (state_keys)"));
        }
        if bytes > 0 && after(&usage.bytes, self.bytes, bytes) > room.bytes {
            let most = room.bytes;
            return self.refuse(format!("the plugin has its {most} bytes (state_bytes)"));
        }
        self.keys += keys;
        self.bytes += bytes;
        self.changes.insert(key, Change::Put(value, lifetime));
        Ok(())
    }

    fn remove(&mut self, key: Vec<u8>) {
        let Some(before) = self.length(&key) else {
            return;
        };
        self.keys -= 1;
        self.bytes -= (key.len() + before) as i64;
        self.changes.insert(key, Change::Remove);
    }

    fn after(&self, key: &[u8], most: usize) -> Vec<Entry> {
        // As many more as may have been removed.
        let found = self.keeper.of_type.after(key, most + self.changes.len());
        let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = found.into_iter().collect();
        let behind = (Bound::Excluded(key), Bound::Unbounded);
        for (key, change) in self.changes.range::<[u8], _>(behind) {
            match change {
                Change::Put(value, _) => drop(entries.insert(key.clone(), value.clone())),
                Change::Remove => drop(entries.remove(key)),
            }
        }
        let entries = entries.into_iter().take(most);
        entries.map(|(key, value)| Entry { key, value }).collect()
    }
}

impl state::Host for HostState {
    fn get(&mut self, key: Vec<u8>) -> Option<Vec<u8>> {
        self.reads.field(Field::State);
        match self.keeping.changes.get(&key) {
            Some(Change::Put(value, _)) => Some(value.clone()),
            Some(Change::Remove) => None,
            None => self.keeping.keeper.of_type.get(&key),
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, lifetime: Lifetime) -> Result<(), String> {
        self.reads.field(Field::State);
        let lifetime = match lifetime {
            Lifetime::Run => kept::Lifetime::Run,
            Lifetime::Durable => kept::Lifetime::Durable,
        };
        self.keeping.put(key, value, lifetime)
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.reads.field(Field::State);
        self.keeping.remove(key);
    }

    fn after(&mut self, key: Vec<u8>, most: u32) -> Vec<Entry> {
        self.reads.field(Field::State);
        self.keeping.after(&key, most.min(MAX_ENTRIES) as usize)
    }
}

impl history::Host for HostState {
    fn keep(&mut self, most: u32) {
        self.reads.field(Field::State);
        self.keeping.keep = Some(most);
    }

    fn replay(&mut self) {
        self.keeping.replay = true;
    }
}

/// What a call of `bind` has left for the binding.
pub(super) type Replay = Vec<Arc<Message>>;
