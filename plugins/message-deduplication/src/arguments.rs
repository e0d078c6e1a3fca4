//! The exchange's arguments, and what the plugin for RabbitMQ says against wrong ones.

use warren_plugin_sdk::{Lifetime, Table, Value};

use super::{HEADER, PERSISTENCE, SIZE, TTL};

pub struct Settings {
    pub size: u64,
    /// Milliseconds.
    pub ttl: Option<i64>,
    pub lifetime: Lifetime,
    pub header: String,
}

impl Settings {
    pub fn read(arguments: Table<'_>) -> Result<Settings, String> {
        let size = arguments.get(SIZE).and_then(positive);
        let size = size.ok_or_else(|| {
            format!("Missing or invalid argument, '{SIZE}' must be an integer greater than 0")
        })?;
        let ttl = match arguments.get(TTL) {
            None => None,
            Some(value) => Some(positive(value).ok_or_else(|| {
                format!("Invalid argument, '{TTL}' must be an integer greater than 0")
            })?),
        };
        let persistence = arguments.get(PERSISTENCE);
        let lifetime = match persistence.map(|value| value.as_str()) {
            None | Some(Some("memory")) => Lifetime::Run,
            Some(Some("disk")) => Lifetime::Durable,
            Some(_) => {
                return Err(format!(
                    "Invalid argument, '{PERSISTENCE}' must be either 'disk' or 'memory'"
                ));
            }
        };
        let header = match arguments.get(HEADER).map(|value| value.as_str()) {
            None => HEADER,
            Some(Some(name)) if !name.is_empty() => name,
            Some(_) => return Err(format!("Invalid argument, '{HEADER}' must name a header")),
        };
        Ok(Settings {
            size: size.unsigned_abs(),
            ttl,
            lifetime,
            header: header.to_owned(),
        })
    }
}

fn positive(value: Value<'_>) -> Option<i64> {
    integer(value).filter(|integer| *integer > 0)
}

/// Integers may be written out.
pub fn integer(value: Value<'_>) -> Option<i64> {
    let written = value.as_str().and_then(|text| text.parse().ok());
    value.as_int().or(written)
}
