//! What a single value may look like: byte sizes, durations, addresses, lists. Not where it stands.

use std::time::Duration;

use super::Watermark;
use super::tree::{Node, parse_value};
use crate::plugin::DEFAULT_HOLD;
use crate::vhost::exchange_type::{OnFailure, Unavailable};

type Parsed<T> = Result<T, String>;

fn expected<T>(what: &str, node: &Node) -> Parsed<T> {
    Err(match node {
        Node::Text(text) | Node::Raw(text) => format!("expected {what}, found \"{text}\""),
        Node::Integer(number) => format!("expected {what}, found {number}"),
        Node::Float(number) => format!("expected {what}, found {number}"),
        Node::Boolean(value) => format!("expected {what}, found {value}"),
        Node::Array(_) | Node::Table(_) => format!("expected {what}, found {}", node.kind()),
    })
}

pub fn text(node: &Node) -> Parsed<String> {
    match node {
        Node::Text(text) | Node::Raw(text) => Ok(text.clone()),
        Node::Integer(_) | Node::Float(_) | Node::Boolean(_) | Node::Array(_) | Node::Table(_) => {
            expected("text", node)
        }
    }
}

pub fn boolean(node: &Node) -> Parsed<bool> {
    match node {
        Node::Boolean(value) => Ok(*value),
        Node::Raw(text) if text == "true" => Ok(true),
        Node::Raw(text) if text == "false" => Ok(false),
        Node::Text(_)
        | Node::Raw(_)
        | Node::Integer(_)
        | Node::Float(_)
        | Node::Array(_)
        | Node::Table(_) => expected("true or false", node),
    }
}

/// A whole number that fits its place.
pub fn number<T: TryFrom<i64>>(node: &Node) -> Parsed<T> {
    let number = match node {
        Node::Integer(number) => Some(*number),
        Node::Raw(text) => text.parse().ok(),
        Node::Text(_) | Node::Float(_) | Node::Boolean(_) | Node::Array(_) | Node::Table(_) => None,
    };
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(number),
        None => expected("a whole number in range", node),
    }
}

pub fn bytes(node: &Node) -> Parsed<u64> {
    let parsed = match node {
        Node::Integer(number) => u64::try_from(*number).ok(),
        Node::Text(text) | Node::Raw(text) => parse_bytes(text),
        Node::Float(_) | Node::Boolean(_) | Node::Array(_) | Node::Table(_) => None,
    };
    match parsed {
        Some(bytes) => Ok(bytes),
        None => expected(
            "a size such as \"16MiB\", \"1GB\" or a number of bytes",
            node,
        ),
    }
}

/// A size in this machine's own width.
pub fn number_of_bytes(node: &Node) -> Parsed<usize> {
    match usize::try_from(bytes(node)?) {
        Ok(bytes) => Ok(bytes),
        Err(_) => expected("a size that this machine can address", node),
    }
}

pub fn bytes_u32(node: &Node) -> Parsed<u32> {
    match u32::try_from(bytes(node)?) {
        Ok(bytes) => Ok(bytes),
        Err(_) => expected("a size below 4GiB", node),
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1_u64 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Whole numbers are seconds.
pub fn duration(node: &Node) -> Parsed<Duration> {
    let parsed = match node {
        Node::Integer(number) => u64::try_from(*number).ok().map(Duration::from_secs),
        Node::Text(text) | Node::Raw(text) => match text.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => humantime::parse_duration(text.trim()).ok(),
        },
        Node::Float(_) | Node::Boolean(_) | Node::Array(_) | Node::Table(_) => None,
    };
    match parsed {
        Some(duration) => Ok(duration),
        None => expected(
            "a duration such as \"5ms\", \"60s\" or a number of seconds",
            node,
        ),
    }
}

/// On the wire a heartbeat is a 16-bit number of seconds.
pub fn heartbeat(node: &Node) -> Parsed<u16> {
    let duration = duration(node)?;
    match u16::try_from(duration.as_secs()) {
        Ok(seconds) if duration.subsec_nanos() == 0 => Ok(seconds),
        Ok(_) | Err(_) => expected("whole seconds, at most 65535", node),
    }
}

/// A list of texts; as raw text either a TOML list or items between commas.
pub fn texts(node: &Node) -> Parsed<Vec<String>> {
    match node {
        Node::Array(entries) => entries.iter().map(|entry| text(&entry.node)).collect(),
        Node::Text(single) => Ok(vec![single.clone()]),
        Node::Raw(raw) => match parse_value(raw) {
            Some(list @ Node::Array(_)) => texts(&list),
            Some(_) | None => Ok(raw
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()),
        },
        Node::Integer(_) | Node::Float(_) | Node::Boolean(_) | Node::Table(_) => {
            expected("a list of texts", node)
        }
    }
}

/// A list of `host:port`; empty is off.
pub fn addresses(node: &Node) -> Parsed<Vec<String>> {
    let addresses = texts(node)?;
    for address in &addresses {
        let well_formed = address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !well_formed {
            return Err(format!("expected \"host:port\", found \"{address}\""));
        }
    }
    Ok(addresses)
}

/// What an exchange does while its type is away.
pub fn unavailable(node: &Node) -> Parsed<Unavailable> {
    let given = text(node)?;
    let parsed = match given.split_once(':') {
        None if given == "fail" => Some(Unavailable::Fail),
        None if given == "hold" => Some(Unavailable::Hold {
            limit: DEFAULT_HOLD,
        }),
        Some(("hold", limit)) => limit.parse().ok().map(|limit| Unavailable::Hold { limit }),
        Some(("fallback", type_name)) if !type_name.is_empty() => {
            Some(Unavailable::Fallback(type_name.to_owned()))
        }
        Some(_) | None => None,
    };
    match parsed {
        Some(unavailable) => Ok(unavailable),
        None => expected(
            "\"fail\", \"hold\", \"hold:MESSAGES\" or \"fallback:TYPE\"",
            node,
        ),
    }
}

/// What becomes of messages that an interceptor cannot look at.
pub fn on_failure(node: &Node) -> Parsed<OnFailure> {
    match text(node)?.as_str() {
        "refuse" => Ok(OnFailure::Refuse),
        "pass" => Ok(OnFailure::Pass),
        _ => expected("\"refuse\" or \"pass\"", node),
    }
}

/// A share of the machine's memory or a size.
pub fn watermark(node: &Node) -> Parsed<Watermark> {
    let fraction = match node {
        Node::Float(number) => Some(*number),
        Node::Raw(text) if text.contains('.') => text.parse().ok(),
        Node::Text(_)
        | Node::Raw(_)
        | Node::Integer(_)
        | Node::Boolean(_)
        | Node::Array(_)
        | Node::Table(_) => None,
    };
    match fraction {
        Some(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(Watermark::Fraction(fraction)),
        Some(_) => expected("a share above 0 and up to 1, or a size", node),
        None => bytes(node)
            .map(Watermark::Bytes)
            .or_else(|_| expected("a share such as 0.6, or a size such as \"2GiB\"", node)),
    }
}
