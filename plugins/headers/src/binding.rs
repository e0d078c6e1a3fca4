//! What one binding of a headers exchange wants, read from its arguments.

use std::rc::Rc;

use warren_plugin_sdk::{FieldValue, Table, Value};

use crate::compare::{kind, same, shown};

pub struct Wanted {
    pub quantity: Quantity,
    pub headers: Vec<(Rc<str>, Want)>,
}

pub enum Quantity {
    All,
    Any,
}

pub enum Want {
    Present,
    Equal(FieldValue),
}

impl Wanted {
    /// An error is RabbitMQ's text.
    pub fn read(arguments: Table<'_>) -> Result<Self, String> {
        let (quantity, with_x) = match arguments.get("x-match") {
            None => (Quantity::All, false),
            Some(Value::LongString(b"all")) => (Quantity::All, false),
            Some(Value::LongString(b"any")) => (Quantity::Any, false),
            Some(Value::LongString(b"all-with-x")) => (Quantity::All, true),
            Some(Value::LongString(b"any-with-x")) => (Quantity::Any, true),
            Some(other @ Value::LongString(_)) => {
                return Err(format!(
                    "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                    shown(other)
                ));
            }
            Some(other) => {
                return Err(format!(
                    "Invalid x-match field type {} (value {}); expected longstr",
                    kind(other),
                    shown(other)
                ));
            }
        };
        let named = arguments
            .fields()
            .filter(|(name, _)| *name != "x-match" && (with_x || !name.starts_with("x-")));
        let headers = named.map(|(name, value)| {
            let want = match value {
                Value::Void => Want::Present,
                value => Want::Equal(value.into()),
            };
            (name.into(), want)
        });
        Ok(Wanted {
            quantity,
            headers: headers.collect(),
        })
    }

    pub fn names(&self) -> impl Iterator<Item = &Rc<str>> {
        self.headers.iter().map(|(name, _)| name)
    }

    /// `headers` is sorted by name.
    pub fn matches(&self, headers: &[(&str, Value<'_>)]) -> bool {
        let mut each = self.headers.iter().map(|(name, want)| {
            let found = headers.binary_search_by_key(&&**name, |(name, _)| name);
            let found = found.ok().and_then(|at| headers.get(at));
            match (want, found) {
                (_, None) => false,
                (Want::Present, Some(_)) => true,
                (Want::Equal(wanted), Some((_, value))) => same(wanted.value(), *value),
            }
        });
        match self.quantity {
            Quantity::All => each.all(|matches| matches),
            Quantity::Any => each.any(|matches| matches),
        }
    }
}
