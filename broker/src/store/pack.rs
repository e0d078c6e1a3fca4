//! A pack: the bytes of the messages that one batch brought to one queue. Not which of them are
//! live (see `row.rs`).
//!
//! ```text
//! format u8, then for each message:
//!   offset | flags u8 | [expires: milliseconds since the epoch]
//!   | exchange: 0 as before, else length + 1, bytes | key: the same
//!   | properties: length, bytes | body: length * 2, bytes
//!                                   or  length * 2 + 1, message number of the body elsewhere
//! ```
//! The offset counts from the pack's first sequence number. A held message is a pack of one, behind
//! its vhost.

use std::sync::Arc;

use crate::clock::Expiry;
use crate::message::Message;

use super::coding::{Cursor, put_bytes, put_number};
use super::error::StoreError;
use super::layout::MessageId;

const FORMAT: u8 = 2;
const EXPIRES: u8 = 1;
const DEAD_LETTERED: u8 = 2;
const WHAT: &str = "pack";

/// Where a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Here(&'a [u8]),
    Apart { message: MessageId, length: usize },
}

/// Writes one pack.
#[derive(Default)]
pub(super) struct PackWriter {
    out: Vec<u8>,
    exchange: Vec<u8>,
    key: Vec<u8>,
    empty: bool,
}

impl PackWriter {
    pub(super) fn begin(&mut self) {
        self.out.clear();
        self.out.push(FORMAT);
        self.exchange.clear();
        self.key.clear();
        self.empty = true;
    }

    pub(super) fn push(
        &mut self,
        offset: u64,
        message: &Message,
        expires: Expiry,
        body: Option<MessageId>,
    ) {
        put_number(&mut self.out, offset);
        let expires = expires.time();
        let expires_flag = if expires.is_some() { EXPIRES } else { 0 };
        let dead_flag = if message.is_dead_lettered() {
            DEAD_LETTERED
        } else {
            0
        };
        self.out.push(expires_flag | dead_flag);
        if let Some(expires) = expires {
            put_number(&mut self.out, expires);
        }
        let exchange = message.exchange().as_bytes();
        put_changed(&mut self.out, &mut self.exchange, exchange, self.empty);
        let key = message.routing_key().as_bytes();
        put_changed(&mut self.out, &mut self.key, key, self.empty);
        put_bytes(&mut self.out, message.properties());
        let length = (message.body().len() as u64) << 1;
        match body {
            None => {
                put_number(&mut self.out, length);
                self.out.extend_from_slice(message.body());
            }
            Some(id) => {
                put_number(&mut self.out, length | 1);
                put_number(&mut self.out, id);
            }
        }
        self.empty = false;
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }
}

fn put_changed(out: &mut Vec<u8>, before: &mut Vec<u8>, now: &[u8], first: bool) {
    if !first && before == now {
        out.push(0);
        return;
    }
    put_number(out, now.len() as u64 + 1);
    out.extend_from_slice(now);
    before.clear();
    before.extend_from_slice(now);
}

/// One message of a pack, still in its bytes.
pub(super) struct Packed<'a> {
    pub(super) offset: u64,
    pub(super) expires: Expiry,
    dead_lettered: bool,
    exchange: &'a [u8],
    key: &'a [u8],
    properties: &'a [u8],
    pub(super) body: Body<'a>,
}

pub(super) struct PackReader<'a> {
    cursor: Cursor<'a>,
    exchange: &'a [u8],
    key: &'a [u8],
}

impl<'a> PackReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let mut cursor = Cursor::new(bytes, WHAT);
        if cursor.byte()? != FORMAT {
            return Err(cursor.damaged());
        }
        Ok(PackReader {
            cursor,
            exchange: &[],
            key: &[],
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Packed<'a>>, StoreError> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        let offset = self.cursor.number()?;
        let flags = self.cursor.byte()?;
        let expires = match flags & EXPIRES {
            0 => Expiry::NEVER,
            _ => Expiry::at(self.cursor.number()?),
        };
        if let Some(length) = self.cursor.length()?.checked_sub(1) {
            self.exchange = self.cursor.take(length)?;
        }
        if let Some(length) = self.cursor.length()?.checked_sub(1) {
            self.key = self.cursor.take(length)?;
        }
        let properties = self.cursor.bytes()?;
        let word = self.cursor.length()?;
        let length = word >> 1;
        let body = if word & 1 == 0 {
            Body::Here(self.cursor.take(length)?)
        } else {
            Body::Apart {
                message: self.cursor.number()?,
                length,
            }
        };
        Ok(Some(Packed {
            offset,
            expires,
            dead_lettered: flags & DEAD_LETTERED != 0,
            exchange: self.exchange,
            key: self.key,
            properties,
            body,
        }))
    }
}

/// Gives messages of one exchange the same name, without an allocation for each.
#[derive(Default)]
pub(super) struct LastExchange(Option<Arc<str>>);

impl LastExchange {
    fn name(&mut self, bytes: &[u8]) -> Result<Arc<str>, StoreError> {
        if let Some(last) = &self.0
            && last.as_bytes() == bytes
        {
            return Ok(Arc::clone(last));
        }
        let name = std::str::from_utf8(bytes).map_err(|_| StoreError::Corrupt(WHAT))?;
        let name: Arc<str> = Arc::from(name);
        self.0 = Some(Arc::clone(&name));
        Ok(name)
    }
}

impl Packed<'_> {
    /// `body` is what lies in this pack or what was read from `bodies`.
    pub(super) fn to_message(
        &self,
        body: &[u8],
        exchanges: &mut LastExchange,
    ) -> Result<Arc<Message>, StoreError> {
        let exchange = exchanges.name(self.exchange)?;
        let mut data = Vec::with_capacity(self.key.len() + self.properties.len() + body.len());
        data.extend_from_slice(self.key);
        data.extend_from_slice(self.properties);
        data.extend_from_slice(body);
        Message::from_parts(exchange, self.key.len(), self.properties.len(), data)
            .map(|message| Arc::new(message.with_history(self.dead_lettered)))
            .ok_or(StoreError::Corrupt(WHAT))
    }
}
