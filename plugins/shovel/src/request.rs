//! A message as an HTTP request: its body as it is, what it says of itself as headers.

use warren_service_sdk::amqp::Delivery;
use warren_service_sdk::http::{Header, Request};
use warren_service_sdk::{Properties, Value};

use crate::settings::Settings;

/// Milliseconds, from connecting to the last octet of the answer.
const TIMEOUT: u32 = 30_000;

/// Of a message's own headers: a request may have 100 of 32 KiB together.
const MOST_HEADERS: usize = 80;
const MOST_BYTES: usize = 16 << 10;

/// The header of a message that names a path for it.
const URI_PATH: &str = "uri_path";

pub fn of(settings: &Settings, url: &str, delivery: &Delivery, body: Vec<u8>) -> Request {
    let properties = Properties(&delivery.properties);
    let mut headers = Headers::default();
    headers.add("user-agent", concat!("Warren/", env!("CARGO_PKG_VERSION")));
    headers.add("x-shovel", &settings.name);
    for (property, name) in [
        ("content_type", "content-type"),
        ("content_encoding", "content-encoding"),
        ("message_id", "x-message-id"),
    ] {
        if let Some(Value::LongString(text)) = properties.get(property) {
            headers.add(name, &String::from_utf8_lossy(text));
        }
    }
    let mut path = None;
    for (name, value) in properties.headers().fields() {
        let Some(value) = text(value) else {
            continue;
        };
        if name == URI_PATH {
            path = Some(value.clone());
        }
        let lower = name.to_ascii_lowercase();
        headers.add_bounded(
            &format!("x-{}", lower.strip_prefix("x-").unwrap_or(&lower)),
            &value,
        );
    }
    let path = path.as_deref().unwrap_or(&delivery.routing_key);
    Request {
        method: "POST".to_owned(),
        url: with_path(url, path),
        headers: headers.list,
        body,
        timeout: TIMEOUT,
    }
}

/// A header's value, where it is one text or number; tables and arrays have no place in a line.
fn text(value: Value<'_>) -> Option<String> {
    Some(match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Int8(number) => number.to_string(),
        Value::UInt8(number) => number.to_string(),
        Value::Int16(number) => number.to_string(),
        Value::UInt16(number) => number.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::UInt32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Timestamp(seconds) => seconds.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::LongString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Decimal { .. }
        | Value::Array(_)
        | Value::Table(_)
        | Value::Bytes(_)
        | Value::Void => return None,
    })
}

#[derive(Default)]
struct Headers {
    list: Vec<Header>,
    bytes: usize,
}

impl Headers {
    /// What stands there already stays.
    fn add(&mut self, name: &str, value: &str) {
        let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        let is_there = self.list.iter().any(|header| header.name == name);
        if is_there || !name.bytes().all(is_token) {
            return;
        }
        // A line of a request holds no other line.
        let value = value.chars().map(|c| if c.is_control() { ' ' } else { c });
        self.list.push(Header {
            name: name.to_owned(),
            value: value.collect(),
        });
    }

    fn add_bounded(&mut self, name: &str, value: &str) {
        self.bytes += name.len() + value.len();
        if self.bytes <= MOST_BYTES && self.list.len() < MOST_HEADERS {
            self.add(name, value);
        }
    }
}

/// The URL as it is, if it has a path; otherwise with this one.
fn with_path(url: &str, path: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, own) = rest.split_at(end);
    let query = own.strip_prefix('/').unwrap_or(own);
    if !(query.is_empty() || query.starts_with(['?', '#'])) {
        return url.to_owned();
    }
    let mut encoded = String::new();
    for octet in path.trim_start_matches('/').bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(octet.into()),
            b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'('
            | b')' | b'*' | b'+' | b',' | b';' | b'=' => encoded.push(octet.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    format!("{scheme}://{authority}/{encoded}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_gets_the_routing_key() {
        assert_eq!(with_path("http://h/a?b", "k"), "http://h/a?b");
        assert_eq!(with_path("http://h", "a.b"), "http://h/a.b");
        assert_eq!(
            with_path("http://u:p@h:1/", "/a b?c#ä"),
            "http://u:p@h:1/a%20b%3Fc%23%C3%A4"
        );
        assert_eq!(with_path("http://h?x=1", "k"), "http://h/k?x=1");
    }

    #[test]
    fn no_header_of_a_message_makes_a_line_of_its_own_or_takes_a_name() {
        let mut headers = Headers::default();
        headers.add("x-shovel", "mine");
        headers.add_bounded("x-shovel", "theirs");
        headers.add_bounded("x-a b", "1");
        headers.add_bounded("x-c", "1\r\ny: 2");
        headers.add_bounded("x-long", &"l".repeat(MOST_BYTES));
        let found: Vec<_> = headers
            .list
            .iter()
            .map(|h| (h.name.as_str(), h.value.as_str()))
            .collect();
        assert_eq!(found, [("x-shovel", "mine"), ("x-c", "1  y: 2")]);
    }
}
