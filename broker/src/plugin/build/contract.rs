//! Which contract a source in JavaScript or Python is written against. Their tool chains import all
//! that a contract offers, used or not, and a component must be granted what it imports; so it is
//! offered what its source names. Reads sources as text: whether they use a thing well is theirs.

use std::path::Path;

use anyhow::{Context, Result};
use regex::Regex;

use super::described::Kind;

pub const WORLD: &str = "plugin";

#[derive(Clone, Copy, Debug)]
pub enum Wanting {
    JavaScript,
    Python,
}

impl Wanting {
    fn ends_in(self) -> &'static str {
        match self {
            Wanting::JavaScript => "js",
            Wanting::Python => "py",
        }
    }

    /// What a source looks like that imports this interface of this package.
    fn imports(self, package: &str, interface: &str) -> String {
        match self {
            Wanting::JavaScript => format!(r#"["']warren:{package}/{interface}@"#),
            Wanting::Python => {
                format!(r"wit_world\.imports(\.|\s+import\s+(\([^)]*|[^\n]*))\b{interface}\b")
            }
        }
    }

    /// What a source looks like that exports it.
    fn exports(self, export: Export) -> String {
        match self {
            Wanting::JavaScript => {
                let name = match export {
                    Export::Configuration => "configuration",
                    Export::ByKey => "byKey",
                };
                format!(r"(?m)^\s*export\s+((const|let|var|class|function)\s+|\{{[^}}]*\b){name}\b")
            }
            Wanting::Python => {
                let name = match export {
                    Export::Configuration => "Configuration",
                    Export::ByKey => "ByKey",
                };
                format!(r"(?m)^class\s+{name}\b")
            }
        }
    }
}

/// An interface of `warren:plugin` that a component may export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Export {
    Configuration,
    ByKey,
}

impl Export {
    fn interface(self) -> &'static str {
        match self {
            Export::Configuration => "configuration",
            Export::ByKey => "by-key",
        }
    }
}

/// The package with the world to build `folder` against, whose packages are beside it.
pub fn of(folder: &Path, language: Wanting, kind: Kind) -> Result<String> {
    let mut sources = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|end| end == language.ends_in())
        {
            let source = std::fs::read_to_string(&path);
            sources.push_str(&source.with_context(|| format!("{}", path.display()))?);
        }
    }
    match kind {
        Kind::Exchange => exchange(&sources, language),
        Kind::Interceptor => interceptor(&sources, language),
        Kind::Service => service(&sources, language),
    }
}

/// AMQP is granted to nearly all of them.
fn service(sources: &str, language: Wanting) -> Result<String> {
    let mut world = "include warren:service/service-plugin@0.1.0;\n".to_owned();
    if Regex::new(&language.imports("service", "http"))?.is_match(sources) {
        world.push_str("import warren:service/http@0.1.0;\n");
    }
    Ok(package(&world))
}

fn exchange(sources: &str, language: Wanting) -> Result<String> {
    let world = "include warren:exchange/exchange-plugin@0.1.0;\n";
    let exports = [Export::Configuration, Export::ByKey];
    with_named(world, &["state", "history"], &exports, sources, language)
}

/// Nothing is bound to it that a history could be for.
fn interceptor(sources: &str, language: Wanting) -> Result<String> {
    let world = "include warren:interceptor/interceptor-plugin@0.1.0;\n";
    with_named(
        world,
        &["state"],
        &[Export::Configuration],
        sources,
        language,
    )
}

fn with_named(
    world: &str,
    imports: &[&str],
    exports: &[Export],
    sources: &str,
    language: Wanting,
) -> Result<String> {
    let mut world = world.to_owned();
    for interface in imports {
        if Regex::new(&language.imports("plugin", interface))?.is_match(sources) {
            world.push_str(&format!("import warren:plugin/{interface}@0.1.0;\n"));
        }
    }
    for export in exports {
        if Regex::new(&language.exports(*export))?.is_match(sources) {
            let interface = export.interface();
            world.push_str(&format!("export warren:plugin/{interface}@0.1.0;\n"));
        }
    }
    Ok(package(&world))
}

fn package(world: &str) -> String {
    format!("package warren:built;\nworld {WORLD} {{\n{world}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(source: &str, language: Wanting) -> [bool; 3] {
        let world = exchange(source, language).expect("reads");
        ["plugin/state", "plugin/history", "plugin/configuration"].map(|name| world.contains(name))
    }

    #[test]
    fn a_service_is_offered_http_where_it_names_it() {
        let offered = |source: &str, language| {
            let world = service(source, language).expect("reads");
            world.contains("import warren:service/http@0.1.0;")
        };
        let js = "import { send } from \"warren:service/http@0.1.0\";";
        assert!(offered(js, Wanting::JavaScript));
        assert!(!offered(
            "import \"warren:service/host@0.1.0\"",
            Wanting::JavaScript
        ));
        let python = "from wit_world.imports import amqp, http\n";
        assert!(offered(python, Wanting::Python));
        assert!(!offered(
            "from wit_world.imports import amqp\n",
            Wanting::Python
        ));
    }

    #[test]
    fn a_source_that_answers_by_key_exports_it_and_an_interceptor_does_not() {
        for (source, language) in [
            ("export const byKey = {", Wanting::JavaScript),
            ("class ByKey(exports.ByKey):\n", Wanting::Python),
        ] {
            let export = "export warren:plugin/by-key@0.1.0;";
            assert!(exchange(source, language).expect("reads").contains(export));
            assert!(
                !interceptor(source, language)
                    .expect("reads")
                    .contains(export)
            );
        }
        let other = exchange("const byKey = {", Wanting::JavaScript).expect("reads");
        assert!(!other.contains("by-key"));
    }

    #[test]
    fn a_source_is_offered_what_it_names() {
        for (source, expected) in [
            (
                "import { get } from \"warren:plugin/state@0.1.0\";",
                [true, false, false],
            ),
            (
                "import * as h from 'warren:plugin/history@0.1.0'",
                [false, true, false],
            ),
            ("export const configuration = {", [false, false, true]),
            (
                "export { exchangeType, configuration };",
                [false, false, true],
            ),
            (
                "export const exchangeType = { configuration: [] }; // state, history",
                [false; 3],
            ),
        ] {
            assert_eq!(offered(source, Wanting::JavaScript), expected, "{source}");
        }
        for (source, expected) in [
            (
                "from wit_world.imports import message, state\n",
                [true, false, false],
            ),
            (
                "from wit_world.imports import (\n  message,\n  history,\n)\n",
                [false, true, false],
            ),
            ("import wit_world.imports.state\n", [true, false, false]),
            (
                "class Configuration(exports.Configuration):\n",
                [false, false, true],
            ),
            (
                "from wit_world.imports import message\nstate = history = 1\n",
                [false; 3],
            ),
        ] {
            assert_eq!(offered(source, Wanting::Python), expected, "{source}");
        }
    }
}
