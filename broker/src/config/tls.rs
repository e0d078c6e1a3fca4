//! `[tls]`, which holds for every encrypted listener, and what `[amqp.tls]`, `[management.tls]` and
//! `[prometheus.tls]` say otherwise. Files are named here, and read elsewhere.

use std::path::PathBuf;

use super::section::Section;
use super::tree::Node;
use super::{Config, Problem, values};
use crate::protection::{AlternativeKind, LoginFrom};
use crate::tls::{TlsOptions, Verify, Versions};

pub(super) fn read(options: &mut TlsOptions, section: &mut Section<'_>) {
    let path = |node: &Node| values::text(node).map(PathBuf::from);
    section.read("certificate", &mut options.certificate, path);
    section.read("key", &mut options.key, path);
    section.read("ca", &mut options.ca, path);
    section.read("verify", &mut options.verify, verify);
    section.read(
        "fail_if_no_peer_cert",
        &mut options.fail_if_no_peer_cert,
        values::boolean,
    );
    section.read("versions", &mut options.versions, versions);
    section.read(
        "handshake_timeout",
        &mut options.handshake_timeout,
        values::duration,
    );
    let (mut kind, mut place) = match options.login_from {
        LoginFrom::AlternativeName(kind, place) => (kind, place),
        LoginFrom::DistinguishedName | LoginFrom::CommonName => (AlternativeKind::Dns, 0),
    };
    section.read("login_san_type", &mut kind, alternative_kind);
    section.read("login_san_index", &mut place, values::number);
    if let LoginFrom::AlternativeName(..) = options.login_from {
        options.login_from = LoginFrom::AlternativeName(kind, place);
    }
    section.read("login_from", &mut options.login_from, |node| {
        login_from(node, kind, place)
    });
}

fn verify(node: &Node) -> Result<Verify, String> {
    match values::text(node)?.as_str() {
        "none" | "verify_none" => Ok(Verify::None),
        "peer" | "verify_peer" => Ok(Verify::Peer),
        other => Err(format!("expected \"none\" or \"peer\", found \"{other}\"")),
    }
}

fn versions(node: &Node) -> Result<Versions, String> {
    let (mut twelve, mut thirteen) = (false, false);
    for version in values::texts(node)? {
        match version.as_str() {
            "tls1.2" | "tlsv1.2" => twelve = true,
            "tls1.3" | "tlsv1.3" => thirteen = true,
            other => {
                let text = format!("expected \"tls1.2\" and \"tls1.3\", found \"{other}\"");
                return Err(text);
            }
        }
    }
    match (twelve, thirteen) {
        (true, true) => Ok(Versions::Both),
        (true, false) => Ok(Versions::Tls12),
        (false, true) => Ok(Versions::Tls13),
        (false, false) => Err("expected at least one of \"tls1.2\" and \"tls1.3\"".to_owned()),
    }
}

fn login_from(node: &Node, kind: AlternativeKind, place: usize) -> Result<LoginFrom, String> {
    match values::text(node)?.as_str() {
        "distinguished_name" => Ok(LoginFrom::DistinguishedName),
        "common_name" => Ok(LoginFrom::CommonName),
        "subject_alternative_name" | "subject_alt_name" => {
            Ok(LoginFrom::AlternativeName(kind, place))
        }
        other => Err(format!(
            "expected \"distinguished_name\", \"common_name\" or \"subject_alternative_name\", \
             found \"{other}\""
        )),
    }
}

fn alternative_kind(node: &Node) -> Result<AlternativeKind, String> {
    match values::text(node)?.as_str() {
        "dns" => Ok(AlternativeKind::Dns),
        "ip" => Ok(AlternativeKind::Ip),
        "email" => Ok(AlternativeKind::Email),
        "uri" => Ok(AlternativeKind::Uri),
        "other_name" => Ok(AlternativeKind::Other),
        other => Err(format!(
            "expected \"dns\", \"ip\", \"email\", \"uri\" or \"other_name\", found \"{other}\""
        )),
    }
}

/// What an encrypted listener cannot do without.
pub(super) fn missing(config: &Config) -> Vec<Problem> {
    let listeners = [
        ("amqp", &config.amqp.tls_listen, &config.amqp.tls),
        (
            "management",
            &config.management.tls_listen,
            &config.management.tls,
        ),
        (
            "prometheus",
            &config.prometheus.tls_listen,
            &config.prometheus.tls,
        ),
    ];
    let mut problems = Vec::new();
    for (section, addresses, options) in listeners {
        if addresses.is_empty() {
            continue;
        }
        let verifies = options.verify == Verify::Peer;
        let absent = [
            (
                "tls.certificate",
                options.certificate.as_os_str().is_empty(),
            ),
            ("tls.key", options.key.as_os_str().is_empty()),
            ("tls.ca", verifies && options.ca.as_os_str().is_empty()),
        ];
        for (key, _) in absent.iter().filter(|(_, absent)| *absent) {
            let because = match *key {
                "tls.ca" => "verify = \"peer\"".to_owned(),
                _ => format!("{section}.tls_listen"),
            };
            let text = format!("is missing, and {because} needs it");
            problems.push(problem(key, text));
        }
        if options.fail_if_no_peer_cert && !verifies {
            let text = format!("means nothing without verify = \"peer\" ({section})");
            problems.push(problem("tls.fail_if_no_peer_cert", text));
        }
    }
    problems
}

fn problem(key: &str, text: String) -> Problem {
    Problem {
        origin: None,
        key: key.to_owned(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Mechanism;
    use crate::config::Sources;

    fn load(text: &str) -> Result<Config, String> {
        let sources = Sources {
            file: Some(("w.toml".to_owned(), text.to_owned())),
            ..Sources::default()
        };
        Config::load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_listener_says_goes_over_what_all_say() {
        let config = load(
            r#"
            [tls]
            certificate = "a.pem"
            key = "a.key"
            ca = "ca.pem"
            verify = "peer"
            versions = ["tls1.3"]
            login_from = "subject_alternative_name"
            login_san_type = "email"
            login_san_index = 1
            [amqp]
            tls_listen = ["0.0.0.0:5671"]
            auth_mechanisms = ["EXTERNAL"]
            [amqp.tls]
            fail_if_no_peer_cert = true
            handshake_timeout = "2s"
            [management]
            tls_listen = ["0.0.0.0:15671"]
            [management.tls]
            verify = "none"
            login_from = "common_name"
            "#,
        )
        .expect("all of it is known");
        let amqp = &config.amqp.tls;
        assert_eq!(amqp.verify, Verify::Peer);
        assert!(amqp.fail_if_no_peer_cert);
        assert_eq!(amqp.handshake_timeout.as_secs(), 2);
        assert_eq!(amqp.versions, Versions::Tls13);
        let from = LoginFrom::AlternativeName(AlternativeKind::Email, 1);
        assert_eq!(amqp.login_from, from);
        assert_eq!(config.amqp.auth_mechanisms, [Mechanism::External]);
        let management = &config.management.tls;
        assert_eq!(management.certificate, PathBuf::from("a.pem"));
        assert_eq!(management.verify, Verify::None);
        assert_eq!(management.login_from, LoginFrom::CommonName);
        assert_eq!(management.handshake_timeout.as_secs(), 5);
    }

    #[test]
    fn a_listener_without_what_it_needs_is_said_so() {
        let text =
            "[tls]\nkey = \"a.key\"\nverify = \"peer\"\n[amqp]\ntls_listen = [\"0.0.0.0:1\"]";
        assert_eq!(
            load(text).expect_err("no certificate"),
            "tls.certificate: is missing, and amqp.tls_listen needs it\n\
             tls.ca: is missing, and verify = \"peer\" needs it"
        );
        let text = "[tls]\nversions = [\"tls1.1\"]\nverify = \"maybe\"\nlogin_from = \"x\"";
        assert_eq!(
            load(text).expect_err("three mistakes"),
            "w.toml:3: tls.verify: expected \"none\" or \"peer\", found \"maybe\"\n\
             w.toml:2: tls.versions: expected \"tls1.2\" and \"tls1.3\", found \"tls1.1\"\n\
             w.toml:4: tls.login_from: expected \"distinguished_name\", \"common_name\" or \
             \"subject_alternative_name\", found \"x\""
        );
        let text = "[amqp]\nauth_mechanisms = [\"PLAIN\", \"GSSAPI\"]";
        assert_eq!(
            load(text).expect_err("an unknown mechanism"),
            "w.toml:2: amqp.auth_mechanisms: expected some of PLAIN, AMQPLAIN, ANONYMOUS, EXTERNAL, \
             found \"GSSAPI\""
        );
    }
}
