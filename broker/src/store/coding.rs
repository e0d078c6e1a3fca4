//! Variable-length integers and byte runs, the letters that rows and packs are written with.
//! Not their grammar (see `row.rs`, `pack.rs`).

use super::error::StoreError;

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the functions above wrote; anything else is an error that names the kind of row.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Cursor { rest: bytes, what }
    }

    pub(super) fn damaged(&self) -> StoreError {
        StoreError::Corrupt(self.what)
    }

    pub(super) fn byte(&mut self) -> Result<u8, StoreError> {
        let (first, rest) = self
            .rest
            .split_first()
            .ok_or(StoreError::Corrupt(self.what))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        let mut number = 0u64;
        let mut shift = 0u32;
        loop {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift >= 64 || (part << shift) >> shift != part {
                return Err(self.damaged());
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    pub(super) fn length(&mut self) -> Result<usize, StoreError> {
        usize::try_from(self.number()?).map_err(|_| self.damaged())
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(StoreError::Corrupt(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let length = self.length()?;
        self.take(length)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}
