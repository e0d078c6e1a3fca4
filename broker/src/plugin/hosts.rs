//! Which servers a plugin may reach, by patterns of host and port. Denied is what fits none of them.

use crate::web::Place;

/// For all servers, or with a pattern behind `=`.
pub(super) const HTTP: &str = "http";

/// What `http` was granted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    patterns: Vec<String>,
}

impl Hosts {
    pub fn granted(grants: &[String]) -> Hosts {
        let patterns = grants
            .iter()
            .filter_map(|grant| match grant.split_once('=') {
                None if grant == HTTP => Some("*".to_owned()),
                Some((HTTP, pattern)) => Some(pattern.to_owned()),
                None | Some(_) => None,
            });
        Hosts {
            patterns: patterns.collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// An error says what is missing.
    pub fn allow(&self, place: &Place) -> Result<(), String> {
        let mut patterns = self.patterns.iter();
        match patterns.any(|pattern| fits_address(pattern, &place.host, place.port)) {
            true => Ok(()),
            false => Err(format!(
                "not granted: `grants = [\"{HTTP}={place}\"]` in its table of the configuration \
                 grants it"
            )),
        }
    }
}

pub(super) fn fits_address(pattern: &str, host: &str, port: u16) -> bool {
    // The port of `[::1]:5672` stands behind the bracket, and of `::1` there is none.
    let (host_pattern, port_pattern) = match pattern.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        Some(_) | None => (pattern, "*"),
    };
    let host_pattern = host_pattern.trim_start_matches('[').trim_end_matches(']');
    let (host_pattern, host) = (host_pattern.to_lowercase(), host.to_lowercase());
    fits(&host_pattern, &host) && fits(port_pattern, &port.to_string())
}

/// `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            match rest.split_once(middle) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(grants: &[&str], host: &str, port: u16) -> bool {
        let grants: Vec<String> = grants.iter().map(|grant| (*grant).to_owned()).collect();
        let place = Place {
            encrypted: false,
            host: host.to_owned(),
            port,
        };
        Hosts::granted(&grants).allow(&place).is_ok()
    }

    #[test]
    fn http_is_allowed_for_the_servers_that_are_named() {
        assert!(!allows(&[], "h", 80));
        assert!(!allows(&["https", "http:", "httpx=h"], "h", 80));
        assert!(allows(&["http"], "h", 80));
        assert!(allows(&["http=*.example.com:8443"], "a.example.com", 8443));
        assert!(!allows(&["http=*.example.com:8443"], "a.example.com", 443));
        assert!(!allows(
            &["http=*.example.com"],
            "a.example.com.evil.org",
            443
        ));
        assert!(allows(&["http=[::1]:80"], "::1", 80));
    }
}
