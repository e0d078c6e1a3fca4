//! The folder, its lock and the one fjall database in it; the seam where tests make the disk slow
//! or broken. Not what is written (see `commit.rs`).

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::config::{FilterPolicy, FilterPolicyEntry};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
};

use super::error::StoreError;
use super::handle::StoreOptions;
use super::journal::Journal;
use super::layout::{FORMAT, FORMAT_KEY, RUN_KEY, number};

/// fjall keeps sealed journals until every keyspace is flushed past them; what it keeps is read
/// again at the next start. 128 MiB read back in well under a second.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// Of two, fjall lets one do nothing but flush: while the other compacts, the first takes every further
/// request to compact out of their queue and puts it back, without end, on a processor of its own.
const WORKERS: usize = 1;

/// Lets a test stand between the store and the disk.
pub trait Faults: Send + Sync {
    /// Called before each batch is written. May take its time; an error counts as the disk's.
    fn before_write(&self) -> io::Result<()>;

    /// The same before each sync.
    fn before_sync(&self) -> io::Result<()>;
}

pub(super) struct Disk {
    database: Database,
    database_folder: PathBuf,
    pub(super) definitions: Keyspace,
    pub(super) packs: Keyspace,
    pub(super) entries: Keyspace,
    pub(super) bodies: Keyspace,
    pub(super) holders: Keyspace,
    pub(super) timers: Keyspace,
    faults: Option<Arc<dyn Faults>>,
    // The last field: the folder is given free after the database is closed.
    _lock: File,
}

impl Disk {
    pub(super) fn open(options: &StoreOptions) -> Result<Disk, StoreError> {
        let lock = lock_folder(&options.directory)?;
        let database_folder = options.directory.join("database");
        let database = Database::builder(&database_folder)
            .manual_journal_persist(true)
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNAL_BYTES)
            .cache_size(options.cache_bytes)
            .worker_threads(WORKERS)
            .open()?;
        let memtable = options.memtable_bytes;
        // Everything but `bodies` is read by range, where a bloom filter is dead weight.
        let ranged = |bytes: u64| {
            move || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(bytes)
                    .manual_journal_persist(true)
                    .filter_policy(FilterPolicy::all(FilterPolicyEntry::None))
            }
        };
        let disk = Disk {
            definitions: database.keyspace("definitions", ranged(memtable / 4))?,
            packs: database.keyspace("packs", ranged(memtable))?,
            entries: database.keyspace("entries", ranged(memtable / 2))?,
            bodies: database
                .keyspace("bodies", || ranged(memtable)().expect_point_read_hits(true))?,
            holders: database.keyspace("holders", ranged(memtable / 4))?,
            timers: database.keyspace("timers", ranged(memtable))?,
            database,
            database_folder,
            faults: options.faults.clone(),
            _lock: lock,
        };
        disk.check_format(&options.directory)?;
        Ok(disk)
    }

    fn check_format(&self, directory: &Path) -> Result<(), StoreError> {
        let Some(found) = self.definitions.get(FORMAT_KEY)? else {
            let mut batch = self.batch(1);
            batch.insert(&self.definitions, FORMAT_KEY, FORMAT.to_be_bytes());
            return self.write_synced(batch);
        };
        let found = <[u8; 4]>::try_from(&*found)
            .map(u32::from_be_bytes)
            .map_err(|_| StoreError::Corrupt("format number"))?;
        if found > FORMAT {
            return Err(StoreError::NewerFormat {
                directory: directory.to_path_buf(),
                found,
                known: FORMAT,
            });
        }
        Ok(())
    }

    /// The number of the run before this one (0: none) and whether it ended well.
    pub(super) fn last_run(&self) -> Result<(u64, bool), StoreError> {
        let Some(row) = self.definitions.get(RUN_KEY)? else {
            return Ok((0, true));
        };
        let (run, clean) = row
            .split_at_checked(8)
            .ok_or(StoreError::Corrupt("run number"))?;
        let run = number(run).ok_or(StoreError::Corrupt("run number"))?;
        Ok((run, clean == [1]))
    }

    pub(super) fn write_run(&self, run: u64, clean: bool) -> Result<(), StoreError> {
        let mut row = [0; 9];
        row[..8].copy_from_slice(&run.to_be_bytes());
        row[8] = u8::from(clean);
        let mut batch = self.batch(1);
        batch.insert(&self.definitions, RUN_KEY, row);
        self.write_synced(batch)
    }

    pub(super) fn batch(&self, capacity: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.database.clone(), capacity)
    }

    /// Written to the operating system, so that a killed process loses nothing.
    pub(super) fn write(&self, batch: OwnedWriteBatch) -> Result<(), StoreError> {
        if let Some(faults) = &self.faults {
            faults.before_write()?;
        }
        batch.durability(Some(PersistMode::Buffer)).commit()?;
        Ok(())
    }

    /// What is synced by [`Disk::sync`].
    pub(super) fn journal(&self) -> Result<Journal, StoreError> {
        Ok(Journal::open(self.database_folder.clone())?)
    }

    /// Everything that was written before is on the disk afterwards. Does not keep others from writing.
    pub(super) fn sync(&self, journal: &mut Journal) -> Result<(), StoreError> {
        if let Some(faults) = &self.faults {
            faults.before_sync()?;
        }
        Ok(journal.sync()?)
    }

    fn write_synced(&self, batch: OwnedWriteBatch) -> Result<(), StoreError> {
        if let Some(faults) = &self.faults {
            faults.before_write()?;
            faults.before_sync()?;
        }
        batch.durability(Some(PersistMode::SyncData)).commit()?;
        Ok(())
    }

    pub(super) fn snapshot(&self) -> fjall::Snapshot {
        self.database.snapshot()
    }

    /// What messages take, whether they are there or gone.
    pub(super) fn space(&self) -> u64 {
        self.of_messages().map(Keyspace::disk_space).iter().sum()
    }

    fn of_messages(&self) -> [&Keyspace; 5] {
        [
            &self.packs,
            &self.entries,
            &self.bodies,
            &self.holders,
            &self.timers,
        ]
    }

    /// Up to `most`.
    pub(super) fn count_packs(&self, most: u64) -> Result<u64, StoreError> {
        let mut count = 0;
        for guard in self.entries.iter() {
            guard.key()?;
            count += 1;
            if count >= most {
                break;
            }
        }
        Ok(count)
    }

    /// Writes everything that lives anew, and nothing else. Takes as long as reading all of it does.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        // What says that messages are gone is itself in memory yet.
        for keyspace in self.of_messages() {
            keyspace.rotate_memtable_and_wait()?;
        }
        for keyspace in self.of_messages() {
            keyspace.major_compact()?;
        }
        Ok(())
    }

    /// fjall bounds each memtable but not their sum; the store stops publishers by this.
    pub(super) fn write_buffer(&self) -> u64 {
        self.database.write_buffer_size()
    }
}

fn lock_folder(directory: &Path) -> Result<File, StoreError> {
    if !directory.try_exists()? {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        // Else a power cut may take the whole new folder with all that was synced inside it.
        if let Some(parent) = directory.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    // A folder that was there may be open to others: it holds messages and password hashes.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(directory.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(StoreError::Io(error)),
    }
}
