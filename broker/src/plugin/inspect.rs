//! What one component is, for its author and for whoever is to trust it: its contract, what it
//! imports, its types and what they understand. Nothing of a broker that runs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::bindings::exports::warren::exchange::exchange_type as exchange;
use super::cache::Cache;
use super::check::{self, Interface, Kind, OWN_GRANTS};
use super::component::{Loader, Part};
use super::engine::{Ticker, new_engine, no_relief};
use super::keeping::Keeper;
use super::limits::{DEFAULT_STACK, Limits};
use super::manifest::Manifest;
use super::plugin_log::PluginLog;
use super::state::Surroundings;
use super::tracer::described as described_tracer;
use crate::clock::SystemClock;

/// What a component says of itself.
#[derive(Default)]
pub(super) struct Described {
    pub summary: String,
    /// Of exchanges.
    pub types: Vec<String>,
    pub arguments: Vec<(String, String)>,
    pub configuration: Vec<(String, String)>,
    /// What a tracer is told of.
    pub told: Option<String>,
}

struct Loadable {
    kind: Kind,
    version: String,
    description: Described,
}

pub struct Inspected {
    interface: Interface,
    loaded: Option<Loadable>,
    manifest: Option<Manifest>,
    /// Why no broker would load it.
    pub refused: Option<String>,
}

/// Loads the component as a broker that grants everything would, with defaults for configuration.
/// Without a folder for what was compiled before, it is compiled anew.
pub fn inspect(name: &str, bytes: &[u8], compiled: Option<&Path>) -> Inspected {
    let mut inspected = Inspected {
        interface: Interface::default(),
        loaded: None,
        manifest: None,
        refused: None,
    };
    match check::parse(bytes) {
        Ok(interface) => inspected.interface = interface,
        Err(reason) => {
            inspected.refused = Some(reason);
            return inspected;
        }
    }
    match Manifest::of(bytes) {
        Ok(manifest) => inspected.manifest = manifest,
        Err(reason) => {
            inspected.refused = Some(reason);
            return inspected;
        }
    }
    match load(name, bytes, compiled) {
        Ok(loaded) => inspected.loaded = Some(loaded),
        Err(reason) => inspected.refused = Some(reason),
    }
    inspected
}

fn load(name: &str, bytes: &[u8], compiled: Option<&Path>) -> Result<Loadable, String> {
    let cache = compiled.and_then(|folder| Cache::open(folder).ok());
    let engine = new_engine(DEFAULT_STACK).map_err(|error| error.to_string())?;
    let ticker = Ticker::start(no_relief()).map_err(|error| error.to_string())?;
    ticker.add(&engine);
    let loader = Loader {
        engine: &engine,
        ticker: &Arc::new(ticker),
        cache: cache.as_ref(),
        elsewhere: None,
        limits: Limits::default(),
        grants: &OWN_GRANTS.map(str::to_owned),
        config: &serde_json::Value::Null,
        surroundings: Surroundings {
            clock: Arc::new(SystemClock),
            log: Arc::new(PluginLog::new(name)),
            exchange: Arc::from(""),
            keeper: Keeper::of_nothing(),
        },
        node: "inspect",
    };
    Ok(match loader.load(bytes)? {
        Part::Exchange(loaded, description) => Loadable {
            kind: Kind::Exchange,
            version: loaded.version,
            description: described(description),
        },
        Part::Interceptor(loaded, description) => Loadable {
            kind: Kind::Interceptor,
            version: loaded.version,
            description: described(description),
        },
        Part::Tracer(loaded) => Loadable {
            kind: Kind::Tracer,
            version: loaded.version.clone(),
            description: described_tracer(&loaded),
        },
    })
}

fn described(description: exchange::Description) -> Described {
    let pairs = |list: Vec<exchange::Argument>| {
        let list = list.into_iter();
        list.map(|argument| (argument.name, argument.summary))
            .collect()
    };
    Described {
        summary: description.summary,
        types: description.types,
        arguments: pairs(description.arguments),
        configuration: pairs(description.configuration),
        told: None,
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.refused, &self.loaded) {
            (Some(reason), _) => writeln!(out, "refused: {reason}")?,
            (None, Some(Loadable { kind, version, .. })) => {
                let kind = kind.name();
                writeln!(out, "{kind} plugin, warren:{kind}@{version}")?;
            }
            (None, None) => {}
        }
        if let Some(manifest) = &self.manifest {
            write!(out, "{manifest}")?;
        }
        if let Some(Loadable { description, .. }) = &self.loaded {
            writeln!(out, "summary: {}", description.summary)?;
            if !description.types.is_empty() {
                writeln!(out, "types: {}", description.types.join(", "))?;
            }
            if let Some(told) = &description.told {
                writeln!(out, "is told of: {told}")?;
            }
            named(out, "argument", &description.arguments)?;
            // With types and defaults where there is a manifest.
            if !self.has_keys() {
                named(out, "configuration", &description.configuration)?;
            }
        }
        for import in &self.interface.imports {
            match check::is_granted_only(import) {
                true => writeln!(out, "imports {import}, which must be granted")?,
                false => writeln!(out, "imports {import}")?,
            }
        }
        for export in &self.interface.exports {
            writeln!(out, "exports {export}")?;
        }
        Ok(())
    }
}

impl Inspected {
    fn has_keys(&self) -> bool {
        let manifest = self.manifest.as_ref();
        manifest.is_some_and(|manifest| !manifest.configuration.is_empty())
    }
}

fn named(out: &mut fmt::Formatter<'_>, kind: &str, list: &[(String, String)]) -> fmt::Result {
    for (name, summary) in list {
        writeln!(out, "{kind} {name}: {summary}")?;
    }
    Ok(())
}
