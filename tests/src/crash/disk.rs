//! The shim between the store and the disk (`tests/shim/shim.c`): builds it, hands it to a broker,
//! and after a kill takes back what was not synced. Not a file system: what the shim does not see
//! (a rename by a raw system call) stays.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Random;

const MAGIC: u32 = 0x5741_5252;
const ZEROS: u32 = 1;
const HEAD: usize = 40;

/// How much of the unsynced a power cut takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it.
    All,
    /// Of each file a part from the end on, and the write it begins with is torn.
    Torn,
    /// Of each file any of its writes: a kernel writes pages back in any order.
    Scattered,
}

/// What was taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub writes: u64,
    pub octets: u64,
    pub names: u64,
}

impl std::ops::AddAssign for Taken {
    fn add_assign(&mut self, other: Taken) {
        self.writes += other.writes;
        self.octets += other.octets;
        self.names += other.names;
    }
}

/// A folder for data with the shim above it.
pub struct Shim {
    home: TempDir,
    library: PathBuf,
}

/// One undo record of a file.
struct Write {
    zeros: bool,
    offset: u64,
    length: u64,
    old_size: u64,
    saved: u64,
    old: Vec<u8>,
}

impl Shim {
    /// Compiles the shim; there is a `cc` wherever Rust links.
    pub fn build() -> Shim {
        let home = tempfile::Builder::new()
            .prefix("warren-shim-")
            .tempdir()
            .expect("a temporary folder");
        let library = home.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/shim.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("cc runs");
        assert!(status.success(), "the shim does not compile");
        for folder in ["data", "undo"] {
            fs::create_dir(home.path().join(folder)).expect("a folder");
        }
        Shim { home, library }
    }

    /// The shim's own folder, which it stands above.
    pub fn data(&self) -> PathBuf {
        let home = self.home.path().canonicalize().expect("the folder");
        home.join("data")
    }

    fn undo(&self) -> PathBuf {
        self.home.path().join("undo")
    }

    /// While this file exists, every sync fails.
    pub fn eio_file(&self) -> PathBuf {
        self.home.path().join("eio")
    }

    /// The environment of a process whose unsynced writes can be taken back.
    pub fn environment(&self, sync_delay_ms: u64) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.display().to_string();
        [
            ("LD_PRELOAD", text(self.library.clone())),
            ("WARREN_SHIM_DIR", text(self.data())),
            ("WARREN_SHIM_UNDO", text(self.undo())),
            ("WARREN_SHIM_SYNC_DELAY_MS", sync_delay_ms.to_string()),
            ("WARREN_SHIM_EIO_FILE", text(self.eio_file())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// The power cut: after the process was killed, takes back what it had not synced.
    pub fn lose(&self, loss: Loss, random: &mut Random) -> Taken {
        take_back(&self.data(), &self.undo(), loss, random).expect("undo logs can be read")
    }
}

fn take_back(data: &Path, undo: &Path, loss: Loss, random: &mut Random) -> io::Result<Taken> {
    let mut taken = Taken::default();
    let logs: Vec<PathBuf> = fs::read_dir(undo)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    let named = |kind: char| {
        logs.iter().filter_map(move |path| {
            let name = path.file_name()?.to_str()?.strip_prefix(kind)?;
            Some((name.parse::<u64>().ok()?, path))
        })
    };
    for (_, log) in named('d') {
        taken.names += take_back_names(&fs::read(log)?)?;
    }
    let mut files = HashMap::new();
    by_inode(data, &mut files)?;
    for (inode, log) in named('f') {
        let writes = records(&fs::read(log)?);
        if let Some(path) = files.get(&inode).filter(|_| !writes.is_empty()) {
            let file = OpenOptions::new().write(true).open(path)?;
            taken += take_back_writes(&file, writes, loss, random)?;
        }
    }
    // The next process begins with a clean slate.
    for log in logs {
        fs::remove_file(log)?;
    }
    Ok(taken)
}

fn by_inode(folder: &Path, found: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            by_inode(&entry.path(), found)?;
        } else {
            found.insert(metadata.ino(), entry.path());
        }
    }
    Ok(())
}

fn inode(path: &str) -> Option<u64> {
    fs::symlink_metadata(path)
        .ok()
        .map(|metadata| metadata.ino())
}

/// Names go all or not at all: what a directory has not synced is taken back, last change first.
fn take_back_names(log: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(log);
    // A record that the kill cut off did not happen yet.
    let whole: Vec<&str> = text.split_inclusive('\0').collect();
    let parts: Vec<&str> = whole
        .iter()
        .filter_map(|part| part.strip_suffix('\0'))
        .collect();
    let mut taken = 0;
    for record in parts.chunks_exact(3).rev() {
        let (head, one, two) = (record[0], record[1], record[2]);
        let what = head.chars().next();
        let number = head.get(1..).and_then(|number| number.parse().ok());
        match what {
            Some('C') if inode(one) == number => fs::remove_file(one)?,
            Some('K') if inode(one).is_none() && inode(two) == number => fs::hard_link(two, one)?,
            Some('R') if inode(two) == number && inode(one).is_none() => fs::rename(two, one)?,
            _ => continue,
        }
        taken += 1;
    }
    Ok(taken)
}

/// A record that the kill cut off belongs to a write that did not happen.
fn records(log: &[u8]) -> Vec<Write> {
    let mut found = Vec::new();
    let mut rest = log;
    while let Some((head, tail)) = rest.split_at_checked(HEAD) {
        let long = |at: usize| {
            let octets = head[at..at + 8].try_into();
            u64::from_ne_bytes(octets.expect("eight octets"))
        };
        let short = |at: usize| long(at & !7) >> (8 * (at & 7)) & 0xffff_ffff;
        assert_eq!(short(0) as u32, MAGIC, "an undo log is not one");
        let zeros = short(4) as u32 & ZEROS != 0;
        let saved = long(32);
        let Some((old, next)) = tail.split_at_checked(if zeros { 0 } else { saved as usize })
        else {
            break;
        };
        found.push(Write {
            zeros,
            offset: long(8),
            length: long(16),
            old_size: long(24),
            saved,
            old: old.to_vec(),
        });
        rest = next;
    }
    found
}

fn take_back_writes(
    file: &File,
    writes: Vec<Write>,
    loss: Loss,
    random: &mut Random,
) -> io::Result<Taken> {
    let mut taken = Taken::default();
    let count = writes.len() as u64;
    let stays = match loss {
        Loss::All => 0,
        Loss::Torn => random.within(0..count + 1),
        Loss::Scattered => random.within(0..2) * count,
    };
    let mut at_the_end = true;
    for (place, write) in writes.into_iter().enumerate().rev() {
        let place = place as u64;
        // Half of what is scattered is not there, and some files have it all.
        let kept = match loss {
            Loss::All | Loss::Torn => place < stays,
            Loss::Scattered => stays == count || random.within(0..2) == 0,
        };
        if kept {
            at_the_end = false;
            continue;
        }
        let torn = loss == Loss::Torn && place == stays;
        let from = if torn { write.length / 2 } else { 0 };
        restore(file, &write, from)?;
        // A hole in the middle reads as zeros; only the end can be cut off.
        if at_the_end || loss != Loss::Scattered {
            let torn_end = write.offset + from;
            file.set_len(if torn {
                write.old_size.max(torn_end)
            } else {
                write.old_size
            })?;
        } else if write.offset + write.length > write.old_size {
            let start = write.offset.max(write.old_size);
            let length = write.offset + write.length - start;
            file.write_all_at(&vec![0; length as usize], start)?;
        }
        taken.writes += 1;
        taken.octets += write.length - from;
    }
    Ok(taken)
}

fn restore(file: &File, write: &Write, from: u64) -> io::Result<()> {
    if write.saved <= from {
        return Ok(());
    }
    let zeros = vec![0; if write.zeros { write.saved as usize } else { 0 }];
    let old = if write.zeros { &zeros } else { &write.old };
    file.write_all_at(&old[from as usize..], write.offset + from)
}
