//! The journal: what is written goes here first, and is synced here. Its files are used again and
//! again: to write over what is there changes nothing in the file system, which makes a sync a
//! quarter shorter. Not what stands in it (see `batch.rs`), and not when what it says is in the tables (`disk.rs`).
//!
//! ```text
//! <directory>/journal/<n>.log     records, one behind the other, each from the begin of a page; what
//!                                 stands behind the last one is left of an earlier use
//! ```
//! The oldest file is used again when everything in it is in the tables. So the records that are
//! there are without a gap, from the first record of the oldest file on.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::batch::{Change, HEAD_BYTES, Head, put_record};
use super::error::StoreError;

/// A file is full from here on.
const FILE_BYTES: u64 = 16 << 20;

/// A file that one long record made longer than this is cut when it is used again.
const LONGEST_FILE: u64 = 2 * FILE_BYTES;

/// With more files than this what is not in the tables yet is sent there, and files that are not
/// needed any more are removed. What they hold is read again at the next start.
const MOST_FILES: usize = 8;

/// A record begins where a page does: a write over half a page that is not in memory reads it first.
const PAGE: u64 = 4096;

const EXTENSION: &str = "log";

struct Segment {
    path: PathBuf,
    file: File,
    length: u64,
    /// Of its last record.
    last: u64,
}

pub(super) struct Journal {
    folder: PathBuf,
    epoch: u64,
    next: u64,
    /// The oldest first; the last is being written.
    segments: VecDeque<Segment>,
    record: Vec<u8>,
    newest: Arc<Newest>,
}

/// The file whose end may not be on the disk yet, for whoever syncs.
#[derive(Default)]
pub(super) struct Newest(Mutex<Option<Arc<File>>>);

impl Newest {
    /// Every record that was appended before the call is on the disk afterwards: files before this
    /// one were synced when it became the newest. Does not keep others from appending.
    pub(super) fn sync(&self) -> io::Result<()> {
        let file = self.0.lock().clone();
        file.map_or(Ok(()), |file| file.sync_data())
    }
}

impl Journal {
    /// An empty one. Files that are there are used again; nothing in them is needed any more, and
    /// the begin of each is wiped: an old record must not be taken for one of those to come.
    pub(super) fn begin(folder: PathBuf, epoch: u64) -> io::Result<Journal> {
        let mut segments = VecDeque::new();
        // The oldest first: what is still there after a power cut must not lack its begin.
        for found in find(&folder)? {
            let file = File::options().read(true).write(true).open(&found.path)?;
            if found.head.is_some() {
                file.write_all_at(&[0; PAGE as usize], 0)?;
                file.sync_data()?;
            }
            segments.push_back(Segment {
                path: found.path,
                file,
                length: 0,
                last: 0,
            });
        }
        let mut journal = Journal {
            folder,
            epoch,
            next: 1,
            segments,
            record: Vec::new(),
            newest: Arc::default(),
        };
        journal.turn(1)?;
        Ok(journal)
    }

    pub(super) fn newest(&self) -> Arc<Newest> {
        Arc::clone(&self.newest)
    }

    /// The number of the next record.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn append(&mut self, changes: &[Change], seqno: u64) -> Result<(), StoreError> {
        self.record.clear();
        put_record(&mut self.record, changes, (self.epoch, self.next, seqno))
            .ok_or(StoreError::Corrupt("batch"))?;
        let padded = self.record.len().next_multiple_of(PAGE as usize);
        self.record.resize(padded, 0);
        let Some(active) = self.segments.back_mut() else {
            return Err(StoreError::Failed);
        };
        active.file.write_all_at(&self.record, active.length)?;
        active.length += padded as u64;
        active.last = self.next;
        self.next += 1;
        if self.record.capacity() > FILE_BYTES as usize {
            self.record = Vec::new();
        }
        Ok(())
    }

    /// The next record belongs into another file.
    pub(super) fn is_full(&self) -> bool {
        let active = self.segments.back();
        active.is_none_or(|active| active.length >= FILE_BYTES)
    }

    /// As [`Newest::sync`], for whoever appends. By a file of its own: the system tells an error of the
    /// disk once for each time that a file was opened, and both must hear of it.
    pub(super) fn sync(&self) -> io::Result<()> {
        let active = self.segments.back();
        active.map_or(Ok(()), |active| active.file.sync_data())
    }

    /// Goes on in another file: the oldest, where all it holds is older than `needed`.
    pub(super) fn turn(&mut self, needed: u64) -> io::Result<()> {
        self.sync()?;
        let mut removed = false;
        while self.segments.len() > MOST_FILES
            && let Some(oldest) = self.segments.pop_front_if(|oldest| oldest.last < needed)
        {
            fs::remove_file(&oldest.path)?;
            removed = true;
        }
        if removed {
            // Else they could come back after a power cut, with a gap behind them.
            File::open(&self.folder)?.sync_all()?;
        }
        let again = self.segments.pop_front_if(|oldest| oldest.last < needed);
        let segment = match again {
            Some(mut oldest) => {
                if oldest.file.metadata()?.len() > LONGEST_FILE {
                    oldest.file.set_len(FILE_BYTES)?;
                }
                oldest.length = 0;
                oldest
            }
            None => self.create()?,
        };
        let synced = File::options().write(true).open(&segment.path)?;
        self.segments.push_back(segment);
        *self.newest.0.lock() = Some(Arc::new(synced));
        Ok(())
    }

    fn create(&self) -> io::Result<Segment> {
        let mut number = self.segments.len() + 1;
        loop {
            let path = path(&self.folder, number);
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path);
            match file {
                Ok(file) => {
                    File::open(&self.folder)?.sync_all()?;
                    return Ok(Segment {
                        path,
                        file,
                        length: 0,
                        last: 0,
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// More files than there should be wait for the tables: from this record on it would be enough.
    pub(super) fn stragglers(&self) -> Option<u64> {
        let surplus = self.segments.len().checked_sub(MOST_FILES)?;
        self.segments.get(surplus).map(|segment| segment.last)
    }
}

struct Found {
    path: PathBuf,
    /// Of its first record, whole or not.
    head: Option<Head>,
}

/// The oldest first, behind those that hold nothing.
fn find(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str());
        let is_numbered = number.is_some_and(|number| number.parse::<usize>().is_ok());
        if is_numbered && path.extension().is_some_and(|found| found == EXTENSION) {
            let file = File::open(&path)?;
            let mut head = [0; HEAD_BYTES];
            let head = match file.read_exact_at(&mut head, 0) {
                Ok(()) => Some(Head::read(&head)).filter(|head| head.number > 0),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
                Err(error) => return Err(error),
            };
            found.push(Found { path, head });
        }
    }
    found.sort_by_key(|found| found.head.map(|head| (head.epoch, head.number)));
    Ok(found)
}

/// Gives every record that is there to `take`, in order: its head and its body. They are on the disk
/// then, also where the last run was killed before it synced them.
pub(super) fn read(
    folder: &Path,
    mut take: impl FnMut(Head, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut record = Vec::new();
    let whole_ones = whole_ones(folder)?;
    for whole in &whole_ones {
        File::open(&whole.path)?.sync_data()?;
    }
    for whole in whole_ones {
        let file = File::open(&whole.path)?;
        let mut at = 0;
        while at < whole.end
            && let Some(head) = read_record(&file, (at, whole.end), &mut record)?
        {
            take(head, record.get(HEAD_BYTES..).unwrap_or_default())?;
            at += (record.len() as u64).next_multiple_of(PAGE);
        }
    }
    Ok(())
}

/// A file and what of it is whole.
struct Whole {
    path: PathBuf,
    first: Head,
    last: u64,
    end: u64,
}

/// The files whose records are still needed, without a gap between them.
fn whole_ones(folder: &Path) -> Result<VecDeque<Whole>, StoreError> {
    let mut all = Vec::new();
    for found in find(folder)? {
        if let Some(first) = found.head {
            all.extend(whole(found.path, first)?);
        }
    }
    // Of whole records only: a damaged head may name any epoch.
    let epoch = all.iter().map(|whole| whole.first.epoch).max();
    all.retain(|whole| Some(whole.first.epoch) == epoch);
    let mut chain: VecDeque<Whole> = VecDeque::new();
    while let Some(before) = all.pop() {
        match chain.front() {
            Some(next) if before.last + 1 != next.first.number => {
                // It was about to be used again, and the begin of that reached the disk in part:
                // nothing in it was needed. Any other was synced before the next was begun.
                if all.is_empty() {
                    break;
                }
                return Err(StoreError::Corrupt("journal"));
            }
            Some(_) | None => chain.push_front(before),
        }
    }
    Ok(chain)
}

fn whole(path: PathBuf, first: Head) -> io::Result<Option<Whole>> {
    let file = File::open(&path)?;
    let length = file.metadata()?.len();
    let mut record = Vec::new();
    let (mut end, mut last) = (0, None);
    while let Some(head) = read_record(&file, (end, length), &mut record)? {
        let expected = last.map_or(first.number, |last| last + 1);
        if (head.epoch, head.number) != (first.epoch, expected) {
            break;
        }
        last = Some(head.number);
        end += (record.len() as u64).next_multiple_of(PAGE);
    }
    Ok(last.map(|last| Whole {
        path,
        first,
        last,
        end,
    }))
}

/// None where no whole one stands.
fn read_record(
    file: &File,
    (at, length): (u64, u64),
    record: &mut Vec<u8>,
) -> io::Result<Option<Head>> {
    let rest = length.saturating_sub(at);
    let mut head = [0; HEAD_BYTES];
    if rest < HEAD_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut head, at)?;
    let read = Head::read(&head);
    if read.number == 0 || read.length > rest - HEAD_BYTES as u64 {
        return Ok(None);
    }
    let Ok(length) = usize::try_from(read.length) else {
        return Ok(None);
    };
    record.clear();
    record.extend_from_slice(&head);
    record.resize(HEAD_BYTES + length, 0);
    let body = record.get_mut(HEAD_BYTES..).unwrap_or_default();
    file.read_exact_at(body, at + HEAD_BYTES as u64)?;
    Ok(read.fits(record).then_some(read))
}

fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(number.to_string()).with_extension(EXTENSION)
}

#[cfg(test)]
mod tests {
    use super::super::batch::{Kind, read_changes};
    use super::super::tests::Folder;
    use super::*;

    fn begin(folder: &Folder, epoch: u64) -> Journal {
        fs::create_dir_all(folder.path()).unwrap();
        Journal::begin(folder.path().into(), epoch).unwrap()
    }

    fn change(text: &str, bytes: usize) -> [Change; 1] {
        [Change {
            space: 1,
            kind: Kind::Put,
            key: text.as_bytes().into(),
            value: vec![7; bytes].into(),
        }]
    }

    fn append(journal: &mut Journal, bytes: usize) -> u64 {
        let number = journal.next();
        let changes = change(&number.to_string(), bytes);
        journal.append(&changes, number * 10).unwrap();
        number
    }

    fn numbers(folder: &Folder) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::new();
        read(folder.path(), |head, body| {
            let changes = read_changes(body).unwrap();
            assert_eq!(*changes[0].key, *head.number.to_string().as_bytes());
            assert_eq!(head.seqno, head.number * 10);
            numbers.push(head.number);
            Ok(())
        })?;
        Ok(numbers)
    }

    fn spoil(folder: &Folder, file: usize, at: u64) {
        let file = File::options().write(true).open(path(folder.path(), file));
        file.unwrap().write_all_at(b"spoiled", at).unwrap();
    }

    #[test]
    fn what_was_appended_is_read_again_in_order_over_several_files() {
        let folder = Folder::new();
        let mut journal = begin(&folder, 1);
        for _ in 0..3 {
            append(&mut journal, 10);
            append(&mut journal, 10_000);
            journal.turn(1).unwrap();
        }
        append(&mut journal, 0);
        assert_eq!(numbers(&folder).unwrap(), [1, 2, 3, 4, 5, 6, 7]);
        // A new epoch begins with nothing.
        let mut journal = begin(&folder, 2);
        assert!(numbers(&folder).unwrap().is_empty());
        append(&mut journal, 5);
        assert_eq!(numbers(&folder).unwrap(), [1]);
    }

    #[test]
    fn a_file_is_used_again_when_all_it_holds_is_older_than_what_is_needed() {
        let folder = Folder::new();
        let mut journal = begin(&folder, 1);
        append(&mut journal, 20_000);
        append(&mut journal, 20_000);
        journal.turn(2).unwrap();
        append(&mut journal, 10);
        assert_eq!(numbers(&folder).unwrap(), [1, 2, 3]);
        journal.turn(3).unwrap();
        append(&mut journal, 10);
        assert_eq!(numbers(&folder).unwrap(), [3, 4]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn surplus_files_are_removed_once_they_are_not_needed() {
        let folder = Folder::new();
        let mut journal = begin(&folder, 1);
        for _ in 0..MOST_FILES + 3 {
            assert_eq!(journal.stragglers(), None);
            append(&mut journal, 10);
            journal.turn(1).unwrap();
            if journal.segments.len() == MOST_FILES {
                break;
            }
        }
        for _ in 0..4 {
            append(&mut journal, 10);
            journal.turn(1).unwrap();
        }
        let wanted = journal.stragglers().unwrap();
        assert!(wanted > 1 && wanted < journal.next(), "{wanted}");
        let last = append(&mut journal, 10);
        journal.turn(last).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_FILES);
        assert_eq!(numbers(&folder).unwrap().last(), Some(&last));
    }

    #[test]
    fn a_torn_end_is_left_out_and_what_was_before_it_is_read() {
        let folder = Folder::new();
        let mut journal = begin(&folder, 1);
        for _ in 0..4 {
            append(&mut journal, 5000);
        }
        spoil(&folder, 1, 2 * 8192 + 5000);
        assert_eq!(numbers(&folder).unwrap(), [1, 2]);
    }

    #[test]
    fn a_hole_in_the_middle_is_damage() {
        let folder = Folder::new();
        let mut journal = begin(&folder, 1);
        for _ in 0..3 {
            append(&mut journal, 10);
            append(&mut journal, 10);
            journal.turn(1).unwrap();
        }
        spoil(&folder, 2, PAGE + 50);
        assert!(matches!(
            numbers(&folder),
            Err(StoreError::Corrupt("journal"))
        ));
    }

    #[test]
    fn a_head_that_is_damaged_does_not_hide_the_other_files() {
        let folder = Folder::new();
        let mut journal = begin(&folder, 1);
        for _ in 0..2 {
            append(&mut journal, 10);
            journal.turn(1).unwrap();
        }
        append(&mut journal, 10);
        // Its epoch.
        spoil(&folder, 3, 16);
        assert_eq!(numbers(&folder).unwrap(), [1, 2]);
    }

    #[test]
    fn a_file_that_was_about_to_be_used_again_when_the_power_went_is_passed_over() {
        let folder = Folder::new();
        let mut journal = begin(&folder, 1);
        for _ in 0..3 {
            append(&mut journal, 10);
            append(&mut journal, 10);
            journal.turn(1).unwrap();
        }
        // The second page of the new record is there, the first is not.
        spoil(&folder, 1, PAGE + 50);
        assert_eq!(numbers(&folder).unwrap(), [3, 4, 5, 6]);
        spoil(&folder, 1, 50);
        assert_eq!(numbers(&folder).unwrap(), [3, 4, 5, 6]);
    }
}
