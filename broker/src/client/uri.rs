//! Addresses of brokers, as RabbitMQ reads them: `amqp://user:password@host:port/vhost?heartbeat=5`.
//! Without a host it is the broker itself that is meant. Resolves and reads nothing.

use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    pub scheme: Scheme,
    pub user: String,
    pub password: String,
    /// A user was named.
    pub names_user: bool,
    pub address: Address,
    pub vhost: String,
    /// Seconds.
    pub heartbeat: Option<u16>,
    /// Milliseconds.
    pub connection_timeout: Option<u64>,
    pub encryption: Encryption,
    pub by_certificate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Amqp,
    Amqps,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// This broker.
    Local,
    Remote {
        host: String,
        port: u16,
    },
}

/// Of `amqps`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The peer's certificate is checked.
    pub verify: bool,
    pub server_name: Option<String>,
}

/// In the words of RabbitMQ, which prints Erlang terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriError(pub String);

impl fmt::Display for UriError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Uri {
    pub fn parse(text: &str) -> Result<Uri, UriError> {
        let unparsable = || UriError("unable_to_parse_uri".to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(unparsable)?;
        let scheme = match scheme {
            "amqp" => Scheme::Amqp,
            "amqps" => Scheme::Amqps,
            other => return Err(UriError(format!("{{unexpected_uri_scheme,\"{other}\"}}"))),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => (Some(user_info), host_port),
            None => (None, authority),
        };
        let (user, password) = user_info.unwrap_or("guest:guest").split_once(':').unzip();
        let user = user.or(user_info).unwrap_or_default();
        if path.contains('/') {
            return Err(unparsable());
        }
        let vhost = match path {
            "" => "/".to_owned(),
            path => percent_decoded(path).ok_or_else(unparsable)?,
        };
        let mut uri = Uri {
            scheme,
            user: percent_decoded(user).ok_or_else(unparsable)?,
            password: percent_decoded(password.unwrap_or_default()).ok_or_else(unparsable)?,
            names_user: user_info.is_some(),
            address: address(host_port, scheme).ok_or_else(unparsable)?,
            vhost,
            heartbeat: None,
            connection_timeout: None,
            encryption: Encryption::default(),
            by_certificate: false,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decoded(value).ok_or_else(unparsable)?;
            uri.set(name, &value).ok_or_else(unparsable)?;
        }
        Ok(uri)
    }

    /// Unknown names are ignored, as RabbitMQ ignores them.
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let path = || Some(PathBuf::from(value));
        match name {
            "heartbeat" => self.heartbeat = Some(value.parse().ok()?),
            "connection_timeout" => self.connection_timeout = Some(value.parse().ok()?),
            "cacertfile" => self.encryption.ca = path(),
            "certfile" => self.encryption.certificate = path(),
            "keyfile" => self.encryption.key = path(),
            "verify" => self.encryption.verify = value == "verify_peer",
            "server_name_indication" => self.encryption.server_name = Some(value.to_owned()),
            "auth_mechanism" => self.by_certificate |= value.eq_ignore_ascii_case("external"),
            _ => {}
        }
        Some(())
    }

    /// Without user and password, to be shown.
    pub fn shown(text: &str) -> String {
        let Some((scheme, rest)) = text.split_once("://") else {
            return text.to_owned();
        };
        let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        match path {
            "" => format!("{scheme}://{host}"),
            path => format!("{scheme}://{host}/{path}"),
        }
    }
}

fn address(host_port: &str, scheme: Scheme) -> Option<Address> {
    if host_port.is_empty() {
        return Some(Address::Local);
    }
    let usual = match scheme {
        Scheme::Amqp => 5672,
        Scheme::Amqps => 5671,
    };
    // An IPv6 address stands in brackets.
    let (host, port) = match host_port.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => usual,
    };
    let host = percent_decoded(host)?;
    Some(Address::Remote { host, port })
}

pub fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let digit = |octet: u8| char::from(octet).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            octet => octet,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_defaults() {
        let uri = Uri::parse("amqp://").expect("local");
        assert_eq!((uri.address, uri.vhost.as_str()), (Address::Local, "/"));
        let uri = Uri::parse("amqp:///my%2fvhost").expect("local");
        assert_eq!(uri.vhost, "my/vhost");
        let uri = Uri::parse("amqps://ann:p%40ss@[::1]/v?heartbeat=5&verify=verify_peer&x=1");
        let uri = uri.expect("remote");
        let expected = Address::Remote {
            host: "::1".into(),
            port: 5671,
        };
        assert_eq!(uri.address, expected);
        assert_eq!((uri.user.as_str(), uri.password.as_str()), ("ann", "p@ss"));
        assert_eq!((uri.heartbeat, uri.encryption.verify), (Some(5), true));
        let uri = Uri::parse("amqp://h:1").expect("remote");
        assert_eq!(
            (uri.user.as_str(), uri.password.as_str()),
            ("guest", "guest")
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let refused = |text| Uri::parse(text).expect_err("refused").0;
        assert_eq!(refused("http://x"), "{unexpected_uri_scheme,\"http\"}");
        for text in [
            "x",
            "amqp://h:x",
            "amqp://h/a/b",
            "amqp://h/%zz",
            "amqp://[h",
        ] {
            assert_eq!(refused(text), "unable_to_parse_uri", "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = Uri::shown("amqp://ann:secret@h:1/v?password=x");
        assert_eq!(shown, "amqp://h:1/v");
        assert_eq!(Uri::shown("amqp://"), "amqp://");
    }
}
