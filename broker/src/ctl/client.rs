//! One request to the management API. Blocking, one connection each: a command asks once or twice.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An import of ten megabytes may take its time.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Client {
    pub address: String,
    pub user: String,
    pub password: String,
}

impl Client {
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let body = self.send("GET", path, None)?;
        serde_json::from_str(&body).context("the API has answered with something else than JSON")
    }

    pub fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        self.send("PUT", path, Some(body)).map(drop)
    }

    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        self.send("POST", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send("DELETE", path, None).map(drop)
    }

    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<String> {
        let address = &self.address;
        let unreachable = || format!("no management API on {address}: is the broker running?");
        let mut stream = TcpStream::connect(address).with_context(unreachable)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let login = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} /api{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {login}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        understood(&answer, &self.user)
    }
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

fn understood(answer: &[u8], user: &str) -> anyhow::Result<String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = head.parse(answer) else {
        bail!("what has answered is no management API");
    };
    let body = String::from_utf8_lossy(answer.get(length..).unwrap_or_default()).into_owned();
    let status = head.code.unwrap_or(0);
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let reason = serde_json::from_str::<Value>(&body).unwrap_or_default();
    let reason = match reason.get("reason") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => body,
    };
    match status {
        401 => bail!("refused to user '{user}': {reason}"),
        404 => bail!("there is no such thing: {reason}"),
        _ => bail!("{status}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let answer =
            b"HTTP/1.1 400 Bad Request\r\n\r\n{\"error\":\"bad_request\",\"reason\":\"no\"}";
        assert_eq!(
            understood(answer, "ann").unwrap_err().to_string(),
            "400: no"
        );
        let answer = b"HTTP/1.1 401 Unauthorized\r\n\r\n{\"reason\":\"Login failed\"}";
        let error = understood(answer, "ann").unwrap_err().to_string();
        assert_eq!(error, "refused to user 'ann': Login failed");
        assert_eq!(
            understood(b"HTTP/1.1 200 OK\r\n\r\n[]", "ann").unwrap(),
            "[]"
        );
        assert!(understood(b"SSH-2.0", "ann").is_err());
    }
}
