//! Whether a runtime parameter's JSON has the fields that it should, complained about in RabbitMQ's
//! words and their order. Not what the fields mean.

use serde_json::{Map, Value};

/// Checks the address that a field of this name has; an error is the reason in Erlang's words.
pub type CheckUri<'a> = &'a dyn Fn(&str, &str) -> Result<(), String>;

/// One field that is known.
#[derive(Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub mandatory: bool,
}

#[derive(Clone, Copy)]
pub enum Kind {
    /// An address or a list of them.
    Uri,
    Text,
    Number,
    Boolean,
    OneOf(&'static [&'static str]),
    /// A number, "never" or "queue-length".
    DeleteAfter,
    /// A table with any fields.
    Table,
    /// A table with these fields.
    Of(&'static [Key]),
}

pub const fn optional(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        mandatory: false,
    }
}

pub const fn mandatory(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        mandatory: true,
    }
}

/// The errors, a line each: keys that are not known first, then the later of `known` before the
/// earlier, as RabbitMQ has it.
pub fn check(
    name: &str,
    known: &[Key],
    fields: &Map<String, Value>,
    check_uri: CheckUri<'_>,
) -> Vec<String> {
    let mut errors = Vec::new();
    let is_unknown = |(key, _): &(&String, &Value)| !known.iter().any(|known| known.name == *key);
    let unknown: Vec<_> = fields.iter().filter(is_unknown).collect();
    if !unknown.is_empty() {
        let terms = pairs(unknown.into_iter());
        errors.push(format!("Unrecognised terms {terms} in {name}"));
    }
    for key in known.iter().rev() {
        match fields.get(key.name) {
            Some(value) => errors.extend(one(key, value, check_uri)),
            None if key.mandatory => {
                errors.push(format!("Key \"{}\" not found in {name}", key.name));
            }
            None => {}
        }
    }
    errors
}

fn one(key: &Key, value: &Value, check_uri: CheckUri<'_>) -> Vec<String> {
    let name = key.name;
    let should = |what: &str| {
        vec![format!(
            "{name} should be {what}, actually was {}",
            term(value)
        )]
    };
    let no_list = || vec![format!("{name} not a list {}", term(value))];
    let fine = Vec::new();
    match (key.kind, value) {
        (Kind::Text, Value::String(_))
        | (Kind::Number, Value::Number(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Table, Value::Object(_)) => fine,
        (Kind::Text, _) => should("binary"),
        (Kind::Number, _) => should("a number"),
        (Kind::Boolean, _) => should("boolean"),
        (Kind::Table, _) => no_list(),
        (Kind::OneOf(names), _) if names.iter().any(|name| value == name) => fine,
        (Kind::OneOf(names), _) => {
            let names: Vec<String> = names.iter().map(|name| format!("<<\"{name}\">>")).collect();
            should(&format!("one of [{}]", names.join(",")))
        }
        (Kind::DeleteAfter, Value::String(text)) if text == "never" || text == "queue-length" => {
            fine
        }
        (Kind::DeleteAfter, Value::Number(number)) if number.as_u64().is_some() => fine,
        (Kind::DeleteAfter, _) => {
            should("a number greater than or equal to 0, \"never\" or \"queue-length\"")
        }
        (Kind::Of(known), Value::Object(fields)) => check(name, known, fields, check_uri),
        (Kind::Of(_), _) => no_list(),
        (Kind::Uri, Value::String(uri)) => uri_error(name, uri, check_uri).into_iter().collect(),
        (Kind::Uri, Value::Array(uris)) => {
            let mut errors = uris.iter().filter_map(|uri| match uri {
                Value::String(uri) => uri_error(name, uri, check_uri),
                other => Some(format!(
                    "{name} should be binary, actually was {}",
                    term(other)
                )),
            });
            errors.next().into_iter().collect()
        }
        (Kind::Uri, _) => should("list"),
    }
}

fn uri_error(name: &str, uri: &str, check_uri: CheckUri<'_>) -> Option<String> {
    let reason = check_uri(name, uri).err()?;
    Some(format!("\"{uri}\" not a valid URI: {{{reason},\"{uri}\"}}"))
}

/// A JSON value as Erlang prints it.
pub fn term(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "<<>>".to_owned(),
        Value::String(text) => format!("<<\"{text}\">>"),
        Value::Array(values) => {
            let terms: Vec<String> = values.iter().map(term).collect();
            format!("[{}]", terms.join(","))
        }
        Value::Object(fields) => pairs(fields.iter()),
    }
}

fn pairs<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let terms: Vec<String> = fields
        .map(|(name, value)| format!("{{<<\"{name}\">>,{}}}", term(value)))
        .collect();
    format!("[{}]", terms.join(","))
}
