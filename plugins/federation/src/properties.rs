//! A message's property flags and list, as far as federation looks into them.

use warren_service_sdk::{Table, Value};

/// How long each property is, in the order of the flags, highest bit first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Short,
    Table,
    Octet,
    LongLong,
}

const KINDS: [Kind; 14] = [
    Kind::Short,
    Kind::Short,
    Kind::Table,
    Kind::Octet,
    Kind::Octet,
    Kind::Short,
    Kind::Short,
    Kind::Short,
    Kind::Short,
    Kind::LongLong,
    Kind::Short,
    Kind::Short,
    Kind::Short,
    Kind::Short,
];

const HEADERS: usize = 2;
const USER_ID: usize = 11;

/// Where the property stands, if it is set.
fn find(properties: &[u8], wanted: usize) -> Option<std::ops::Range<usize>> {
    let flags = u16::from_be_bytes(*properties.first_chunk()?);
    let mut at = 2;
    for (place, kind) in KINDS.iter().enumerate().take(wanted + 1) {
        if flags & (0x8000 >> place) == 0 {
            continue;
        }
        let rest = properties.get(at..)?;
        let length = match kind {
            Kind::Short => 1 + usize::from(*rest.first()?),
            Kind::Table => 4 + u32::from_be_bytes(*rest.first_chunk()?) as usize,
            Kind::Octet => 1,
            Kind::LongLong => 8,
        };
        if place == wanted {
            let range = at..at.checked_add(length)?;
            return properties.get(range.clone()).map(|_| range);
        }
        at = at.checked_add(length)?;
    }
    None
}

pub fn header<'a>(properties: &'a [u8], name: &str) -> Option<Value<'a>> {
    let headers = find(properties, HEADERS)?;
    let table = properties.get(headers.start + 4..headers.end)?;
    Table(table).get(name)
}

/// None: there is no user id.
pub fn without_user_id(properties: &[u8]) -> Option<Vec<u8>> {
    let range = find(properties, USER_ID)?;
    let mut stripped = properties.to_vec();
    stripped.drain(range);
    let flags = u16::from_be_bytes(*stripped.first_chunk()?) & !(0x8000 >> USER_ID);
    stripped.splice(..2, flags.to_be_bytes());
    Some(stripped)
}

#[test]
fn a_user_id_goes_and_the_rest_stays() {
    // content type, user id, app id
    let properties = b"\x80\x18\x01a\x02me\x01x";
    assert_eq!(
        without_user_id(properties).as_deref(),
        Some(&b"\x80\x08\x01a\x01x"[..])
    );
    assert_eq!(without_user_id(b"\x80\0\x01a"), None);
    assert_eq!(without_user_id(b"\0\x10\x09a"), None, "cut off");
}
