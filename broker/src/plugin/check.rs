//! Whether a file may be loaded, and as which kind of plugin, by what it is, imports and exports.
//! Compiles and runs nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wit_component::DecodedWasm;

use super::hosts::{HTTP, Hosts};

/// What a plugin is there for: each kind has a package of its own in `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Exchange,
    Interceptor,
    Tracer,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Exchange, Kind::Interceptor, Kind::Tracer];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Exchange => "exchange",
            Kind::Interceptor => "interceptor",
            Kind::Tracer => "tracer",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Kind::Exchange => "warren:exchange",
            Kind::Interceptor => "warren:interceptor",
            Kind::Tracer => "warren:tracer",
        }
    }

    /// What a component of this kind exports.
    fn export(self) -> &'static str {
        match self {
            Kind::Exchange => "warren:exchange/exchange-type",
            Kind::Interceptor => "warren:interceptor/interceptor",
            Kind::Tracer => "warren:tracer/tracer",
        }
    }
}

/// The series of each of those packages that this host speaks. Patch releases of it only add.
const SERIES: &str = "0.1.";
const NEWEST: &str = "0.1.0";

/// What a plugin may be granted: these packages, or one interface of them.
pub(super) const OWN_GRANTS: [&str; 3] = ["warren:plugin", "warren:tracer", HTTP];
const GRANTED: [&str; 5] = [
    "warren:plugin/state",
    "warren:plugin/history",
    "warren:tracer/exchanges",
    "warren:tracer/files",
    UPLOADS,
];
/// Granted by what it may reach.
const UPLOADS: &str = "warren:tracer/uploads";
const CHECK: &str = "warren:plugin/configuration";
const BY_KEY: &str = "warren:plugin/by-key";
const GRANTED_VERSION: &str = "0.1.0";

const OWN_IMPORTS: [&str; 3] = [
    "warren:exchange/message",
    "warren:exchange/host",
    "warren:tracer/body",
];

/// Linked with nothing in them (see `wasi`).
const EMPTY_WASI: [&str; 5] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
];

/// Names with versions, as in `wasi:io/poll@0.2.6`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// An import that an operator has to allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub import: String,
    pub granted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub kind: Kind,
    /// Of that kind's package.
    pub version: String,
    pub wants_wasi: bool,
    pub checks_configuration: bool,
    pub answers_by_key: bool,
    /// What it imports beyond what everybody may.
    pub asked: Vec<String>,
}

/// Validates the bytes and says what the component imports and exports.
pub(super) fn parse(bytes: &[u8]) -> Result<Interface, String> {
    check_kind(bytes)?;
    // Validation of hostile bytes by somebody else's code: a broken file must not end the broker.
    let decoded = catch_unwind(AssertUnwindSafe(|| wit_component::decode(bytes)))
        .map_err(|_| "not a valid component: the parser gave up".to_owned())?
        .map_err(|error| format!("not a valid component: {error:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err("a WIT package, which holds no code".to_owned());
    };
    let Some(world) = resolve.worlds.get(world) else {
        return Err("not a valid component: it has no world".to_owned());
    };
    let names = |items: &mut dyn Iterator<Item = &wit_parser::WorldKey>| {
        items.map(|key| resolve.name_world_key(key)).collect()
    };
    Ok(Interface {
        imports: names(&mut world.imports.keys()),
        exports: names(&mut world.exports.keys()),
    })
}

/// What a file is stands in its first eight bytes: magic, version, layer.
fn check_kind(bytes: &[u8]) -> Result<(), String> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(
            "a core WebAssembly module, not a component: wrap it with `warren plugin build` or \
             `wasm-tools component new`"
                .to_owned(),
        ),
        Some([0, b'a', b's', b'm', ..]) => {
            Err("a WebAssembly file of an unknown layer, not a component".to_owned())
        }
        Some(_) => Err("not a WebAssembly file".to_owned()),
        None => Err(format!(
            "not a WebAssembly file: it has only {} bytes",
            bytes.len()
        )),
    }
}

pub(super) fn accept(interface: &Interface, grants: &[String]) -> Result<Accepted, String> {
    let (kind, version) = exported(&interface.exports)?;
    let checks_configuration = exports_own(CHECK, &interface.exports)?;
    let answers_by_key = exports_own(BY_KEY, &interface.exports)?;
    let mut wants_wasi = false;
    for import in &interface.imports {
        wants_wasi |= check_import(import, grants)?;
    }
    check_for_kind(kind, &interface.imports)?;
    Ok(Accepted {
        kind,
        version,
        wants_wasi,
        checks_configuration,
        answers_by_key,
        asked: asked(interface),
    })
}

fn exported(exports: &[String]) -> Result<(Kind, String), String> {
    let found = exports.iter().find_map(|export| {
        let (name, version) = split(export);
        let kind = Kind::ALL.into_iter().find(|kind| kind.export() == name)?;
        Some((kind, version))
    });
    let Some((kind, version)) = found else {
        let other = exports
            .iter()
            .find(|export| export.starts_with("warren:"))
            .map(|export| format!("; it exports {export}, which is another kind of plugin"));
        let known = Kind::ALL.map(|kind| format!("{}@{NEWEST}", kind.export()));
        return Err(format!(
            "it does not export {}{}",
            known.join(" or "),
            other.unwrap_or_default()
        ));
    };
    if version.starts_with(SERIES) {
        return Ok((kind, version.to_owned()));
    }
    let package = kind.package();
    Err(format!(
        "it was built against {package}@{version}; this Warren speaks {package}@{NEWEST}: build \
         it again with that WIT package, or use a Warren that speaks {version}"
    ))
}

/// What there is for one kind of plugin only.
fn check_for_kind(kind: Kind, imports: &[String]) -> Result<(), String> {
    let foreign: &[&str] = match kind {
        // Their own linkers refuse it.
        Kind::Exchange | Kind::Tracer => return Ok(()),
        // Nothing is bound to an interceptor.
        Kind::Interceptor => &["warren:plugin/history", "warren:tracer/"],
    };
    let found = imports
        .iter()
        .find(|import| foreign.iter().any(|prefix| import.starts_with(prefix)));
    match found {
        None => Ok(()),
        Some(import) => {
            let kind = kind.name();
            Err(format!(
                "it imports {import}, which is nothing for the kind {kind}"
            ))
        }
    }
}

/// Whether these bytes are an interceptor, as far as they can be read.
pub fn is_interceptor(bytes: &[u8]) -> bool {
    let exported = parse(bytes).and_then(|interface| exported(&interface.exports));
    exported.is_ok_and(|(kind, _)| kind == Kind::Interceptor)
}

/// One of the interfaces that anybody may export.
fn exports_own(wanted: &str, exports: &[String]) -> Result<bool, String> {
    let mut exports = exports.iter().map(|export| split(export));
    match exports.find(|(name, _)| *name == wanted) {
        None => Ok(false),
        Some((_, version)) if version.starts_with(SERIES) => Ok(true),
        Some((_, version)) => Err(format!(
            "it exports {wanted}@{version}; this Warren speaks {wanted}@{GRANTED_VERSION}"
        )),
    }
}

/// The imports that nobody has without being granted them.
pub(super) fn asked(interface: &Interface) -> Vec<String> {
    let free = |import: &&String| {
        let (name, _) = split(import);
        OWN_IMPORTS.contains(&name) || EMPTY_WASI.iter().any(|prefix| name.starts_with(prefix))
    };
    let imports = interface.imports.iter();
    imports.filter(|import| !free(import)).cloned().collect()
}

/// What was asked for, and what these grants make of it.
pub(super) fn granted(asked: &[String], grants: &[String]) -> Vec<Asked> {
    let granted = |import: &str| {
        let (name, _) = split(import);
        GRANTED.contains(&name) && is_granted(name, grants)
    };
    let asked = asked.iter().map(|import| Asked {
        import: import.clone(),
        granted: granted(import),
    });
    asked.collect()
}

/// True when the import is one of the empty WASI interfaces.
fn check_import(import: &str, grants: &[String]) -> Result<bool, String> {
    let (name, version) = split(import);
    if OWN_IMPORTS.contains(&name) {
        if version.starts_with(SERIES) {
            return Ok(false);
        }
        return Err(format!(
            "it imports {import}; this Warren has {name}@{NEWEST}"
        ));
    }
    if is_empty_wasi(name) {
        if version.starts_with("0.2.") {
            return Ok(true);
        }
        return Err(format!("it imports {import}; this Warren has WASI 0.2"));
    }
    if GRANTED.contains(&name) {
        return check_granted(import, grants).map(|()| false);
    }
    if grants.iter().any(|grant| covers(grant, name)) {
        return Err(format!(
            "it imports {import}, which is granted, but there is nothing behind it in this \
             version of Warren"
        ));
    }
    Err(format!("it imports {import}, which was not granted"))
}

/// Whether the import is one that an operator has to allow.
pub(super) fn is_granted_only(import: &str) -> bool {
    GRANTED.contains(&split(import).0)
}

fn check_granted(import: &str, grants: &[String]) -> Result<(), String> {
    let (name, version) = split(import);
    if !version.starts_with(SERIES) {
        return Err(format!(
            "it imports {import}; this Warren has {name}@{GRANTED_VERSION}"
        ));
    }
    if is_granted(name, grants) {
        return Ok(());
    }
    let grant = if name == UPLOADS {
        "http=host:port"
    } else {
        name
    };
    Err(format!(
        "it imports {import}, which was not granted: `grants = [\"{grant}\"]` in its table of the \
         configuration grants it"
    ))
}

fn is_granted(name: &str, grants: &[String]) -> bool {
    match name {
        UPLOADS => !Hosts::granted(grants).is_empty(),
        _ => grants.iter().any(|grant| covers(grant, name)),
    }
}

/// A grant is an interface or a whole package, without versions.
fn covers(grant: &str, name: &str) -> bool {
    let rest = name.strip_prefix(grant);
    !grant.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Of the interfaces that are linked with nothing in them.
pub(super) fn is_empty_wasi(name: &str) -> bool {
    EMPTY_WASI.iter().any(|prefix| name.starts_with(prefix))
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(imports: &[&str], exports: &[&str]) -> Interface {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Interface {
            imports: owned(imports),
            exports: owned(exports),
        }
    }

    const OURS: &str = "warren:exchange/exchange-type@0.1.0";

    fn refusal(imports: &[&str], exports: &[&str]) -> String {
        accept(&interface(imports, exports), &[]).expect_err("refused")
    }

    #[test]
    fn own_interfaces_and_the_empty_wasi_are_accepted() {
        let plain = interface(&["warren:exchange/message@0.1.0"], &[OURS]);
        assert!(!accept(&plain, &[]).expect("accepted").wants_wasi);
        let wasi = interface(
            &["wasi:io/poll@0.2.6", "warren:exchange/host@0.1.0"],
            &[OURS],
        );
        let accepted = accept(&wasi, &[]).expect("accepted");
        assert!(accepted.wants_wasi);
        assert_eq!(accepted.version, "0.1.0");
    }

    #[test]
    fn an_import_that_was_not_granted_is_named() {
        let text = refusal(&["wasi:sockets/tcp@0.2.6"], &[OURS]);
        assert_eq!(
            text,
            "it imports wasi:sockets/tcp@0.2.6, which was not granted"
        );
        assert!(refusal(&["wasi:http/types@0.2.0"], &[OURS]).contains("not granted"));
        assert!(refusal(&["wasi:clocks/wall-clock@0.3.0"], &[OURS]).contains("WASI 0.2"));
    }

    #[test]
    fn uploads_are_granted_by_the_servers_they_go_to() {
        let exports = ["warren:tracer/tracer@0.1.0"];
        let wants = interface(&["warren:tracer/uploads@0.1.0"], &exports);
        let grants = |grant: &str| accept(&wants, &[grant.to_owned()]);
        assert!(grants("http").is_ok());
        assert!(grants("http=collector:4318").is_ok());
        let refused = grants("warren:tracer").expect_err("refused");
        assert!(refused.contains("http=host:port"), "{refused}");
    }

    #[test]
    fn what_is_asked_for_is_told_with_what_is_granted() {
        let wants = interface(
            &[
                "warren:exchange/message@0.1.0",
                "wasi:io/poll@0.2.6",
                "warren:plugin/state@0.1.0",
                "wasi:sockets/tcp@0.2.6",
            ],
            &[OURS],
        );
        let told = granted(
            &asked(&wants),
            &["warren:plugin".to_owned(), "wasi".to_owned()],
        );
        let told: Vec<_> = told
            .iter()
            .map(|asked| (asked.import.as_str(), asked.granted))
            .collect();
        let expected = [
            ("warren:plugin/state@0.1.0", true),
            ("wasi:sockets/tcp@0.2.6", false),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_grant_says_that_nothing_is_behind_it_yet() {
        let wants = interface(&["wasi:sockets/tcp@0.2.6"], &[OURS]);
        let text = accept(&wants, &["wasi:sockets".to_owned()]).expect_err("refused");
        assert!(text.contains("nothing behind it"), "{text}");
    }

    #[test]
    fn other_versions_and_kinds_are_explained() {
        let newer = refusal(&[], &["warren:exchange/exchange-type@0.2.0"]);
        assert!(newer.contains("built against warren:exchange@0.2.0"));
        let service = refusal(&[], &["warren:service/service@0.1.0"]);
        assert!(service.contains("another kind of plugin"));
        let nothing = refusal(&[], &[]);
        assert!(nothing.contains("does not export"));
    }

    #[test]
    fn what_is_no_component_is_refused_with_its_kind() {
        let kind = |bytes: &[u8]| parse(bytes).expect_err("refused");
        assert!(kind(b"").contains("0 bytes"));
        assert!(kind(b"#!/bin/sh\n").contains("not a WebAssembly file"));
        assert!(kind(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert!(kind(b"\0asm\x0d\0\x01\0\x07\xff").contains("not a valid component"));
    }
}
