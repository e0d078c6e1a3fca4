//! A queue whose messages stay when they are acknowledged: every consumer reads them at a place of
//! its own, and only the rules of retention take them away. Pure: no clock, no disk, no socket (see
//! `stream/serve.rs` for what happens to these under the lock).
//!
//! A message's sequence number is its offset and one more. It can be read once everything up to it
//! is written: whoever has seen an offset can rely on it after a crash.

mod reader;
mod segments;
mod serve;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use reader::{Filter, Offset, Reading};
pub use serve::Streaming;

use super::tap::QueueTap;
use super::{Consumer, Counts, Options};
use crate::clock::Millis;
use crate::message::Message;
use crate::names::Seq;
use crate::outbox::ConsumerKey;
use crate::store::{Backlogs, Stored};
use crate::tally::Messages;
use reader::{Reader, Seek, Source};
use segments::{Look, Rules, Segments};
use tail::Tail;

/// The first message's number: offset 0.
const FIRST: Seq = 1;

pub fn offset_of(seq: Seq) -> u64 {
    seq.saturating_sub(FIRST)
}

pub(super) struct StreamState {
    /// The number of the next message.
    next: Seq,
    /// The store has everything below, but for what is `open`.
    unwritten: Seq,
    /// Places of moves that are not written yet. Nobody reads past the first of them.
    open: BTreeSet<Seq>,
    tail: Tail,
    segments: Segments,
    /// In the order in which they came.
    readers: BTreeMap<u64, Reader>,
    last_reader: u64,
    /// What the store is reading, in the order in which it was asked and will answer.
    asked: VecDeque<Asked>,
    rules: Rules,
    /// Times of arrival never go back, whatever the clock does.
    arrived: Millis,
    /// The earliest time at which the schedule will call.
    called_at: Option<Millis>,
    counted: Messages,
    /// There while somebody watches.
    pub tap: Option<Box<QueueTap>>,
}

/// For whom the store reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Reader(ConsumerKey),
    /// The time of this message, the last of its segment.
    Segment(Seq),
}

/// What a reader wants next.
#[derive(Debug)]
enum Step {
    Nothing,
    Give(Seq, Arc<Message>),
    /// The messages from here on.
    Read(Seq),
    /// One message from here on, for its time.
    Probe(Seq),
}

impl StreamState {
    pub fn new(recovered: &Backlogs, options: &Options) -> StreamState {
        let rules = Rules::new(options);
        let segments = Segments::recovered(recovered, &rules);
        let next = segments.last().map_or(FIRST, |last| last + 1);
        StreamState {
            next,
            unwritten: next,
            open: BTreeSet::new(),
            tail: Tail::new(next),
            segments,
            readers: BTreeMap::new(),
            last_reader: 0,
            asked: VecDeque::new(),
            rules,
            arrived: 0,
            called_at: None,
            counted: Messages::default(),
            tap: None,
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            ready: self.segments.messages(),
            unacked: self
                .readers
                .values()
                .map(|reader| u64::from(reader.unacked))
                .sum(),
            consumers: self.readers.len() as u32,
        }
    }

    /// Everything below can be read.
    fn visible(&self) -> Seq {
        let open = self.open.first().copied().unwrap_or(Seq::MAX);
        self.unwritten.min(open)
    }

    fn first(&self) -> Seq {
        self.segments.first().unwrap_or(self.next)
    }

    /// A message that goes straight to the store, and when it arrived.
    fn append(&mut self, message: &Arc<Message>, now: Millis) -> (Seq, Millis) {
        let (seq, arrived) = self.take_seq(message, now);
        self.tail.push(Some(Arc::clone(message)));
        (seq, arrived)
    }

    /// A message that a move will write.
    fn reserve(&mut self, message: &Arc<Message>, now: Millis) -> (Seq, Millis) {
        let (seq, arrived) = self.take_seq(message, now);
        self.tail.push(None);
        self.open.insert(seq);
        (seq, arrived)
    }

    fn take_seq(&mut self, message: &Message, now: Millis) -> (Seq, Millis) {
        let seq = self.next;
        self.next += 1;
        self.arrived = self.arrived.max(now);
        let length = message.body().len() as u64;
        self.segments.append(seq, length, self.arrived, &self.rules);
        (seq, self.arrived)
    }

    fn reveal(&mut self, seq: Seq, message: Arc<Message>) {
        self.open.remove(&seq);
        self.tail.fill(seq, message);
        self.written(seq);
    }

    fn written(&mut self, upto: Seq) {
        self.unwritten = self.unwritten.max(upto + 1);
    }

    /// The tail is for consumers that keep up; without consumers nobody needs it.
    fn trim(&mut self, pressed: bool) {
        let bound = match (self.readers.is_empty(), pressed) {
            (true, _) => 0,
            (false, true) => tail::BYTES_UNDER_PRESSURE,
            (false, false) => tail::BYTES,
        };
        let visible = self.visible();
        self.tail.trim(bound, visible);
    }

    fn add(&mut self, consumer: Consumer) -> ConsumerKey {
        self.last_reader += 1;
        let key = ConsumerKey {
            slot: 0,
            serial: self.last_reader,
        };
        let (next, source) = match consumer.reading.offset {
            Offset::First => (self.first(), Source::Tail),
            Offset::Last => (self.next.saturating_sub(1).max(self.first()), Source::Tail),
            Offset::Next => (self.next, Source::Tail),
            Offset::At(offset) => {
                let seq = offset.saturating_add(FIRST);
                (seq.max(self.first()), Source::Tail)
            }
            Offset::Since(time) => {
                let (low, high) = self.segments.around(time);
                let end = self.visible();
                let low = low.unwrap_or(self.first()).min(end);
                let high = high.unwrap_or(end).min(end);
                (low, Source::Seeking(Seek { time, low, high }))
            }
        };
        let reader = Reader {
            consumer,
            next,
            unacked: 0,
            parked: false,
            source,
        };
        self.readers.insert(key.serial, reader);
        key
    }

    fn remove(&mut self, key: ConsumerKey) {
        self.readers.remove(&key.serial);
    }

    fn take_all(&mut self) -> Vec<Consumer> {
        let readers = std::mem::take(&mut self.readers);
        readers.into_values().map(|one| one.consumer).collect()
    }

    fn keys(&self) -> Vec<ConsumerKey> {
        let key = |serial: &u64| ConsumerKey {
            slot: 0,
            serial: *serial,
        };
        self.readers.keys().map(key).collect()
    }

    /// What this reader wants next. Passes over what its filter does not let through.
    fn step(&mut self, key: ConsumerKey) -> Step {
        let visible = self.visible();
        let Some(reader) = self.readers.get_mut(&key.serial) else {
            return Step::Nothing;
        };
        loop {
            if reader.parked || !reader.has_credit() {
                return Step::Nothing;
            }
            let (seq, message) = match &mut reader.source {
                Source::Reading { .. } => return Step::Nothing,
                Source::Seeking(seek) => match seek.probe() {
                    Some(at) => return Step::Probe(at),
                    None => {
                        reader.next = seek.low;
                        reader.source = Source::Tail;
                        continue;
                    }
                },
                Source::Probing(_) => return Step::Nothing,
                Source::Page(page) => match page.front() {
                    None => {
                        reader.source = Source::Tail;
                        continue;
                    }
                    Some(stored) if stored.seq < reader.next => {
                        page.pop_front();
                        continue;
                    }
                    Some(stored) => (stored.seq, &stored.message),
                },
                Source::Tail if reader.next >= visible => return Step::Nothing,
                Source::Tail => match self.tail.get(reader.next) {
                    Some(message) => (reader.next, message),
                    None => return Step::Read(reader.next),
                },
            };
            if reader.consumer.reading.filter.lets_through(message) {
                return Step::Give(seq, Arc::clone(message));
            }
            reader.next = seq + 1;
        }
    }

    fn given(&mut self, key: ConsumerKey, seq: Seq) {
        if let Some(reader) = self.readers.get_mut(&key.serial) {
            reader.next = seq + 1;
            reader.unacked += 1;
        }
    }

    /// Its outbox or its channel takes no more until it is resumed.
    fn park(&mut self, key: ConsumerKey) {
        if let Some(reader) = self.readers.get_mut(&key.serial) {
            reader.parked = true;
        }
    }

    fn resume(&mut self, key: ConsumerKey) {
        if let Some(reader) = self.readers.get_mut(&key.serial) {
            reader.parked = false;
        }
    }

    /// A delivery came back, however it was settled.
    fn credit(&mut self, key: ConsumerKey) {
        if let Some(reader) = self.readers.get_mut(&key.serial) {
            reader.unacked = reader.unacked.saturating_sub(1);
        }
    }

    /// The store has been asked for what this reader wants.
    fn asked(&mut self, key: ConsumerKey) {
        let before = self.visible();
        self.asked.push_back(Asked::Reader(key));
        if let Some(reader) = self.readers.get_mut(&key.serial) {
            reader.source = match std::mem::replace(&mut reader.source, Source::Tail) {
                Source::Seeking(seek) => Source::Probing(seek),
                Source::Tail | Source::Page(_) => Source::Reading { before },
                under_way @ (Source::Probing(_) | Source::Reading { .. }) => under_way,
            };
        }
    }

    /// The store has answered the oldest question. Says whose turn it is now.
    fn answered(&mut self, messages: Vec<Stored>, now: Millis) -> Option<ConsumerKey> {
        match self.asked.pop_front()? {
            Asked::Segment(last) => {
                // Without a time it is kept as long as if it had just arrived.
                let arrived = messages.first().and_then(|one| one.expires.time());
                self.segments.seen(last, arrived.unwrap_or(now));
                None
            }
            Asked::Reader(key) => {
                self.readers.get_mut(&key.serial)?.answered(messages);
                Some(key)
            }
        }
    }

    /// What retention takes away now, first and last included.
    fn drop_old(&mut self, now: Millis) -> Option<(Seq, Seq)> {
        let visible = self.visible();
        self.segments.drop_old(&self.rules, now, visible)
    }

    /// Where retention has to look next.
    fn look(&self) -> Look {
        let under_way = |asked: &Asked| match asked {
            Asked::Segment(_) => true,
            Asked::Reader(_) => false,
        };
        match self.segments.look(&self.rules) {
            Look::Ask(_) if self.asked.iter().any(under_way) => Look::Never,
            look @ (Look::Ask(_) | Look::At(_) | Look::Never) => look,
        }
    }
}
