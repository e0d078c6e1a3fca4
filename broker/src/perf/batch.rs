//! Publishes encoded before the load begins: what differs from message to message (the time, the
//! key's number) is written over in place. Not a socket.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::client::CHANNEL;
use super::options::Options;
use super::publisher::STAMP;
use crate::amqp::frame::FRAME_OVERHEAD;
use crate::amqp::{AMQPValue, BasicProperties, FieldTable, properties, short_string, write};

/// One write holds about this much: large enough that a system call is cheap for each message,
/// small enough for the cache.
const BATCH_OCTETS: usize = 64 << 10;

/// The header that carries the key's number.
pub const KEY_HEADER: &str = "key";

/// Publishes ready to be written.
pub struct Batch {
    octets: Vec<u8>,
    /// Where each publish ends.
    ends: Vec<usize>,
    /// Where each body begins; empty when bodies are too small for a stamp.
    bodies: Vec<usize>,
    /// Where the key's number stands in the publish of the same place; empty with one key.
    numbers: Vec<Numbers>,
    width: usize,
    keys: u64,
    next_key: u64,
}

/// In the routing key, and in the header when there is one.
struct Numbers {
    key: usize,
    header: Option<usize>,
}

impl Batch {
    pub fn new(options: &Options, key: &str, frame_max: u32, run: u64) -> Batch {
        let exchange = options.exchange_name();
        let width = options.key_width();
        let key = options.numbered(key, 0);
        let list = property_list(options, &key);
        // Behind a frame's head: class, method, a reserved short, and two strings' lengths.
        let key_at = 7 + 4 + 2 + 1 + exchange.len() + 1;
        let arguments = key_at + key.len() + 1 - 7;
        // Behind the method frame: a frame's head, class, weight, body size.
        let list_at = arguments + FRAME_OVERHEAD + 7 + 12;
        let in_list = list
            .windows(key.len().max(1))
            .position(|window| window == key.as_bytes());
        // Bodies that compress would flatter a store.
        let mut random = SmallRng::seed_from_u64(run);
        let mut body = vec![0; options.size];
        let mut batch = Batch {
            octets: Vec::new(),
            ends: Vec::new(),
            bodies: Vec::new(),
            numbers: Vec::new(),
            width,
            keys: options.keys,
            next_key: 0,
        };
        while batch.octets.len() < BATCH_OCTETS {
            random.fill_bytes(&mut body);
            if let Some(place) = body.get_mut(8..STAMP) {
                place.copy_from_slice(&run.to_be_bytes());
            }
            let out = &mut batch.octets;
            let start = out.len();
            write::publish(
                out, frame_max, CHANNEL, &exchange, &key, false, &list, &body,
            );
            batch.ends.push(out.len());
            if options.measures_latency() {
                // Behind the property list's frame, and the head of the first body frame.
                batch.bodies.push(start + list_at + list.len() + 1 + 7);
            }
            if width > 0 {
                let number = key.len() - width;
                batch.numbers.push(Numbers {
                    key: start + key_at + number,
                    header: in_list.map(|at| start + list_at + at + number),
                });
            }
        }
        batch
    }

    /// The most that one write takes.
    pub fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    /// The first `count` publishes, all stamped with the same time.
    pub fn first(&mut self, count: u64, time: Duration) -> &[u8] {
        let time = nanos(time);
        self.stamp(count, |_| time);
        self.take(count)
    }

    /// The first `count` publishes, each stamped with its own time.
    pub fn timed(&mut self, count: u64, time: impl Fn(u64) -> Duration) -> &[u8] {
        self.stamp(count, |place| nanos(time(place)));
        self.take(count)
    }

    #[inline]
    fn stamp(&mut self, count: u64, time: impl Fn(u64) -> [u8; 8]) {
        for (place, start) in (0..count).zip(&self.bodies) {
            let octets = self.octets.get_mut(*start..);
            if let Some(octets) = octets.and_then(|octets| octets.first_chunk_mut()) {
                *octets = time(place);
            }
        }
    }

    fn take(&mut self, count: u64) -> &[u8] {
        let count = (count as usize).min(self.ends.len());
        for numbers in self.numbers.iter().take(count) {
            for start in [Some(numbers.key), numbers.header].into_iter().flatten() {
                if let Some(digits) = self.octets.get_mut(start..start + self.width) {
                    write_number(digits, self.next_key);
                }
            }
            self.next_key = (self.next_key + 1) % self.keys;
        }
        let end = count
            .checked_sub(1)
            .and_then(|last| self.ends.get(last))
            .copied()
            .unwrap_or(0);
        self.octets.get(..end).unwrap_or_default()
    }
}

fn nanos(time: Duration) -> [u8; 8] {
    (time.as_nanos() as u64).to_be_bytes()
}

/// Decimal, with zeros in front.
fn write_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn property_list(options: &Options, key: &str) -> Vec<u8> {
    let mut list = BasicProperties::default();
    if options.persistent {
        list = list.with_delivery_mode(2);
    }
    let headers = options.message_headers(key);
    if !headers.is_empty() {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(short_string(&name), AMQPValue::LongString(value.into()));
        }
        list = list.with_headers(table);
    }
    properties::encode(&list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp::content;
    use crate::amqp::frame::{Cut, FrameKind, cut};
    use crate::amqp::method::{self, Method};
    use crate::amqp::properties::Properties;

    /// Routing key, the `key` header, and the head of the body of each publish.
    fn read(mut octets: &[u8]) -> Vec<(String, Option<String>, Vec<u8>)> {
        let mut found = Vec::new();
        while let Ok(Cut::Frame { frame, length }) = cut(octets, 0) {
            octets = &octets[length..];
            match frame.kind {
                FrameKind::Method => match method::parse(frame.payload) {
                    Ok(Method::Publish(publish)) => {
                        found.push((publish.routing_key.to_owned(), None, Vec::new()));
                    }
                    other => panic!("{other:?}"),
                },
                FrameKind::Header => {
                    let header = content::parse_header(frame.payload).expect("a header");
                    let list = properties::decode(Properties::new(header.properties).raw());
                    let list = list.expect("properties");
                    let key = list.headers().as_ref().and_then(|table| {
                        match table.inner().get(KEY_HEADER) {
                            Some(AMQPValue::LongString(text)) => Some(text.to_string()),
                            _ => None,
                        }
                    });
                    found.last_mut().expect("a method").1 = key;
                }
                FrameKind::Body => found.last_mut().expect("a method").2 = frame.payload.to_vec(),
                FrameKind::Heartbeat => panic!("a heartbeat"),
            }
        }
        found
    }

    #[test]
    fn keys_come_in_turn_in_key_and_header() {
        let options = Options {
            exchange: Some("headers".into()),
            headers: 2,
            keys: 12,
            size: 16,
            ..Options::default()
        };
        let mut batch = Batch::new(&options, "k", 4096, 9);
        let found = read(batch.timed(11, |place| Duration::from_nanos(100 + place)));
        let keys: Vec<&str> = found.iter().map(|found| found.0.as_str()).collect();
        assert_eq!((keys[0], keys[1], keys[10]), ("k.00", "k.01", "k.10"));
        assert!(found.iter().all(|found| found.1.as_ref() == Some(&found.0)));
        let stamp = [103u64.to_be_bytes(), 9u64.to_be_bytes()].concat();
        assert_eq!(found[3].2, stamp);
        let found = read(batch.first(3, Duration::ZERO));
        let keys: Vec<&str> = found.iter().map(|found| found.0.as_str()).collect();
        assert_eq!(keys, ["k.11", "k.00", "k.01"]);
    }

    #[test]
    fn one_key_has_no_number_and_small_bodies_no_time() {
        let options = Options {
            size: 3,
            ..Options::default()
        };
        let mut batch = Batch::new(&options, "queue", 4096, 9);
        let found = read(batch.first(2, Duration::ZERO));
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0.as_str(), found[0].2.len()), ("queue", 3));
        assert!(batch.len() > 100);
        assert_eq!(batch.first(0, Duration::ZERO), b"");
    }
}
