//! fjall's journal, synced from beside fjall: its own sync holds the lock that the next batch needs.
//! Not what stands in it, and not when it ends; that is fjall's.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// `<number>.jnl` in the folder of the database.
const EXTENSION: &str = "jnl";

pub(super) struct Journal {
    folder: PathBuf,
    /// None while another is looked for.
    newest: Option<(u64, File)>,
}

impl Journal {
    pub(super) fn open(folder: PathBuf) -> io::Result<Journal> {
        let newest = Some(open_newest(&folder)?);
        Ok(Journal { folder, newest })
    }

    /// Everything that was committed before the call is on the disk afterwards. fjall syncs a journal
    /// before it makes the next one: only the newest may hold what is not yet there. Should a newer one
    /// be made while this looks for it, then the one that is found has just been synced as well.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some((number, file)) = &self.newest
            && self.is_newest(*number)?
        {
            return file.sync_data();
        }
        // Closed first: where connections have taken all descriptors, its own is what is left.
        self.newest = None;
        let newest = open_newest(&self.folder)?;
        newest.1.sync_data()?;
        self.newest = Some(newest);
        Ok(())
    }

    /// Without opening anything. fjall removes the oldest first, so while this one is there (looked at
    /// last) none behind it can have come and gone.
    fn is_newest(&self, number: u64) -> io::Result<bool> {
        let next = path(&self.folder, number + 1).try_exists()?;
        Ok(!next && path(&self.folder, number).try_exists()?)
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(number.to_string()).with_extension(EXTENSION)
}

fn open_newest(folder: &Path) -> io::Result<(u64, File)> {
    loop {
        let number = find_newest(folder)?;
        match File::open(path(folder, number)) {
            Ok(file) => return Ok((number, file)),
            // Sealed, flushed and removed since: there is a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Numbers behind one that is gone may be gone too: only the folder tells.
fn find_newest(folder: &Path) -> io::Result<u64> {
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
        let path = path(folder.path(), number);
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
        assert_eq!(followed.newest.as_ref().unwrap().0, 10);
        journal(&folder, 11);
        followed.sync().expect("synced");
        assert_eq!(followed.newest.as_ref().unwrap().0, 11);
    }

    #[test]
    fn a_journal_that_came_and_went_meanwhile_hides_no_newer_one() {
        let folder = Folder::new();
        journal(&folder, 1);
        let mut followed = Journal::open(folder.path().into()).expect("opened");
        let between = journal(&folder, 2);
        journal(&folder, 3);
        // The oldest first.
        fs::remove_file(path(folder.path(), 1)).expect("removed");
        fs::remove_file(between).expect("removed");
        followed.sync().expect("synced");
        assert_eq!(followed.newest.as_ref().unwrap().0, 3);
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
