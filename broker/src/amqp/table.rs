//! A view of an encoded field table, without copies; and the door to amq-protocol's owned tables.
//! Type letters are RabbitMQ's: 's' is a signed 16-bit number, 'l' and 'L' are both signed 64-bit.

use std::fmt;

use amq_protocol::types::FieldTable;
use amq_protocol::types::generation::gen_field_table;
use amq_protocol::types::parsing::parse_field_table;

use super::octets::Octets;

/// How deep tables and arrays may nest. Ten is already unheard of; parsers (ours, the plugins', the
/// clients') recurse, and a 128 KiB frame could nest 26,000 deep.
pub const MAX_TABLE_DEPTH: usize = 32;

/// The octets of a table without the four length octets. Reads what it can: malformed octets end
/// the iteration, so [`check`] what a client or plugin sent before it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table<'a>(&'a [u8]);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    F32(f32),
    F64(f64),
    Decimal {
        scale: u8,
        value: u32,
    },
    Str(&'a [u8]),
    /// See [`elements`].
    Array(&'a [u8]),
    Timestamp(u64),
    Table(Table<'a>),
    Bytes(&'a [u8]),
    Void,
}

/// The octets are not a field table, or nest deeper than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    Malformed,
    TooDeep,
}

impl fmt::Display for TableError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TableError::Malformed => "malformed field table",
            TableError::TooDeep => "field table nested too deep",
        })
    }
}

impl std::error::Error for TableError {}

impl<'a> Table<'a> {
    pub fn new(raw: &'a [u8]) -> Self {
        Table(raw)
    }

    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The first entry of that name.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        value(&mut Octets::new(self.get_encoded(name)?))
    }

    /// The first entry of that name as it is encoded, type octet first.
    #[inline]
    pub fn get_encoded(self, name: &str) -> Option<&'a [u8]> {
        let mut octets = Octets::new(self.0);
        loop {
            let found = octets.short_octets()?;
            let encoded = encoded_value(&mut octets)?;
            if found == name.as_bytes() {
                return Some(encoded);
            }
        }
    }

    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.iter_encoded()
            .filter_map(|(name, encoded)| Some((name, value(&mut Octets::new(encoded))?)))
    }

    /// Names with their values as they are encoded, type octet first.
    pub fn iter_encoded(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let mut octets = Octets::new(self.0);
        std::iter::from_fn(move || Some((octets.short_str()?, encoded_value(&mut octets)?)))
    }
}

/// The elements of an array.
pub fn elements(array: &[u8]) -> impl Iterator<Item = Value<'_>> {
    let mut octets = Octets::new(array);
    std::iter::from_fn(move || value(&mut octets))
}

impl Value<'_> {
    /// Type octet and value. A value that came as 'L' or 'U' goes out as its synonym 'l' or 's'.
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match *self {
            Value::Bool(value) => out.extend_from_slice(&[b't', u8::from(value)]),
            Value::I8(value) => fixed(&mut out, b'b', &value.to_be_bytes()),
            Value::U8(value) => fixed(&mut out, b'B', &[value]),
            Value::I16(value) => fixed(&mut out, b's', &value.to_be_bytes()),
            Value::U16(value) => fixed(&mut out, b'u', &value.to_be_bytes()),
            Value::I32(value) => fixed(&mut out, b'I', &value.to_be_bytes()),
            Value::U32(value) => fixed(&mut out, b'i', &value.to_be_bytes()),
            Value::I64(value) => fixed(&mut out, b'l', &value.to_be_bytes()),
            Value::F32(value) => fixed(&mut out, b'f', &value.to_be_bytes()),
            Value::F64(value) => fixed(&mut out, b'd', &value.to_be_bytes()),
            Value::Decimal { scale, value } => {
                fixed(&mut out, b'D', &[scale]);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Value::Str(octets) => sized(&mut out, b'S', octets),
            Value::Array(octets) => sized(&mut out, b'A', octets),
            Value::Timestamp(value) => fixed(&mut out, b'T', &value.to_be_bytes()),
            Value::Table(table) => sized(&mut out, b'F', table.raw()),
            Value::Bytes(octets) => sized(&mut out, b'x', octets),
            Value::Void => out.push(b'V'),
        }
        out
    }

    /// RabbitMQ's name of the type, which stands in its error texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::I8(_) => "byte",
            Value::U8(_) => "unsignedbyte",
            Value::I16(_) => "short",
            Value::U16(_) => "unsignedshort",
            Value::I32(_) => "signedint",
            Value::U32(_) => "unsignedint",
            Value::I64(_) => "long",
            Value::F32(_) => "float",
            Value::F64(_) => "double",
            Value::Decimal { .. } => "decimal",
            Value::Str(_) => "longstr",
            Value::Array(_) => "array",
            Value::Timestamp(_) => "timestamp",
            Value::Table(_) => "table",
            Value::Bytes(_) => "binary",
            Value::Void => "void",
        }
    }

    /// Text values, whatever their type letter.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(octets) => std::str::from_utf8(octets).ok(),
            Value::Bool(_)
            | Value::I8(_)
            | Value::U8(_)
            | Value::I16(_)
            | Value::U16(_)
            | Value::I32(_)
            | Value::U32(_)
            | Value::I64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::Decimal { .. }
            | Value::Array(_)
            | Value::Timestamp(_)
            | Value::Table(_)
            | Value::Bytes(_)
            | Value::Void => None,
        }
    }

    /// Whole numbers of any width, not timestamps.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Value::I8(value) => Some(value.into()),
            Value::U8(value) => Some(value.into()),
            Value::I16(value) => Some(value.into()),
            Value::U16(value) => Some(value.into()),
            Value::I32(value) => Some(value.into()),
            Value::U32(value) => Some(value.into()),
            Value::I64(value) => Some(value),
            Value::Bool(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::Decimal { .. }
            | Value::Str(_)
            | Value::Array(_)
            | Value::Timestamp(_)
            | Value::Table(_)
            | Value::Bytes(_)
            | Value::Void => None,
        }
    }
}

fn fixed(out: &mut Vec<u8>, letter: u8, octets: &[u8]) {
    out.push(letter);
    out.extend_from_slice(octets);
}

fn sized(out: &mut Vec<u8>, letter: u8, octets: &[u8]) {
    out.push(letter);
    out.extend_from_slice(&(octets.len() as u32).to_be_bytes());
    out.extend_from_slice(octets);
}

/// What follows a type letter.
enum Shape {
    Fixed(usize),
    Sized,
    Nested(Kind),
}

#[derive(Clone, Copy)]
enum Kind {
    Table,
    Array,
}

#[inline]
fn shape(letter: u8) -> Option<Shape> {
    Some(match letter {
        b'V' => Shape::Fixed(0),
        b't' | b'b' | b'B' => Shape::Fixed(1),
        b's' | b'U' | b'u' => Shape::Fixed(2),
        b'I' | b'i' | b'f' => Shape::Fixed(4),
        b'D' => Shape::Fixed(5),
        b'l' | b'L' | b'd' | b'T' => Shape::Fixed(8),
        b'S' | b'x' => Shape::Sized,
        b'F' => Shape::Nested(Kind::Table),
        b'A' => Shape::Nested(Kind::Array),
        _ => return None,
    })
}

#[inline]
fn encoded_value<'a>(octets: &mut Octets<'a>) -> Option<&'a [u8]> {
    let start = octets.rest();
    match shape(octets.octet()?)? {
        Shape::Fixed(length) => drop(octets.take(length)?),
        Shape::Sized | Shape::Nested(_) => drop(octets.long_octets()?),
    }
    start.get(..start.len() - octets.rest().len())
}

fn value<'a>(octets: &mut Octets<'a>) -> Option<Value<'a>> {
    Some(match octets.octet()? {
        b't' => Value::Bool(octets.octet()? != 0),
        b'b' => Value::I8(i8::from_be_bytes(octets.array()?)),
        b'B' => Value::U8(octets.octet()?),
        b's' | b'U' => Value::I16(i16::from_be_bytes(octets.array()?)),
        b'u' => Value::U16(octets.short()?),
        b'I' => Value::I32(i32::from_be_bytes(octets.array()?)),
        b'i' => Value::U32(octets.long()?),
        b'l' | b'L' => Value::I64(i64::from_be_bytes(octets.array()?)),
        b'f' => Value::F32(f32::from_be_bytes(octets.array()?)),
        b'd' => Value::F64(f64::from_be_bytes(octets.array()?)),
        b'D' => Value::Decimal {
            scale: octets.octet()?,
            value: octets.long()?,
        },
        b'S' => Value::Str(octets.long_octets()?),
        b'A' => Value::Array(octets.long_octets()?),
        b'T' => Value::Timestamp(octets.longlong()?),
        b'F' => Value::Table(Table(octets.long_octets()?)),
        b'x' => Value::Bytes(octets.long_octets()?),
        b'V' => Value::Void,
        _ => return None,
    })
}

/// Whether the octets are a table from end to end, with names in UTF-8, nested at most `depth` deep
/// (1 is a flat table). Does not recurse and does not allocate.
pub fn check(raw: &[u8], depth: usize) -> Result<(), TableError> {
    check_nested(raw, Kind::Table, depth)
}

/// Whether the octets are exactly one value, type octet first: what a plugin may set as a header.
pub fn check_value(encoded: &[u8]) -> Result<(), TableError> {
    // The array that we pretend to look into stands for the headers table around the value.
    check_nested(encoded, Kind::Array, MAX_TABLE_DEPTH)?;
    let mut octets = Octets::new(encoded);
    encoded_value(&mut octets).ok_or(TableError::Malformed)?;
    if octets.is_empty() {
        Ok(())
    } else {
        Err(TableError::Malformed)
    }
}

fn check_nested(raw: &[u8], kind: Kind, depth: usize) -> Result<(), TableError> {
    let mut octets = Octets::new(raw);
    while !octets.is_empty() {
        if let Some(nested) = skip_entry(&mut octets, kind)? {
            return check_open((octets, kind), nested, depth);
        }
    }
    Ok(())
}

/// One entry of a table or an array; what is in it where that is nested.
#[inline]
fn skip_entry<'a>(
    octets: &mut Octets<'a>,
    kind: Kind,
) -> Result<Option<(Octets<'a>, Kind)>, TableError> {
    if matches!(kind, Kind::Table) {
        octets.check_short_str().ok_or(TableError::Malformed)?;
    }
    let letter = octets.octet().ok_or(TableError::Malformed)?;
    match shape(letter).ok_or(TableError::Malformed)? {
        Shape::Fixed(length) => drop(octets.take(length).ok_or(TableError::Malformed)?),
        Shape::Sized => drop(octets.long_octets().ok_or(TableError::Malformed)?),
        Shape::Nested(inner) => {
            let nested = octets.long_octets().ok_or(TableError::Malformed)?;
            return Ok(Some((Octets::new(nested), inner)));
        }
    }
    Ok(None)
}

/// The rest of `around`, in which `nested` was found. By itself, because few tables nest, and the
/// others need not pay for the places.
#[inline(never)]
fn check_open<'a>(
    around: (Octets<'a>, Kind),
    nested: (Octets<'a>, Kind),
    depth: usize,
) -> Result<(), TableError> {
    // What is left of each table or array that is open around the current one.
    let mut outer: [(&[u8], Kind); MAX_TABLE_DEPTH] = [(&[], Kind::Array); MAX_TABLE_DEPTH];
    let mut open = 0;
    let (mut octets, mut kind) = around;
    let mut nested = Some(nested);
    loop {
        if let Some((inner, inner_kind)) = nested.take() {
            if open + 1 >= depth {
                return Err(TableError::TooDeep);
            }
            *outer.get_mut(open).ok_or(TableError::TooDeep)? = (octets.rest(), kind);
            open += 1;
            (octets, kind) = (inner, inner_kind);
        }
        if !octets.is_empty() {
            nested = skip_entry(&mut octets, kind)?;
            continue;
        }
        if open == 0 {
            return Ok(());
        }
        open -= 1;
        let (rest, outer_kind) = outer.get(open).copied().ok_or(TableError::TooDeep)?;
        (octets, kind) = (Octets::new(rest), outer_kind);
    }
}

/// Without the length octets in front.
pub fn encode(table: &FieldTable) -> Vec<u8> {
    super::write::generate(gen_field_table(table)).split_off(LENGTH)
}

/// `raw` is without the length octets in front.
pub fn decode(raw: &[u8]) -> Result<FieldTable, TableError> {
    check(raw, MAX_TABLE_DEPTH)?;
    let mut sized = Vec::with_capacity(LENGTH + raw.len());
    let length = u32::try_from(raw.len()).map_err(|_| TableError::Malformed)?;
    sized.extend_from_slice(&length.to_be_bytes());
    sized.extend_from_slice(raw);
    match parse_field_table(sized.as_slice()) {
        Ok(([], table)) => Ok(table),
        Ok((_, _)) | Err(_) => Err(TableError::Malformed),
    }
}

const LENGTH: usize = 4;

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
