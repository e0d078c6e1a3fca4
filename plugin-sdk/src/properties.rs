//! A message's properties, read where they lie, and written where a plugin makes a message of its
//! own: flags and list as in the content header frame. Not its headers' values (see `field.rs`).

use crate::{Table, TableBuf, Value};

/// Names and forms in the order of their flags, from bit 15 down.
const PROPERTIES: [(&str, Form); 14] = [
    ("content_type", Form::Text),
    ("content_encoding", Form::Text),
    ("headers", Form::Table),
    ("delivery_mode", Form::Octet),
    ("priority", Form::Octet),
    ("correlation_id", Form::Text),
    ("reply_to", Form::Text),
    ("expiration", Form::Text),
    ("message_id", Form::Text),
    ("timestamp", Form::Time),
    ("type", Form::Text),
    ("user_id", Form::Text),
    ("app_id", Form::Text),
    ("cluster_id", Form::Text),
];

const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const TIMESTAMP: u16 = 1 << 6;

#[derive(Clone, Copy)]
enum Form {
    Text,
    Table,
    Octet,
    Time,
}

/// Property flags and property list, as `Message::properties` gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(pub &'a [u8]);

impl<'a> Properties<'a> {
    /// Those that are set, in AMQP's order, under AMQP's names. Ends early where the bytes are none.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, Value<'a>)> {
        let (flags, mut rest) = flags(self.0);
        let set = PROPERTIES.iter().enumerate();
        let mut set = set.filter(move |(index, _)| flags & (1 << (15 - index)) != 0);
        std::iter::from_fn(move || {
            let (_, (name, form)) = set.next()?;
            let (value, after) = form.read(rest)?;
            rest = after;
            Some((*name, value))
        })
    }

    /// Under AMQP's name: `correlation_id`.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Empty where there are none.
    pub fn headers(self) -> Table<'a> {
        match self.get("headers") {
            Some(Value::Table(table)) => table,
            Some(_) | None => Table::default(),
        }
    }
}

/// Where the last bit of a flag word is set another one follows.
fn flags(bytes: &[u8]) -> (u16, &[u8]) {
    let word = |bytes: &[u8]| bytes.first_chunk().map(|word| u16::from_be_bytes(*word));
    let Some(first) = word(bytes) else {
        return (0, &[]);
    };
    let mut rest = bytes.get(2..).unwrap_or_default();
    let mut last = first;
    while last & 1 != 0
        && let Some(next) = word(rest)
    {
        last = next;
        rest = rest.get(2..).unwrap_or_default();
    }
    (first, rest)
}

impl Form {
    fn read(self, bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
        Some(match self {
            Form::Text => {
                let (length, rest) = bytes.split_first()?;
                let (text, rest) = rest.split_at_checked((*length).into())?;
                (Value::LongString(text), rest)
            }
            Form::Table => {
                let (length, rest) = bytes.split_first_chunk()?;
                let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
                let (table, rest) = rest.split_at_checked(length)?;
                (Value::Table(Table(table)), rest)
            }
            Form::Octet => {
                let (octet, rest) = bytes.split_first()?;
                (Value::UInt8(*octet), rest)
            }
            Form::Time => {
                let (seconds, rest) = bytes.split_first_chunk()?;
                (Value::Timestamp(u64::from_be_bytes(*seconds)), rest)
            }
        })
    }
}

/// Properties that own their bytes: of a message that a plugin makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf {
    pub headers: TableBuf,
    /// Written to disk where its queue is durable.
    pub persistent: bool,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
}

impl PropertiesBuf {
    pub fn into_bytes(self) -> Vec<u8> {
        let headers = self.headers.into_bytes();
        let mut flags = HEADERS;
        if self.persistent {
            flags |= DELIVERY_MODE;
        }
        if self.timestamp.is_some() {
            flags |= TIMESTAMP;
        }
        let mut bytes = flags.to_be_bytes().to_vec();
        let length = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(headers);
        if self.persistent {
            bytes.push(2);
        }
        if let Some(seconds) = self.timestamp {
            bytes.extend(seconds.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let written = PropertiesBuf {
            headers: TableBuf::new().with("a", 1i32),
            persistent: true,
            timestamp: Some(1_700_000_000),
        };
        let bytes = written.into_bytes();
        let read: Vec<&str> = Properties(&bytes).iter().map(|(name, _)| name).collect();
        assert_eq!(read, ["headers", "delivery_mode", "timestamp"]);
        let headers = Properties(&bytes).headers();
        assert_eq!(headers.get("a"), Some(Value::Int32(1)));
        let time = Properties(&bytes).get("timestamp");
        assert_eq!(time, Some(Value::Timestamp(1_700_000_000)));
    }

    #[test]
    fn bytes_that_are_no_properties_end_early() {
        for cut in 0..8 {
            let bytes = [0xff, 0xfe, 3, b'a', b'b', b'c', 9, b'x'];
            let read = Properties(bytes.get(..cut).expect("short")).iter().count();
            assert_eq!(read, usize::from(cut >= 6), "{cut}");
        }
    }
}
