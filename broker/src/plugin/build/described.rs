//! The manifest that a plugin's author writes: `plugin.toml` in its folder, and what Cargo knows. Not
//! what becomes of it in the component (see `plugin::manifest`).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::super::manifest::{Key, Manifest};

const FILE: &str = "plugin.toml";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Of an exchange type without.
    #[serde(default)]
    kind: Kind,
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    parameters: Vec<String>,
    #[serde(default)]
    configuration: BTreeMap<String, Key>,
}

/// Which contract a plugin is built against. In Rust its crate says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Exchange,
    Interceptor,
    Service,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Exchange, Kind::Interceptor, Kind::Service];

    /// As on the command line, and in `plugin.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Exchange => "exchange",
            Kind::Interceptor => "interceptor",
            Kind::Service => "service",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What is said of a plugin where its `plugin.toml` says nothing.
pub struct Otherwise<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub description: &'a str,
}

pub fn kind(folder: &Path) -> Result<Kind> {
    Ok(written(folder)?.kind)
}

fn written(folder: &Path) -> Result<Written> {
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("{}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Written::default()),
        Err(error) => Err(error).with_context(|| format!("{}", path.display())),
    }
}

pub fn manifest(folder: &Path, otherwise: &Otherwise<'_>) -> Result<Manifest> {
    let written = written(folder)?;
    let or =
        |written: Option<String>, otherwise: &str| written.unwrap_or_else(|| otherwise.to_owned());
    Ok(Manifest {
        name: or(written.name, otherwise.name),
        version: or(written.version, otherwise.version),
        description: or(written.description, otherwise.description),
        parameters: written.parameters,
        configuration: written.configuration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_author_wrote_goes_before_what_is_known_otherwise() {
        let text =
            "version = \"2.0.0\"\n[configuration.unit]\ntype = \"string\"\ndefault = \"km\"\n";
        let folder = std::env::temp_dir().join(format!("warren-described-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(FILE), text).expect("writes");
        let otherwise = Otherwise {
            name: "geo",
            version: "0.1.0",
            description: "",
        };
        let found = manifest(&folder, &otherwise).expect("reads");
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("geo", "2.0.0")
        );
        assert!(found.configuration.contains_key("unit"));
        std::fs::write(folder.join(FILE), "versoin = 1").expect("writes");
        let wrong = manifest(&folder, &otherwise).expect_err("unknown key");
        assert!(format!("{wrong:#}").contains("versoin"), "{wrong:#}");
        std::fs::remove_dir_all(&folder).expect("removes");
    }
}
