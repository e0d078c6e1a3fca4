//! fjall's journal, synced from beside fjall: its own sync holds the lock that the next batch needs.
//! Not what stands in it, and not when it ends; that is fjall's.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// `<number>.jnl` in the folder of the database.
const EXTENSION: &str = "jnl";

pub(super) struct Journal {
    folder: PathBuf,
    newest: (u64, File),
}

impl Journal {
    pub(super) fn open(folder: PathBuf) -> io::Result<Journal> {
        let newest = open_newest(&folder)?;
        Ok(Journal { folder, newest })
    }

    /// Everything that was committed before the call is on the disk afterwards. fjall syncs a journal
    /// before it makes the next one: only the newest may hold what is not yet there. Should a newer one
    /// be made while this looks for it, then the one that is found has just been synced as well.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if find_newest(&self.folder)? != self.newest.0 {
            self.newest = open_newest(&self.folder)?;
        }
        self.newest.1.sync_data()
    }
}

fn open_newest(folder: &PathBuf) -> io::Result<(u64, File)> {
    loop {
        let number = find_newest(folder)?;
        match File::open(folder.join(number.to_string()).with_extension(EXTENSION)) {
            Ok(file) => return Ok((number, file)),
            // Sealed, flushed and removed since: there is a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// The folder is read each time: numbers between may be gone already, so that looking for the next
/// one could miss it for ever.
fn find_newest(folder: &PathBuf) -> io::Result<u64> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| {
            let (number, extension) = name.split_once('.')?;
            (extension == EXTENSION).then_some(())?;
            number.parse().ok()
        });
        newest = newest.max(number);
    }
    newest.ok_or_else(|| io::Error::other("the database has no journal"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;

    fn journal(folder: &Folder, number: u64) -> PathBuf {
        fs::create_dir_all(folder.path()).expect("created");
        let path = folder.path().join(format!("{number}.jnl"));
        File::create_new(&path).expect("created");
        path
    }

    #[test]
    fn the_journal_with_the_highest_number_is_the_one_that_is_synced() {
        let folder = Folder::new();
        journal(&folder, 9);
        journal(&folder, 10);
        File::create_new(folder.path().join("lock")).expect("created");
        let mut followed = Journal::open(folder.path().into()).expect("opened");
        assert_eq!(followed.newest.0, 10);
        journal(&folder, 11);
        followed.sync().expect("synced");
        assert_eq!(followed.newest.0, 11);
    }

    #[test]
    fn a_journal_that_came_and_went_meanwhile_hides_no_newer_one() {
        let folder = Folder::new();
        journal(&folder, 1);
        let mut followed = Journal::open(folder.path().into()).expect("opened");
        let between = journal(&folder, 2);
        journal(&folder, 3);
        fs::remove_file(between).expect("removed");
        followed.sync().expect("synced");
        assert_eq!(followed.newest.0, 3);
    }

    #[test]
    fn without_a_journal_nothing_is_called_synced() {
        let folder = Folder::new();
        let path = journal(&folder, 1);
        let mut followed = Journal::open(folder.path().into()).expect("opened");
        fs::remove_file(path).expect("removed");
        assert!(followed.sync().is_err());
    }
}
