//! Which values were seen: nothing of it is in this instance but the number of the last one.
//!
//! Two keys for each value in the exchange's state: under the value its number and when it expires,
//! and under the number, counted down so that the last one comes first, the value. When a value is
//! added the one that is `size` numbers older goes. One that was added again after it expired has a
//! newer number: its old place goes in its turn, without it.

use warren_plugin_sdk::{FieldValue, Lifetime, State, Value};

const BY_VALUE: u8 = b'v';
const BY_NUMBER: u8 = b'n';

/// A key has at most 255 octets: of a longer value the front and a hash, and all of it inside.
const FRONT: usize = 200;

pub struct Seen {
    state: State,
    size: u64,
    lifetime: Lifetime,
    last: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    New,
    Duplicate,
    /// The broker's limit, in words.
    NoRoom(String),
}

struct Place {
    number: u64,
    expires: u64,
    /// What does not fit into the key.
    whole: Vec<u8>,
}

impl Seen {
    pub fn open(state: State, size: u64, lifetime: Lifetime) -> Seen {
        let newest = state.after(&[BY_NUMBER], 1);
        let newest = newest.first().and_then(|(key, _)| number_of(key));
        Seen {
            state,
            size,
            lifetime,
            last: newest.unwrap_or(0),
        }
    }

    /// Times are milliseconds since the Unix epoch.
    pub fn add(&mut self, value: Value<'_>, now: u64, expires: u64) -> Verdict {
        let value = identity(value);
        let (key, whole) = key_of(&value);
        let before = self.state.get(&key);
        if let Some(place) = before.as_deref().and_then(Place::read)
            && place.expires > now
            && place.whole == whole
        {
            return Verdict::Duplicate;
        }
        let number = self.last + 1;
        if let Some(oldest) = number.checked_sub(self.size) {
            self.forget(oldest);
        }
        let place = Place {
            number,
            expires,
            whole: whole.to_vec(),
        };
        let by_number = numbered(number);
        let put = self.state.put(&by_number, &key, self.lifetime);
        let put = put.and_then(|()| self.state.put(&key, &place.write(), self.lifetime));
        if let Err(reason) = put {
            self.state.remove(&by_number);
            return Verdict::NoRoom(reason);
        }
        self.last = number;
        Verdict::New
    }

    fn forget(&self, number: u64) {
        let by_number = numbered(number);
        let Some(key) = self.state.get(&by_number) else {
            return;
        };
        self.state.remove(&by_number);
        let place = self.state.get(&key);
        let place = place.as_deref().and_then(Place::read);
        if place.is_some_and(|place| place.number == number) {
            self.state.remove(&key);
        }
    }
}

impl Place {
    fn write(&self) -> Vec<u8> {
        let numbers = [self.number.to_be_bytes(), self.expires.to_be_bytes()];
        [numbers.as_flattened(), &self.whole].concat()
    }

    fn read(bytes: &[u8]) -> Option<Place> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (expires, whole) = rest.split_first_chunk()?;
        Some(Place {
            number: u64::from_be_bytes(*number),
            expires: u64::from_be_bytes(*expires),
            whole: whole.to_vec(),
        })
    }
}

fn numbered(number: u64) -> Vec<u8> {
    let down = u64::MAX - number;
    [&[BY_NUMBER][..], &down.to_be_bytes()].concat()
}

fn number_of(key: &[u8]) -> Option<u64> {
    let (kind, down) = key.split_first()?;
    let down = u64::from_be_bytes(down.try_into().ok()?);
    (*kind == BY_NUMBER).then(|| u64::MAX - down)
}

/// An integer is the same one however many octets it came in, as it is to Erlang.
fn identity(value: Value<'_>) -> Vec<u8> {
    let integer = match value {
        Value::Timestamp(seconds) => i64::try_from(seconds).ok(),
        other => other.as_int(),
    };
    let same = match (integer, value) {
        (Some(integer), _) => Value::Int64(integer),
        (None, Value::Bytes(octets)) => Value::LongString(octets),
        (None, Value::Float(float)) => Value::Double(float.into()),
        (None, other) => other,
    };
    FieldValue::from(same).into_bytes()
}

/// The key, and what stands under it of a value that is longer.
fn key_of(value: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some((front, _)) = value.split_at_checked(FRONT) else {
        return ([&[BY_VALUE], value].concat(), &[]);
    };
    // FNV-1a; values that share it are told apart by their octets.
    let hash = value.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    ([&[BY_VALUE], front, &hash.to_be_bytes()].concat(), value)
}
