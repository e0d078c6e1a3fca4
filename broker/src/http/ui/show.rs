//! How numbers, times and fields of the API's answers are written on a page.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::super::request::encoded;

/// `a.b` is the field b of the object a.
pub(super) fn at<'a>(row: &'a Value, path: &str) -> &'a Value {
    let found = path.split('.').try_fold(row, |row, name| row.get(name));
    found.unwrap_or(&Value::Null)
}

pub(super) fn text<'a>(row: &'a Value, path: &str) -> &'a str {
    at(row, path).as_str().unwrap_or_default()
}

pub(super) fn number(row: &Value, path: &str) -> u64 {
    at(row, path).as_u64().unwrap_or(0)
}

pub(super) fn decimal(row: &Value, path: &str) -> f64 {
    at(row, path).as_f64().unwrap_or(0.0)
}

pub(super) fn is(row: &Value, path: &str) -> bool {
    at(row, path).as_bool().unwrap_or(false)
}

pub(super) fn list(row: &Value) -> &[Value] {
    row.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn map(row: &Value) -> Map<String, Value> {
    row.as_object().cloned().unwrap_or_default()
}

/// 12,345
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn per_second(rate: f64) -> String {
    let rate = rate.max(0.0);
    if rate >= 100.0 || rate == 0.0 {
        format!("{}/s", count(rate.round() as u64))
    } else {
        format!("{rate:.1}/s")
    }
}

pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    match unit {
        0 => format!("{number} {name}"),
        _ => format!("{value:.1} {name}"),
    }
}

pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Of a call: nanoseconds to seconds.
pub(super) fn short_time(seconds: f64) -> String {
    if seconds < 1e-6 {
        format!("{:.0} ns", seconds * 1e9)
    } else if seconds < 1e-3 {
        format!("{:.1} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// UTC.
pub(super) fn moment(milliseconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(milliseconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// A value of a table as text.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Keys and values below each other.
pub(super) fn table(map: &Map<String, Value>) -> Markup {
    html! {
        @if map.is_empty() { span.dim { "none" } } @else {
            ul.plain {
                @for (key, found) in map {
                    li { code { (key) " = " (value(found)) } }
                }
            }
        }
    }
}

/// A path of pages or of the API: each part on its own.
pub(super) fn path(parts: &[&str]) -> String {
    parts
        .iter()
        .map(|part| format!("/{}", encoded(part)))
        .collect()
}

/// As exchanges are called in paths.
pub(super) fn exchange_in_path(name: &str) -> &str {
    if name.is_empty() { "amq.default" } else { name }
}

pub(super) fn exchange_link(vhost: &str, name: &str) -> Markup {
    let href = path(&["exchanges", vhost, exchange_in_path(name)]);
    let shown = if name.is_empty() { "(default)" } else { name };
    html! { a href=(href) { (shown) } }
}

pub(super) fn queue_link(vhost: &str, name: &str) -> Markup {
    html! { a href=(path(&["queues", vhost, name])) { (name) } }
}

pub(super) fn connection_link(name: &str) -> Markup {
    html! { a href=(path(&["connections", name])) { (name) } }
}

pub(super) fn channel_link(name: &str) -> Markup {
    html! { a href=(path(&["channels", name])) { (name) } }
}

/// Terms and what they are.
pub(super) fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (term, what) in rows {
                div { dt { (term) } dd { (what) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(per_second(0.25), "0.2/s");
        assert_eq!(per_second(1234.5), "1,235/s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(short_time(0.000_002_5), "2.5 µs");
        assert_eq!(path(&["queues", "/", "a b"]), "/queues/%2F/a%20b");
    }
}
