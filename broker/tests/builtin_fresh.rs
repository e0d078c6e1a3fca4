//! The committed components were built from the committed sources. Needs no wasm toolchain,
//! except for the ignored test, which builds them anew.

use std::path::{Path, PathBuf};

use warren::plugin::build;

fn workspace() -> PathBuf {
    let broker = Path::new(env!("CARGO_MANIFEST_DIR"));
    broker.parent().expect("the broker has a workspace").into()
}

fn plugins(workspace: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.join("plugins")).expect("there are plugins");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect()
}

#[test]
fn every_builtin_component_was_built_from_the_committed_source() {
    let workspace = workspace();
    for plugin in plugins(&workspace) {
        let file = workspace.join(format!("broker/builtin/{plugin}.wasm"));
        let component = std::fs::read(&file).expect("every plugin has a committed component");
        let expected = build::source_hash(&workspace, &plugin).expect("sources are readable");
        assert_eq!(
            build::embedded_hash(&component),
            Some(expected),
            "{plugin}: broker/builtin/{plugin}.wasm is stale, build the plugins anew"
        );
    }
}

#[test]
#[ignore = "needs the target wasm32-unknown-unknown; writes broker/builtin"]
fn rebuild() {
    let workspace = workspace();
    let out = workspace.join("broker/builtin");
    for built in build::build_builtin(&workspace, &out).expect("builds") {
        println!("{} {} bytes {}", built.name, built.bytes, built.source_hash);
    }
}
