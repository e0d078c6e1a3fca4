//! What a binding asks of a body.

use regex::Regex;
use serde_json::Value as Json;
use warren_plugin_sdk::{Table, Value};

use super::path::Path;

pub enum Condition {
    /// Of the JSON at this path.
    Json(Path, Expected),
    /// Of the whole body.
    Text(Regex),
}

pub enum Expected {
    Anything,
    Equal(Json),
    Matching(Regex),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    AtJson,
    AtText,
}

impl Condition {
    /// The error is what a client that binds sees.
    pub fn read(arguments: Table<'_>) -> Result<Condition, String> {
        let matches = match arguments.get("matches") {
            None => None,
            Some(value) => {
                let text = value.as_str().ok_or("argument 'matches' must be text")?;
                let regex = Regex::new(text);
                Some(regex.map_err(|error| format!("argument 'matches': {error}"))?)
            }
        };
        let Some(path) = arguments.get("path") else {
            let needed = "argument 'path' or 'matches' is missing";
            return matches
                .map(Condition::Text)
                .ok_or_else(|| needed.to_owned());
        };
        let path = path.as_str().ok_or("argument 'path' must be text")?;
        let path = Path::parse(path).map_err(|reason| format!("argument 'path': {reason}"))?;
        let expected = match (matches, arguments.get("equals")) {
            (Some(_), Some(_)) => return Err("either 'equals' or 'matches', not both".to_owned()),
            (Some(regex), None) => Expected::Matching(regex),
            (None, Some(value)) => Expected::Equal(json(value)?),
            (None, None) => Expected::Anything,
        };
        Ok(Condition::Json(path, expected))
    }

    pub fn looks(&self) -> Looks {
        match self {
            Condition::Json(..) => Looks::AtJson,
            Condition::Text(_) => Looks::AtText,
        }
    }

    /// None: the body is no JSON, or no text.
    pub fn is_fulfilled(&self, json: Option<&Json>, text: Option<&str>) -> bool {
        match self {
            Condition::Text(regex) => text.is_some_and(|text| regex.is_match(text)),
            Condition::Json(path, expected) => {
                json.is_some_and(|json| path.any(json, &|found| expected.is(found)))
            }
        }
    }
}

impl Expected {
    fn is(&self, found: &Json) -> bool {
        match self {
            Expected::Anything => true,
            // 1 and 1.0 are one number.
            Expected::Equal(expected) => match (expected.as_f64(), found.as_f64()) {
                (Some(expected), Some(found)) => expected == found,
                (None, _) | (_, None) => expected == found,
            },
            Expected::Matching(regex) => found.as_str().is_some_and(|text| regex.is_match(text)),
        }
    }
}

fn json(value: Value<'_>) -> Result<Json, String> {
    if let Some(integer) = value.as_int() {
        return Ok(integer.into());
    }
    if let Some(text) = value.as_str() {
        return Ok(text.into());
    }
    match value {
        Value::Bool(flag) => Ok(flag.into()),
        Value::Double(float) => Ok(float.into()),
        Value::Float(float) => Ok(f64::from(float).into()),
        Value::Void => Ok(Json::Null),
        _ => Err("argument 'equals' must be text, a number or a boolean".to_owned()),
    }
}
