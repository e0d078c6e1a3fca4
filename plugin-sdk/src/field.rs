//! AMQP field tables, read where they lie. Nested tables and arrays stay encoded until somebody
//! looks into them, so that reading allocates nothing, never recurses, and costs no more than the
//! bytes it walks over. Not writing (see `write.rs`).

/// One field value. The type letters are RabbitMQ's; where the specification's own letters do not
/// clash with them (`U`, `L`) they are read too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    Int8(i8),
    UInt8(u8),
    Int16(i16),
    UInt16(u16),
    Int32(i32),
    UInt32(u32),
    Int64(i64),
    Float(f32),
    Double(f64),
    Decimal {
        scale: u8,
        value: u32,
    },
    /// Text by convention; AMQP does not promise UTF-8.
    LongString(&'a [u8]),
    Array(Array<'a>),
    /// Seconds since the Unix epoch.
    Timestamp(u64),
    Table(Table<'a>),
    Bytes(&'a [u8]),
    Void,
}

impl<'a> Value<'a> {
    /// Reads one value: type octet, then its bytes. What follows is handed back.
    pub fn decode(bytes: &'a [u8]) -> Option<(Value<'a>, &'a [u8])> {
        let mut rest = Cursor(bytes);
        let value = match rest.octet()? {
            b't' => Value::Bool(rest.octet()? != 0),
            b'b' => Value::Int8(i8::from_be_bytes(rest.octets()?)),
            b'B' => Value::UInt8(rest.octet()?),
            b's' | b'U' => Value::Int16(i16::from_be_bytes(rest.octets()?)),
            b'u' => Value::UInt16(u16::from_be_bytes(rest.octets()?)),
            b'I' => Value::Int32(i32::from_be_bytes(rest.octets()?)),
            b'i' => Value::UInt32(u32::from_be_bytes(rest.octets()?)),
            b'l' | b'L' => Value::Int64(i64::from_be_bytes(rest.octets()?)),
            b'f' => Value::Float(f32::from_be_bytes(rest.octets()?)),
            b'd' => Value::Double(f64::from_be_bytes(rest.octets()?)),
            b'D' => Value::Decimal {
                scale: rest.octet()?,
                value: u32::from_be_bytes(rest.octets()?),
            },
            b'S' => Value::LongString(rest.long()?),
            b'A' => Value::Array(Array(rest.long()?)),
            b'T' => Value::Timestamp(u64::from_be_bytes(rest.octets()?)),
            b'F' => Value::Table(Table(rest.long()?)),
            b'x' => Value::Bytes(rest.long()?),
            b'V' => Value::Void,
            _ => return None,
        };
        Some((value, rest.0))
    }

    /// An integer of any width. Not a float, not a timestamp.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            Value::Int8(int) => Some(int.into()),
            Value::UInt8(int) => Some(int.into()),
            Value::Int16(int) => Some(int.into()),
            Value::UInt16(int) => Some(int.into()),
            Value::Int32(int) => Some(int.into()),
            Value::UInt32(int) => Some(int.into()),
            Value::Int64(int) => Some(int),
            Value::Bool(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Decimal { .. }
            | Value::LongString(_)
            | Value::Array(_)
            | Value::Timestamp(_)
            | Value::Table(_)
            | Value::Bytes(_)
            | Value::Void => None,
        }
    }

    /// A long string or byte array that is UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::LongString(bytes) | Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Value::Bool(_)
            | Value::Int8(_)
            | Value::UInt8(_)
            | Value::Int16(_)
            | Value::UInt16(_)
            | Value::Int32(_)
            | Value::UInt32(_)
            | Value::Int64(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Decimal { .. }
            | Value::Array(_)
            | Value::Timestamp(_)
            | Value::Table(_)
            | Value::Void => None,
        }
    }
}

macro_rules! from {
    ($($kind:ty => $value:ident),*) => {$(
        impl From<$kind> for Value<'_> {
            fn from(plain: $kind) -> Self { Value::$value(plain) }
        }
    )*};
}
from!(bool => Bool, i8 => Int8, u8 => UInt8, i16 => Int16, u16 => UInt16, i32 => Int32,
      u32 => UInt32, i64 => Int64, f32 => Float, f64 => Double);

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::LongString(text.as_bytes())
    }
}

impl<'a> From<Table<'a>> for Value<'a> {
    fn from(table: Table<'a>) -> Self {
        Value::Table(table)
    }
}

impl<'a> From<Array<'a>> for Value<'a> {
    fn from(array: Array<'a>) -> Self {
        Value::Array(array)
    }
}

/// A field table without the four length octets in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Table<'a>(pub &'a [u8]);

impl<'a> Table<'a> {
    /// Fields in their order. Ends early where the bytes are no table; a field whose name is not
    /// UTF-8 is left out, since no plugin could name it.
    pub fn fields(self) -> Fields<'a> {
        Fields(Cursor(self.0))
    }

    /// The first field of this name.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.fields()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Iterator over a table's fields.
pub struct Fields<'a>(Cursor<'a>);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let length = self.0.octet()?;
            let name = self.0.take(length.into())?;
            let (value, rest) = Value::decode(self.0.0)?;
            self.0.0 = rest;
            if let Ok(name) = std::str::from_utf8(name) {
                return Some((name, value));
            }
        }
    }
}

/// A field array without its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Array<'a>(pub &'a [u8]);

impl<'a> Array<'a> {
    pub fn items(self) -> Items<'a> {
        Items(self.0)
    }
}

/// Iterator over an array's values.
pub struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (value, rest) = Value::decode(self.0)?;
        self.0 = rest;
        Some(value)
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        let (octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*octet)
    }

    fn octets<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.octets()?);
        self.take(usize::try_from(length).ok()?)
    }
}
