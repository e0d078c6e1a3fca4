//! What a component says of itself without being run: name, version, description, and which
//! configuration it takes. Travels in a custom section, so that one file is the whole plugin; it is
//! written from the author's `plugin.toml`. Types and imports are no part of it: the component
//! itself tells those.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sections;

/// The custom section, which holds JSON.
pub(super) const SECTION: &str = "warren:manifest";

/// Some hundred keys with their summaries.
const MAX_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub description: String,
    /// Components of runtime parameters that a service works by: it runs while there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, Key>,
}

/// One configuration key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default)]
    pub summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    String,
    Integer,
    /// With or without a fraction.
    Number,
    Boolean,
    List,
    Table,
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Kind::String => value.is_string(),
            Kind::Integer => value.is_i64() || value.is_u64(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::List => value.is_array(),
            Kind::Table => value.is_object(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::List => "list",
            Kind::Table => "table",
        }
    }
}

impl Manifest {
    /// None: it carries none. An error is a reason to refuse it.
    pub fn of(component: &[u8]) -> Result<Option<Manifest>, String> {
        let Some(section) = sections::find(component, SECTION) else {
            return Ok(None);
        };
        if section.len() > MAX_BYTES {
            let length = section.len();
            return Err(format!(
                "its manifest has {length} bytes; it may have {MAX_BYTES}"
            ));
        }
        let manifest: Manifest = serde_json::from_slice(section)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        manifest.check()?;
        Ok(Some(manifest))
    }

    /// Its own defaults fit their types.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, key) in &self.configuration {
            if let Some(default) = &key.default
                && !key.kind.fits(default)
            {
                let kind = key.kind.name();
                return Err(format!(
                    "its manifest gives configuration key {name:?} a default that is no {kind}"
                ));
            }
        }
        Ok(())
    }

    /// The configuration with defaults. An error names the key. A component that lists no keys takes
    /// any.
    pub(super) fn complete(&self, given: &Value) -> Result<Value, String> {
        let given = match given {
            Value::Null => &Map::new(),
            Value::Object(given) => given,
            other => return Err(format!("its configuration is no table but {other}")),
        };
        if self.configuration.is_empty() {
            return Ok(Value::Object(given.clone()));
        }
        for (name, value) in given {
            let Some(key) = self.configuration.get(name) else {
                let known: Vec<&str> = self.configuration.keys().map(String::as_str).collect();
                let known = known.join(", ");
                return Err(wrong_key(name, &format!("is unknown; it knows {known}")));
            };
            if !key.kind.fits(value) {
                let kind = key.kind.name();
                return Err(wrong_key(name, &format!("takes {kind}, not {value}")));
            }
        }
        let mut complete = given.clone();
        for (name, key) in &self.configuration {
            if complete.contains_key(name) {
                continue;
            }
            match &key.default {
                Some(default) => drop(complete.insert(name.clone(), default.clone())),
                None if key.required => return Err(wrong_key(name, "is missing")),
                None => {}
            }
        }
        Ok(Value::Object(complete))
    }
}

/// A reason to refuse a plugin.
pub(super) fn wrong_key(name: &str, reason: &str) -> String {
    format!("configuration key {name:?} {reason}")
}

impl fmt::Display for Manifest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "name: {} {}", self.name, self.version)?;
        if !self.description.is_empty() {
            writeln!(out, "description: {}", self.description)?;
        }
        for component in &self.parameters {
            writeln!(out, "parameters: {component}")?;
        }
        for (name, key) in &self.configuration {
            write!(out, "configuration {name}: {}", key.kind.name())?;
            match &key.default {
                Some(default) => write!(out, ", {default} without")?,
                None if key.required => write!(out, ", required")?,
                None => {}
            }
            match key.summary.as_str() {
                "" => writeln!(out)?,
                summary => writeln!(out, ": {summary}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest() -> Manifest {
        let text = json!({
            "name": "geo", "version": "1.0.0", "description": "By place",
            "configuration": {
                "precision": {"type": "integer", "default": 6, "summary": "Digits"},
                "unit": {"type": "string", "required": true},
                "factor": {"type": "number"},
            },
        });
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        sections::append(&mut component, SECTION, text.to_string().as_bytes());
        let manifest = Manifest::of(&component).expect("is one");
        manifest.expect("is there")
    }

    #[test]
    fn defaults_are_filled_in_and_what_is_wrong_is_named() {
        let manifest = manifest();
        let complete = manifest.complete(&json!({"unit": "km", "factor": 2}));
        let expected = json!({"unit": "km", "factor": 2, "precision": 6});
        assert_eq!(complete, Ok(expected));
        let refused = |given: Value| manifest.complete(&given).expect_err("refused");
        assert_eq!(
            refused(json!({"unit": "km", "precison": 1})),
            "configuration key \"precison\" is unknown; it knows factor, precision, unit"
        );
        assert_eq!(
            refused(json!({"unit": "km", "precision": "6"})),
            "configuration key \"precision\" takes integer, not \"6\""
        );
        assert_eq!(refused(json!({})), "configuration key \"unit\" is missing");
        assert!(refused(json!([1])).contains("no table"));
    }

    #[test]
    fn without_keys_any_configuration_is_taken() {
        let given = json!({"a": 1});
        assert_eq!(Manifest::default().complete(&given), Ok(given));
        assert_eq!(Manifest::default().complete(&Value::Null), Ok(json!({})));
    }

    #[test]
    fn a_manifest_that_is_none_is_a_reason_to_refuse() {
        let of = |text: &str| {
            let mut component = b"\0asm\x0d\0\x01\0".to_vec();
            sections::append(&mut component, SECTION, text.as_bytes());
            Manifest::of(&component).expect_err("refused")
        };
        assert!(of("{").contains("cannot be read"));
        assert!(of(&" ".repeat(MAX_BYTES + 1)).contains("65537 bytes"));
        let text = r#"{"configuration": {"a": {"type": "integer", "default": "x"}}}"#;
        assert!(of(text).contains("\"a\" a default that is no integer"));
        assert_eq!(Manifest::of(b"\0asm\x0d\0\x01\0"), Ok(None));
    }

    #[test]
    fn it_is_shown_a_line_each() {
        let shown = manifest().to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "name: geo 1.0.0",
                "description: By place",
                "configuration factor: number",
                "configuration precision: integer, 6 without: Digits",
                "configuration unit: string, required",
            ]
        );
    }
}
