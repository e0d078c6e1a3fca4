//! A small HTTP client for the management API: one connection a request. Blocking.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::DEADLINE;

#[derive(Clone, Debug)]
pub struct Http {
    /// `host:port`
    pub address: String,
    pub user: String,
    pub password: String,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Reply {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Http {
    pub fn as_user(&self, user: &str, password: &str) -> Http {
        Http {
            user: user.to_owned(),
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// `path` begins behind `/api`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    /// The body of an answer that must be 200.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        self.get(path).is(200).json()
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, Some(&body.to_string()))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, Some(&body.to_string()))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        let credentials = base64(format!("{}:{}", self.user, self.password).as_bytes());
        let body = body.unwrap_or_default();
        let length = body.len();
        self.raw(&format!(
            "{method} /api{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {credentials}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}",
            self.address
        ))
    }

    /// Exactly these octets, and what comes back until the other side closes.
    #[track_caller]
    pub fn raw(&self, request: &str) -> Reply {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a time limit");
        // A request that is refused early may not be read to its end.
        let _ = stream.write_all(request.as_bytes());
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets);
        parse(&String::from_utf8_lossy(&octets))
    }
}

#[track_caller]
fn parse(text: &str) -> Reply {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Reply {
        status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in octets.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, octet| (bits << 8) | u32::from(*octet));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}
