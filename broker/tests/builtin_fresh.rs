//! The committed components were built from the committed sources. Needs no wasm toolchain,
//! except for the ignored test, which builds them anew.

use std::path::{Path, PathBuf};

use warren::plugin::build;

/// Components for tests, and the crates that they come from.
const FIXTURES: [(&str, &str); 10] = [
    ("fault", "tests/fault-plugin"),
    ("exact", "examples/exact-exchange"),
    ("rate-limit", "examples/rate-limit"),
    ("fault-interceptor", "tests/fault-interceptor"),
    ("fault-service", "tests/fault-service"),
    ("fault-tracer", "tests/fault-tracer"),
    ("gate", "examples/gate"),
    ("schema-check", "examples/schema-check"),
    ("size-quota", "examples/size-quota"),
    ("stamp", "examples/stamp"),
];

/// Names of one length, so that a component with the one in place of the other stays well-formed.
const RENAMED: [(&str, &str, &str); 4] = [
    (
        "imports-sockets",
        "warren:exchange/host@0.1.0",
        "wasi:sockets/network@0.2.0",
    ),
    (
        "imports-unknown",
        "warren:exchange/host@0.1.0",
        "acme:secrets/vaulted@1.0.0",
    ),
    (
        "exports-nothing",
        "warren:exchange/exchange-type@0.1.0",
        "warren:exchange/exchange-none@0.1.0",
    ),
    (
        "other-version",
        "warren:exchange/exchange-type@0.1.0",
        "warren:exchange/exchange-type@0.9.0",
    ),
];

fn workspace() -> PathBuf {
    let broker = Path::new(env!("CARGO_MANIFEST_DIR"));
    broker.parent().expect("the broker has a workspace").into()
}

fn fixture(name: &str) -> PathBuf {
    workspace().join(format!("tests/fixtures/{name}.wasm"))
}

fn plugins(workspace: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.join("plugins")).expect("there are plugins");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    names.collect()
}

fn assert_fresh(file: &Path, crate_dir: &Path) {
    let component = std::fs::read(file).expect("every plugin has a committed component");
    let hash = build::source_hash_of(&workspace(), crate_dir).expect("sources are readable");
    assert_eq!(
        build::embedded_hash(&component),
        Some(hash),
        "{} was not built from the source beside it: build the plugins anew",
        file.display()
    );
}

/// `exact` with one name in place of another.
fn renamed(exact: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut component = exact.to_vec();
    for at in 0..=component.len() - from.len() {
        if component[at..].starts_with(from.as_bytes()) {
            component[at..at + from.len()].copy_from_slice(to.as_bytes());
        }
    }
    component
}

#[test]
fn every_builtin_component_was_built_from_the_committed_source() {
    let workspace = workspace();
    for plugin in plugins(&workspace) {
        let file = workspace.join(format!("broker/builtin/{plugin}.wasm"));
        assert_fresh(&file, &workspace.join("plugins").join(&plugin));
    }
}

#[test]
fn no_builtin_component_is_left_over_from_a_plugin_that_is_gone() {
    let plugins = plugins(&workspace());
    for entry in std::fs::read_dir(workspace().join("broker/builtin")).expect("a folder") {
        let path = entry.expect("readable").path();
        let stem = path.file_stem().expect("a name").to_string_lossy();
        assert!(plugins.iter().any(|plugin| *plugin == stem), "{stem}");
    }
}

#[test]
fn every_fixture_was_built_from_the_committed_source() {
    for (name, crate_dir) in FIXTURES {
        assert_fresh(&fixture(name), &workspace().join(crate_dir));
    }
    let exact = std::fs::read(fixture("exact")).expect("committed");
    for (name, from, to) in RENAMED {
        let committed = std::fs::read(fixture(name)).expect("committed");
        assert!(committed == renamed(&exact, from, to), "{name} is stale");
    }
    let truncated = std::fs::read(fixture("truncated")).expect("committed");
    assert!(exact.starts_with(&truncated) && truncated.len() < exact.len());
    let module = std::fs::read(fixture("core-module")).expect("committed");
    assert!(module.starts_with(b"\0asm\x01\0\0\0"));
}

#[test]
fn no_component_names_a_folder_of_the_machine_that_built_it() {
    for folder in [
        "broker/builtin",
        "tests/fixtures",
        "tests/fixtures/released",
    ] {
        for entry in std::fs::read_dir(workspace().join(folder)).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                continue;
            }
            let component = std::fs::read(&path).expect("readable");
            for trace in ["/home/", "/root/", "/Users/", ".cargo", ".rustup", ":\\"] {
                let found = component
                    .windows(trace.len())
                    .any(|part| part == trace.as_bytes());
                assert!(!found, "{} holds {trace}", path.display());
            }
        }
    }
}

#[test]
#[ignore = "needs the target wasm32-unknown-unknown; writes broker/builtin and tests/fixtures"]
fn rebuild() {
    let workspace = workspace();
    let out = workspace.join("broker/builtin");
    for built in build::build_builtin(&workspace, &out).expect("builds") {
        println!("{} {} bytes {}", built.name, built.bytes, built.source_hash);
    }
    for (name, crate_dir) in FIXTURES {
        build::build_as(&workspace.join(crate_dir), &fixture(name)).expect("builds");
    }
    let exact = std::fs::read(fixture("exact")).expect("just written");
    for (name, from, to) in RENAMED {
        let component = renamed(&exact, from, to);
        wit_component::decode(&component).expect("stays well-formed");
        std::fs::write(fixture(name), component).expect("writable");
    }
    std::fs::write(fixture("truncated"), &exact[..exact.len() / 2]).expect("writable");
    let module = build::core_module(&workspace.join("examples/exact-exchange")).expect("builds");
    std::fs::write(fixture("core-module"), module).expect("writable");
}
