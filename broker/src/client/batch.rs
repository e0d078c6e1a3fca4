//! Messages as they came, and how they go on: unchanged but for what somebody asked for.

use std::ops::Range;

use bytes::Bytes;

use crate::amqp::method::Deliver;
use crate::amqp::properties::{self, Properties};
use crate::amqp::write;

/// Some messages in the order of their delivery. Cheap to split.
#[derive(Clone, Debug)]
pub struct Batch {
    octets: Bytes,
    entries: Vec<Entry>,
}

/// Where one message stands: exchange, routing key, properties and body, one behind the other.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    tag: u64,
    redelivered: bool,
    pub start: usize,
    exchange: u8,
    routing_key: u8,
    pub properties: usize,
    pub body: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    pub tag: u64,
    pub redelivered: bool,
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub properties: &'a [u8],
    pub body: &'a [u8],
}

/// What is changed on the way. What is none or empty stays as it was.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub exchange: Option<String>,
    pub routing_key: Option<String>,
    /// Instead of those of the message.
    pub properties: Option<Vec<u8>>,
    /// On top: each property that is set here.
    pub set_properties: Vec<u8>,
    /// On top: name and encoded value.
    pub set_headers: Vec<(String, Vec<u8>)>,
    /// On top: in front of the array that the header is.
    pub prepend_headers: Vec<(String, Vec<u8>)>,
}

impl Entry {
    pub fn begin(start: usize, deliver: &Deliver<'_>) -> Entry {
        Entry {
            tag: deliver.delivery_tag,
            redelivered: deliver.redelivered,
            start,
            // Both are short strings.
            exchange: deliver.exchange.len() as u8,
            routing_key: deliver.routing_key.len() as u8,
            properties: 0,
            body: 0,
        }
    }

    pub fn length(&self) -> usize {
        usize::from(self.exchange) + usize::from(self.routing_key) + self.properties + self.body
    }
}

impl Batch {
    pub(super) fn new(octets: Vec<u8>, entries: Vec<Entry>) -> Batch {
        Batch {
            octets: Bytes::from(octets),
            entries,
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Of all its messages.
    pub(super) fn octets(&self) -> usize {
        self.entries.iter().map(Entry::length).sum()
    }

    /// Keeps the first `most` and hands back the others, if there are any.
    pub(super) fn split_off(&mut self, most: usize) -> Option<Batch> {
        if self.entries.len() <= most {
            return None;
        }
        Some(Batch {
            octets: self.octets.clone(),
            entries: self.entries.split_off(most),
        })
    }

    pub fn last_tag(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.tag)
    }

    pub fn delivery(&self, index: usize) -> Option<Delivery<'_>> {
        self.entries.get(index).map(|entry| self.at(entry))
    }

    fn at(&self, entry: &Entry) -> Delivery<'_> {
        let mut from = entry.start;
        let mut next = |length: usize| {
            let part = self.octets.get(from..from + length).unwrap_or_default();
            from += length;
            part
        };
        let text = |octets| std::str::from_utf8(octets).unwrap_or_default();
        Delivery {
            tag: entry.tag,
            redelivered: entry.redelivered,
            exchange: text(next(entry.exchange.into())),
            routing_key: text(next(entry.routing_key.into())),
            properties: next(entry.properties),
            body: next(entry.body),
        }
    }

    /// Those in this range; what is behind the last one is left out.
    pub fn deliveries(&self, range: Range<usize>) -> impl Iterator<Item = Delivery<'_>> {
        let end = range.end.min(self.entries.len());
        let entries = self.entries.get(range.start..end).unwrap_or_default();
        entries.iter().map(|entry| self.at(entry))
    }
}

impl Changes {
    /// Writes basic.publish with the message's content, changed.
    pub(super) fn write(&self, out: &mut Vec<u8>, frame_max: u32, message: &Delivery<'_>) {
        let exchange = self.exchange.as_deref().unwrap_or(message.exchange);
        let routing_key = self.routing_key.as_deref().unwrap_or(message.routing_key);
        let changed = self.properties_of(message.properties);
        let properties = changed.as_deref().unwrap_or(message.properties);
        write::publish(
            out,
            frame_max,
            super::CHANNEL,
            exchange,
            routing_key,
            false,
            properties,
            message.body,
        );
    }

    /// None: as they were.
    fn properties_of(&self, given: &[u8]) -> Option<Vec<u8>> {
        let mut changed = self.properties.clone();
        if !self.set_properties.is_empty() {
            let base = changed.as_deref().unwrap_or(given);
            changed = Some(properties::with_properties(base, &self.set_properties));
        }
        if !self.set_headers.is_empty() {
            let base = changed.as_deref().unwrap_or(given);
            changed = Some(properties::with_headers(base, &self.set_headers));
        }
        for (name, value) in &self.prepend_headers {
            let base = changed.as_deref().unwrap_or(given);
            let array = prepended(base, name, value);
            changed = Some(properties::with_headers(base, &[(name.clone(), array)]));
        }
        changed
    }
}

/// The array that this header is, with one more value in front.
fn prepended(base: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let headers = Properties::new(base).headers();
    let old = headers.and_then(|headers| headers.get_encoded(name));
    // The type octet and four of length stand before an array's values.
    let old = match old {
        Some([b'A', _, _, _, _, values @ ..]) => values,
        Some(_) | None => &[],
    };
    let length = u32::try_from(old.len() + value.len()).unwrap_or(u32::MAX);
    let mut array = vec![b'A'];
    array.extend_from_slice(&length.to_be_bytes());
    array.extend_from_slice(value);
    array.extend_from_slice(old);
    array
}
