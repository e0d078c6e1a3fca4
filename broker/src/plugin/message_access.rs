//! Headers of a message, found in its property bytes as they came: just enough of AMQP's encoding
//! to skip what was not asked for. Nothing is decoded into values here.

/// Nested tables and arrays deeper than this are refused in what a plugin returns.
const MAX_DEPTH: u8 = 16;

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const MORE_FLAGS: u16 = 1;

/// The header table without the four length octets; empty when there is none or the bytes make no
/// sense.
pub(super) fn headers(properties: &[u8]) -> &[u8] {
    find_headers(properties).unwrap_or_default()
}

/// A header's value, type octet first.
pub(super) fn header<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut table = Cursor(headers(properties));
    while !table.0.is_empty() {
        let field = table.short_string()?;
        let value = table.value()?;
        if field == name.as_bytes() {
            return Some(value);
        }
    }
    None
}

/// True when `value` is exactly one AMQP field value, nested ones included.
pub(super) fn is_field_value(value: &[u8]) -> bool {
    let mut rest = Cursor(value);
    rest.checked_value(MAX_DEPTH).is_some() && rest.0.is_empty()
}

fn find_headers(properties: &[u8]) -> Option<&[u8]> {
    let mut rest = Cursor(properties);
    let flags = rest.u16()?;
    let mut last = flags;
    while last & MORE_FLAGS != 0 {
        last = rest.u16()?;
    }
    if flags & HEADERS == 0 {
        return None;
    }
    if flags & CONTENT_TYPE != 0 {
        rest.short_string()?;
    }
    if flags & CONTENT_ENCODING != 0 {
        rest.short_string()?;
    }
    rest.long_string()
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn short_string(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    fn long_string(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }

    /// One value with its type octet, nested ones skipped by their length.
    fn value(&mut self) -> Option<&'a [u8]> {
        let whole = self.0;
        let fixed = match self.u8()? {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            // RabbitMQ's reading of 's': a signed 16-bit integer, not 0-9-1's short string.
            b's' | b'u' | b'U' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'S' | b'x' | b'A' | b'F' => {
                self.long_string()?;
                0
            }
            _ => return None,
        };
        self.take(fixed)?;
        whole.get(..whole.len() - self.0.len())
    }

    fn checked_value(&mut self, depth: u8) -> Option<()> {
        let value = self.value()?;
        let mut inner = match value.first()? {
            b'A' | b'F' => Cursor(value.get(5..)?),
            _ => return Some(()),
        };
        let depth = depth.checked_sub(1)?;
        let is_table = value.first() == Some(&b'F');
        while !inner.0.is_empty() {
            if is_table {
                std::str::from_utf8(inner.short_string()?).ok()?;
            }
            inner.checked_value(depth)?;
        }
        Some(())
    }
}
