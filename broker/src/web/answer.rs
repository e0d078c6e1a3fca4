//! An answer's head: status, headers, and how its body ends (RFC 9112, section 6.3).

use super::request::{MAX_HEAD, MAX_HEADERS};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub(super) struct Head {
    /// In octets.
    pub length: usize,
    pub answer: Answer,
    pub body: BodyEnd,
    pub keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    After(usize),
    Chunked,
    /// With the connection.
    Closed,
}

/// `None`: more octets are wanted.
pub(super) fn parse(octets: &[u8], method: &str) -> Result<Option<Head>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let length = match parsed.parse(octets) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if octets.len() <= MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err("the head of the answer is too long");
        }
        Err(_) => return Err("the answer is not HTTP"),
    };
    let status = parsed.code.unwrap_or_default();
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_ascii_lowercase(), value)
    });
    let answer = Answer {
        status,
        headers: headers.collect(),
        body: Vec::new(),
    };
    let body = body_end(&answer, method)?;
    let keep_alive = match parsed.version {
        Some(1) => !answer.says("connection", "close"),
        Some(_) | None => answer.says("connection", "keep-alive"),
    };
    Ok(Some(Head {
        length,
        body,
        keep_alive: keep_alive && body != BodyEnd::Closed,
        answer,
    }))
}

fn body_end(answer: &Answer, method: &str) -> Result<BodyEnd, &'static str> {
    if method == "HEAD" || matches!(answer.status, 100..=199 | 204 | 304) {
        return Ok(BodyEnd::After(0));
    }
    let mut lengths = answer.all("content-length");
    let mut codings = answer.all("transfer-encoding");
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(BodyEnd::Closed),
        (None, Some(length)) if lengths.all(|other| other == length) => length
            .parse()
            .map(BodyEnd::After)
            .map_err(|_| "content-length is none"),
        (Some(coding), None)
            if coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() =>
        {
            Ok(BodyEnd::Chunked)
        }
        (_, _) => Err("the length of the answer is not clear"),
    }
}

impl Answer {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let headers = self.headers.iter();
        headers
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value.trim())
    }

    fn says(&self, name: &str, word: &str) -> bool {
        let mut words = self.all(name).flat_map(|value| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}
