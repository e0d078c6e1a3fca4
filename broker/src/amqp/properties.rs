//! Properties of a message, read from their raw octets only when something asks. Not an owned
//! property list: what is not asked for is never decoded, and a change leaves the rest as it was.

use amq_protocol::protocol::basic::{AMQPProperties, gen_properties, parse_properties};

use super::octets::Octets;
use super::table::{self, Table};

/// Property flags and property list as they stood in the content header frame. Empty octets are a
/// message without properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Octets that pass through; in UTF-8 only by convention.
    ShortStr,
    /// A short string that the broker acts upon, so it must be UTF-8.
    Text,
    Table,
    Octet,
    Timestamp,
}

/// In the order of the flags, highest bit first, which is also the order of the list.
const KINDS: [Kind; 14] = [
    Kind::ShortStr, // content-type
    Kind::ShortStr, // content-encoding
    Kind::Table,    // headers
    Kind::Octet,    // delivery-mode
    Kind::Octet,    // priority
    Kind::ShortStr, // correlation-id
    Kind::ShortStr, // reply-to
    Kind::Text,     // expiration
    Kind::ShortStr, // message-id
    Kind::Timestamp,
    Kind::ShortStr, // type
    Kind::Text,     // user-id
    Kind::ShortStr, // app-id
    Kind::ShortStr, // cluster-id
];

const HEADERS: usize = 2;
const DELIVERY_MODE: usize = 3;
const REPLY_TO: usize = 6;
const EXPIRATION: usize = 7;
const USER_ID: usize = 11;

/// Announces a second word of flags. No property is defined there.
const CONTINUATION: u16 = 1;

const PERSISTENT: u8 = 2;

#[inline]
const fn flag(property: usize) -> u16 {
    0x8000 >> property
}

impl<'a> Properties<'a> {
    #[inline]
    pub fn new(raw: &'a [u8]) -> Self {
        Properties(raw)
    }

    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn is_persistent(self) -> bool {
        self.delivery_mode() == Some(PERSISTENT)
    }

    pub fn content_type(self) -> Option<&'a str> {
        self.text(0)
    }

    pub fn content_encoding(self) -> Option<&'a str> {
        self.text(1)
    }

    pub fn headers(self) -> Option<Table<'a>> {
        self.seek(HEADERS)?.long_octets().map(Table::new)
    }

    #[inline]
    pub fn delivery_mode(self) -> Option<u8> {
        self.seek(DELIVERY_MODE)?.octet()
    }

    #[inline]
    pub fn priority(self) -> Option<u8> {
        self.seek(4)?.octet()
    }

    pub fn correlation_id(self) -> Option<&'a str> {
        self.text(5)
    }

    pub fn reply_to(self) -> Option<&'a str> {
        self.text(REPLY_TO)
    }

    #[inline]
    pub fn expiration(self) -> Option<&'a str> {
        self.text(EXPIRATION)
    }

    pub fn message_id(self) -> Option<&'a str> {
        self.text(8)
    }

    /// Seconds since the Unix epoch, by convention.
    pub fn timestamp(self) -> Option<u64> {
        self.seek(9)?.longlong()
    }

    pub fn type_(self) -> Option<&'a str> {
        self.text(10)
    }

    #[inline]
    pub fn user_id(self) -> Option<&'a str> {
        self.text(USER_ID)
    }

    pub fn app_id(self) -> Option<&'a str> {
        self.text(12)
    }

    pub fn cluster_id(self) -> Option<&'a str> {
        self.text(13)
    }

    /// Whether there is any that a broker may act upon when the message comes in. Most have none.
    #[inline]
    pub fn may_ask(self) -> bool {
        const ASKING: u16 = flag(HEADERS) | flag(REPLY_TO) | flag(EXPIRATION) | flag(USER_ID);
        let flags = Octets::new(self.0).short();
        flags.is_some_and(|flags| flags & ASKING != 0)
    }

    #[inline]
    fn text(self, property: usize) -> Option<&'a str> {
        self.seek(property)?.short_str()
    }

    /// The list from this property on; `None` when it is not set.
    #[inline]
    fn seek(self, property: usize) -> Option<Octets<'a>> {
        let mut octets = Octets::new(self.0);
        let flags = octets.short()?;
        if flags & flag(property) == 0 {
            return None;
        }
        skip(&mut octets, flags, property)?;
        Some(octets)
    }
}

/// Skips what stands in front of this property, set or not.
#[inline]
fn skip(octets: &mut Octets<'_>, flags: u16, property: usize) -> Option<()> {
    for (before, kind) in KINDS.iter().enumerate().take(property) {
        if flags & flag(before) != 0 {
            step(octets, *kind)?;
        }
    }
    Some(())
}

/// The octets of the property that is next, if it is set.
fn encoded<'a>(octets: &mut Octets<'a>, kind: Kind, is_set: bool) -> &'a [u8] {
    let before = octets.rest();
    if is_set {
        let _ = step(octets, kind);
    }
    let length = before.len() - octets.rest().len();
    before.get(..length).unwrap_or_default()
}

#[inline]
fn step(octets: &mut Octets<'_>, kind: Kind) -> Option<()> {
    match kind {
        Kind::ShortStr | Kind::Text => drop(octets.short_octets()?),
        Kind::Table => drop(octets.long_octets()?),
        Kind::Octet => drop(octets.octet()?),
        Kind::Timestamp => drop(octets.longlong()?),
    }
    Some(())
}

/// Whether the octets are a property list from end to end, headers well formed. A correlation id may
/// be any octets: clients put binary ones there, and RabbitMQ passes them on.
#[inline]
pub(crate) fn check(raw: &[u8]) -> Option<()> {
    let mut octets = Octets::new(raw);
    let flags = octets.short()?;
    if flags & CONTINUATION != 0 {
        return None;
    }
    for (property, kind) in KINDS.iter().enumerate() {
        if flags & flag(property) == 0 {
            continue;
        }
        match kind {
            Kind::ShortStr => drop(octets.short_octets()?),
            Kind::Text => octets.check_short_str()?,
            Kind::Table => table::check(octets.long_octets()?, table::MAX_TABLE_DEPTH).ok()?,
            Kind::Octet => drop(octets.octet()?),
            Kind::Timestamp => drop(octets.longlong()?),
        }
    }
    octets.is_empty().then_some(())
}

/// Sets or replaces headers (name, encoded value with its type octet first); everything else stays
/// byte for byte. What cannot be encoded (a name over 255 octets, a malformed value) is left out:
/// use [`table::check_value`] first where someone should be told.
pub fn with_headers(raw: &[u8], set: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut new: Vec<(&str, Option<&[u8]>)> = Vec::with_capacity(set.len());
    for (name, value) in set {
        if name.len() > super::SHORT_STRING_MAX || table::check_value(value).is_err() {
            continue;
        }
        match new.iter_mut().find(|(set, _)| set == name) {
            Some((_, earlier)) => *earlier = Some(value),
            None => new.push((name, Some(value))),
        }
    }
    if new.is_empty() {
        return or_none(raw).to_vec();
    }
    rewrite_headers(raw, |old, out| {
        for (name, value) in old.iter_encoded() {
            match new.iter_mut().find(|(set, _)| *set == name) {
                // A second header of that name finds the value taken, and goes.
                Some((_, set)) => set
                    .take()
                    .into_iter()
                    .for_each(|set| push_header(out, name, set)),
                None => push_header(out, name, value),
            }
        }
        for (name, value) in new {
            value
                .into_iter()
                .for_each(|value| push_header(out, name, value));
        }
    })
}

/// Sets or replaces each property that is set in `over`; everything else stays byte for byte. What is
/// no property list changes nothing.
pub fn with_properties(raw: &[u8], over: &[u8]) -> Vec<u8> {
    let raw = or_none(raw);
    if check(over).is_none() {
        return raw.to_vec();
    }
    let (mut old, mut new) = (Octets::new(raw), Octets::new(over));
    let (old_flags, new_flags) = (old.short().unwrap_or(0), new.short().unwrap_or(0));
    let mut out = (old_flags | new_flags).to_be_bytes().to_vec();
    for (property, kind) in KINDS.iter().enumerate() {
        let is_set = |flags: u16| flags & flag(property) != 0;
        let kept = encoded(&mut old, *kind, is_set(old_flags));
        let set = encoded(&mut new, *kind, is_set(new_flags));
        out.extend_from_slice(if set.is_empty() { kept } else { set });
    }
    out
}

/// Takes headers away; everything else stays byte for byte.
pub fn without_headers(raw: &[u8], names: &[&str]) -> Vec<u8> {
    if Properties::new(raw).headers().is_none() {
        return or_none(raw).to_vec();
    }
    rewrite_headers(raw, |old, out| {
        for (name, value) in old.iter_encoded() {
            if !names.contains(&name) {
                push_header(out, name, value);
            }
        }
    })
}

/// Takes the expiration away, as dead-lettering does; everything else stays byte for byte.
pub fn without_expiration(raw: &[u8]) -> Vec<u8> {
    let Some(mut octets) = Properties::new(raw).seek(EXPIRATION) else {
        return or_none(raw).to_vec();
    };
    let mut out = raw
        .get(..raw.len() - octets.rest().len())
        .unwrap_or_default()
        .to_vec();
    if octets.short_octets().is_some() {
        out.extend_from_slice(octets.rest());
    }
    set_flags(&mut out, |flags| flags & !flag(EXPIRATION));
    out
}

/// Replaces the reply-to of a message that has one; everything else stays byte for byte.
pub fn with_reply_to(raw: &[u8], name: &str) -> Vec<u8> {
    let Some(mut octets) = Properties::new(raw).seek(REPLY_TO) else {
        return or_none(raw).to_vec();
    };
    let mut out = raw
        .get(..raw.len() - octets.rest().len())
        .unwrap_or_default()
        .to_vec();
    super::write::push_short_str(&mut out, super::cut_short(name));
    if octets.short_octets().is_some() {
        out.extend_from_slice(octets.rest());
    }
    out
}

/// The property octets of an owned property list.
pub fn encode(properties: &AMQPProperties) -> Vec<u8> {
    super::write::generate(gen_properties(properties))
}

/// An owned property list; `None` when the octets are not one, or hold text that is not UTF-8.
pub fn decode(raw: &[u8]) -> Option<AMQPProperties> {
    let raw = or_none(raw);
    check(raw)?;
    match parse_properties(raw) {
        Ok(([], properties)) => Some(properties),
        Ok((_, _)) | Err(_) => None,
    }
}

/// No property flags at all are written as two zero octets.
pub(crate) fn or_none(raw: &[u8]) -> &[u8] {
    if raw.is_empty() { &[0, 0] } else { raw }
}

fn rewrite_headers(raw: &[u8], fill: impl FnOnce(Table<'_>, &mut Vec<u8>)) -> Vec<u8> {
    let raw = or_none(raw);
    let mut octets = Octets::new(raw);
    let flags = octets.short().unwrap_or(0);
    if skip(&mut octets, flags, HEADERS).is_none() {
        return raw.to_vec();
    }
    let mut out = raw
        .get(..raw.len() - octets.rest().len())
        .unwrap_or_default()
        .to_vec();
    let old = if flags & flag(HEADERS) == 0 {
        &[]
    } else {
        octets.long_octets().unwrap_or_default()
    };
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(Table::new(old), &mut out);
    let length = (out.len() - length_at - 4) as u32;
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(octets.rest());
    set_flags(&mut out, |flags| flags | flag(HEADERS));
    out
}

fn set_flags(out: &mut [u8], change: impl FnOnce(u16) -> u16) {
    if let Some(place) = out.first_chunk_mut::<2>() {
        *place = change(u16::from_be_bytes(*place)).to_be_bytes();
    }
}

fn push_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    super::write::push_short_str(out, name);
    out.extend_from_slice(value);
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
