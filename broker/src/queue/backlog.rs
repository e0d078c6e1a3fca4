//! The ready messages of one queue (of one priority), in order: a resident head, then what is only on disk, then a
//! tail that is on its way there. Pure. Not the store: it only knows what the store has said.
//!
//! ```text
//!   head (resident)        paged (only on disk)            tail (being written)
//!   e e e e e e e e  |  [first ............. end)  count  |  e e e
//!   ^ delivered from here                                     ^ published here
//! ```
//! Without a paged part the tail is short-cut: everything is in the head.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use hashbrown::HashSet;

use crate::clock::Expiry;
use crate::message::Message;
use crate::names::Seq;
use crate::outbox::Place;
use crate::store::{Backlog, Stored};

/// The head holds at most this many messages and bytes; beyond, a queue lives on disk. Enough for a
/// few milliseconds of delivery while the next part is read.
pub(super) const HEAD_MESSAGES: usize = 8192;
pub(super) const HEAD_BYTES: u64 = 4 * 1024 * 1024;

/// Transient messages stay in memory up to here, and no longer when memory is short.
pub(super) const TRANSIENT_BYTES: u64 = 64 * 1024 * 1024;

/// Below this many resident messages the next part is asked for.
pub(super) const HEAD_LOW: usize = 4096;

pub(super) struct Entry {
    pub seq: Seq,
    pub body: Body,
    pub redelivered: bool,
    /// It has (or is about to have) a row in the store.
    pub stored: bool,
    pub persistent: bool,
    /// How often it came back from a consumer. Counted where a limit asks for it.
    pub returns: u32,
    pub expires: Expiry,
}

pub(super) enum Body {
    Here(Arc<Message>),
    /// In the store. The size is what the message counts with.
    Disk {
        size: u32,
    },
}

impl Body {
    /// What counts for a queue's limit in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Body::Here(message) => message.body().len() as u64,
            Body::Disk { size } => u64::from(*size),
        }
    }

    pub fn size(&self) -> u64 {
        match self {
            Body::Here(message) => message.size() as u64,
            Body::Disk { size } => u64::from(*size),
        }
    }

    /// A message that comes back from a consumer.
    pub fn from_place(place: Place, size: u32) -> Body {
        match place {
            Place::Memory(message) => Body::Here(message),
            Place::Store(weak) => match Weak::upgrade(&weak) {
                Some(message) => Body::Here(message),
                None => Body::Disk { size },
            },
            // Not of this queue: streams take nothing back.
            Place::Stream => Body::Disk { size },
        }
    }
}

#[derive(Default)]
pub(super) struct Backlogged {
    head: VecDeque<Entry>,
    head_bytes: u64,
    paged: Option<Paged>,
    tail: VecDeque<Entry>,
    /// The store has everything up to here.
    written: Seq,
    /// Messages that an unclean stop may have left half delivered.
    redelivered_upto: Seq,
    /// A read of the paged part that is under way. A purge ends it: its answer is not taken then.
    reading: Option<Reading>,
    /// Places of moves that are not revealed yet.
    reserved: HashSet<Seq>,
    /// Nothing behind this was ever handed out or purged: whatever is there in the store is ready.
    delivered_upto: Seq,
}

struct Reading {
    /// What was paged when the read began.
    upto: Seq,
    count: u64,
    /// Race: what a move makes visible inside the paged part while that part is being read may or
    /// may not be in the answer. It waits here until the answer is in.
    late: Vec<Entry>,
}

/// Every live row in `first..=last` is ready; none of them is in memory.
struct Paged {
    first: Seq,
    last: Seq,
    count: u64,
}

#[derive(Default)]
/// What a purge has thrown out of memory and must throw out of the store.
pub(super) struct Purged {
    pub messages: u64,
    pub stored: Vec<Seq>,
    /// First and last, both included. Several where moves that are not revealed yet, and so are not
    /// purged, stand in between.
    pub paged: Vec<(Seq, Seq)>,
}

/// What the front of the queue is.
pub(super) enum Front {
    Empty,
    Here,
    /// These messages must be read back first.
    Bodies(Vec<Seq>),
    /// The paged part must be read from here on.
    Page,
}

/// At most this many bodies, and bytes of them, are read back in one request.
const BODIES_AT_ONCE: usize = 512;
const BODIES_BYTES: u64 = 1024 * 1024;

/// An empty list keeps no more places than this: there may be very many queues.
const KEPT_CAPACITY: usize = 1024;

/// Fewer messages than this that come back are put in their places one by one.
const FEW: usize = 16;

impl Backlogged {
    pub fn recovered(recovered: &Backlog, all_redelivered: bool) -> Backlogged {
        let paged = (recovered.messages > 0).then_some(Paged {
            first: recovered.first,
            last: recovered.last,
            count: recovered.messages,
        });
        Backlogged {
            paged,
            written: recovered.last,
            redelivered_upto: if all_redelivered { recovered.last } else { 0 },
            ..Backlogged::default()
        }
    }

    pub fn len(&self) -> u64 {
        let paged = self.paged.as_ref().map_or(0, |paged| paged.count);
        self.head.len() as u64 + paged + self.tail.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.paged.is_none() && self.tail.is_empty()
    }

    /// A message published now would not stay in memory.
    pub fn pages(&self) -> bool {
        self.paged.is_some() || !self.tail.is_empty() || self.head_is_full()
    }

    /// The same for a message that only memory would ask to be paged. `pressed`: it does.
    pub fn pages_transient(&self, pressed: bool) -> bool {
        self.paged.is_some()
            || !self.tail.is_empty()
            || self.head_bytes >= TRANSIENT_BYTES
            || (pressed && self.head_is_full())
    }

    fn head_is_full(&self) -> bool {
        self.head.len() >= HEAD_MESSAGES || self.head_bytes >= HEAD_BYTES
    }

    /// A new message, behind all others. While `pages`, it must have been handed to the store.
    pub fn push(&mut self, entry: Entry) {
        if self.pages() && entry.stored {
            self.tail.push_back(entry);
        } else {
            self.push_head(entry);
        }
    }

    fn push_head(&mut self, entry: Entry) {
        self.head_bytes += entry.body.size();
        self.head.push_back(entry);
    }

    /// The store can read back everything up to `upto`: the tail becomes paged.
    pub fn written(&mut self, upto: Seq) {
        self.written = self.written.max(upto);
        self.settle_tail();
    }

    fn settle_tail(&mut self) {
        while self
            .tail
            .front()
            .is_some_and(|entry| entry.seq <= self.written)
        {
            let Some(entry) = self.tail.pop_front() else {
                return;
            };
            let head_is_full = self.head_is_full();
            match &mut self.paged {
                Some(paged) => {
                    paged.last = entry.seq;
                    paged.count += 1;
                }
                None if head_is_full => {
                    self.paged = Some(Paged {
                        first: entry.seq,
                        last: entry.seq,
                        count: 1,
                    });
                }
                None => self.push_head(entry),
            }
        }
    }

    pub fn front(&mut self) -> Front {
        if self.head.is_empty() && self.paged.is_none() {
            // Nothing lies on disk between: what is still being written can go out directly.
            while let Some(entry) = self.tail.pop_front() {
                self.push_head(entry);
            }
        }
        match self.head.front() {
            Some(Entry {
                body: Body::Here(_),
                ..
            }) => Front::Here,
            Some(_) => Front::Bodies(self.leading_bodies()),
            None => match &self.paged {
                Some(_) => Front::Page,
                None => Front::Empty,
            },
        }
    }

    fn leading_bodies(&self) -> Vec<Seq> {
        let on_disk = |entry: &&Entry| match entry.body {
            Body::Disk { .. } => true,
            Body::Here(_) => false,
        };
        let mut bytes = 0;
        // At least one is read, however long it is.
        let fits = |entry: &&Entry| {
            let fits = bytes == 0 || bytes + entry.body.size() <= BODIES_BYTES;
            bytes += entry.body.size();
            fits
        };
        let leading = self.head.iter().take(BODIES_AT_ONCE).take_while(on_disk);
        leading.take_while(fits).map(|entry| entry.seq).collect()
    }

    /// Where to read on, when the head is getting short.
    pub fn wants_page(&self) -> Option<Seq> {
        let low = self.head.len() < HEAD_LOW && self.head_bytes < HEAD_BYTES / 2;
        self.paged.as_ref().filter(|_| low).map(|paged| paged.first)
    }

    pub fn pop(&mut self) -> Option<Entry> {
        let entry = self.head.pop_front()?;
        self.head_bytes = self.head_bytes.saturating_sub(entry.body.size());
        self.passed(entry.seq);
        if self.head.is_empty() && self.head.capacity() > KEPT_CAPACITY {
            self.head = VecDeque::new();
        }
        Some(entry)
    }

    /// This one was handed out.
    pub fn passed(&mut self, seq: Seq) {
        self.delivered_upto = self.delivered_upto.max(seq);
    }

    /// Undoes a `pop`.
    pub fn unpop(&mut self, entry: Entry) {
        self.head_bytes += entry.body.size();
        self.head.push_front(entry);
    }

    /// The paged part is being read.
    pub fn page_requested(&mut self) {
        self.reading = self.paged.as_ref().map(|paged| Reading {
            upto: paged.last,
            count: paged.count,
            late: Vec::new(),
        });
    }

    /// The answer to a read of the paged part.
    pub fn paged_in(&mut self, messages: Vec<Stored>) {
        let Some(Reading {
            upto,
            count,
            mut late,
        }) = self.reading.take()
        else {
            return;
        };
        let Some(paged) = &mut self.paged else { return };
        let mut read_upto = None;
        let mut entries = Vec::with_capacity(messages.len());
        for stored in messages {
            if stored.seq < paged.first || stored.seq > paged.last {
                continue;
            }
            read_upto = Some(stored.seq);
            // Race: on disk, but its move has not said so yet. It will be revealed.
            if self.reserved.contains(&stored.seq) {
                continue;
            }
            match late.iter().position(|entry| entry.seq == stored.seq) {
                Some(index) => drop(late.swap_remove(index)),
                None => paged.count = paged.count.saturating_sub(1),
            }
            entries.push(Entry {
                seq: stored.seq,
                body: Body::Here(stored.message),
                redelivered: stored.redelivered || stored.seq <= self.redelivered_upto,
                stored: true,
                persistent: stored.persistent,
                returns: stored.returns,
                expires: stored.expires,
            });
        }
        let read_upto = read_upto.unwrap_or_else(|| {
            // What was paged then is gone, but not what came meanwhile.
            paged.count = paged.count.saturating_sub(count);
            upto
        });
        if read_upto < paged.last {
            paged.first = read_upto + 1;
        } else {
            // Nothing more is there, whatever the count said.
            self.paged = None;
        }
        for entry in entries {
            self.push_head(entry);
        }
        for entry in late {
            self.insert(entry);
        }
    }

    /// The answer to a read of single messages.
    pub fn bodies_in(&mut self, asked: &[Seq], messages: Vec<Stored>) {
        let mut found = messages.into_iter().peekable();
        for seq in asked {
            let here = found.next_if(|stored| stored.seq == *seq);
            let Ok(index) = self.head.binary_search_by_key(seq, |entry| entry.seq) else {
                continue;
            };
            match (self.head.get_mut(index), here) {
                (Some(entry), Some(stored)) => {
                    let before = entry.body.size();
                    entry.body = Body::Here(stored.message);
                    self.head_bytes = self.head_bytes + entry.body.size() - before;
                }
                // The store no longer has it: it expired or was dropped there.
                (Some(entry), None) => {
                    self.head_bytes = self.head_bytes.saturating_sub(entry.body.size());
                    self.head.remove(index);
                }
                (None, _) => {}
            }
        }
    }

    /// A move has taken this place; it is filled by `reveal`.
    pub fn reserve(&mut self, seq: Seq) {
        self.reserved.insert(seq);
    }

    pub fn reserved(&self) -> u64 {
        self.reserved.len() as u64
    }

    /// A move has been written.
    pub fn reveal(&mut self, entry: Entry) {
        self.reserved.remove(&entry.seq);
        self.insert(entry);
    }

    /// Messages come back, in the order of their numbers. Many are merged in one go: one by one,
    /// each would push half of the others aside.
    pub fn take_back(&mut self, mut entries: Vec<Entry>) {
        let in_front = match (self.head.front(), entries.last()) {
            (Some(first), Some(last)) => last.seq < first.seq,
            (None, _) | (_, None) => true,
        };
        let rest = match (&self.paged, self.tail.front()) {
            (Some(paged), _) => entries.partition_point(|entry| entry.seq < paged.first),
            (None, Some(first)) => entries.partition_point(|entry| entry.seq < first.seq),
            (None, None) => entries.len(),
        };
        if in_front || rest < FEW {
            // From the last to the first: each goes in front of the one before.
            entries
                .into_iter()
                .rev()
                .for_each(|entry| self.insert(entry));
            return;
        }
        let behind = entries.split_off(rest);
        self.head_bytes += entries.iter().map(|entry| entry.body.size()).sum::<u64>();
        let mut merged = VecDeque::with_capacity(self.head.len() + entries.len());
        let mut resident = std::mem::take(&mut self.head).into_iter().peekable();
        for entry in entries {
            while let Some(before) = resident.next_if(|other| other.seq < entry.seq) {
                merged.push_back(before);
            }
            merged.push_back(entry);
        }
        merged.extend(resident);
        self.head = merged;
        behind.into_iter().for_each(|entry| self.insert(entry));
    }

    /// Behind a full head a message need not stay in memory, if nothing that lies on disk behind it
    /// is in somebody's hands. (So it was never delivered, and no mark of that is lost.)
    fn may_be_paged(&self, entry: &Entry) -> bool {
        self.head_is_full()
            && entry.stored
            && entry.seq <= self.written
            && entry.seq > self.delivered_upto
    }

    /// A message takes its place in the order again, or for the first time after a move.
    pub fn insert(&mut self, entry: Entry) {
        let behind_head = self.head.back().is_none_or(|last| last.seq < entry.seq);
        if let Some(paged) = &mut self.paged {
            if entry.stored && entry.seq >= paged.first && entry.seq <= paged.last {
                match &mut self.reading {
                    Some(reading) => reading.late.push(entry),
                    None => paged.count += 1,
                }
                return;
            }
            if entry.seq > paged.last {
                let index = self.tail.partition_point(|other| other.seq < entry.seq);
                self.tail.insert(index, entry);
                self.settle_tail();
                return;
            }
        } else if behind_head && self.tail.front().is_some_and(|first| first.seq < entry.seq) {
            let index = self.tail.partition_point(|other| other.seq < entry.seq);
            self.tail.insert(index, entry);
            return;
        } else if behind_head && self.may_be_paged(&entry) {
            self.paged = Some(Paged {
                first: entry.seq,
                last: entry.seq,
                count: 1,
            });
            return;
        }
        self.head_bytes += entry.body.size();
        if self.head.front().is_none_or(|first| first.seq > entry.seq) {
            self.head.push_front(entry);
        } else {
            let index = self.head.partition_point(|other| other.seq < entry.seq);
            self.head.insert(index, entry);
        }
    }

    pub fn clear(&mut self) -> Purged {
        let messages = self.len();
        self.reading = None;
        // Race: their rows are still there until the store has worked off the purge.
        let paged = self.paged.as_ref().map(|paged| paged.last);
        let resident = self.tail.back().or(self.head.back());
        self.passed(resident.map(|entry| entry.seq).max(paged).unwrap_or(0));
        let paged = match self.paged.take() {
            Some(paged) => self.without_reserved(paged.first, paged.last),
            None => Vec::new(),
        };
        self.head_bytes = 0;
        let resident = self.head.drain(..).chain(self.tail.drain(..));
        let stored = resident
            .filter(|entry| entry.stored)
            .map(|entry| entry.seq)
            .collect();
        Purged {
            messages,
            stored,
            paged,
        }
    }

    fn without_reserved(&self, first: Seq, last: Seq) -> Vec<(Seq, Seq)> {
        let inside = |seq: &&Seq| (first..=last).contains(*seq);
        let mut reserved: Vec<Seq> = self.reserved.iter().filter(inside).copied().collect();
        reserved.sort_unstable();
        let begins = std::iter::once(first).chain(reserved.iter().map(|seq| seq + 1));
        let ends = reserved.iter().map(|seq| seq - 1).chain([last]);
        begins
            .zip(ends)
            .filter(|(first, last)| first <= last)
            .collect()
    }

    /// The front, if its message is at hand.
    pub fn first(&self) -> Option<&Entry> {
        self.head.front()
    }

    pub fn redelivered_in_store(&self) -> Vec<Seq> {
        let resident = self.head.iter().chain(self.tail.iter());
        let marked = resident.filter(|entry| entry.redelivered && entry.stored);
        marked.map(|entry| entry.seq).collect()
    }
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "backlog_model.rs"]
mod model;
