//! One consumer of a stream: where it is, what it wants to see, and what was read back for it.

use std::collections::VecDeque;

use super::Consumer;
use crate::amqp::properties::Properties;
use crate::amqp::table::Value;
use crate::clock::Millis;
use crate::message::Message;
use crate::names::Seq;
use crate::store::Stored;

const FILTER_VALUE: &str = "x-stream-filter-value";

/// How a consumer reads a stream. Consumers of other queues have the default, which says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub offset: Offset,
    pub filter: Filter,
}

/// Where a consumer begins (x-stream-offset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offset {
    First,
    /// With the newest message.
    Last,
    /// With what comes after consume.
    #[default]
    Next,
    At(u64),
    /// With the first message that arrived then or later.
    Since(Millis),
}

/// Which messages a consumer sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    #[default]
    All,
    Values {
        wanted: Vec<Vec<u8>>,
        /// Also those that were published without a value.
        unfiltered: bool,
    },
}

impl Filter {
    pub(super) fn lets_through(&self, message: &Message) -> bool {
        match self {
            Filter::All => true,
            Filter::Values { wanted, unfiltered } => {
                let headers = Properties::new(message.properties()).headers();
                match headers.and_then(|headers| headers.get(FILTER_VALUE)) {
                    Some(Value::Str(value)) => wanted.iter().any(|one| one == value),
                    Some(_) | None => *unfiltered,
                }
            }
        }
    }
}

pub(super) struct Reader {
    pub consumer: Consumer,
    /// It has seen, or passed over, everything below.
    pub next: Seq,
    pub unacked: u32,
    /// Its outbox or channel was full.
    pub parked: bool,
    pub source: Source,
}

/// Where its next message comes from.
pub(super) enum Source {
    Tail,
    /// The store has been asked, when everything below `before` could be read.
    Reading {
        before: Seq,
    },
    Page(VecDeque<Stored>),
    Seeking(Seek),
    /// The store has been asked for the time of one message.
    Probing(Seek),
}

/// The search for the first message from a time on, by halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seek {
    pub time: Millis,
    /// Everything below is older.
    pub low: Seq,
    /// Nothing from here on is.
    pub high: Seq,
}

impl Seek {
    pub fn probe(&self) -> Option<Seq> {
        (self.low < self.high).then(|| self.low + (self.high - self.low) / 2)
    }

    /// `found`: the first message at or after the probe.
    fn narrow(&mut self, found: Option<&Stored>) {
        let Some(probe) = self.probe() else { return };
        let time = found.and_then(|one| one.expires.time().map(|time| (one.seq, time)));
        match time {
            Some((seq, time)) if time < self.time => self.low = (seq + 1).min(self.high),
            Some(_) | None => self.high = probe,
        }
    }
}

impl Reader {
    pub fn has_credit(&self) -> bool {
        self.consumer.prefetch == 0 || self.unacked < self.consumer.prefetch
    }

    pub fn answered(&mut self, mut messages: Vec<Stored>) {
        self.source = match std::mem::replace(&mut self.source, Source::Tail) {
            Source::Probing(mut seek) => {
                seek.narrow(messages.first());
                Source::Seeking(seek)
            }
            Source::Reading { before } => {
                // What the read has found beyond may have a place before it that was still open.
                messages.retain(|stored| stored.seq < before);
                if messages.is_empty() {
                    // Retention has taken what was there.
                    self.next = self.next.max(before);
                    Source::Tail
                } else {
                    Source::Page(messages.into())
                }
            }
            other @ (Source::Tail | Source::Page(_) | Source::Seeking(_)) => other,
        };
    }
}
