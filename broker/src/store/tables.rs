//! The fjall database: its keyspaces, how they are opened and brought up to what the journal says.
//! Not who writes (see `disk.rs`).

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use fjall::config::{FilterPolicy, FilterPolicyEntry};
use fjall::{Database, KeyspaceCreateOptions, PersistMode, Snapshot};

use super::batch::{Change, read_changes};
use super::error::StoreError;
use super::handle::StoreOptions;
use super::journal;
use super::layout::{FORMAT_KEY, RUN_KEY, number};
use super::space::Space;

/// Of two, fjall lets one do nothing but flush: while the other compacts, the first takes every further
/// request to compact out of their queue and puts it back, without end, on a processor of its own.
const WORKERS: usize = 1;

/// Whoever writes waits while so many memtables of one keyspace are on their way to the disk, or so
/// many runs of tables wait to be compacted. fjall's own bounds, which it only keeps for its own writes.
const MOST_SEALED: usize = 4;
const MOST_RUNS: usize = 30;

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// fjall's own journals.
const JOURNAL_EXTENSION: &str = "jnl";

pub(super) struct Tables {
    database: Database,
    pub(super) definitions: Space,
    pub(super) packs: Space,
    pub(super) entries: Space,
    pub(super) bodies: Space,
    pub(super) holders: Space,
    pub(super) timers: Space,
}

impl Tables {
    pub(super) fn open(folder: &Path, options: &StoreOptions) -> Result<Tables, StoreError> {
        let database = Database::builder(folder)
            .manual_journal_persist(true)
            .cache_size(options.cache_bytes)
            .worker_threads(WORKERS)
            .open()?;
        let memtable = options.memtable_bytes;
        let space = |number: u8, name: &str, bytes: u64, points: bool| {
            // Everything but `bodies` is read by range, where a bloom filter is dead weight.
            let options = KeyspaceCreateOptions::default()
                .max_memtable_size(bytes)
                .manual_journal_persist(true)
                .expect_point_read_hits(points)
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::None));
            let keyspace = database.keyspace(name, || options.clone())?;
            Ok::<_, StoreError>(Space::new(number, keyspace, bytes))
        };
        let tables = Tables {
            definitions: space(0, "definitions", memtable / 4, false)?,
            packs: space(1, "packs", memtable, false)?,
            entries: space(2, "entries", memtable / 2, false)?,
            bodies: space(3, "bodies", memtable, true)?,
            holders: space(4, "holders", memtable / 4, false)?,
            timers: space(5, "timers", memtable, false)?,
            database,
        };
        tables.raise_seqno();
        Ok(tables)
    }

    /// fjall looks for the highest number in its tables only where it finds a journal of its own. With
    /// a lower one what is written would stand behind what is there.
    fn raise_seqno(&self) {
        let supervisor = &self.database.supervisor;
        for highest in self.spaces().into_iter().filter_map(Space::highest) {
            supervisor.seqno.fetch_max(highest + 1);
            supervisor.snapshot_tracker.publish(highest);
        }
    }

    /// Once fjall's journal was the journal: afterwards nothing stands in it that is not in tables. To
    /// be opened anew.
    pub(super) fn leave_journal(self, folder: &Path) -> Result<(), StoreError> {
        for space in self.spaces() {
            space.rotate_memtable_and_wait()?;
        }
        drop(self);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|found| found == JOURNAL_EXTENSION)
            {
                fs::remove_file(path)?;
            }
        }
        Ok(File::open(folder)?.sync_all()?)
    }

    /// What the journal holds and no table yet is there afterwards, and nothing of it is needed any
    /// more.
    pub(super) fn catch_up(&self, folder: &Path) -> Result<(), StoreError> {
        let persisted = self.spaces().map(Space::persisted);
        journal::read(folder, |head, body| {
            let changes = read_changes(body).ok_or(StoreError::Corrupt("journal"))?;
            for change in changes {
                let known = persisted.get(usize::from(change.space));
                if known.is_some_and(|known| known.is_some_and(|known| head.seqno <= known)) {
                    continue;
                }
                self.apply(change, head.seqno, head.number)?;
            }
            self.database.supervisor.seqno.fetch_max(head.seqno + 1);
            self.written(head.seqno);
            self.seal_full()
        })?;
        for space in self.spaces() {
            space.seal()?;
        }
        self.wait_for_tables()
    }

    pub(super) fn next_seqno(&self) -> u64 {
        self.database.supervisor.seqno.next()
    }

    pub(super) fn apply(&self, change: Change, seqno: u64, record: u64) -> Result<(), StoreError> {
        let spaces = self.spaces();
        let space = spaces
            .get(usize::from(change.space))
            .ok_or(StoreError::Corrupt("journal"))?;
        space.apply(change, seqno, record);
        Ok(())
    }

    /// Everything of this number was applied: whoever reads sees it.
    pub(super) fn written(&self, seqno: u64) {
        self.database.supervisor.snapshot_tracker.publish(seqno);
    }

    /// By number.
    pub(super) fn spaces(&self) -> [&Space; 6] {
        [
            &self.definitions,
            &self.packs,
            &self.entries,
            &self.bodies,
            &self.holders,
            &self.timers,
        ]
    }

    pub(super) fn of_messages(&self) -> [&Space; 5] {
        let [_, packs, entries, bodies, holders, timers] = self.spaces();
        [packs, entries, bodies, holders, timers]
    }

    pub(super) fn is_any_full(&self) -> bool {
        self.spaces().into_iter().any(Space::is_full)
    }

    /// See [`Space::seal`]. Waits while the disk is too slow.
    pub(super) fn seal_full(&self) -> Result<(), StoreError> {
        for space in self.spaces() {
            if space.is_full() {
                space.seal()?;
                self.check()?;
            }
            while space.sealed() >= MOST_SEALED || space.runs() >= MOST_RUNS {
                self.check()?;
                thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    /// Whoever flushes may have met an error, and nobody flushes after that.
    fn check(&self) -> Result<(), StoreError> {
        Ok(self.database.persist(PersistMode::Buffer)?)
    }

    /// Until everything that was sealed is in tables.
    pub(super) fn wait_for_tables(&self) -> Result<(), StoreError> {
        while self.spaces().iter().any(|space| space.sealed() > 0) {
            self.check()?;
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    pub(super) fn format(&self) -> Result<Option<u32>, StoreError> {
        let Some(found) = self.definitions.get(FORMAT_KEY)? else {
            return Ok(None);
        };
        <[u8; 4]>::try_from(&*found)
            .map(|found| Some(u32::from_be_bytes(found)))
            .map_err(|_| StoreError::Corrupt("format number"))
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

    pub(super) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    /// What messages take, whether they are there or gone.
    pub(super) fn space(&self) -> u64 {
        self.of_messages()
            .iter()
            .map(|space| space.disk_space())
            .sum()
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
}
