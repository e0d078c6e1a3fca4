//! Methods and content as octets, by the table in `spec`. Not a connection.

use anyhow::{Context as _, Result};

use crate::spec::{self, Kind, Method, PROPERTIES, Parameter};
use crate::value::{Reader, Table, put_long_text, put_number, put_short_text, put_table};

pub const FRAME_METHOD: u8 = 1;
pub const FRAME_HEADER: u8 = 2;
pub const FRAME_BODY: u8 = 3;
pub const FRAME_END: u8 = 206;

/// One argument of a method, or one property.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Number(u64),
    Text(Vec<u8>),
    Table(Table),
    /// A delivery tag that the channel still has to settle, counted from the oldest.
    Unacked(usize),
}

impl Field {
    pub fn text(text: impl AsRef<[u8]>) -> Field {
        Field::Text(text.as_ref().to_vec())
    }

    fn number(&self) -> u64 {
        match self {
            Field::Number(number) => *number,
            Field::Text(_) | Field::Table(_) | Field::Unacked(_) => 0,
        }
    }

    fn octets(&self) -> &[u8] {
        match self {
            Field::Text(text) => text,
            Field::Number(_) | Field::Table(_) | Field::Unacked(_) => &[],
        }
    }
}

pub type Fields = Vec<(&'static str, Field)>;

pub fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a Field> {
    let found = fields.iter().find(|(field, _)| *field == name);
    found.map(|(_, field)| field)
}

pub fn number(fields: &Fields, name: &str) -> u64 {
    get(fields, name).map_or(0, Field::number)
}

pub fn octets<'a>(fields: &'a Fields, name: &str) -> &'a [u8] {
    get(fields, name).map_or(&[], Field::octets)
}

pub fn put_frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    put_number(out, 2, u64::from(channel));
    put_long_text(out, payload);
    out.push(FRAME_END);
}

pub fn put_method(out: &mut Vec<u8>, channel: u16, method: &Method, fields: &Fields) {
    let mut payload = Vec::new();
    put_number(&mut payload, 2, u64::from(method.class));
    put_number(&mut payload, 2, u64::from(method.id));
    let mut bits = 0;
    let mut count = 0;
    for parameter in &method.parameters {
        if parameter.kind == Kind::Bit {
            bits |= (number(fields, parameter.name) & 1) << count;
            count += 1;
            continue;
        }
        if count > 0 {
            put_number(&mut payload, 1, bits);
            (bits, count) = (0, 0);
        }
        put_field(&mut payload, parameter, get(fields, parameter.name));
    }
    if count > 0 {
        put_number(&mut payload, 1, bits);
    }
    put_frame(out, FRAME_METHOD, channel, &payload);
}

fn put_field(out: &mut Vec<u8>, parameter: &Parameter, field: Option<&Field>) {
    let number = field.map_or(0, Field::number);
    let text = field.map_or(&[][..], Field::octets);
    match parameter.kind {
        Kind::Bit | Kind::Octet => put_number(out, 1, number),
        Kind::Short => put_number(out, 2, number),
        Kind::Long => put_number(out, 4, number),
        Kind::LongLong => put_number(out, 8, number),
        Kind::ShortText => put_short_text(out, text),
        Kind::LongText => put_long_text(out, text),
        Kind::Table => match field {
            Some(Field::Table(table)) => put_table(out, table),
            Some(Field::Number(_) | Field::Text(_) | Field::Unacked(_)) | None => {
                put_long_text(out, &[]);
            }
        },
    }
}

pub fn put_header(out: &mut Vec<u8>, channel: u16, size: u64, properties: &Fields) {
    let mut payload = Vec::new();
    put_number(&mut payload, 2, 60);
    put_number(&mut payload, 2, 0);
    put_number(&mut payload, 8, size);
    let mut flags = 0;
    let mut values = Vec::new();
    for (place, property) in PROPERTIES.iter().enumerate() {
        if let Some(field) = get(properties, property.name) {
            flags |= 1 << (15 - place);
            put_field(&mut values, property, Some(field));
        }
    }
    put_number(&mut payload, 2, flags);
    payload.extend(values);
    put_frame(out, FRAME_HEADER, channel, &payload);
}

pub fn method(payload: &[u8]) -> Result<(&'static Method, Fields)> {
    let mut reader = Reader(payload);
    let class = reader.number(2)? as u16;
    let id = reader.number(2)? as u16;
    let method = spec::by_ids(class, id).with_context(|| format!("method {class}.{id}"))?;
    let mut fields = Vec::new();
    let mut bits = 0;
    let mut count = 8;
    for parameter in &method.parameters {
        if parameter.kind == Kind::Bit {
            if count == 8 {
                (bits, count) = (reader.number(1)?, 0);
            }
            fields.push((parameter.name, Field::Number((bits >> count) & 1)));
            count += 1;
            continue;
        }
        count = 8;
        fields.push((parameter.name, field(&mut reader, parameter.kind)?));
    }
    Ok((method, fields))
}

fn field(reader: &mut Reader<'_>, kind: Kind) -> Result<Field> {
    Ok(match kind {
        Kind::Bit | Kind::Octet => Field::Number(reader.number(1)?),
        Kind::Short => Field::Number(reader.number(2)?),
        Kind::Long => Field::Number(reader.number(4)?),
        Kind::LongLong => Field::Number(reader.number(8)?),
        Kind::ShortText => Field::Text(reader.short_text()?),
        Kind::LongText => Field::Text(reader.long_text()?),
        Kind::Table => Field::Table(reader.table()?),
    })
}

/// The size of the body and the properties.
pub fn header(payload: &[u8]) -> Result<(u64, Fields)> {
    let mut reader = Reader(payload);
    reader.take(4)?;
    let size = reader.number(8)?;
    let flags = reader.number(2)?;
    let mut properties = Vec::new();
    for (place, property) in PROPERTIES.iter().enumerate() {
        if flags & (1 << (15 - place)) != 0 {
            properties.push((property.name, field(&mut reader, property.kind)?));
        }
    }
    Ok((size, properties))
}
