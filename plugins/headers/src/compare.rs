//! Field values as RabbitMQ compares and prints them: by what they say and not by how wide they
//! were sent.

use warren_plugin_sdk::Value;

/// Tables and arrays that lie deeper in each other are never the same: what a client sends must
/// not choose how much stack is used.
const DEPTH: usize = 16;

/// Numbers without a point: an integer of any width, or a timestamp in milliseconds.
fn whole(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Timestamp(seconds) => Some(i128::from(seconds) * 1000),
        other => other.as_int().map(i128::from),
    }
}

fn float(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Float(float) => Some(float.into()),
        Value::Double(float) => Some(float),
        _ => None,
    }
}

fn text(value: Value<'_>) -> Option<&[u8]> {
    match value {
        Value::LongString(bytes) | Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

pub fn same(one: Value<'_>, other: Value<'_>) -> bool {
    same_within(one, other, DEPTH)
}

fn same_within(one: Value<'_>, other: Value<'_>, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            let (mut one, mut other) = (one.items(), other.items());
            loop {
                match (one.next(), other.next()) {
                    (None, None) => return true,
                    (Some(one), Some(other)) if same_within(one, other, depth) => {}
                    (Some(_), _) | (None, Some(_)) => return false,
                }
            }
        }
        (Value::Table(one), Value::Table(other)) => {
            let (mut one, mut other) = (one.fields(), other.fields());
            loop {
                match (one.next(), other.next()) {
                    (None, None) => return true,
                    (Some((name, one)), Some((same_name, other)))
                        if name == same_name && same_within(one, other, depth) => {}
                    (Some(_), _) | (None, Some(_)) => return false,
                }
            }
        }
        (one, other) => {
            if let (Some(one), Some(other)) = (whole(one), whole(other)) {
                one == other
            } else if let (Some(one), Some(other)) = (float(one), float(other)) {
                one == other
            } else if let (Some(one), Some(other)) = (text(one), text(other)) {
                one == other
            } else {
                one == other
            }
        }
    }
}

/// Octets that are the same for any two values that are [`same`], and mostly differ for others.
pub fn sketch(value: Value<'_>, add: &mut dyn FnMut(&[u8])) {
    if let Some(whole) = whole(value) {
        return add(&whole.to_be_bytes());
    }
    if let Some(float) = float(value) {
        // The two zeros are equal.
        return add(&(float + 0.0).to_be_bytes());
    }
    match text(value) {
        Some(text) => add(text),
        None => add(kind(value).as_bytes()),
    }
}

/// RabbitMQ's name of the value's type.
pub fn kind(value: Value<'_>) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Int8(_) => "byte",
        Value::UInt8(_) => "unsignedbyte",
        Value::Int16(_) => "short",
        Value::UInt16(_) => "unsignedshort",
        Value::Int32(_) => "signedint",
        Value::UInt32(_) => "unsignedint",
        Value::Int64(_) => "long",
        Value::Float(_) => "float",
        Value::Double(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::LongString(_) => "longstr",
        Value::Array(_) => "array",
        Value::Timestamp(_) => "timestamp",
        Value::Table(_) => "table",
        Value::Bytes(_) => "binary",
        Value::Void => "void",
    }
}

/// The value as RabbitMQ's refusals print it.
pub fn shown(value: Value<'_>) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Decimal { scale, value } => format!("{{{scale},{value}}}"),
        Value::LongString(bytes) | Value::Bytes(bytes) => {
            format!("<<\"{}\">>", String::from_utf8_lossy(bytes))
        }
        Value::Timestamp(seconds) => seconds.to_string(),
        Value::Void => "undefined".to_owned(),
        // The digits of floats would make the component a third larger; the Erlang form of the
        // others helps nobody.
        Value::Float(_) | Value::Double(_) | Value::Array(_) | Value::Table(_) => "...".to_owned(),
        Value::Int8(_)
        | Value::UInt8(_)
        | Value::Int16(_)
        | Value::UInt16(_)
        | Value::Int32(_)
        | Value::UInt32(_)
        | Value::Int64(_) => value.as_int().unwrap_or_default().to_string(),
    }
}
