//! A request that can be sent, and its octets. What comes from a component is checked here, once.

use std::fmt::Write as _;
use std::time::Duration;

use super::url::Url;

/// `warren:service/http` promises all of these.
const MAX_BODY: usize = 16 << 20;
pub(super) const MAX_HEADERS: usize = 100;
pub(super) const MAX_HEAD: usize = 32 << 10;
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);

const MAX_METHOD: usize = 32;

/// They say where a message ends and whose it is: two servers must not read them differently.
const OWN_HEADERS: [&str; 10] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "expect",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
];

/// Why it cannot be sent, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub url: Url,
    pub timeout: Duration,
    pub(super) method: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// `timeout` in milliseconds; 0 is the usual one.
    pub fn new(
        method: String,
        url: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        timeout: u32,
    ) -> Result<Request, Invalid> {
        let invalid = |text: &str| Err(Invalid(text.to_owned()));
        let url = Url::parse(url).map_err(|text| Invalid(text.to_owned()))?;
        if !is_token(&method) || method.len() > MAX_METHOD || method == "CONNECT" {
            return invalid("the method is none");
        }
        if headers.len() > MAX_HEADERS {
            return invalid("there are at most 100 headers");
        }
        let sizes = headers.iter().map(|(name, value)| name.len() + value.len());
        if sizes.sum::<usize>() > MAX_HEAD {
            return invalid("headers have at most 32 KiB together");
        }
        for (name, value) in &headers {
            let is_own = OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
            if !is_token(name) || is_own {
                return Err(Invalid(format!("{name:?} is no header to be set")));
            }
            if value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(Invalid(format!("the value of {name} is not one line")));
            }
        }
        if body.len() > MAX_BODY {
            return invalid("a body has at most 16 MiB");
        }
        let timeout = match timeout {
            0 => USUAL_TIMEOUT,
            milliseconds => Duration::from_millis(milliseconds.into()).min(LONGEST_TIMEOUT),
        };
        Ok(Request {
            url,
            timeout,
            method,
            headers,
            body,
        })
    }

    /// About what it takes in memory.
    pub fn size(&self) -> usize {
        const REST: usize = 1 << 10;
        self.body.len() + REST
    }

    /// All that comes before the body.
    pub(super) fn head(&self) -> Vec<u8> {
        let url = &self.url;
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\n",
            self.method,
            url.target,
            url.place.authority()
        );
        let mut add = |name: &str, value: &str| {
            // Into a string, which does not fail.
            let _ = write!(head, "{name}: {value}\r\n");
        };
        for (name, value) in &self.headers {
            add(name, value);
        }
        if !self.has("user-agent") {
            add("user-agent", concat!("Warren/", env!("CARGO_PKG_VERSION")));
        }
        if let Some(authorization) = &url.authorization
            && !self.has("authorization")
        {
            add("authorization", authorization);
        }
        let needs_length = matches!(self.method.as_str(), "POST" | "PUT" | "PATCH");
        if needs_length || !self.body.is_empty() {
            add("content-length", &self.body.len().to_string());
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn has(&self, name: &str) -> bool {
        let mut names = self.headers.iter().map(|(name, _)| name);
        names.any(|found| found.eq_ignore_ascii_case(name))
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    !text.is_empty() && text.bytes().all(fits)
}
