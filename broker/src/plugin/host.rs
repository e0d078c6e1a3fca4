//! All plugins of a broker: which files are loaded, which type belongs to which plugin.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;

use super::cache::Cache;
use super::component::Loader;
use super::engine::{Ticker, new_engine};
use super::instance::Instance;
use super::limits::{MAX_COMPONENT_BYTES, PluginOptions, PluginSettings};
use super::one_plugin::Plugin;
use super::plugin_log::PluginLog;
use super::state::Surroundings;
use super::status::{LoadReport, Outcome, PluginState, PluginStatus};
use crate::clock::Clock;
use crate::vhost::exchange_type::{ExchangeTypes, OpenRefusal, Opened, Opening};

pub struct PluginHost {
    by_type: HashMap<String, Arc<Plugin>>,
    entries: Vec<Entry>,
}

enum Entry {
    Loaded(Arc<Plugin>),
    Disabled { name: String },
    Refused { name: String, reason: String },
}

impl PluginHost {
    /// `builtin` are names with their components; every `*.wasm` in `directory` is one more plugin
    /// with the name of its file. What cannot be loaded is reported and left out.
    pub fn load(
        options: PluginOptions,
        builtin: &[(&str, &[u8])],
        directory: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> (Arc<PluginHost>, Vec<LoadReport>) {
        let mut loading = Loading::new(options, clock);
        for (name, bytes) in builtin {
            loading.add(name, || Ok(bytes.to_vec()));
        }
        for path in directory.map(components_in).unwrap_or_default() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            loading.add(&name, || read_component(&path));
        }
        let reports = loading.entries.iter().map(Entry::report).collect();
        let host = PluginHost {
            by_type: loading.by_type,
            entries: loading.entries,
        };
        (Arc::new(host), reports)
    }

    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.entries.iter().map(Entry::status).collect()
    }

    /// The enabled types, sorted, each with the name of its plugin.
    pub fn types(&self) -> Vec<(String, String)> {
        let mut types: Vec<_> = self
            .by_type
            .iter()
            .map(|(name, plugin)| (name.clone(), plugin.name.clone()))
            .collect();
        types.sort();
        types
    }

    /// Whether a type wants the whole message once under sender-selected distribution.
    pub fn wants_whole_message(&self, type_name: &str) -> bool {
        self.by_type
            .get(type_name)
            .is_some_and(|plugin| plugin.description.whole_message)
    }
}

impl ExchangeTypes for PluginHost {
    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenRefusal> {
        let plugin = self
            .by_type
            .get(opening.type_name)
            .ok_or(OpenRefusal::UnknownType)?;
        let (instance, inner_type) = Instance::open(plugin, opening)?;
        Ok(Opened {
            instance,
            inner_type,
        })
    }
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Entry::Loaded(plugin) => &plugin.name,
            Entry::Disabled { name } | Entry::Refused { name, .. } => name,
        }
    }

    fn report(&self) -> LoadReport {
        let (version, types, outcome) = match self {
            Entry::Loaded(plugin) => (
                Some(plugin.loaded.version.clone()),
                plugin.description.types.clone(),
                Outcome::Loaded,
            ),
            Entry::Disabled { .. } => (None, Vec::new(), Outcome::Disabled),
            Entry::Refused { reason, .. } => (None, Vec::new(), Outcome::Refused(reason.clone())),
        };
        LoadReport {
            name: self.name().to_owned(),
            version,
            types,
            outcome,
        }
    }

    fn status(&self) -> PluginStatus {
        match self {
            Entry::Loaded(plugin) => plugin.status(),
            Entry::Disabled { name } => PluginStatus::new(name, PluginState::Disabled),
            Entry::Refused { name, reason } => PluginStatus::new(
                name,
                PluginState::Refused {
                    reason: reason.clone(),
                },
            ),
        }
    }
}

/// The host while it is being put together.
struct Loading {
    options: PluginOptions,
    clock: Arc<dyn Clock>,
    cache: Option<Cache>,
    ticker: Result<Arc<Ticker>, String>,
    /// By stack size.
    engines: BTreeMap<usize, Engine>,
    by_type: HashMap<String, Arc<Plugin>>,
    entries: Vec<Entry>,
}

impl Loading {
    fn new(options: PluginOptions, clock: Arc<dyn Clock>) -> Loading {
        let cache = Cache::open(&options.cache_dir)
            .inspect_err(|error| {
                let folder = options.cache_dir.display();
                tracing::warn!(%error, %folder, "plugins are compiled anew at every start");
            })
            .ok();
        let ticker = Ticker::start()
            .map(Arc::new)
            .map_err(|error| format!("the thread that ends plugin calls does not start: {error}"));
        Loading {
            options,
            clock,
            cache,
            ticker,
            engines: BTreeMap::new(),
            by_type: HashMap::new(),
            entries: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, bytes: impl FnOnce() -> Result<Vec<u8>, String>) {
        let settings = self.options.plugins.get(name).cloned().unwrap_or_default();
        let entry = if self.entries.iter().any(|entry| entry.name() == name) {
            Entry::Refused {
                name: name.to_owned(),
                reason: format!("there is a built-in plugin named {name:?}: rename the file"),
            }
        } else if !settings.enabled {
            Entry::Disabled {
                name: name.to_owned(),
            }
        } else {
            match bytes().and_then(|bytes| self.load(name, &settings, &bytes)) {
                Ok(plugin) => Entry::Loaded(plugin),
                Err(reason) => {
                    tracing::error!(plugin = name, reason, "plugin refused");
                    Entry::Refused {
                        name: name.to_owned(),
                        reason,
                    }
                }
            }
        };
        self.entries.push(entry);
    }

    fn load(
        &mut self,
        name: &str,
        settings: &PluginSettings,
        bytes: &[u8],
    ) -> Result<Arc<Plugin>, String> {
        let limits = settings.limits(&self.options.defaults);
        let ticker = self.ticker.clone()?;
        let engine = self.engine(limits.stack, &ticker)?;
        let surroundings = Surroundings {
            clock: Arc::clone(&self.clock),
            log: Arc::new(PluginLog::new(name)),
            exchange: Arc::from(""),
        };
        let loader = Loader {
            engine: &engine,
            ticker: &ticker,
            cache: self.cache.as_ref(),
            limits,
            grants: &settings.grants,
            surroundings: surroundings.clone(),
        };
        let (loaded, description) = loader.load(bytes)?;
        for type_name in &description.types {
            if let Some(other) = self.by_type.get(type_name) {
                let other = &other.name;
                return Err(format!(
                    "the exchange type {type_name:?} belongs to the plugin {other:?} already: \
                     disable either {other:?} or {name:?}"
                ));
            }
        }
        let configuration = settings.configuration();
        let plugin = Plugin::new(name, loaded, description, configuration, surroundings);
        let plugin = Arc::new(plugin);
        for type_name in &plugin.description.types {
            self.by_type.insert(type_name.clone(), Arc::clone(&plugin));
        }
        Ok(plugin)
    }

    fn engine(&mut self, stack: usize, ticker: &Ticker) -> Result<Engine, String> {
        if let Some(engine) = self.engines.get(&stack) {
            return Ok(engine.clone());
        }
        let engine = new_engine(stack)
            .map_err(|error| format!("no engine with a stack of {stack} bytes: {error}"))?;
        ticker.add(&engine);
        self.engines.insert(stack, engine.clone());
        Ok(engine)
    }
}

/// Sorted, so that of two plugins with one type it is always the same one that is refused.
fn components_in(directory: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            // There need not be such a folder.
            tracing::debug!(%error, folder = %directory.display(), "no plugin folder");
            return Vec::new();
        }
    };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    paths.sort();
    paths
}

fn read_component(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_COMPONENT_BYTES {
        return Err(format!(
            "{} has {length} bytes; a plugin may have {MAX_COMPONENT_BYTES}",
            path.display()
        ));
    }
    fs::read(path).map_err(unreadable)
}
