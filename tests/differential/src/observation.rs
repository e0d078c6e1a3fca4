//! What a client has seen: events, with everything that two brokers may name differently renamed by
//! order of appearance. Not the comparison.

use std::fmt::{self, Display, Formatter};

use crate::codec::{Field, Fields};
use crate::script::Part;
use crate::text::{quoted, shown_fields};
use crate::value::{Table, Value};

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Of a method, or of what is not one: see the constants.
    pub name: &'static str,
    pub fields: Fields,
    pub content: Option<(Fields, Vec<u8>)>,
}

/// The socket has ended without connection.close.
pub const ENDED: &str = "(socket ended)";
/// The broker has not answered in time.
pub const SILENT: &str = "(no answer)";
/// All tags a step has confirmed, however they were grouped.
pub const CONFIRMS: &str = "(confirms)";
/// Published, and neither acknowledged nor refused in time.
pub const UNCONFIRMED: &str = "(unconfirmed)";
/// The step names a delivery that is not there.
pub const NOTHING_TO_SETTLE: &str = "(nothing to settle)";

#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub connection: usize,
    pub channel: u16,
    pub event: Event,
}

impl Event {
    pub fn plain(name: &'static str) -> Event {
        Event {
            name,
            fields: Vec::new(),
            content: None,
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, shown_fields(&self.fields))?;
        if let Some((properties, body)) = &self.content {
            write!(f, " |{} | {}", shown_fields(properties), shown_body(body))?;
        }
        Ok(())
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} {}", self.connection, self.channel, self.event)
    }
}

fn shown_body(body: &[u8]) -> String {
    let head = body.get(..16).unwrap_or(body);
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for octet in body {
        sum = (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{} {} #{sum:x}", body.len(), quoted(head))
}

/// Names that only one broker and one session know, and what they are called in scripts.
#[derive(Debug)]
pub struct Names {
    /// What `%` stands for.
    prefix: Vec<u8>,
    generated: [Vec<Vec<u8>>; GENERATED.len()],
}

/// How generated names begin, and what the n-th is called.
const GENERATED: [(&[u8], &str); 3] = [
    (b"amq.gen-", "gen"),
    (b"amq.ctag-", "ctag"),
    (b"amq.rabbitmq.reply-to.", "reply"),
];

impl Names {
    pub fn new(prefix: &str) -> Names {
        Names {
            prefix: prefix.as_bytes().to_vec(),
            generated: Default::default(),
        }
    }

    /// From a script to the wire.
    pub fn real(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((first, tail)) = rest.split_first() {
            if *first == b'%' {
                out.extend(&self.prefix);
                rest = tail;
            } else if let Some((name, after)) = self.placeholder(rest) {
                out.extend(name);
                rest = after;
            } else {
                out.push(*first);
                rest = tail;
            }
        }
        out
    }

    /// One that the broker has not made is a name of this session, or sessions would share it.
    fn placeholder<'a>(&self, rest: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let inner = rest.strip_prefix(b"<")?;
        let end = inner.iter().position(|octet| *octet == b'>')?;
        let (inside, after) = (inner.get(..end)?, inner.get(end + 1..)?);
        let (kind, place) = std::str::from_utf8(inside).ok()?.split_once(' ')?;
        let kind = GENERATED.iter().position(|(_, name)| *name == kind)?;
        let known = self.generated.get(kind)?.get(place.parse::<usize>().ok()?);
        let own = || [&self.prefix, inside].concat();
        Some((known.cloned().unwrap_or_else(own), after))
    }

    /// From the wire to a script.
    pub fn normal(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix(&self.prefix[..]) {
                out.push(b'%');
                rest = tail;
            } else if let Some((label, length)) = self.generated_here(rest) {
                out.extend(label.bytes());
                rest = &rest[length..];
            } else {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
        out
    }

    fn generated_here(&mut self, rest: &[u8]) -> Option<(String, usize)> {
        let kind = GENERATED
            .iter()
            .position(|(begin, _)| rest.starts_with(begin))?;
        let (begin, label) = GENERATED[kind];
        let is_part = |octet: &&u8| octet.is_ascii_alphanumeric() || b"-_=+/.".contains(octet);
        let tail = rest[begin.len()..].iter().take_while(is_part).count();
        // Scripts have made-up names too, which are shorter.
        if tail < 20 {
            return None;
        }
        let length = begin.len() + tail;
        let name = rest[..length].to_vec();
        let known = &mut self.generated[kind];
        let place = known.iter().position(|one| *one == name);
        let place = place.unwrap_or_else(|| {
            known.push(name);
            known.len() - 1
        });
        Some((format!("<{label} {place}>"), length))
    }

    pub fn real_fields(&self, fields: &Fields) -> Fields {
        let renamed = fields.iter().map(|(name, field)| {
            let field = match field {
                Field::Text(text) => Field::Text(self.real(text)),
                Field::Table(table) => Field::Table(real_table(self, table)),
                Field::Number(number) => Field::Number(*number),
                Field::Unacked(place) => Field::Unacked(*place),
            };
            (*name, field)
        });
        renamed.collect()
    }

    pub fn normal_fields(&mut self, fields: Fields) -> Fields {
        let renamed = fields.into_iter().map(|(name, field)| {
            let field = match field {
                Field::Text(text) => Field::Text(self.normal(&text)),
                Field::Table(table) => Field::Table(normal_table(self, table)),
                Field::Number(number) => Field::Number(number),
                Field::Unacked(place) => Field::Unacked(place),
            };
            (name, field)
        });
        renamed.collect()
    }
}

fn real_table(names: &Names, table: &Table) -> Table {
    let entries = table.iter();
    let entries = entries.map(|(key, value)| (key.clone(), real_value(names, value)));
    entries.collect()
}

fn real_value(names: &Names, value: &Value) -> Value {
    match value {
        Value::Text(letter, text) => Value::Text(*letter, names.real(text)),
        Value::Array(array) => {
            Value::Array(array.iter().map(|value| real_value(names, value)).collect())
        }
        Value::Table(table) => Value::Table(real_table(names, table)),
        Value::Bool(_)
        | Value::Integer(..)
        | Value::Float(..)
        | Value::Decimal(..)
        | Value::Time(_)
        | Value::Void => value.clone(),
    }
}

/// Tables have no order for a client; of x-death's times only the presence counts.
fn normal_table(names: &mut Names, table: Table) -> Table {
    let mut entries: Table = Vec::new();
    for (key, value) in table {
        let value = match (&key[..], value) {
            (b"x-death", Value::Array(deaths)) => {
                let deaths = deaths.into_iter();
                Value::Array(
                    deaths
                        .map(|death| timeless(normal_value(names, death)))
                        .collect(),
                )
            }
            (_, value) => normal_value(names, value),
        };
        entries.push((key, value));
    }
    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    entries
}

fn timeless(death: Value) -> Value {
    let Value::Table(mut death) = death else {
        return death;
    };
    for (key, value) in &mut death {
        if let (b"time", Value::Time(seconds)) = (&key[..], value) {
            *seconds = 0;
        }
    }
    Value::Table(death)
}

fn normal_value(names: &mut Names, value: Value) -> Value {
    match value {
        Value::Text(letter, text) => Value::Text(letter, names.normal(&text)),
        Value::Array(array) => {
            let array = array.into_iter();
            Value::Array(array.map(|value| normal_value(names, value)).collect())
        }
        Value::Table(table) => Value::Table(normal_table(names, table)),
        Value::Bool(_)
        | Value::Integer(..)
        | Value::Float(..)
        | Value::Decimal(..)
        | Value::Time(_)
        | Value::Void => value,
    }
}

impl Part {
    /// Whether the channel waits for more of the content afterwards.
    pub fn is_open_ended(self) -> bool {
        match self {
            Part::OnlyMethod | Part::OnlyHeader | Part::HalfBody => true,
            Part::Whole | Part::LongBody => false,
        }
    }
}
