//! AMQP field values, tables and arrays that own their bytes. Written with RabbitMQ's type
//! letters. Not reading (see `field.rs`).

use crate::{Array, Table, Value};

/// One encoded field value: its type octet, then its bytes. Always well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue(Vec<u8>);

impl FieldValue {
    /// `None` when the bytes are no field value.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (_, rest) = Value::decode(&bytes)?;
        rest.is_empty().then_some(FieldValue(bytes))
    }

    pub fn value(&self) -> Value<'_> {
        Value::decode(&self.0).map_or(Value::Void, |(value, _)| value)
    }

    /// An integer of any width. Not a float, not a timestamp.
    pub fn as_int(&self) -> Option<i64> {
        self.value().as_int()
    }

    /// A long string or byte array that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.value().as_str()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Value<'_>> for FieldValue {
    fn from(value: Value<'_>) -> Self {
        let mut bytes = Vec::new();
        write_value(&mut bytes, value);
        FieldValue(bytes)
    }
}

/// A field table that owns its bytes, without the four length octets in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableBuf(Vec<u8>);

impl TableBuf {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        TableBuf(bytes)
    }

    /// Adds a field. A name over AMQP's 255 octets is cut there.
    pub fn with<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        let name = name
            .get(..name.floor_char_boundary(usize::from(u8::MAX)))
            .unwrap_or_default();
        self.0.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(name.as_bytes());
        write_value(&mut self.0, value.into());
        self
    }

    pub fn as_table(&self) -> Table<'_> {
        Table(&self.0)
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A field array that owns its bytes, without its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrayBuf(Vec<u8>);

impl ArrayBuf {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with<'v>(mut self, value: impl Into<Value<'v>>) -> Self {
        write_value(&mut self.0, value.into());
        self
    }

    pub fn as_array(&self) -> Array<'_> {
        Array(&self.0)
    }
}

fn write_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Bool(flag) => out.extend([b't', flag.into()]),
        Value::Int8(int) => tagged(out, b'b', &int.to_be_bytes()),
        Value::UInt8(int) => tagged(out, b'B', &int.to_be_bytes()),
        Value::Int16(int) => tagged(out, b's', &int.to_be_bytes()),
        Value::UInt16(int) => tagged(out, b'u', &int.to_be_bytes()),
        Value::Int32(int) => tagged(out, b'I', &int.to_be_bytes()),
        Value::UInt32(int) => tagged(out, b'i', &int.to_be_bytes()),
        Value::Int64(int) => tagged(out, b'l', &int.to_be_bytes()),
        Value::Float(float) => tagged(out, b'f', &float.to_be_bytes()),
        Value::Double(float) => tagged(out, b'd', &float.to_be_bytes()),
        Value::Decimal { scale, value } => {
            tagged(out, b'D', &[scale]);
            out.extend(value.to_be_bytes());
        }
        Value::LongString(bytes) => long(out, b'S', bytes),
        Value::Array(array) => long(out, b'A', array.0),
        Value::Timestamp(seconds) => tagged(out, b'T', &seconds.to_be_bytes()),
        Value::Table(table) => long(out, b'F', table.0),
        Value::Bytes(bytes) => long(out, b'x', bytes),
        Value::Void => out.push(b'V'),
    }
}

fn tagged(out: &mut Vec<u8>, letter: u8, bytes: &[u8]) {
    out.push(letter);
    out.extend_from_slice(bytes);
}

/// What AMQP's length cannot count is cut off; no broker takes 4 GiB of field anyway.
fn long(out: &mut Vec<u8>, letter: u8, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.push(letter);
    out.extend(length.to_be_bytes());
    out.extend(bytes.iter().take(length as usize));
}
