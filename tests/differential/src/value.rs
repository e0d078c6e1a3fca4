//! Field values and tables as octets. Every type that has a letter is kept with its letter, and tables
//! keep order and doublets: what a hostile client sends must arrive as it was written.

use anyhow::{Result, bail};

pub type Table = Vec<(Vec<u8>, Value)>;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    /// With the letter of its width: `b B s u I i l`.
    Integer(u8, i64),
    /// `f` or `d`
    Float(u8, f64),
    Decimal(u8, u32),
    /// `S` or `x`
    Text(u8, Vec<u8>),
    Array(Vec<Value>),
    Time(u64),
    Table(Table),
    Void,
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(b'S', text.as_bytes().to_vec())
    }
}

/// Reads octets from the front.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            bail!("octets are missing");
        };
        self.0 = rest;
        Ok(taken)
    }

    /// Unsigned, of `width` octets.
    pub fn number(&mut self, width: usize) -> Result<u64> {
        let octets = self.take(width)?;
        let shifted = octets
            .iter()
            .fold(0, |number, octet| (number << 8) | u64::from(*octet));
        Ok(shifted)
    }

    pub fn short_text(&mut self) -> Result<Vec<u8>> {
        let length = self.number(1)?;
        Ok(self.take(length as usize)?.to_vec())
    }

    pub fn long_text(&mut self) -> Result<Vec<u8>> {
        let length = self.number(4)?;
        Ok(self.take(length as usize)?.to_vec())
    }

    pub fn table(&mut self) -> Result<Table> {
        let length = self.number(4)?;
        let mut inner = Reader(self.take(length as usize)?);
        let mut table = Vec::new();
        while !inner.0.is_empty() {
            let key = inner.short_text()?;
            table.push((key, inner.value()?));
        }
        Ok(table)
    }

    fn value(&mut self) -> Result<Value> {
        let letter = self.number(1)? as u8;
        Ok(match letter {
            b't' => Value::Bool(self.number(1)? != 0),
            b'b' => Value::Integer(letter, self.number(1)? as i8 as i64),
            b'B' => Value::Integer(letter, self.number(1)? as i64),
            b's' => Value::Integer(letter, self.number(2)? as i16 as i64),
            b'u' => Value::Integer(letter, self.number(2)? as i64),
            b'I' => Value::Integer(letter, self.number(4)? as i32 as i64),
            b'i' => Value::Integer(letter, self.number(4)? as i64),
            b'l' => Value::Integer(letter, self.number(8)? as i64),
            b'f' => Value::Float(letter, f64::from(f32::from_bits(self.number(4)? as u32))),
            b'd' => Value::Float(letter, f64::from_bits(self.number(8)?)),
            b'D' => Value::Decimal(self.number(1)? as u8, self.number(4)? as u32),
            b'S' | b'x' => Value::Text(letter, self.long_text()?),
            b'A' => Value::Array(self.array()?),
            b'T' => Value::Time(self.number(8)?),
            b'F' => Value::Table(self.table()?),
            b'V' => Value::Void,
            other => bail!("a field value of type {other}"),
        })
    }

    fn array(&mut self) -> Result<Vec<Value>> {
        let length = self.number(4)?;
        let mut inner = Reader(self.take(length as usize)?);
        let mut array = Vec::new();
        while !inner.0.is_empty() {
            array.push(inner.value()?);
        }
        Ok(array)
    }
}

pub fn put_number(out: &mut Vec<u8>, width: usize, number: u64) {
    let octets = number.to_be_bytes();
    out.extend(octets.iter().skip(8 - width.min(8)));
}

pub fn put_short_text(out: &mut Vec<u8>, text: &[u8]) {
    let kept = &text[..text.len().min(255)];
    put_number(out, 1, kept.len() as u64);
    out.extend(kept);
}

pub fn put_long_text(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, 4, text.len() as u64);
    out.extend(text);
}

pub fn put_table(out: &mut Vec<u8>, table: &Table) {
    let mut inner = Vec::new();
    for (key, value) in table {
        put_short_text(&mut inner, key);
        put_value(&mut inner, value);
    }
    put_long_text(out, &inner);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bool(on) => out.extend([b't', u8::from(*on)]),
        Value::Integer(letter, number) => {
            out.push(*letter);
            let width = match letter {
                b'b' | b'B' => 1,
                b's' | b'u' => 2,
                b'I' | b'i' => 4,
                _ => 8,
            };
            put_number(out, width, *number as u64);
        }
        Value::Float(b'f', number) => {
            out.push(b'f');
            put_number(out, 4, u64::from((*number as f32).to_bits()));
        }
        Value::Float(letter, number) => {
            out.push(*letter);
            put_number(out, 8, number.to_bits());
        }
        Value::Decimal(scale, number) => {
            out.extend([b'D', *scale]);
            put_number(out, 4, u64::from(*number));
        }
        Value::Text(letter, text) => {
            out.push(*letter);
            put_long_text(out, text);
        }
        Value::Array(array) => {
            let mut inner = Vec::new();
            for value in array {
                put_value(&mut inner, value);
            }
            out.push(b'A');
            put_long_text(out, &inner);
        }
        Value::Time(seconds) => {
            out.push(b'T');
            put_number(out, 8, *seconds);
        }
        Value::Table(table) => {
            out.push(b'F');
            put_table(out, table);
        }
        Value::Void => out.push(b'V'),
    }
}
