//! The files that tracers write: appended to, begun anew when one is full, listed, read, removed. Not
//! what stands in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Of a file's name, with room for a number behind it.
const MAX_NAME: usize = 240;

/// One that is read over the management API is read as a whole.
const MOST_READ: u64 = 256 << 20;

pub struct TraceFiles {
    folder: PathBuf,
    /// Held over every change: a file that is removed is not written into meanwhile.
    open: Mutex<Option<Open>>,
}

/// The file that was written last.
struct Open {
    name: String,
    file: File,
    length: u64,
}

/// How much of a name is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub bytes: u64,
    pub files: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFile {
    pub name: String,
    pub size: u64,
}

impl TraceFiles {
    pub fn new(folder: &Path) -> TraceFiles {
        TraceFiles {
            folder: folder.to_owned(),
            open: Mutex::default(),
        }
    }

    pub(super) fn append(&self, name: &str, octets: &[u8], kept: Kept) -> io::Result<()> {
        let name = file_name(name);
        let mut place = self.open.lock();
        let mut open = match place.take() {
            Some(open) if open.name == name => open,
            Some(_) | None => self.open(name)?,
        };
        let length = octets.len() as u64;
        if open.length > 0 && open.length.saturating_add(length) > kept.bytes {
            self.rotate(&open.name, kept.files)?;
            open = self.open(open.name)?;
        }
        open.file.write_all(octets)?;
        open.length += length;
        *place = Some(open);
        Ok(())
    }

    fn open(&self, name: String) -> io::Result<Open> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(&name);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Open { name, file, length })
    }

    /// NAME becomes NAME.1, NAME.1 becomes NAME.2; what is too much goes.
    fn rotate(&self, name: &str, files: u32) -> io::Result<()> {
        let place = |number: u32| match number {
            0 => self.folder.join(name),
            number => self.folder.join(format!("{name}.{number}")),
        };
        for number in (0..files).rev() {
            let from = place(number);
            let moved = match number + 1 == files {
                true => fs::remove_file(from),
                false => fs::rename(from, place(number + 1)),
            };
            match moved {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// By name.
    pub fn list(&self) -> Vec<TraceFile> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| {
            let size = entry.metadata().ok().filter(|found| found.is_file())?.len();
            let name = entry.file_name().into_string().ok()?;
            Some(TraceFile { name, size })
        });
        let mut files: Vec<TraceFile> = files.collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    /// `None`: there is no such file.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let found = self.list().into_iter().find(|file| file.name == name);
        match found {
            None => Ok(None),
            Some(file) if file.size > MOST_READ => Err(io::Error::other(format!(
                "it has {} bytes; {MOST_READ} can be read at once",
                file.size
            ))),
            Some(file) => fs::read(self.folder.join(file.name)).map(Some),
        }
    }

    /// `false`: there is no such file.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        let mut open = self.open.lock();
        if !self.list().iter().any(|file| file.name == name) {
            return Ok(false);
        }
        open.take_if(|open| open.name == name);
        fs::remove_file(self.folder.join(name)).map(|()| true)
    }
}

/// A plugin's word for a file as a name that stays in the folder.
fn file_name(name: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for octet in name.bytes() {
        match octet {
            b'.' if encoded.is_empty() => encoded.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                encoded.push(octet.into());
            }
            // Into a string, which does not fail.
            other => drop(write!(encoded, "%{other:02X}")),
        }
        if encoded.len() >= MAX_NAME {
            break;
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_the_folder() {
        assert_eq!(file_name("a-b_1.log"), "a-b_1.log");
        assert_eq!(file_name("../x"), "%2E.%2Fx");
        assert_eq!(file_name("ä"), "%C3%A4");
        assert!(file_name(&"x".repeat(1000)).len() <= MAX_NAME);
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let folder = std::env::temp_dir().join(format!("warren-traces-{}", std::process::id()));
        let files = TraceFiles::new(&folder);
        let kept = Kept {
            bytes: 10,
            files: 3,
        };
        for text in ["one-12345", "two-12345", "three-123", "four-1234"] {
            files
                .append("t.log", text.as_bytes(), kept)
                .expect("written");
        }
        let names: Vec<String> = files.list().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["t.log", "t.log.1", "t.log.2"]);
        let read = |name| files.read(name).expect("reads");
        assert_eq!(read("t.log"), Some(b"four-1234".to_vec()));
        assert_eq!(read("t.log.2"), Some(b"two-12345".to_vec()));
        assert_eq!(read("../t.log"), None);
        assert!(files.remove("t.log").expect("removes"));
        assert!(!files.remove("t.log").expect("is gone"));
        files.append("t.log", b"five", kept).expect("written");
        assert_eq!(read("t.log"), Some(b"five".to_vec()));
        fs::remove_dir_all(&folder).expect("removes");
    }
}
