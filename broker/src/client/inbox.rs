//! Messages that were delivered and not taken yet, one behind the other as octets. Not frames (see
//! `drive`).

use std::collections::VecDeque;

use super::batch::{Batch, Entry};
use crate::amqp::method::Deliver;

/// A batch is handed over when it has grown to this: what stays in the cache is copied once more
/// at little cost.
const BATCH_OCTETS: usize = 256 << 10;
const BATCH_MESSAGES: usize = 512;

/// Over this nothing is read from the peer. Prefetch bounds the number of messages, not their size.
const FULL: usize = 8 << 20;

#[derive(Default)]
pub(super) struct Inbox {
    whole: VecDeque<Batch>,
    octets: Vec<u8>,
    entries: Vec<Entry>,
    partial: Option<Partial>,
    held: usize,
}

/// A message whose content is still coming.
struct Partial {
    entry: Entry,
    /// None before the content header.
    missing: Option<u64>,
}

impl Inbox {
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.entries.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.held > FULL
    }

    pub fn begin(&mut self, deliver: &Deliver<'_>) {
        let entry = Entry::begin(self.octets.len(), deliver);
        self.octets.extend_from_slice(deliver.exchange.as_bytes());
        self.octets
            .extend_from_slice(deliver.routing_key.as_bytes());
        self.partial = Some(Partial {
            entry,
            missing: None,
        });
    }

    /// False: no message has begun.
    pub fn header(&mut self, properties: &[u8], body_size: u64) -> bool {
        let Some(partial) = &mut self.partial else {
            return false;
        };
        partial.entry.properties = properties.len();
        partial.missing = Some(body_size);
        self.octets.extend_from_slice(properties);
        self.complete();
        true
    }

    /// False: more than was announced, or nothing was.
    pub fn body(&mut self, part: &[u8]) -> bool {
        let Some(Partial {
            entry,
            missing: Some(missing),
        }) = &mut self.partial
        else {
            return false;
        };
        let Some(left) = missing.checked_sub(part.len() as u64) else {
            return false;
        };
        *missing = left;
        entry.body += part.len();
        self.octets.extend_from_slice(part);
        self.complete();
        true
    }

    fn complete(&mut self) {
        match self.partial.take() {
            Some(Partial {
                entry,
                missing: Some(0),
            }) => {
                self.held += entry.length();
                self.entries.push(entry);
                if self.octets.len() >= BATCH_OCTETS || self.entries.len() >= BATCH_MESSAGES {
                    self.finish();
                }
            }
            partial => self.partial = partial,
        }
    }

    /// What is whole so far becomes a batch; a message that is still coming begins the next one.
    fn finish(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let mut rest = Vec::new();
        if let Some(partial) = &mut self.partial {
            rest = self.octets.split_off(partial.entry.start);
            partial.entry.start = 0;
        }
        let octets = std::mem::replace(&mut self.octets, rest);
        let entries = std::mem::take(&mut self.entries);
        self.whole.push_back(Batch::new(octets, entries));
    }

    pub fn take(&mut self, most: usize) -> Option<Batch> {
        if most == 0 {
            return None;
        }
        if self.whole.is_empty() {
            self.finish();
        }
        let mut batch = self.whole.pop_front()?;
        if let Some(rest) = batch.split_off(most) {
            self.whole.push_front(rest);
        }
        self.held = self.held.saturating_sub(batch.octets());
        Some(batch)
    }

    /// The channel is gone, and its deliveries cannot be settled any more.
    pub fn clear(&mut self) {
        *self = Inbox::default();
    }
}
