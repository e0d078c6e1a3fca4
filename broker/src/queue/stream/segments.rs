//! The stretches by which a stream grows and is dropped, and the rules for that. Only numbers in
//! memory: the store knows nothing of them, and after a start they are estimated.

use std::collections::VecDeque;

use super::super::Options;
use crate::clock::Millis;
use crate::names::Seq;
use crate::store::Backlogs;

/// RabbitMQ's default for x-stream-max-segment-size-bytes.
const SEGMENT_BYTES: u64 = 500_000_000;

/// A rule drops in about this many steps what it allows to stay.
const PARTS: u64 = 16;

/// With more than this, neighbours become one.
const MAX_SEGMENTS: usize = 4096;

/// What a message counts with besides its body: messages without a body need room too.
const OVERHEAD: u64 = 32;

/// What may stay, and how finely it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    max_bytes: Option<u64>,
    max_age: Option<Millis>,
    segment_bytes: u64,
}

impl Rules {
    pub fn new(options: &Options) -> Rules {
        let asked = options.max_segment_bytes.unwrap_or(SEGMENT_BYTES);
        let part = options.max_length_bytes.map_or(asked, |max| max / PARTS);
        Rules {
            max_bytes: options.max_length_bytes,
            max_age: options.max_age,
            segment_bytes: asked.min(part).max(1),
        }
    }

    fn segment_age(&self) -> Option<Millis> {
        self.max_age.map(|age| age / PARTS)
    }
}

struct Segment {
    first: Seq,
    last: Seq,
    messages: u64,
    bytes: u64,
    until: Until,
}

/// When the last message of a segment arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Known(Millis),
    /// It was there before the start, and nobody has looked.
    Unseen,
}

/// Whether the newest segment grows.
enum Newest {
    Closed,
    Open { since: Millis },
}

pub(super) struct Segments {
    list: VecDeque<Segment>,
    newest: Newest,
    messages: u64,
    bytes: u64,
}

/// Where retention has to look next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Never,
    At(Millis),
    /// The time of this message must be read first.
    Ask(Seq),
}

impl Segments {
    /// Nothing is known but where it begins and ends and how much it is: taken as even.
    pub fn recovered(recovered: &Backlogs, rules: &Rules) -> Segments {
        let mut segments = Segments {
            list: VecDeque::new(),
            newest: Newest::Closed,
            messages: 0,
            bytes: 0,
        };
        for part in recovered {
            let bytes = part.bytes + part.messages * OVERHEAD;
            let by_age = rules.max_age.map_or(1, |_| PARTS);
            let count = (bytes / rules.segment_bytes).max(by_age);
            let count = count.min(part.messages).clamp(1, MAX_SEGMENTS as u64);
            let numbers = part.last.saturating_sub(part.first) + 1;
            let share = |all: u64, index: u64| {
                (u128::from(all) * u128::from(index) / u128::from(count)) as u64
            };
            for index in 0..count {
                let of = |all| share(all, index + 1) - share(all, index);
                segments.list.push_back(Segment {
                    first: part.first + share(numbers, index),
                    last: (part.first + share(numbers, index + 1)).saturating_sub(1),
                    messages: of(part.messages),
                    bytes: of(bytes),
                    until: Until::Unseen,
                });
            }
            segments.messages += part.messages;
            segments.bytes += bytes;
        }
        segments
    }

    pub fn messages(&self) -> u64 {
        self.messages
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn first(&self) -> Option<Seq> {
        self.list.front().map(|segment| segment.first)
    }

    pub fn last(&self) -> Option<Seq> {
        self.list.back().map(|segment| segment.last)
    }

    pub fn append(&mut self, seq: Seq, length: u64, now: Millis, rules: &Rules) {
        let length = length + OVERHEAD;
        self.messages += 1;
        self.bytes += length;
        if let Newest::Open { since } = self.newest
            && let Some(segment) = self.list.back_mut()
            && segment.bytes < rules.segment_bytes
            && rules.segment_age().is_none_or(|age| now < since + age)
        {
            segment.last = seq;
            segment.messages += 1;
            segment.bytes += length;
            segment.until = Until::Known(now);
            return;
        }
        self.newest = Newest::Open { since: now };
        self.list.push_back(Segment {
            first: seq,
            last: seq,
            messages: 1,
            bytes: length,
            until: Until::Known(now),
        });
        if self.list.len() > MAX_SEGMENTS {
            self.join_neighbours();
        }
    }

    fn join_neighbours(&mut self) {
        let mut joined: VecDeque<Segment> = VecDeque::with_capacity(self.list.len());
        for (index, segment) in self.list.drain(..).enumerate() {
            match joined.back_mut().filter(|_| index % 2 == 1) {
                Some(earlier) => {
                    earlier.last = segment.last;
                    earlier.messages += segment.messages;
                    earlier.bytes += segment.bytes;
                    earlier.until = segment.until;
                }
                None => joined.push_back(segment),
            }
        }
        self.list = joined;
    }

    /// Whole segments from the oldest on while a rule is broken. Never the newest: its last number
    /// tells the next run where to go on. Nothing from `visible` on: it is not written yet.
    pub fn drop_old(&mut self, rules: &Rules, now: Millis, visible: Seq) -> Option<(Seq, Seq)> {
        let mut dropped: Option<(Seq, Seq)> = None;
        while self.list.len() > 1 {
            let oldest = self.list.front()?;
            let too_much = rules.max_bytes.is_some_and(|max| self.bytes > max);
            let too_old = match (rules.max_age, oldest.until) {
                (Some(age), Until::Known(until)) => until.saturating_add(age) <= now,
                (Some(_), Until::Unseen) | (None, _) => false,
            };
            if !(too_much || too_old) || oldest.last >= visible {
                break;
            }
            let first = dropped.map_or(oldest.first, |(first, _)| first);
            dropped = Some((first, oldest.last));
            self.messages = self.messages.saturating_sub(oldest.messages);
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.list.pop_front();
        }
        dropped
    }

    pub fn look(&self, rules: &Rules) -> Look {
        let (Some(age), Some(oldest)) = (rules.max_age, self.list.front()) else {
            return Look::Never;
        };
        match oldest.until {
            _ if self.list.len() < 2 => Look::Never,
            Until::Known(until) => Look::At(until.saturating_add(age)),
            Until::Unseen => Look::Ask(oldest.last),
        }
    }

    /// The message of this number, the last of its segment, arrived then.
    pub fn seen(&mut self, last: Seq, arrived: Millis) {
        let index = self.list.partition_point(|segment| segment.last < last);
        if let Some(segment) = self.list.get_mut(index)
            && segment.last == last
            && segment.until == Until::Unseen
        {
            segment.until = Until::Known(arrived);
        }
    }

    /// Between which numbers the first message from this time on is, as far as that is known.
    pub fn around(&self, time: Millis) -> (Option<Seq>, Option<Seq>) {
        let known = |segment: &Segment| match segment.until {
            Until::Known(until) => Some((segment.last, until)),
            Until::Unseen => None,
        };
        let known = || self.list.iter().filter_map(known);
        let older = known().rfind(|(_, until)| *until < time);
        let newer = known().find(|(_, until)| *until >= time);
        (older.map(|(last, _)| last + 1), newer.map(|(last, _)| last))
    }
}
