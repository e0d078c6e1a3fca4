//! Addresses of HTTP servers: `https://user:password@host:port/path?query`. Resolves nothing.

use std::fmt;

use base64::Engine as _;

use crate::client::percent_decoded;

/// `warren:service/http` promises so much.
const MAX_URL: usize = 8 << 10;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub encrypted: bool,
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub place: Place,
    /// Path and query, as the request's first line has it.
    pub(super) target: String,
    /// The value of the header `authorization`, where a user is named.
    pub(super) authorization: Option<String>,
}

impl Place {
    fn usual_port(encrypted: bool) -> u16 {
        match encrypted {
            true => 443,
            false => 80,
        }
    }

    fn host_in_brackets(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }

    /// The value of the header `host`.
    pub(super) fn authority(&self) -> String {
        match self.port == Place::usual_port(self.encrypted) {
            true => self.host_in_brackets(),
            false => format!("{}:{}", self.host_in_brackets(), self.port),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host_in_brackets(), self.port)
    }
}

impl Url {
    /// An error says what is wrong, without the text itself: a password may stand in it.
    pub fn parse(text: &str) -> Result<Url, &'static str> {
        if text.len() > MAX_URL {
            return Err("a URL has at most 8 KiB");
        }
        if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err("a URL has neither spaces nor anything beyond ASCII: %20");
        }
        let (scheme, rest) = text.split_once("://").ok_or("a URL begins with http://")?;
        let encrypted = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("a URL begins with http:// or https://"),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => (Some(user_info), host_port),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host_port)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Url {
            place: Place {
                encrypted,
                host,
                port: port.unwrap_or(Place::usual_port(encrypted)),
            },
            target: format!("{slash}{path}"),
            authorization: user_info.map(basic).transpose()?,
        })
    }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), &'static str> {
    // An IPv6 address stands in brackets.
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("its host has no end")?;
            let address: Result<std::net::Ipv6Addr, _> = host.parse();
            address.map_err(|_| "what stands in brackets is no IPv6 address")?;
            (host, after.strip_prefix(':').or(Some(after)))
        }
        None => match text.split_once(':') {
            Some((host, port)) if is_name(host) => (host, Some(port)),
            None if is_name(text) => (text, None),
            Some(_) | None => return Err("its host is none"),
        },
    };
    let port = match port.filter(|port| !port.is_empty()) {
        None => None,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err("its port is none"),
            Ok(port) => Some(port),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn is_name(host: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    !host.is_empty() && host.len() <= 253 && host.bytes().all(fits)
}

fn basic(user_info: &str) -> Result<String, &'static str> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let decoded = percent_decoded(user).zip(percent_decoded(password));
    let (user, password) = decoded.ok_or("its user or password is not percent-encoded")?;
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    Ok(format!("Basic {both}"))
}
