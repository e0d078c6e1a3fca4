//! What is known of an encrypted connection: its protocol and ciphers, and what the client's
//! certificate says, in RabbitMQ's words. Not keys and not octets (see `tls/`).

use x509_cert::Certificate as X509;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, BmpString, Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::time::Time;

/// An encrypted connection, as the management API shows it and SASL EXTERNAL asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// `tlsv1.2`, `tlsv1.3`
    pub protocol: &'static str,
    pub key_exchange: &'static str,
    pub cipher: &'static str,
    pub hash: &'static str,
    pub certificate: Option<Certificate>,
    /// Who the certificate says the client is, or why it says nothing: for EXTERNAL.
    pub login: Result<String, &'static str>,
}

/// What a certificate says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// As RFC 4514 writes it, the most special part first.
    pub subject: String,
    pub issuer: String,
    /// From, until; both as ISO 8601.
    pub validity: [String; 2],
    /// Seconds since 1970.
    pub expires: u64,
    pub common_names: Vec<String>,
    pub alternatives: Vec<Alternative>,
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    pub kind: AlternativeKind,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlternativeKind {
    Dns,
    Ip,
    Email,
    Uri,
    Other,
}

/// Which part of a certificate is the user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFrom {
    DistinguishedName,
    CommonName,
    /// The one at this place among those of this kind.
    AlternativeName(AlternativeKind, usize),
}

impl Certificate {
    /// Out of DER; what is wrong with it otherwise.
    pub fn parse(der: &[u8]) -> Result<Certificate, String> {
        let certificate = X509::from_der(der).map_err(|error| error.to_string())?;
        let body = certificate.tbs_certificate;
        let common_names = body.subject.0.iter().flat_map(|part| part.0.iter());
        let common_names = common_names.filter(|attribute| attribute.oid == COMMON_NAME);
        let alternatives = match body.get::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().filter_map(alternative).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        let expires = body.validity.not_after;
        Ok(Certificate {
            subject: distinguished(&body.subject),
            issuer: distinguished(&body.issuer),
            validity: [iso(body.validity.not_before), iso(expires)],
            expires: expires.to_unix_duration().as_secs(),
            common_names: common_names.map(|one| text(&one.value)).collect(),
            alternatives,
        })
    }

    /// The user's name; RabbitMQ's word for why there is none.
    pub fn login(&self, from: LoginFrom) -> Result<String, &'static str> {
        let found = match from {
            LoginFrom::DistinguishedName => Some(self.subject.clone()),
            LoginFrom::CommonName if self.common_names.is_empty() => None,
            LoginFrom::CommonName => Some(self.common_names.join(",")),
            LoginFrom::AlternativeName(kind, place) => {
                let mut of_kind = self.alternatives.iter().filter(|one| one.kind == kind);
                of_kind.nth(place).map(|one| one.name.clone())
            }
        };
        found
            .filter(|name| !name.is_empty())
            .ok_or("no name found in the certificate")
    }
}

fn iso(time: Time) -> String {
    time.to_date_time().to_string()
}

fn alternative(name: &GeneralName) -> Option<Alternative> {
    let (kind, name) = match name {
        GeneralName::DnsName(name) => (AlternativeKind::Dns, name.to_string()),
        GeneralName::Rfc822Name(name) => (AlternativeKind::Email, name.to_string()),
        GeneralName::UniformResourceIdentifier(name) => (AlternativeKind::Uri, name.to_string()),
        GeneralName::IpAddress(octets) => (AlternativeKind::Ip, address(octets.as_bytes())?),
        GeneralName::OtherName(other) => (AlternativeKind::Other, text(&other.value)),
        GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => return None,
    };
    Some(Alternative { kind, name })
}

fn address(octets: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(octets).ok()?;
    Some(std::net::Ipv6Addr::from(sixteen).to_string())
}

/// RFC 4514: the last part first.
fn distinguished(name: &Name) -> String {
    let part = |part: &x509_cert::name::RelativeDistinguishedName| {
        let attributes: Vec<String> = part.0.iter().map(attribute).collect();
        attributes.join("+")
    };
    let parts: Vec<String> = name.0.iter().rev().map(part).collect();
    parts.join(",")
}

/// Short names as RabbitMQ writes them; what has none is written by its numbers.
const SHORT_NAMES: [(&str, &str); 17] = [
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GIVENNAME"),
    ("2.5.4.43", "INITIALS"),
    ("2.5.4.44", "GENERATIONQUALIFIER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "TITLE"),
    ("2.5.4.6", "C"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.65", "PSEUDONYM"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn attribute(attribute: &AttributeTypeAndValue) -> String {
    let value = escaped(&text(&attribute.value));
    format!("{}={value}", short_name(attribute.oid))
}

fn short_name(oid: ObjectIdentifier) -> String {
    let numbers = oid.to_string();
    let known = SHORT_NAMES.iter().find(|(known, _)| *known == numbers);
    known.map_or(numbers, |(_, short)| (*short).to_owned())
}

/// RFC 4514, section 2.4; what is not printable ASCII is written as its octets, as RabbitMQ does.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (place, octet) in value.bytes().enumerate() {
        let special = match octet {
            b' ' => place == 0 || place == last,
            b'#' => place == 0,
            other => b"\"+,;<>\\".contains(&other),
        };
        match octet {
            _ if special => out.extend(['\\', char::from(octet)]),
            32..=125 => out.push(char::from(octet)),
            other => out.push_str(&format!("\\{other:02X}")),
        }
    }
    out
}

/// Of the kinds of string that X.509 allows.
fn text(value: &Any) -> String {
    let owned = |text: &str| text.to_owned();
    let decoded = match value.tag() {
        Tag::Utf8String => value
            .decode_as::<Utf8StringRef<'_>>()
            .map(|s| owned(s.as_str())),
        Tag::PrintableString => value
            .decode_as::<PrintableStringRef<'_>>()
            .map(|s| owned(s.as_str())),
        Tag::Ia5String => value
            .decode_as::<Ia5StringRef<'_>>()
            .map(|s| owned(s.as_str())),
        Tag::BmpString => value.decode_as::<BmpString>().map(|s| s.to_string()),
        // Latin 1, as everybody reads it who has to.
        Tag::TeletexString => Ok(value
            .value()
            .iter()
            .map(|octet| char::from(*octet))
            .collect()),
        // An otherName is wrapped once more.
        Tag::ContextSpecific { .. } => Any::from_der(value.value()).map(|inner| text(&inner)),
        _ => Ok(hexadecimal(value)),
    };
    decoded.unwrap_or_else(|_| hexadecimal(value))
}

/// RFC 4514's last resort.
fn hexadecimal(value: &Any) -> String {
    let octets = value.to_der().unwrap_or_default();
    let digits: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("#{}", digits.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_in_a_name_is_escaped() {
        assert_eq!(escaped("Shop, Inc"), "Shop\\, Inc");
        assert_eq!(escaped(" a b "), "\\ a b\\ ");
        assert_eq!(escaped("#1 a+b<c>;\"\\"), "\\#1 a\\+b\\<c\\>\\;\\\"\\\\");
        assert_eq!(escaped("Jürgen"), "J\\C3\\BCrgen");
        assert_eq!(escaped(""), "");
    }

    fn certificate(common_names: &[&str], alternatives: &[(AlternativeKind, &str)]) -> Certificate {
        let alternatives = alternatives.iter().map(|(kind, name)| Alternative {
            kind: *kind,
            name: (*name).to_owned(),
        });
        Certificate {
            subject: "CN=ann,O=shop".to_owned(),
            issuer: String::new(),
            validity: [String::new(), String::new()],
            expires: 0,
            common_names: common_names.iter().map(|name| (*name).to_owned()).collect(),
            alternatives: alternatives.collect(),
        }
    }

    #[test]
    fn the_user_is_the_part_of_the_certificate_that_was_chosen() {
        let kinds = [
            (AlternativeKind::Email, "ann@shop"),
            (AlternativeKind::Dns, "a.shop"),
            (AlternativeKind::Dns, "b.shop"),
        ];
        let given = certificate(&["ann", "nan"], &kinds);
        let named = |from| given.login(from).unwrap_or_default();
        assert_eq!(named(LoginFrom::DistinguishedName), "CN=ann,O=shop");
        assert_eq!(named(LoginFrom::CommonName), "ann,nan");
        let from = |kind, place| LoginFrom::AlternativeName(kind, place);
        assert_eq!(named(from(AlternativeKind::Dns, 1)), "b.shop");
        assert_eq!(named(from(AlternativeKind::Email, 0)), "ann@shop");
        assert!(given.login(from(AlternativeKind::Email, 1)).is_err());
        assert!(certificate(&[], &[]).login(LoginFrom::CommonName).is_err());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(Certificate::parse(b"").is_err());
        assert!(Certificate::parse(&[0x30, 0x80, 0, 0]).is_err());
    }
}
