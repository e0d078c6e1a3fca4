//! What an operator has granted a service. Denied is what is not named.

use crate::client::Address;
use crate::plugin::hosts::{Hosts, fits_address};

pub(super) const LOCAL: &str = "amqp:local";
pub(super) const REMOTE: &str = "amqp:remote";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grants {
    local: bool,
    /// Host and port patterns.
    remote: Vec<String>,
    pub web: Hosts,
}

impl Grants {
    pub fn parse(grants: &[String]) -> Grants {
        let mut parsed = Grants {
            web: Hosts::granted(grants),
            ..Grants::default()
        };
        for grant in grants {
            match grant.split_once('=') {
                None if grant == LOCAL => parsed.local = true,
                None if grant == REMOTE => parsed.remote.push("*".to_owned()),
                Some((REMOTE, pattern)) => parsed.remote.push(pattern.to_owned()),
                // Of other interfaces.
                None | Some(_) => {}
            }
        }
        parsed
    }

    /// Anything of AMQP at all.
    pub fn has_amqp(&self) -> bool {
        self.local || !self.remote.is_empty()
    }

    /// An error says what is missing.
    pub fn allow(&self, address: &Address) -> Result<(), String> {
        let (allowed, grant) = match address {
            Address::Local => (self.local, LOCAL.to_owned()),
            Address::Remote { host, port } => {
                let fits = |pattern: &String| fits_address(pattern, host, *port);
                let grant = format!("{REMOTE}={host}:{port}");
                (self.remote.iter().any(fits), grant)
            }
        };
        match allowed {
            true => Ok(()),
            false => Err(format!(
                "not granted: `grants = [\"{grant}\"]` in its table of the configuration grants it"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address::Remote { host, port }
    }

    fn allows(grants: &[&str], address: &Address) -> bool {
        let grants: Vec<String> = grants.iter().map(|grant| (*grant).to_owned()).collect();
        Grants::parse(&grants).allow(address).is_ok()
    }

    #[test]
    fn nothing_is_allowed_that_is_not_named() {
        assert!(!allows(&[], &Address::Local));
        assert!(allows(&["amqp:local"], &Address::Local));
        assert!(!allows(&["amqp:local"], &remote("h", 1)));
        assert!(allows(&["amqp:remote"], &remote("h", 1)));
        assert!(!allows(&["amqp:remote"], &Address::Local));
        assert!(!allows(&["amqp", "amqp:"], &remote("h", 1)));
    }

    #[test]
    fn hosts_and_ports_fit_patterns() {
        let grant = ["amqp:remote=*.example.com:5672"];
        assert!(allows(&grant, &remote("a.Example.com", 5672)));
        assert!(!allows(&grant, &remote("a.example.com", 5671)));
        assert!(!allows(&grant, &remote("a.example.com.evil.org", 5672)));
        assert!(!allows(&grant, &remote("example.com", 5672)));
        assert!(allows(&["amqp:remote=a*b*c"], &remote("axxbyyc", 9)));
        assert!(!allows(&["amqp:remote=a*b*c"], &remote("axxc", 9)));
        assert!(allows(&["amqp:remote=[::1]:5672"], &remote("::1", 5672)));
        assert!(allows(&["amqp:remote=::1"], &remote("::1", 7)));
        assert!(!allows(&["amqp:remote="], &remote("h", 7)));
    }

    #[test]
    fn a_refusal_names_what_is_missing() {
        let text = Grants::default()
            .allow(&remote("h", 1))
            .expect_err("refused");
        assert!(text.contains("amqp:remote=h:1"), "{text}");
    }
}
