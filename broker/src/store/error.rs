//! Why the store would not open or cannot go on. Not a client's error: nothing here has a reply code.

use std::fmt;
use std::io;
use std::path::PathBuf;

#[derive(Debug)]
pub enum StoreError {
    /// Another process has the folder open.
    InUse(PathBuf),
    /// The folder was written by a newer Warren.
    NewerFormat {
        directory: PathBuf,
        found: u32,
        known: u32,
    },
    /// A row does not read as what this store writes.
    Corrupt(&'static str),
    Io(io::Error),
    Database(fjall::Error),
    /// The disk failed earlier; [`super::StoreEvents::failed`] said why.
    Failed,
    /// A thread of the store met a defect of this program.
    Panicked,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse(directory) => write!(
                f,
                "the data folder {} is in use by another process",
                directory.display()
            ),
            StoreError::NewerFormat {
                directory,
                found,
                known,
            } => write!(
                f,
                "the data folder {} has format {found}, this Warren knows formats up to {known}",
                directory.display()
            ),
            StoreError::Corrupt(what) => write!(f, "the store holds a damaged {what}"),
            StoreError::Io(error) => write!(f, "{error}"),
            StoreError::Database(error) => write!(f, "{error}"),
            StoreError::Failed => write!(f, "the store has failed"),
            StoreError::Panicked => write!(f, "a thread of the store panicked"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io(error) => Some(error),
            StoreError::Database(error) => Some(error),
            StoreError::InUse(_)
            | StoreError::NewerFormat { .. }
            | StoreError::Corrupt(_)
            | StoreError::Failed
            | StoreError::Panicked => None,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        StoreError::Io(error)
    }
}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        StoreError::Database(error)
    }
}
