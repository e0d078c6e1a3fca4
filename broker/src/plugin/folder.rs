//! The folder of further plugins: which components are in it, and which of them have come, changed
//! or gone. A file counts once it has not changed between two looks, so that one that is just being
//! written is not taken.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Names and paths, sorted, so that of two plugins with one type it is always the same one that is
/// refused.
pub(super) fn components(directory: &Path) -> Vec<(String, PathBuf)> {
    list(directory).unwrap_or_else(|error| {
        let folder = directory.display();
        tracing::warn!(%error, %folder, "the plugin folder cannot be read");
        Vec::new()
    })
}

/// There need not be such a folder.
fn list(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            found.push((name.into_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// Tells one content of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// What was seen of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Once, with this stamp; `taken` is the one that is in force.
    Moving {
        stamp: Stamp,
        taken: Option<Stamp>,
    },
    Taken(Stamp),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Also one that was there and has other content now.
    Came(String, PathBuf),
    Gone(String),
}

pub(super) struct Folder {
    directory: PathBuf,
    seen: BTreeMap<String, Seen>,
}

impl Folder {
    /// What is in it now counts as taken: the host has just loaded it.
    pub fn new(directory: &Path) -> Folder {
        let mut folder = Folder {
            directory: directory.to_owned(),
            seen: BTreeMap::new(),
        };
        for (name, path) in components(directory) {
            if let Some(stamp) = Stamp::of(&path) {
                folder.seen.insert(name, Seen::Taken(stamp));
            }
        }
        folder
    }

    pub fn path_of(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.wasm"))
    }

    /// What is on disk under this name is in force.
    pub fn take(&mut self, name: &str) {
        match Stamp::of(&self.path_of(name)) {
            Some(stamp) => self.seen.insert(name.to_owned(), Seen::Taken(stamp)),
            None => self.seen.remove(name),
        };
    }

    /// A folder that cannot be read says nothing about what is in it.
    pub fn look(&mut self) -> Vec<Change> {
        let Ok(found) = list(&self.directory) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        let gone = self.seen.keys().filter(|name| {
            let mut names = found.iter();
            !names.any(|(found, _)| found == *name)
        });
        let gone: Vec<String> = gone.cloned().collect();
        for name in gone {
            self.seen.remove(&name);
            changes.push(Change::Gone(name));
        }
        for (name, path) in found {
            let Some(now) = Stamp::of(&path) else {
                continue;
            };
            let next = match self.seen.get(&name).copied() {
                None => Seen::Moving {
                    stamp: now,
                    taken: None,
                },
                Some(Seen::Taken(taken)) if taken == now => continue,
                Some(Seen::Taken(taken)) => Seen::Moving {
                    stamp: now,
                    taken: Some(taken),
                },
                // It was put back.
                Some(Seen::Moving { taken, .. }) if taken == Some(now) => Seen::Taken(now),
                Some(Seen::Moving { stamp, taken }) if stamp != now => {
                    Seen::Moving { stamp: now, taken }
                }
                Some(Seen::Moving { .. }) => {
                    changes.push(Change::Came(name.clone(), path));
                    Seen::Taken(now)
                }
            };
            self.seen.insert(name, next);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture::Folder as Temporary;
    use super::*;

    fn came(folder: &Temporary, name: &str) -> Change {
        Change::Came(name.to_owned(), folder.0.join(format!("{name}.wasm")))
    }

    #[test]
    fn a_file_is_taken_once_it_rests() {
        let place = Temporary::new();
        let path = place.0.join("a.wasm");
        let mut folder = Folder::new(&place.0);
        fs::write(&path, b"half").expect("writes");
        assert_eq!(folder.look(), []);
        fs::write(&path, b"half and half").expect("writes");
        assert_eq!(folder.look(), []);
        assert_eq!(folder.look(), [came(&place, "a")]);
        assert_eq!(folder.look(), []);
        // A new file under the old name.
        fs::write(place.0.join("next"), b"half and half").expect("writes");
        fs::rename(place.0.join("next"), &path).expect("renames");
        assert_eq!(folder.look(), []);
        assert_eq!(folder.look(), [came(&place, "a")]);
        fs::remove_file(&path).expect("removes");
        assert_eq!(folder.look(), [Change::Gone("a".to_owned())]);
        assert_eq!(folder.look(), []);
    }

    #[test]
    fn what_was_there_from_the_start_has_not_come() {
        let place = Temporary::new();
        fs::write(place.0.join("a.wasm"), b"a").expect("writes");
        fs::write(place.0.join("notes.txt"), b"b").expect("writes");
        let mut folder = Folder::new(&place.0);
        assert_eq!(folder.look(), []);
        assert_eq!(folder.look(), []);
    }

    #[test]
    fn a_folder_that_is_not_there_is_empty() {
        let place = Temporary::new();
        let mut folder = Folder::new(&place.0.join("later"));
        assert_eq!(folder.look(), []);
        fs::create_dir(place.0.join("later")).expect("makes a folder");
        fs::write(place.0.join("later/a.wasm"), b"a").expect("writes");
        folder.look();
        assert_eq!(folder.look().len(), 1);
    }
}
