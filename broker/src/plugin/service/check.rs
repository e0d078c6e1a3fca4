//! Whether a file may be loaded as a service, by its imports and exports. Compiles and runs nothing.

use super::grants::Grants;
use crate::plugin::check::{self, Interface};

const EXPORT: &str = "warren:service/service";
const AMQP: &str = "warren:service/amqp";
const HTTP: &str = "warren:service/http";
const FREE: [&str; 3] = [
    "warren:service/host",
    "warren:service/broker",
    "warren:service/state",
];

/// The series of `warren:service` that this host speaks. Patch releases of it only add.
const SERIES: &str = "0.1.";
const NEWEST: &str = "0.1.0";

/// Whether the file says that it is one: the name of the export stands in it. Good enough to decide
/// who looks at it more closely.
pub(in crate::plugin) fn is_service(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"warren:service/service@").is_some()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Of the `warren:service` package.
    pub version: String,
    pub wants_wasi: bool,
}

pub(super) fn accept(interface: &Interface, grants: &Grants) -> Result<Accepted, String> {
    let exports = interface.exports.iter().map(|export| split(export));
    let mut ours = exports.filter(|(name, _)| *name == EXPORT);
    let Some((_, version)) = ours.next() else {
        return Err(format!("it does not export {EXPORT}@{NEWEST}"));
    };
    if !version.starts_with(SERIES) {
        return Err(format!(
            "it was built against warren:service@{version}; this Warren speaks \
             warren:service@{NEWEST}"
        ));
    }
    let mut wants_wasi = false;
    for import in &interface.imports {
        let (name, version) = split(import);
        if check::is_empty_wasi(name) {
            wants_wasi = true;
            continue;
        }
        let missing = match name {
            AMQP if !grants.has_amqp() => Some("[\"amqp:local\", \"amqp:remote=host:port\"]"),
            HTTP if grants.web.is_empty() => Some("[\"http=host:port\"]"),
            _ => None,
        };
        if name != AMQP && name != HTTP && !FREE.contains(&name) {
            return Err(format!("it imports {import}, which was not granted"));
        }
        if !version.starts_with(SERIES) {
            return Err(format!(
                "it imports {import}; this Warren has {name}@{NEWEST}"
            ));
        }
        if let Some(missing) = missing {
            return Err(format!(
                "it imports {import}, which was not granted: `grants = {missing}` in its table of \
                 the configuration grants it"
            ));
        }
    }
    Ok(Accepted {
        version: version.to_owned(),
        wants_wasi,
    })
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(imports: &[&str], grants: &[&str]) -> Result<Accepted, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let interface = Interface {
            imports: owned(imports),
            exports: owned(&["warren:service/service@0.1.0"]),
        };
        let grants: Vec<String> = owned(grants);
        accept(&interface, &Grants::parse(&grants))
    }

    #[test]
    fn amqp_has_to_be_granted_and_the_refusal_names_the_import() {
        let refused = accepted(&["warren:service/amqp@0.1.0"], &[]).expect_err("refused");
        assert!(refused.contains("warren:service/amqp@0.1.0"), "{refused}");
        assert!(refused.contains("amqp:local"), "{refused}");
        assert!(accepted(&["warren:service/amqp@0.1.0"], &["amqp:remote=h"]).is_ok());
        assert!(accepted(&["warren:service/host@0.1.0"], &[]).is_ok());
        let refused = accepted(&["warren:service/http@0.1.0"], &["amqp:remote"]);
        let refused = refused.expect_err("refused");
        assert!(refused.contains("http=host:port"), "{refused}");
        assert!(accepted(&["warren:service/http@0.1.0"], &["http=h"]).is_ok());
    }

    #[test]
    fn what_is_not_known_is_refused_whatever_was_granted() {
        let refused = accepted(&["wasi:sockets/tcp@0.2.6"], &["wasi:sockets"]);
        assert!(refused.expect_err("refused").contains("wasi:sockets/tcp"));
        assert!(accepted(&["warren:service/host@0.2.0"], &[]).is_err());
        assert!(
            accepted(&["wasi:io/poll@0.2.6"], &[])
                .expect("accepted")
                .wants_wasi
        );
    }
}
