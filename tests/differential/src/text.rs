//! Scripts, fields and values as text that a person reads and `replay` reads back.

use std::fmt::{self, Display, Formatter, Write as _};

use anyhow::{Context as _, Result, bail};

use crate::codec::{Field, Fields};
use crate::script::{Action, Body, Content, Part, Script, Step};
use crate::spec::{self, PROPERTIES};
use crate::value::{Table, Value};

/// Octets between quotes; what is not plain ASCII as `\xNN`.
pub fn quoted(octets: &[u8]) -> String {
    let mut text = String::from("\"");
    for octet in octets {
        match octet {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*octet));
            }
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => {
                let _ = write!(text, "\\x{octet:02x}");
            }
        }
    }
    text.push('"');
    text
}

fn hex(octets: &[u8]) -> String {
    let digits = octets.iter().map(|octet| format!("{octet:02x}"));
    digits.collect()
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(on) => write!(f, "t:{}", u8::from(*on)),
            Value::Integer(letter, number) => write!(f, "{}:{number}", char::from(*letter)),
            Value::Float(letter, number) => write!(f, "{}:{number:?}", char::from(*letter)),
            Value::Decimal(scale, number) => write!(f, "D:{scale}/{number}"),
            Value::Text(letter, text) => write!(f, "{}:{}", char::from(*letter), quoted(text)),
            Value::Array(array) => {
                f.write_str("A:[")?;
                for value in array {
                    write!(f, "{value} ")?;
                }
                f.write_str("]")
            }
            Value::Time(seconds) => write!(f, "T:{seconds}"),
            Value::Table(table) => write!(f, "F:{}", shown_table(table)),
            Value::Void => f.write_str("V:"),
        }
    }
}

fn shown_table(table: &Table) -> String {
    let entries = table.iter();
    let entries = entries.map(|(key, value)| format!("{}={value} ", quoted(key)));
    format!("{{{}}}", entries.collect::<String>())
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Field::Number(number) => write!(f, "{number}"),
            Field::Text(text) => f.write_str(&quoted(text)),
            Field::Table(table) => f.write_str(&shown_table(table)),
            Field::Unacked(place) => write!(f, "unacked:{place}"),
        }
    }
}

pub fn shown_fields(fields: &Fields) -> String {
    let fields = fields.iter();
    let fields = fields.map(|(name, field)| format!(" {name}={field}"));
    fields.collect()
}

const PARTS: [(&str, Part); 5] = [
    ("whole", Part::Whole),
    ("only-method", Part::OnlyMethod),
    ("only-header", Part::OnlyHeader),
    ("half-body", Part::HalfBody),
    ("long-body", Part::LongBody),
];

impl Display for Content {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Content {
            properties,
            body,
            part,
        } = self;
        let part = PARTS.iter().find(|(_, one)| one == part);
        let part = part.map_or("whole", |(name, _)| name);
        let (number, size) = (body.number, body.size);
        write!(
            f,
            " content{} body={number}/{size}/{part}",
            shown_fields(properties)
        )
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Call {
                method,
                fields,
                content,
            } => {
                write!(f, "{}{}", method.name, shown_fields(fields))?;
                match content {
                    Some(content) => write!(f, "{content}"),
                    None => Ok(()),
                }
            }
            Action::Frame { kind, payload } => write!(f, "frame {kind} x{}", hex(payload)),
            Action::Octets(octets) => write!(f, "octets x{}", hex(octets)),
            Action::Drop => f.write_str("drop"),
            Action::Drain(queue) => write!(f, "drain {}", quoted(queue)),
            Action::Sleep(milliseconds) => write!(f, "sleep {milliseconds}"),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.concurrent {
            f.write_str("& ")?;
        }
        write!(f, "{}.{} {}", self.connection, self.channel, self.action)
    }
}

impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        Ok(())
    }
}

/// Reads a script; `#` begins a line that is not a step.
pub fn parse(text: &str) -> Result<Script> {
    let mut steps = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let step = parse_step(line).with_context(|| format!("line {}: {line}", index + 1))?;
        steps.push(step);
    }
    Ok(Script { steps })
}

struct Cursor<'a>(&'a str);

fn parse_step(line: &str) -> Result<Step> {
    let mut cursor = Cursor(line);
    let concurrent = cursor.skip("& ");
    let connection = cursor.word(".").parse()?;
    cursor.expect(".")?;
    let channel = cursor.word(" ").parse()?;
    let action = match cursor.word(" ") {
        "drop" => Action::Drop,
        "drain" => Action::Drain(cursor.quoted()?),
        "sleep" => Action::Sleep(cursor.word(" ").parse()?),
        "octets" => Action::Octets(cursor.hex()?),
        "frame" => Action::Frame {
            kind: cursor.word(" ").parse()?,
            payload: cursor.hex()?,
        },
        name => cursor.call(name)?,
    };
    Ok(Step {
        connection,
        channel,
        concurrent,
        action,
    })
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, text: &str) -> bool {
        self.0 = self.0.trim_start();
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, text: &str) -> Result<()> {
        if !self.skip(text) {
            bail!("expected {text} before {}", self.0);
        }
        Ok(())
    }

    /// Up to one of the characters in `ends`, which is left.
    fn word(&mut self, ends: &str) -> &'a str {
        self.0 = self.0.trim_start();
        let end = self.0.find(|character| ends.contains(character));
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }

    fn hex(&mut self) -> Result<Vec<u8>> {
        self.expect("x")?;
        let digits = self.word(" ").as_bytes();
        let pairs = digits.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair)?;
            Ok(u8::from_str_radix(pair, 16)?)
        });
        pairs.collect()
    }

    fn quoted(&mut self) -> Result<Vec<u8>> {
        self.expect("\"")?;
        let mut octets = Vec::new();
        let mut characters = self.0.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = self.0.get(at + 1..).unwrap_or_default();
                    return Ok(octets);
                }
                '\\' => match characters.next() {
                    Some((at, 'x')) => {
                        let digits = self.0.get(at + 1..at + 3).context("two digits")?;
                        octets.push(u8::from_str_radix(digits, 16)?);
                        characters.nth(1);
                    }
                    Some((_, other)) => octets.push(other as u8),
                    None => break,
                },
                other => octets.push(other as u8),
            }
        }
        bail!("the quote does not end")
    }

    fn call(&mut self, name: &str) -> Result<Action> {
        let method = spec::find(name).with_context(|| format!("no method {name}"))?;
        let known = |name: &str| method.parameter(name).map(|one| one.name);
        let fields = self.fields(&known)?;
        let content = match self.skip("content") {
            true => Some(self.content()?),
            false => None,
        };
        Ok(Action::Call {
            method,
            fields,
            content,
        })
    }

    fn fields(&mut self, known: &dyn Fn(&str) -> Option<&'static str>) -> Result<Fields> {
        let mut fields = Vec::new();
        loop {
            let before = self.0;
            let Some(name) = known(self.word(" =")) else {
                self.0 = before;
                return Ok(fields);
            };
            self.expect("=")?;
            fields.push((name, self.field()?));
        }
    }

    fn content(&mut self) -> Result<Content> {
        let known = |name: &str| {
            let found = PROPERTIES.iter().find(|property| property.name == name);
            found.map(|property| property.name)
        };
        let properties = self.fields(&known)?;
        self.expect("body=")?;
        let number = self.word("/").parse()?;
        self.expect("/")?;
        let size = self.word("/").parse()?;
        self.expect("/")?;
        let part = self.word(" ");
        let part = PARTS.iter().find(|(name, _)| *name == part);
        Ok(Content {
            properties,
            body: Body { number, size },
            part: part.context("a part of a content")?.1,
        })
    }

    fn field(&mut self) -> Result<Field> {
        Ok(match self.0.chars().next() {
            Some('"') => Field::Text(self.quoted()?),
            Some('{') => Field::Table(self.table()?),
            Some('u') => {
                self.expect("unacked:")?;
                Field::Unacked(self.word(" ").parse()?)
            }
            Some(_) | None => Field::Number(self.word(" ").parse()?),
        })
    }

    fn table(&mut self) -> Result<Table> {
        self.expect("{")?;
        let mut table = Vec::new();
        while !self.skip("}") {
            let key = self.quoted()?;
            self.expect("=")?;
            table.push((key, self.value()?));
        }
        Ok(table)
    }

    fn value(&mut self) -> Result<Value> {
        let letter = self.word(":");
        let letter = *letter.as_bytes().first().context("a letter")?;
        self.expect(":")?;
        Ok(match letter {
            b't' => Value::Bool(self.word(" ") == "1"),
            b'f' | b'd' => Value::Float(letter, self.word(" ").parse()?),
            b'D' => {
                let scale = self.word("/").parse()?;
                self.expect("/")?;
                Value::Decimal(scale, self.word(" ").parse()?)
            }
            b'S' | b'x' => Value::Text(letter, self.quoted()?),
            b'A' => {
                self.expect("[")?;
                let mut array = Vec::new();
                while !self.skip("]") {
                    array.push(self.value()?);
                }
                Value::Array(array)
            }
            b'T' => Value::Time(self.word(" ").parse()?),
            b'F' => Value::Table(self.table()?),
            b'V' => Value::Void,
            _ => Value::Integer(letter, self.word(" ").parse()?),
        })
    }
}
