//! A request as data: who asks, its method, the parts of its path, its query, its headers and its body.

use std::fmt;
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
    Options,
    Other,
}

impl Method {
    pub fn parse(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" => Method::Put,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Other => "other",
        }
    }

    pub fn changes(self) -> bool {
        match self {
            Method::Put | Method::Post | Method::Delete => true,
            Method::Get | Method::Head | Method::Options | Method::Other => false,
        }
    }
}

/// Who asks, and whether others on the way can read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub address: SocketAddr,
    pub encrypted: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
impl Peer {
    pub fn nearby() -> Peer {
        Peer {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            encrypted: false,
        }
    }
}

pub(super) struct Request {
    pub method: Method,
    /// As it came, without the query.
    pub path: String,
    /// Between the slashes, decoded.
    pub parts: Vec<String>,
    /// Behind the question mark, as it came.
    raw_query: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub peer: Peer,
    pub keep_alive: bool,
}

impl Request {
    /// Names of headers are in lower case.
    pub fn new(
        method: Method,
        target: &str,
        headers: Vec<(String, String)>,
        peer: Peer,
    ) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts = path.split('/').skip(1).map(|part| decoded(part, false));
        let mut parts: Vec<String> = parts.collect();
        // A slash at the end says nothing.
        if parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        let raw_query = query.to_owned();
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name, true), decoded(value, true))
            });
        Request {
            method,
            path: path.to_owned(),
            parts,
            raw_query,
            query: query.collect(),
            headers,
            body: Vec::new(),
            peer,
            keep_alive: true,
        }
    }

    /// Path and query.
    pub fn target(&self) -> String {
        match self.raw_query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of this name, where it may stand several times.
    pub fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.query.iter().filter(move |(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn says(&self, name: &str) -> bool {
        self.query(name) == Some("true")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.headers.iter().filter(move |(found, _)| found == name);
        found.map(|(_, value)| value.trim())
    }
}

/// Percent signs undone; in a query a plus is a space.
fn decoded(text: &str, in_query: bool) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let hex = |octet: u8| char::from(octet).to_digit(16);
        match (first, after) {
            (b'%', [high, low, ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    octets.push((high * 16 + low) as u8);
                    rest = after.get(2..).unwrap_or_default();
                }
                (_, _) => octets.push(b'%'),
            },
            (b'+', _) if in_query => octets.push(b' '),
            (other, _) => octets.push(*other),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// For a part of a path: everything but letters, digits and `-._`.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(octet.into()),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_decoded_and_plus_is_a_plus_outside_the_query() {
        let target = "/api/queues/%2F/a+b%zz%C3%A4/?name=a+b&use_regex=true&flag";
        let request = Request::new(Method::Get, target, Vec::new(), Peer::nearby());
        assert_eq!(request.parts, ["api", "queues", "/", "a+b%zzä"]);
        assert_eq!(request.query("name"), Some("a b"));
        assert!(request.says("use_regex"));
        assert_eq!(request.query("flag"), Some(""));
        assert_eq!(encoded("a/ä~"), "a%2F%C3%A4%7E");
    }
}
