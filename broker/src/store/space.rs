//! One keyspace of the database, written to without the database's own journal: which records of ours
//! are not in its tables yet. Not the records (see `journal.rs`).

use std::collections::VecDeque;
use std::ops::Deref;

use fjall::{AbstractTree, Keyspace};
use parking_lot::Mutex;

use super::batch::{Change, Kind};
use super::error::StoreError;

pub(super) struct Space {
    /// As records name it.
    pub(super) number: u8,
    keyspace: Keyspace,
    memtable_bytes: u64,
    unflushed: Mutex<Unflushed>,
}

#[derive(Default)]
struct Unflushed {
    /// The first record of which something is in the memtable.
    active: Option<u64>,
    /// The same of those that are on their way into a table, the oldest first, and their size.
    sealed: VecDeque<(u64, u64)>,
}

impl Deref for Space {
    type Target = Keyspace;

    fn deref(&self) -> &Keyspace {
        &self.keyspace
    }
}

impl AsRef<Keyspace> for Space {
    fn as_ref(&self) -> &Keyspace {
        &self.keyspace
    }
}

impl Space {
    pub(super) fn new(number: u8, keyspace: Keyspace, memtable_bytes: u64) -> Space {
        Space {
            number,
            keyspace,
            memtable_bytes,
            unflushed: Mutex::default(),
        }
    }

    /// In the order of `seqno`. Nobody may seal meanwhile.
    pub(super) fn apply(&self, change: Change, seqno: u64, record: u64) {
        let tree = &self.keyspace.tree;
        match change.kind {
            Kind::Put => tree.insert(change.key, change.value, seqno),
            Kind::Remove => tree.remove(change.key, seqno),
            Kind::RemoveWeak => tree.remove_weak(change.key, seqno),
        };
        self.unflushed.lock().active.get_or_insert(record);
    }

    pub(super) fn is_full(&self) -> bool {
        self.active_bytes() > self.memtable_bytes
    }

    fn active_bytes(&self) -> u64 {
        self.keyspace.tree.active_memtable().size()
    }

    /// Sends what is in memory to a table. Its records must be synced before: else a power cut could
    /// leave it without what was written with it to other keyspaces.
    pub(super) fn seal(&self) -> Result<(), StoreError> {
        let mut unflushed = self.unflushed.lock();
        if let Some(first) = unflushed.active.take() {
            let bytes = self.active_bytes();
            unflushed.sealed.push_back((first, bytes));
            self.keyspace.rotate_memtable()?;
        }
        Ok(())
    }

    /// Memtables on their way.
    pub(super) fn sealed(&self) -> usize {
        self.keyspace.tree.sealed_memtable_count()
    }

    /// Runs of tables that every read has to look into, until they are compacted.
    pub(super) fn runs(&self) -> usize {
        self.keyspace.tree.l0_run_count()
    }

    /// The first record that is still needed here.
    pub(super) fn oldest(&self) -> Option<u64> {
        let unflushed = self.flushed();
        let sealed = unflushed.sealed.front().map(|(first, _)| *first);
        sealed.or(unflushed.active)
    }

    pub(super) fn buffered(&self) -> u64 {
        let unflushed = self.flushed();
        let sealed: u64 = unflushed.sealed.iter().map(|(_, bytes)| bytes).sum();
        sealed + self.active_bytes()
    }

    /// They become tables in the order in which they were sealed.
    fn flushed(&self) -> parking_lot::MutexGuard<'_, Unflushed> {
        let mut unflushed = self.unflushed.lock();
        let still = self.sealed();
        while unflushed.sealed.len() > still {
            unflushed.sealed.pop_front();
        }
        unflushed
    }

    /// The highest number in tables and memory.
    pub(super) fn highest(&self) -> Option<u64> {
        self.keyspace.tree.get_highest_seqno()
    }

    /// Everything with a lower or the same number is in a table, or was compacted away.
    pub(super) fn persisted(&self) -> Option<u64> {
        self.keyspace.tree.get_highest_persisted_seqno()
    }
}
