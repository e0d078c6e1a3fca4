//! What is written together, and its record in the journal. Not where the record goes (see
//! `journal.rs`), and not what the rows mean.
//!
//! ```text
//! checksum u64 | length u64 of all that follows the head | epoch u64 | number u64 | seqno u64
//! then for each change:
//!   space << 2 | kind, u8 | key: length u32, bytes | value (put only): length u32, bytes
//! ```
//! Everything is little-endian. The checksum (XXH3) covers what comes behind it.

use fjall::Slice;
use xxhash_rust::xxh3::xxh3_64;

use super::space::Space;

pub(super) const HEAD_BYTES: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Remove,
    /// Of a key that was put exactly once.
    RemoveWeak,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The space's number, see `layout.rs`.
    pub(super) space: u8,
    pub(super) kind: Kind,
    pub(super) key: Slice,
    pub(super) value: Slice,
}

#[derive(Default)]
pub(super) struct Batch {
    changes: Vec<Change>,
}

impl Batch {
    pub(super) fn with_capacity(capacity: usize) -> Batch {
        Batch {
            changes: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn insert(&mut self, space: &Space, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.push(space, Kind::Put, key.into(), value.into());
    }

    pub(super) fn remove(&mut self, space: &Space, key: impl Into<Slice>) {
        self.push(space, Kind::Remove, key.into(), Slice::empty());
    }

    pub(super) fn remove_weak(&mut self, space: &Space, key: impl Into<Slice>) {
        self.push(space, Kind::RemoveWeak, key.into(), Slice::empty());
    }

    fn push(&mut self, space: &Space, kind: Kind, key: Slice, value: Slice) {
        self.changes.push(Change {
            space: space.number,
            kind,
            key,
            value,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    checksum: u64,
    pub(super) length: u64,
    /// Other for each time that the folder was opened.
    pub(super) epoch: u64,
    /// Without a gap within one epoch.
    pub(super) number: u64,
    /// The database's number for all these changes.
    pub(super) seqno: u64,
}

impl Head {
    pub(super) fn read(head: &[u8; HEAD_BYTES]) -> Head {
        let mut words = head.as_chunks::<8>().0.iter().copied();
        let mut word = || words.next().map_or(0, u64::from_le_bytes);
        Head {
            checksum: word(),
            length: word(),
            epoch: word(),
            number: word(),
            seqno: word(),
        }
    }

    /// `record` is head and body.
    pub(super) fn fits(&self, record: &[u8]) -> bool {
        record.get(8..).map(xxh3_64) == Some(self.checksum)
    }
}

/// Appends the record. None where a key or value is longer than a record can say.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    changes: &[Change],
    (epoch, number, seqno): (u64, u64, u64),
) -> Option<()> {
    let begin = out.len();
    out.extend_from_slice(&[0; 16]);
    for word in [epoch, number, seqno] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for change in changes {
        let kind = match change.kind {
            Kind::Put => 0,
            Kind::Remove => 1,
            Kind::RemoveWeak => 2,
        };
        out.push(change.space << 2 | kind);
        let length = u32::try_from(change.key.len()).ok()?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&change.key);
        if change.kind == Kind::Put {
            let length = u32::try_from(change.value.len()).ok()?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&change.value);
        }
    }
    let length = (out.len() - begin - HEAD_BYTES) as u64;
    out.get_mut(begin + 8..begin + 16)?
        .copy_from_slice(&length.to_le_bytes());
    let checksum = xxh3_64(out.get(begin + 8..)?);
    out.get_mut(begin..begin + 8)?
        .copy_from_slice(&checksum.to_le_bytes());
    Some(())
}

/// The changes in the body of a record whose checksum is right. None: it is not this program's.
pub(super) fn read_changes(mut body: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while let Some((&[first], rest)) = body.split_first_chunk() {
        body = rest;
        let kind = match first & 3 {
            0 => Kind::Put,
            1 => Kind::Remove,
            2 => Kind::RemoveWeak,
            _ => return None,
        };
        let key = take(&mut body)?;
        let value = match kind {
            Kind::Put => take(&mut body)?,
            Kind::Remove | Kind::RemoveWeak => &[],
        };
        changes.push(Change {
            space: first >> 2,
            kind,
            key: key.into(),
            value: value.into(),
        });
    }
    Some(changes)
}

fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (taken, rest) = rest.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(space: u8, kind: Kind, key: &[u8], value: &[u8]) -> Change {
        Change {
            space,
            kind,
            key: key.into(),
            value: value.into(),
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written_and_no_other_way() {
        let changes = vec![
            change(1, Kind::Put, b"key", &[7; 100_000]),
            change(5, Kind::Put, b"", b""),
            change(0, Kind::Remove, &[1; 70_000], b""),
            change(3, Kind::RemoveWeak, b"gone", b""),
        ];
        let mut record = Vec::new();
        put_record(&mut record, &changes, (3, 4, 5)).unwrap();
        let (head, body) = record.split_first_chunk().unwrap();
        let head = Head::read(head);
        assert_eq!((head.epoch, head.number, head.seqno), (3, 4, 5));
        assert_eq!(head.length, body.len() as u64);
        assert!(head.fits(&record));
        assert_eq!(read_changes(body), Some(changes));
        for at in [8, 20, 39, 41, record.len() - 1] {
            let mut torn = record.clone();
            torn[at] ^= 1;
            assert!(!head.fits(&torn), "{at}");
        }
        assert_eq!(read_changes(&body[..body.len() - 1]), None);
    }
}
