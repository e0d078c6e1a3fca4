//! Whether a browser has asked for this broker by a name of its own. A page from elsewhere can have
//! its name resolved to this machine and would then count as ours: its forms and scripts would be
//! let in. An address cannot be taken over like that, a name can.

use std::net::IpAddr;

/// `host` is the header; `names` are this broker's.
pub(super) fn is_ours(host: &str, names: &[String]) -> bool {
    let name = without_port(host).trim_end_matches('.');
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is = |other: &str| !other.is_empty() && other.eq_ignore_ascii_case(name);
    bare.parse::<IpAddr>().is_ok()
        || is("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || names.iter().any(|known| is(known))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => {
            // The last part of an IPv6 address without brackets is no port.
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_our_names_are_ours() {
        let names = ["broker.example".to_owned(), String::new()];
        for ours in [
            "127.0.0.1:15672",
            "10.1.2.3",
            "[::1]:15672",
            "[::1]",
            "localhost:15672",
            "LOCALHOST.",
            "a.localhost",
            "Broker.Example:80",
        ] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for foreign in [
            "",
            ":15672",
            "evil.example",
            "127.0.0.1.evil.example:15672",
            "localhost.evil.example",
            "broker.example.evil",
        ] {
            assert!(!is_ours(foreign, &names), "{foreign}");
        }
    }
}
