//! The folder, its lock, and the one way in which anything is written: into the journal, then into the
//! memtables of the database; the seam where tests make the disk slow or broken. Not what is written
//! (see `commit.rs`).

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::batch::Batch;
use super::error::StoreError;
use super::handle::StoreOptions;
use super::journal::{Journal, Newest};
use super::layout::{FORMAT, FORMAT_KEY, FORMAT_OF_FJALLS_JOURNAL, RUN_KEY};
use super::space::Space;
use super::tables::Tables;

/// Lets a test stand between the store and the disk.
pub trait Faults: Send + Sync {
    /// Called before each batch is written. May take its time; an error counts as the disk's.
    fn before_write(&self) -> io::Result<()>;

    /// The same before each sync.
    fn before_sync(&self) -> io::Result<()>;
}

pub(super) struct Disk {
    tables: Tables,
    /// Held by whoever writes, or seals memtables.
    journal: Mutex<Journal>,
    newest: Arc<Newest>,
    /// What is in memory and in no table, as of the last look.
    buffered: AtomicU64,
    faults: Option<Arc<dyn Faults>>,
    // The last field: the folder is given free after the database is closed.
    _lock: File,
}

/// Whoever only reads.
impl Deref for Disk {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl Disk {
    pub(super) fn open(options: &StoreOptions) -> Result<Disk, StoreError> {
        let lock = lock_folder(&options.directory)?;
        let folder = options.directory.join("database");
        let mut tables = Tables::open(&folder, options)?;
        let found = check_format(&tables, &options.directory)?;
        if found == Some(FORMAT_OF_FJALLS_JOURNAL) {
            tables.leave_journal(&folder)?;
            tables = Tables::open(&folder, options)?;
        }
        let journals = options.directory.join("journal");
        if !journals.try_exists()? {
            fs::create_dir(&journals)?;
            File::open(&options.directory)?.sync_all()?;
        }
        tables.catch_up(&journals)?;
        check_format(&tables, &options.directory)?;
        let (last, _) = tables.last_run()?;
        let journal = Journal::begin(journals, last + 1)?;
        let disk = Disk {
            tables,
            newest: journal.newest(),
            journal: Mutex::new(journal),
            buffered: AtomicU64::new(0),
            faults: options.faults.clone(),
            _lock: lock,
        };
        if found != Some(FORMAT) {
            disk.write_format()?;
        }
        if found == Some(FORMAT_OF_FJALLS_JOURNAL) {
            // A Warren that does not know this journal finds the old number in a table otherwise.
            disk.seal([&disk.definitions])?;
            disk.wait_for_tables()?;
        }
        Ok(disk)
    }

    fn write_format(&self) -> Result<(), StoreError> {
        let mut batch = Batch::with_capacity(1);
        batch.insert(&self.definitions, FORMAT_KEY, FORMAT.to_be_bytes());
        // Synced with the number of the run.
        self.write(batch)
    }

    pub(super) fn write_run(&self, run: u64, clean: bool) -> Result<(), StoreError> {
        let mut row = [0; 9];
        row[..8].copy_from_slice(&run.to_be_bytes());
        row[8] = u8::from(clean);
        let mut batch = Batch::with_capacity(1);
        batch.insert(&self.definitions, RUN_KEY, row);
        self.write(batch)?;
        self.sync()
    }

    /// Written to the operating system, so that a killed process loses nothing.
    pub(super) fn write(&self, batch: Batch) -> Result<(), StoreError> {
        if let Some(faults) = &self.faults {
            faults.before_write()?;
        }
        let mut journal = self.journal.lock();
        if journal.is_full() {
            self.turn(&mut journal)?;
        }
        let seqno = self.next_seqno();
        let record = journal.next();
        journal.append(batch.changes(), seqno)?;
        for change in batch.into_changes() {
            self.apply(change, seqno, record)?;
        }
        self.written(seqno);
        if self.is_any_full() {
            journal.sync()?;
            self.seal_full()?;
        }
        drop(journal);
        self.look();
        Ok(())
    }

    fn turn(&self, journal: &mut Journal) -> Result<(), StoreError> {
        let needed = self.spaces().into_iter().filter_map(Space::oldest).min();
        journal.turn(needed.unwrap_or(journal.next()))?;
        if let Some(upto) = journal.stragglers() {
            for space in self.spaces() {
                if space.oldest().is_some_and(|oldest| oldest <= upto) {
                    space.seal()?;
                }
            }
        }
        Ok(())
    }

    /// Everything that was written before is on the disk afterwards. Does not keep others from writing.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        if let Some(faults) = &self.faults {
            faults.before_sync()?;
        }
        Ok(self.newest.sync()?)
    }

    fn seal<const N: usize>(&self, spaces: [&Space; N]) -> Result<(), StoreError> {
        let journal = self.journal.lock();
        journal.sync()?;
        spaces.into_iter().try_for_each(Space::seal)
    }

    /// Writes everything that lives anew, and nothing else. Takes as long as reading all of it does.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        // What says that messages are gone is itself in memory yet.
        self.seal(self.of_messages())?;
        self.wait_for_tables()?;
        for space in self.of_messages() {
            space.major_compact()?;
        }
        self.look();
        Ok(())
    }

    /// fjall bounds each memtable but not their sum; the store stops publishers by this.
    pub(super) fn write_buffer(&self) -> u64 {
        self.buffered.load(Ordering::Relaxed)
    }

    pub(super) fn look(&self) {
        let buffered = self.spaces().into_iter().map(Space::buffered).sum();
        self.buffered.store(buffered, Ordering::Relaxed);
    }
}

fn check_format(tables: &Tables, directory: &Path) -> Result<Option<u32>, StoreError> {
    match tables.format()? {
        Some(found) if found > FORMAT => Err(StoreError::NewerFormat {
            directory: directory.to_path_buf(),
            found,
            known: FORMAT,
        }),
        found => Ok(found),
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
