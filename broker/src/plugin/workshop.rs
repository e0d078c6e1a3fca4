//! Where bytes become plugins: engines, the cache of compiled components, and whose types are whose
//! when their plugin is away. One caller at a time. Not which plugins there are (see `host`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;

use super::cache::Cache;
use super::check::OWN_GRANTS;
use super::compile::{Elsewhere, EngineKind};
use super::component::{Loader, Part};
use super::engine::{Relief, Ticker, new_engine};
use super::entry::InForce;
use super::keeping::Keeper;
use super::limits::{Limits, PluginSettings};
use super::one_plugin::{Plugin, Record};
use super::state::Surroundings;
use super::tracer::{TraceFiles, Tracer, Uploads};
use crate::clock::Clock;

pub(super) struct Workshop {
    defaults: Limits,
    clock: Arc<dyn Clock>,
    cache: Option<Cache>,
    compiler: Option<PathBuf>,
    ticker: Result<Arc<Ticker>, String>,
    /// By stack size.
    engines: BTreeMap<usize, Engine>,
    /// Type to plugin, of all that were ever loaded from this folder: what an exchange does whose
    /// plugin is away is its plugin's setting.
    owners: BTreeMap<String, String>,
    files: Arc<TraceFiles>,
    node: String,
}

impl Workshop {
    pub fn new(
        folder: &Path,
        compiler: Option<PathBuf>,
        defaults: Limits,
        (files, node): (&Arc<TraceFiles>, &str),
        (clock, relief): (Arc<dyn Clock>, Relief),
    ) -> Workshop {
        let cache = Cache::open(folder)
            .inspect_err(|error| {
                let folder = folder.display();
                tracing::warn!(%error, %folder, "plugins are compiled anew at every start");
            })
            .ok();
        let ticker = Ticker::start(relief)
            .map(Arc::new)
            .map_err(|error| format!("the thread that ends plugin calls does not start: {error}"));
        Workshop {
            owners: cache.as_ref().map(Cache::owners).unwrap_or_default(),
            defaults,
            clock,
            cache,
            compiler,
            ticker,
            engines: BTreeMap::new(),
            files: Arc::clone(files),
            node: node.to_owned(),
        }
    }

    /// An error is the reason for the refusal.
    pub fn load(
        &mut self,
        name: &str,
        settings: &PluginSettings,
        bytes: &[u8],
        record: &Record,
        builtin: bool,
    ) -> Result<InForce, String> {
        let limits = settings.limits(&self.defaults);
        let ticker = self.ticker.clone()?;
        let engine = self.engine(limits.stack, &ticker)?;
        // What is part of the broker needs no word of the operator.
        let own = OWN_GRANTS.map(str::to_owned);
        let loader = Loader {
            engine: &engine,
            ticker: &ticker,
            cache: self.cache.as_ref(),
            elsewhere: self.compiler.clone().map(|program| Elsewhere {
                program,
                kind: EngineKind::Calls,
                stack: limits.stack,
            }),
            limits,
            grants: if builtin { &own } else { &settings.grants },
            config: &settings.config,
            surroundings: Surroundings {
                clock: Arc::clone(&self.clock),
                log: Arc::clone(&record.log),
                exchange: Arc::from(""),
                keeper: Keeper::of_nothing(),
            },
            node: &self.node,
        };
        let clock = Arc::clone(&self.clock);
        let record = record.clone();
        Ok(match loader.load(bytes)? {
            Part::Exchange(loaded, description) => {
                let plugin = Plugin::new(name, *loaded, description, clock, record);
                InForce::Exchange(Arc::new(plugin))
            }
            Part::Interceptor(loaded, description) => {
                let plugin = Plugin::new(name, *loaded, description, clock, record);
                InForce::Interceptor(Arc::new(plugin))
            }
            Part::Tracer(loaded) => {
                record.log.limit_to(loaded.limits.log_lines);
                InForce::Tracer(Arc::new(Tracer {
                    name: name.to_owned(),
                    uploads: Uploads::new(name, loaded.hosts.clone()),
                    loaded: *loaded,
                    record,
                    clock,
                    line: Arc::default(),
                    files: Arc::clone(&self.files),
                }))
            }
        })
    }

    pub fn owners(&self) -> &BTreeMap<String, String> {
        &self.owners
    }

    pub fn remember_owner(&mut self, plugin: &Plugin) {
        let mut new = false;
        for type_name in &plugin.description.types {
            let owner = self.owners.insert(type_name.clone(), plugin.name.clone());
            new |= owner.as_deref() != Some(plugin.name.as_str());
        }
        if new
            && let Some(cache) = &self.cache
            && let Err(error) = cache.keep_owners(&self.owners)
        {
            tracing::warn!(%error, "whose exchange types are whose cannot be kept");
        }
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
