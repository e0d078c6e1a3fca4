//! What the templates of `warren plugin new` are made of: the examples, the contracts, and the SDK of
//! Rust, which is in no registry. Which of it goes where is decided in the module above.

/// With the contracts that they are written against.
pub const SDK: [(&str, &str); 18] = [
    (
        "answer.rs",
        include_str!("../../../../plugin-sdk/src/answer.rs"),
    ),
    (
        "bench.rs",
        include_str!("../../../../plugin-sdk/src/bench.rs"),
    ),
    (
        "by_key.rs",
        include_str!("../../../../plugin-sdk/src/by_key.rs"),
    ),
    (
        "component.rs",
        include_str!("../../../../plugin-sdk/src/component.rs"),
    ),
    (
        "erlang.rs",
        include_str!("../../../../plugin-sdk/src/erlang.rs"),
    ),
    (
        "exchange.rs",
        include_str!("../../../../plugin-sdk/src/exchange.rs"),
    ),
    (
        "field.rs",
        include_str!("../../../../plugin-sdk/src/field.rs"),
    ),
    (
        "host.rs",
        include_str!("../../../../plugin-sdk/src/host.rs"),
    ),
    (
        "interceptor.rs",
        include_str!("../../../../plugin-sdk/src/interceptor.rs"),
    ),
    (
        "interceptor_component.rs",
        include_str!("../../../../plugin-sdk/src/interceptor_component.rs"),
    ),
    (
        "keep.rs",
        include_str!("../../../../plugin-sdk/src/keep.rs"),
    ),
    ("lib.rs", include_str!("../../../../plugin-sdk/src/lib.rs")),
    (
        "message.rs",
        include_str!("../../../../plugin-sdk/src/message.rs"),
    ),
    (
        "properties.rs",
        include_str!("../../../../plugin-sdk/src/properties.rs"),
    ),
    (
        "tracer.rs",
        include_str!("../../../../plugin-sdk/src/tracer.rs"),
    ),
    (
        "tracer_bench.rs",
        include_str!("../../../../plugin-sdk/src/tracer_bench.rs"),
    ),
    (
        "tracer_component.rs",
        include_str!("../../../../plugin-sdk/src/tracer_component.rs"),
    ),
    (
        "write.rs",
        include_str!("../../../../plugin-sdk/src/write.rs"),
    ),
];

/// What the SDK of services takes from the other one.
pub const SHARED_SDK: [&str; 3] = ["field.rs", "properties.rs", "write.rs"];

pub const SERVICE_SDK: [(&str, &str); 4] = [
    (
        "lib.rs",
        include_str!("../../../../plugin-sdk/service/src/lib.rs"),
    ),
    (
        "parameter.rs",
        include_str!("../../../../plugin-sdk/service/src/parameter.rs"),
    ),
    (
        "shown.rs",
        include_str!("../../../../plugin-sdk/service/src/shown.rs"),
    ),
    (
        "web.rs",
        include_str!("../../../../plugin-sdk/service/src/web.rs"),
    ),
];

/// Exchange types.
pub mod exact {
    pub const ROUTES: &str = include_str!("../../../../examples/routes.toml");
    pub const RUST: &str = include_str!("../../../../examples/exact-exchange/src/lib.rs");
    pub const C: &str = include_str!("../../../../examples/exact-c/plugin.c");
    pub const ZIG: &str = include_str!("../../../../examples/exact-zig/plugin.zig");
    pub const ASSEMBLYSCRIPT: &str =
        include_str!("../../../../examples/exact-assemblyscript/plugin.ts");
    pub const ASSEMBLYSCRIPT_PACKAGE: &str =
        include_str!("../../../../examples/exact-assemblyscript/package.json");
    pub const JAVASCRIPT: &str = include_str!("../../../../examples/exact-javascript/plugin.js");
    pub const JAVASCRIPT_PACKAGE: &str =
        include_str!("../../../../examples/exact-javascript/package.json");
    pub const PYTHON: &str = include_str!("../../../../examples/exact-python/plugin.py");
    pub const GO: &str = include_str!("../../../../examples/exact-go/plugin.go");
    pub const GO_MODULE: &str = include_str!("../../../../examples/exact-go/go.mod");
}

/// Interceptors.
pub mod gate {
    pub const ROUTES: &str = include_str!("../../../../examples/gate/routes.toml");
    pub const RUST: &str = include_str!("../../../../examples/gate/src/lib.rs");
    pub const RUST_DESCRIPTION: &str = include_str!("../../../../examples/gate/plugin.toml");
    pub const JAVASCRIPT: &str = include_str!("../../../../examples/gate-javascript/plugin.js");
    pub const JAVASCRIPT_PACKAGE: &str =
        include_str!("../../../../examples/gate-javascript/package.json");
    pub const JAVASCRIPT_DESCRIPTION: &str =
        include_str!("../../../../examples/gate-javascript/plugin.toml");
    pub const PYTHON: &str = include_str!("../../../../examples/gate-python/plugin.py");
    pub const PYTHON_DESCRIPTION: &str =
        include_str!("../../../../examples/gate-python/plugin.toml");
}

/// Services.
pub mod bridge {
    pub const RUST: &str = include_str!("../../../../examples/bridge/src/lib.rs");
    pub const RUST_DESCRIPTION: &str = include_str!("../../../../examples/bridge/plugin.toml");
    pub const JAVASCRIPT: &str = include_str!("../../../../examples/bridge-javascript/plugin.js");
    pub const JAVASCRIPT_PACKAGE: &str =
        include_str!("../../../../examples/bridge-javascript/package.json");
    pub const JAVASCRIPT_DESCRIPTION: &str =
        include_str!("../../../../examples/bridge-javascript/plugin.toml");
    pub const PYTHON: &str = include_str!("../../../../examples/bridge-python/plugin.py");
    pub const PYTHON_DESCRIPTION: &str =
        include_str!("../../../../examples/bridge-python/plugin.toml");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_new_plugin_gets_every_file_of_the_sdk_but_its_tests() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (folder, given) in [
            ("plugin-sdk/src", &SDK[..]),
            ("plugin-sdk/service/src", &SERVICE_SDK[..]),
        ] {
            let entries = std::fs::read_dir(root.join(folder)).expect("sources");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            let names = names.map(|name| name.into_string().expect("a name"));
            let mut there: Vec<String> = names.filter(|name| name != "tests.rs").collect();
            there.sort();
            let given: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
            assert_eq!(there, given, "{folder}");
        }
        let (_, service) = SERVICE_SDK[0];
        let taken = service.lines().filter_map(|line| {
            let path = line.strip_prefix("#[path = \"../../src/")?;
            path.strip_suffix("\"]")
        });
        assert_eq!(taken.collect::<Vec<_>>(), SHARED_SDK);
    }
}
