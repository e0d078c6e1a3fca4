//! All plugins of a broker, and how one comes, goes or changes while it runs. Which files and
//! settings that follows is decided elsewhere (see `door`).

mod fronts;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::builtin::{OFF, ON_DEMAND};
use super::check;
use super::entry::{Entry, InForce, Phase, Source};
use super::folder;
use super::interceptor;
use super::limits::{Limits, PluginOptions, PluginSettings};
use super::one_plugin::{Plugin, Record};
use super::plugin_log::LogLine;
use super::service::{self, Services};
use super::status::{LoadReport, PluginKind, PluginStatus, RolledBack};
use super::tracer::{TraceFiles, Watchmen};
use super::type_table::TypeTable;
use super::workshop::Workshop;
use crate::clock::Clock;
use crate::vhost::exchange_type::{
    ExchangeTypes, Interception, OpenRefusal, Opened, Opening, Unavailable,
};
use crate::vhost::{Broker, Loss, Renewed};
use crate::web::Reach;
use fronts::standings;

pub struct PluginHost {
    /// What exchanges are opened by. Replaced as a whole.
    table: RwLock<Arc<TypeTable>>,
    state: Mutex<State>,
    /// Held while a plugin comes, goes or changes: one at a time.
    workshop: Mutex<Workshop>,
    watchmen: Watchmen,
    files: Arc<TraceFiles>,
    clock: Arc<dyn Clock>,
    defaults: Limits,
    services: Arc<Services>,
}

struct State {
    entries: Vec<Entry>,
    /// One for each `[plugins.<name>]`.
    configured: BTreeMap<String, PluginSettings>,
}

impl State {
    fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.name == name)
    }

    /// What it is to be loaded with, if it waits for that.
    fn idle(&mut self, name: &str) -> Option<(PluginSettings, Record)> {
        let entry = self.entry(name)?;
        match entry.phase {
            Phase::Idle => Some((entry.settings.clone(), entry.record.clone())),
            Phase::Loading | Phase::Loaded(_) | Phase::Disabled | Phase::Refused { .. } => None,
        }
    }

    fn settings(&self, name: &str) -> PluginSettings {
        let known = self.entries.iter().find(|entry| entry.name == name);
        match known {
            Some(entry) => entry.settings.clone(),
            None => settings_of(&self.configured, name),
        }
    }
}

fn settings_of(configured: &BTreeMap<String, PluginSettings>, name: &str) -> PluginSettings {
    let otherwise = || PluginSettings {
        enabled: !OFF.contains(&name),
        ..PluginSettings::default()
    };
    configured.get(name).cloned().unwrap_or_else(otherwise)
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
        let files = Arc::new(TraceFiles::new(&options.trace_dir));
        let services = Services::new(
            &options.cache_dir,
            options.compiler.clone(),
            options.defaults.stack,
            Arc::clone(&clock),
        );
        let host = PluginHost {
            defaults: options.defaults.clone(),
            services: Arc::new(services),
            table: RwLock::new(Arc::new(TypeTable {
                standings: standings(&options.plugins),
                ..TypeTable::default()
            })),
            state: Mutex::new(State {
                entries: Vec::new(),
                configured: options.plugins,
            }),
            workshop: Mutex::new(Workshop::new(
                &options.cache_dir,
                options.compiler,
                options.defaults,
                (&files, &options.node),
                (Arc::clone(&clock), options.relief),
            )),
            watchmen: Watchmen::default(),
            files,
            clock,
        };
        for (name, bytes) in builtin {
            let _ = host.put(name, &Source::Builtin(Arc::from(*bytes)), None);
        }
        for (name, path) in directory.map(folder::components).unwrap_or_default() {
            // The reason is in the report.
            let _ = host.put(&name, &Source::File(path), None);
        }
        host.change_types(&host.workshop.lock(), host.table(), &HashSet::new(), None)
            .unwrap_or_default();
        let reports = host.reports();
        (Arc::new(host), reports)
    }

    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    fn reports(&self) -> Vec<LoadReport> {
        self.state
            .lock()
            .entries
            .iter()
            .map(Entry::report)
            .collect()
    }

    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.state
            .lock()
            .entries
            .iter()
            .map(|entry| self.status_of(entry))
            .collect()
    }

    fn status_of(&self, entry: &Entry) -> PluginStatus {
        let mut status = entry.status();
        if status.kind == PluginKind::Service {
            status.version = self.services.version(&entry.name);
        }
        status
    }

    /// The enabled types, sorted, each with the name of its plugin.
    pub fn types(&self) -> Vec<(String, String)> {
        let table = self.table();
        let mut types: Vec<_> = table
            .by_type
            .iter()
            .map(|(name, plugin)| (name.clone(), plugin.name.clone()))
            .collect();
        types.sort();
        types
    }

    fn table(&self) -> TypeTable {
        TypeTable::clone(&self.table.read())
    }

    /// The broker is there: tracers begin to watch.
    pub(super) fn begin(&self, broker: &Arc<Broker>, web: Arc<dyn Reach>) {
        if let Err(error) = self.watchmen.begin(broker, web) {
            tracing::error!(%error, "a tracer's thread does not start");
        }
    }

    pub(super) fn trace_files(&self) -> &Arc<TraceFiles> {
        &self.files
    }

    /// Name and source of every plugin.
    pub(super) fn sources(&self) -> Vec<(String, Source)> {
        let state = self.state.lock();
        let entries = state.entries.iter();
        entries
            .map(|entry| (entry.name.clone(), entry.source.clone()))
            .collect()
    }

    pub(super) fn status(&self, name: &str) -> Option<PluginStatus> {
        let mut state = self.state.lock();
        state.entry(name).map(|entry| self.status_of(entry))
    }

    /// Its last lines in the log, the newest first.
    pub(super) fn log(&self, name: &str) -> Vec<LogLine> {
        let mut state = self.state.lock();
        let entry = state.entry(name);
        entry.map(|entry| entry.log()).unwrap_or_default()
    }

    /// Loads a plugin that is new, or another version of one that is there, or the same one with
    /// other settings. Where a version is running it runs on if this fails, which is the error.
    pub(super) fn put(
        &self,
        name: &str,
        source: &Source,
        broker: Option<&Broker>,
    ) -> Result<(), String> {
        let mut workshop = self.workshop.lock();
        let Some((settings, record)) = self.expect(name, source)? else {
            return self.put_aside(&workshop, name, broker);
        };
        let needed = broker.is_some_and(Broker::is_tracing);
        if source.is_builtin() && ON_DEMAND.contains(&name) && !needed {
            self.put_aside(&workshop, name, broker)?;
            self.enter(name, Phase::Idle);
            return Ok(());
        }
        self.bring(&mut workshop, name, source, (&settings, &record), broker)
    }

    /// What is there for traces is loaded before something is traced.
    pub(super) fn wake(&self, broker: &Broker) {
        let mut workshop = self.workshop.lock();
        for (name, source) in self.sources() {
            let idle = self.state.lock().idle(&name);
            if let Some((settings, record)) = idle {
                let with = (&settings, &record);
                // What fails is in the log and in the plugin's status.
                let _ = self.bring(&mut workshop, &name, &source, with, Some(broker));
            }
        }
    }

    fn enter(&self, name: &str, phase: Phase) {
        if let Some(entry) = self.state.lock().entry(name) {
            entry.enter(phase, self.clock.now());
        }
    }

    fn bring(
        &self,
        workshop: &mut MutexGuard<'_, Workshop>,
        name: &str,
        source: &Source,
        (settings, record): (&PluginSettings, &Record),
        broker: Option<&Broker>,
    ) -> Result<(), String> {
        let mut asked = Vec::new();
        let loaded = source.read().and_then(|bytes| {
            if service::is_service(&bytes) {
                let put = service::Put {
                    name,
                    source,
                    bytes: &bytes,
                    settings,
                    defaults: &self.defaults,
                    log: &record.log,
                };
                let manifest = self.services.put(&put)?;
                self.take_types(workshop, name, broker)?;
                self.watchmen.put_aside(name);
                return Ok(InForce::Service(Arc::new(manifest)));
            }
            let loaded = workshop.load(name, settings, &bytes, record, source.is_builtin());
            asked = match &loaded {
                Ok(plugin) => plugin.asked().to_vec(),
                Err(_) => check::parse(&bytes)
                    .map(|interface| check::asked(&interface))
                    .unwrap_or_default(),
            };
            self.bring_in(workshop, loaded?, broker)
        });
        if let Ok(InForce::Exchange(plugin)) = &loaded {
            workshop.remember_owner(plugin);
        }
        self.loaded(name, source, loaded, asked)
    }

    /// Makes an entry for it where there is none. None: it is disabled.
    fn expect(
        &self,
        name: &str,
        source: &Source,
    ) -> Result<Option<(PluginSettings, Record)>, String> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let settings = state.settings(name);
        let entry = match state.entry(name) {
            Some(entry) if entry.source.is_builtin() != source.is_builtin() => {
                let reason = format!("there is a built-in plugin named {name:?}: rename the file");
                tracing::error!(plugin = name, reason, "plugin refused");
                if !state.entries.iter().any(|entry| is_namesake(entry, name)) {
                    let mut entry = Entry::new(name, source.clone(), settings, now);
                    let reason = reason.clone();
                    entry.enter(Phase::Refused { reason }, now);
                    state.entries.push(entry);
                }
                return Err(reason);
            }
            Some(entry) => entry,
            None => {
                let entry = Entry::new(name, source.clone(), settings.clone(), now);
                state.entries.push(entry);
                match state.entries.last_mut() {
                    Some(entry) => entry,
                    None => return Ok(None),
                }
            }
        };
        if !settings.enabled {
            return Ok(None);
        }
        match entry.phase {
            Phase::Loaded(_) => {}
            Phase::Loading | Phase::Idle | Phase::Disabled | Phase::Refused { .. } => {
                entry.enter(Phase::Loading, now);
            }
        }
        Ok(Some((settings, entry.record.clone())))
    }

    /// In the place of what had its name, which may have been of another kind.
    fn bring_in(
        &self,
        workshop: &MutexGuard<'_, Workshop>,
        plugin: InForce,
        broker: Option<&Broker>,
    ) -> Result<InForce, String> {
        match &plugin {
            InForce::Exchange(exchange) => {
                self.bring_in_types(workshop, exchange, broker)?;
                self.watchmen.put_aside(&exchange.name);
                self.services.remove(&exchange.name);
                self.change_front(&exchange.name, None, broker);
            }
            InForce::Interceptor(interceptor) => {
                interceptor::try_out(interceptor)?;
                let name = &interceptor.name;
                // Until the new version is in force the old one is asked.
                self.take_exchange_types(workshop, name, broker)?;
                self.watchmen.put_aside(name);
                self.services.remove(name);
                self.change_front(name, Some(interceptor), broker);
            }
            InForce::Tracer(tracer) => {
                self.take_types(workshop, &tracer.name, broker)?;
                self.watchmen.bring_in(tracer)?;
                self.services.remove(&tracer.name);
            }
            // `bring` has put aside what was there of another kind.
            InForce::Service(_) => {}
        }
        Ok(plugin)
    }

    /// The types of `plugin` instead of those that it had, if any.
    fn bring_in_types(
        &self,
        workshop: &MutexGuard<'_, Workshop>,
        plugin: &Arc<Plugin>,
        broker: Option<&Broker>,
    ) -> Result<(), String> {
        let (table, mut changed) = self.table().without(&plugin.name);
        let (table, came) = table.with(plugin)?;
        changed.extend(came);
        let begun = std::time::Instant::now();
        let renewed = self.change_types(workshop, table, &changed, broker)?;
        if broker.is_some() {
            let (name, exchanges, took) = (&plugin.name, renewed.exchanges, begun.elapsed());
            tracing::info!(plugin = name, exchanges, ?took, "plugin in force");
        }
        Ok(())
    }

    fn take_types(
        &self,
        workshop: &MutexGuard<'_, Workshop>,
        name: &str,
        broker: Option<&Broker>,
    ) -> Result<Renewed, String> {
        self.change_front(name, None, broker);
        self.take_exchange_types(workshop, name, broker)
    }

    fn take_exchange_types(
        &self,
        workshop: &MutexGuard<'_, Workshop>,
        name: &str,
        broker: Option<&Broker>,
    ) -> Result<Renewed, String> {
        let (table, gone) = self.table().without(name);
        match gone.is_empty() {
            true => Ok(Renewed::default()),
            false => self.change_types(workshop, table, &gone, broker),
        }
    }

    fn loaded(
        &self,
        name: &str,
        source: &Source,
        loaded: Result<InForce, String>,
        asked: Vec<String>,
    ) -> Result<(), String> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let Some(entry) = state.entry(name) else {
            return Err(format!("{name} has gone meanwhile"));
        };
        let ran = match entry.phase {
            Phase::Loaded(_) => true,
            Phase::Loading | Phase::Idle | Phase::Disabled | Phase::Refused { .. } => false,
        };
        match loaded {
            Ok(plugin) => {
                entry.replacements += u64::from(ran);
                entry.rolled_back = None;
                entry.source = source.clone();
                entry.asked = asked;
                entry.enter(Phase::Loaded(plugin), now);
                Ok(())
            }
            Err(reason) if ran => {
                tracing::error!(
                    plugin = name,
                    reason,
                    "new version rolled back: the one before runs on"
                );
                entry.rolled_back = Some(RolledBack {
                    reason: reason.clone(),
                    at: now,
                });
                Err(reason)
            }
            Err(reason) => {
                tracing::error!(plugin = name, reason, "plugin refused");
                let text = reason.clone();
                entry.asked = asked;
                entry.enter(Phase::Refused { reason: text }, now);
                Err(reason)
            }
        }
    }

    /// Its types become unavailable.
    fn put_aside(
        &self,
        workshop: &MutexGuard<'_, Workshop>,
        name: &str,
        broker: Option<&Broker>,
    ) -> Result<(), String> {
        self.services.remove(name);
        let renewed = self.take_types(workshop, name, broker)?;
        self.watchmen.put_aside(name);
        if broker.is_some() {
            let exchanges = renewed.unavailable;
            tracing::info!(plugin = name, exchanges, "plugin is out of force");
        }
        self.enter(name, Phase::Disabled);
        Ok(())
    }

    /// As if it had never been there, but for what its exchanges remember.
    pub(super) fn forget(&self, name: &str, broker: Option<&Broker>) -> Result<(), String> {
        let workshop = self.workshop.lock();
        self.put_aside(&workshop, name, broker)?;
        self.state.lock().entries.retain(|entry| entry.name != name);
        Ok(())
    }

    /// The same for a file that was refused because a built-in plugin has its name.
    pub(super) fn forget_namesake(&self, name: &str) {
        let mut state = self.state.lock();
        state.entries.retain(|entry| !is_namesake(entry, name));
    }

    /// What the next `put` goes by.
    pub(super) fn set_enabled(&self, name: &str, enabled: bool) {
        if let Some(entry) = self.state.lock().entry(name) {
            entry.settings.enabled = enabled;
        }
    }

    /// The new configuration, and which of the plugins that are there it changes.
    pub(super) fn configure(
        &self,
        configured: BTreeMap<String, PluginSettings>,
    ) -> Vec<(String, Source)> {
        let mut state = self.state.lock();
        state.configured = configured;
        let State {
            entries,
            configured,
        } = &mut *state;
        let mut changed = Vec::new();
        for entry in entries {
            let settings = settings_of(configured, &entry.name);
            if entry.settings != settings {
                entry.settings = settings;
                changed.push((entry.name.clone(), entry.source.clone()));
            }
        }
        changed
    }

    /// Exchanges whose type is away look again at what they are to do meanwhile.
    pub(super) fn look_again(&self, broker: &Broker) -> Result<(), String> {
        let workshop = self.workshop.lock();
        self.change_types(&workshop, self.table(), &HashSet::new(), Some(broker))
            .map(|_| ())
    }

    fn change_types(
        &self,
        workshop: &MutexGuard<'_, Workshop>,
        mut table: TypeTable,
        changed: &HashSet<String>,
        broker: Option<&Broker>,
    ) -> Result<Renewed, String> {
        table.away = self.away(workshop, &table);
        let table = Arc::new(table);
        let install = || *self.table.write() = Arc::clone(&table);
        let comes = changed
            .iter()
            .any(|type_name| table.by_type.contains_key(type_name));
        let loss = if comes { Loss::Refused } else { Loss::Accepted };
        match broker {
            Some(broker) => broker
                .renew(table.as_ref(), changed, loss, install)
                .map_err(|not_renewed| not_renewed.to_string()),
            None => {
                install();
                Ok(Renewed::default())
            }
        }
    }

    fn away(&self, workshop: &Workshop, table: &TypeTable) -> BTreeMap<String, Unavailable> {
        let state = self.state.lock();
        let owners = workshop.owners().iter();
        owners
            .filter(|(type_name, _)| !table.by_type.contains_key(*type_name))
            .map(|(type_name, owner)| (type_name.clone(), state.settings(owner).unavailable))
            .filter(|(_, unavailable)| *unavailable != Unavailable::Fail)
            .collect()
    }
}

/// A file that was refused because a built-in plugin has its name.
fn is_namesake(entry: &Entry, name: &str) -> bool {
    entry.name == name && !entry.source.is_builtin()
}

impl ExchangeTypes for PluginHost {
    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenRefusal> {
        let table = Arc::clone(&self.table.read());
        table.open(opening)
    }

    fn room_for_exchange(&self, type_name: &str) -> Result<(), String> {
        self.table.read().room_for_exchange(type_name)
    }

    fn interceptors(&self, vhost: &str, exchange: &str) -> Vec<String> {
        self.table.read().interceptors(vhost, exchange)
    }

    fn intercept(&self, name: &str, opening: &Opening<'_>) -> Interception {
        let table = Arc::clone(&self.table.read());
        table.intercept(name, opening)
    }

    fn unavailable(&self, type_name: &str) -> Unavailable {
        self.table.read().unavailable(type_name)
    }
}
