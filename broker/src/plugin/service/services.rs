//! All services of a broker, and the door to them: which plugins there are, what their tasks are
//! doing, restart, pause, resume. What is to run is decided by `supervisor`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Surroundings;
use super::engine::{Foundry, Loaded};
use super::grants::{Grants, LOCAL, REMOTE};
use super::instance::Caller;
use super::supervisor;
use super::task::{Doing, Reason, Task, TaskStatus};
use crate::clock::Clock;
use crate::plugin::entry::Source;
use crate::plugin::hosts::HTTP;
use crate::plugin::limits::{Limits, PluginSettings};
use crate::plugin::manifest::Manifest;
use crate::plugin::plugin_log::PluginLog;
use crate::vhost::definition::Arguments;
use crate::vhost::{Parameter, Saved, ServiceRow};

/// What a pause is remembered by.
pub(super) const PAUSED: &str = "\0paused";

/// How long whoever sets a parameter waits for the service to look at it.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the broker waits for tasks to end: their grace, and a little.
const FAREWELL: Duration = Duration::from_secs(6);

pub struct Services {
    cache_dir: PathBuf,
    compiler: Option<PathBuf>,
    stack: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Mutex<BTreeMap<String, Entry>>,
    surroundings: OnceLock<Surroundings>,
    /// Made when a first service is needed.
    foundry: Mutex<Option<Arc<Foundry>>>,
    runtime: Mutex<Option<Runtime>>,
    /// Somebody wants `supervisor` to look again.
    pub(super) kick: Notify,
    /// The broker's topology or parameters have changed, for tasks that wait for it.
    pub(super) changes: watch::Sender<()>,
}

/// What all tasks of a service share.
pub(super) struct Plugin {
    pub name: String,
    /// Of runtime parameters.
    pub components: Vec<String>,
    pub configuration: String,
    pub log: Arc<PluginLog>,
    pub clock: Arc<dyn Clock>,
    pub changes: watch::Sender<()>,
    /// It has asked for exchanges, queues or bindings.
    pub looks_at_topology: AtomicBool,
}

pub(super) struct Entry {
    pub plugin: Arc<Plugin>,
    source: Source,
    grants: Grants,
    limits: Limits,
    /// There is something in its configuration.
    pub is_configured: bool,
    pub readiness: Readiness,
    pub tasks: BTreeMap<TaskKey, Running>,
    /// Of tasks that are to end: a new one of the same name waits for it.
    pub leaving: BTreeMap<TaskKey, JoinHandle<()>>,
}

/// Virtual host and name.
pub(super) type TaskKey = (String, String);

pub(super) enum Readiness {
    /// Nothing to do for it: it is not even compiled.
    Unneeded,
    Ready(Arc<Loaded>),
    Refused(String),
}

pub(super) struct Running {
    pub task: Arc<Task>,
    /// None: it does not run now.
    pub handle: Option<JoinHandle<()>>,
    /// The supervisor is to start it.
    pub is_due: bool,
}

/// What a plugin is put into force with.
pub(in crate::plugin) struct Put<'a> {
    pub name: &'a str,
    pub source: &'a Source,
    pub bytes: &'a [u8],
    pub settings: &'a PluginSettings,
    pub defaults: &'a Limits,
    pub log: &'a Arc<PluginLog>,
}

/// Why a parameter is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// No service works by such parameters.
    Unknown,
    /// A line each.
    Refused(Vec<String>),
    /// The service could not say.
    Failed(String),
}

impl Services {
    pub(in crate::plugin) fn new(
        cache_dir: &Path,
        compiler: Option<PathBuf>,
        stack: usize,
        clock: Arc<dyn Clock>,
    ) -> Services {
        Services {
            cache_dir: cache_dir.to_owned(),
            compiler,
            stack,
            clock,
            state: Mutex::default(),
            surroundings: OnceLock::new(),
            foundry: Mutex::default(),
            runtime: Mutex::default(),
            kick: Notify::new(),
            changes: watch::Sender::new(()),
        }
    }

    /// Begins to run what is to run. Once, within a tokio runtime.
    pub fn start(self: &Arc<Self>, surroundings: Surroundings) {
        if self.surroundings.set(surroundings.clone()).is_ok() {
            tokio::spawn(supervisor::govern(Arc::clone(self), surroundings));
        }
    }

    /// Tells all tasks to end, and waits until they have.
    pub async fn stop(&self) {
        let mut handles = Vec::new();
        for entry in self.state.lock().values_mut() {
            for running in entry.tasks.values_mut() {
                running.task.stop(Reason::Shutdown);
                handles.extend(running.handle.take());
            }
            handles.extend(std::mem::take(&mut entry.leaving).into_values());
        }
        let ended = async {
            for handle in handles {
                let _ = handle.await;
            }
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("services did not end in time");
        }
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }

    /// A service that is new, or another version or other settings of one that is there.
    pub(in crate::plugin) fn put(&self, put: &Put<'_>) -> Result<Manifest, String> {
        let manifest = Manifest::of(put.bytes)?.unwrap_or_default();
        let configuration = manifest.complete(&put.settings.config)?;
        let grants = match put.source.is_builtin() {
            true => Grants::parse(&[LOCAL, REMOTE, HTTP].map(str::to_owned)),
            false => Grants::parse(&put.settings.grants),
        };
        let limits = put.settings.limits(put.defaults);
        put.log.limit_to(limits.log_lines);
        let mut entry = Entry {
            plugin: Arc::new(Plugin {
                name: put.name.to_owned(),
                components: manifest.parameters.clone(),
                configuration: configuration.to_string(),
                log: Arc::clone(put.log),
                clock: Arc::clone(&self.clock),
                changes: self.changes.clone(),
                looks_at_topology: AtomicBool::new(false),
            }),
            source: put.source.clone(),
            grants,
            limits,
            is_configured: configuration.as_object().is_some_and(|all| !all.is_empty()),
            readiness: Readiness::Unneeded,
            tasks: BTreeMap::new(),
            leaving: BTreeMap::new(),
        };
        // What an operator put there must be known to work before it replaces what works.
        if !put.source.is_builtin() {
            let foundry = self.foundry()?;
            let loaded = foundry.load(put.bytes, &entry.grants, entry.limits.clone())?;
            entry.readiness = Readiness::Ready(Arc::new(loaded));
        }
        let mut state = self.state.lock();
        if let Some(mut old) = state.remove(put.name) {
            dismiss(&mut old, Reason::Shutdown);
            entry.leaving = old.leaving;
        }
        state.insert(put.name.to_owned(), entry);
        drop(state);
        self.kick.notify_one();
        Ok(manifest)
    }

    /// Its tasks end.
    pub(in crate::plugin) fn remove(&self, name: &str) {
        if let Some(mut entry) = self.state.lock().remove(name) {
            dismiss(&mut entry, Reason::Shutdown);
        }
    }

    /// Of all tasks, by plugin, virtual host and name.
    pub fn list(&self) -> Vec<TaskStatus> {
        let state = self.state.lock();
        let tasks = state.values().flat_map(|entry| entry.tasks.values());
        tasks.map(|running| running.task.status()).collect()
    }

    /// Of the `warren:service` package that the component was built against, once it is loaded.
    pub(in crate::plugin) fn version(&self, plugin: &str) -> Option<String> {
        match &self.state.lock().get(plugin)?.readiness {
            Readiness::Ready(loaded) => Some(loaded.version.clone()),
            Readiness::Unneeded | Readiness::Refused(_) => None,
        }
    }

    pub fn list_of(&self, plugin: &str) -> Vec<TaskStatus> {
        let state = self.state.lock();
        let tasks = state
            .get(plugin)
            .into_iter()
            .flat_map(|entry| entry.tasks.values());
        tasks.map(|running| running.task.status()).collect()
    }

    /// Starts a task anew, also out of quarantine. False: there is none.
    pub fn restart(&self, plugin: &str, vhost: &str, name: &str) -> bool {
        self.end(plugin, vhost, name, Reason::Restarted)
    }

    /// The task ends, and stays so over restarts of the broker.
    pub fn pause(&self, plugin: &str, vhost: &str, name: &str) -> Option<Saved> {
        let surroundings = self.surroundings.get()?;
        if !self.knows(plugin, vhost, name) {
            return None;
        }
        let saved = surroundings.broker.keep_service_state(ServiceRow {
            plugin: plugin.to_owned(),
            vhost: vhost.to_owned(),
            task: name.to_owned(),
            key: PAUSED.to_owned(),
            value: Arguments::default(),
        });
        self.end(plugin, vhost, name, Reason::Paused);
        Some(saved)
    }

    pub fn resume(&self, plugin: &str, vhost: &str, name: &str) -> Option<Saved> {
        let surroundings = self.surroundings.get()?;
        if !self.knows(plugin, vhost, name) {
            return None;
        }
        let broker = &surroundings.broker;
        let saved = broker.forget_service_state(plugin, vhost, name, Some(PAUSED));
        self.end(plugin, vhost, name, Reason::Restarted);
        Some(saved)
    }

    fn knows(&self, plugin: &str, vhost: &str, name: &str) -> bool {
        let key = (vhost.to_owned(), name.to_owned());
        let state = self.state.lock();
        let entry = state.get(plugin);
        entry.is_some_and(|entry| entry.tasks.contains_key(&key))
    }

    /// The supervisor starts it again, or shows it as paused.
    fn end(&self, plugin: &str, vhost: &str, name: &str, reason: Reason) -> bool {
        let key = (vhost.to_owned(), name.to_owned());
        let mut state = self.state.lock();
        let Some(entry) = state.get_mut(plugin) else {
            return false;
        };
        let Some(running) = entry.tasks.remove(&key) else {
            return false;
        };
        let paused = reason == Reason::Paused;
        let doing = match paused {
            true => Doing::Paused,
            false => Doing::Starting,
        };
        // It is shown all the time.
        let next = Running {
            task: Task::new(&entry.plugin, running.task.planned(), doing),
            handle: None,
            is_due: !paused,
        };
        leave(entry, key.clone(), running, reason);
        entry.tasks.insert(key, next);
        drop(state);
        self.kick.notify_one();
        true
    }

    /// Whether the service that works by such parameters takes this one. May compile it.
    /// The result are virtual hosts of this broker that the service would enter.
    pub fn check(&self, vhost: &str, parameter: &Parameter) -> Result<Vec<String>, CheckError> {
        let failed = CheckError::Failed;
        let surroundings = self.surroundings.get();
        let surroundings = surroundings.ok_or_else(|| failed("no services yet".to_owned()))?;
        let (name, plugin) = self
            .owner(&parameter.component)
            .ok_or(CheckError::Unknown)?;
        let loaded = self.loaded(&name).map_err(failed)?;
        let (surroundings, parameter) = (surroundings.clone(), parameter.clone());
        let (vhost, (told, answer)) = (vhost.to_owned(), mpsc::channel());
        self.handle().map_err(failed)?.spawn(async move {
            let caller = Caller {
                plugin: &plugin,
                loaded: &loaded,
                surroundings: &surroundings,
            };
            // Whoever asked may have gone.
            let _ = told.send(caller.check(&parameter, &vhost).await);
        });
        match answer.recv_timeout(CHECK_TIMEOUT) {
            Ok(Ok(checked)) if checked.errors.is_empty() => Ok(checked.local_vhosts),
            Ok(Ok(checked)) => Err(CheckError::Refused(checked.errors)),
            Ok(Err(fault)) => Err(failed(fault.to_string())),
            Err(_) => Err(failed(format!("plugin {name} does not answer"))),
        }
    }

    /// Which service works by such parameters.
    fn owner(&self, component: &str) -> Option<(String, Arc<Plugin>)> {
        let state = self.state.lock();
        let owner = state.iter().find(|(_, entry)| {
            let components = &entry.plugin.components;
            components.iter().any(|own| own == component)
        });
        owner.map(|(name, entry)| (name.clone(), Arc::clone(&entry.plugin)))
    }

    /// Compiles it, where that was not needed yet. To be called where that may take a while.
    pub(super) fn loaded(&self, name: &str) -> Result<Arc<Loaded>, String> {
        let (source, grants, limits) = {
            let state = self.state.lock();
            let entry = state.get(name).ok_or("the plugin has gone")?;
            match &entry.readiness {
                Readiness::Ready(loaded) => return Ok(Arc::clone(loaded)),
                Readiness::Refused(reason) => return Err(reason.clone()),
                Readiness::Unneeded => {}
            }
            (
                entry.source.clone(),
                entry.grants.clone(),
                entry.limits.clone(),
            )
        };
        let loaded = source
            .read()
            .and_then(|bytes| self.foundry()?.load(&bytes, &grants, limits));
        let loaded = loaded.map(Arc::new);
        if let Some(entry) = self.state.lock().get_mut(name) {
            entry.readiness = match &loaded {
                Ok(loaded) => Readiness::Ready(Arc::clone(loaded)),
                Err(reason) => {
                    tracing::error!(plugin = name, reason, "service refused");
                    Readiness::Refused(reason.clone())
                }
            };
        }
        loaded
    }

    fn foundry(&self) -> Result<Arc<Foundry>, String> {
        let mut foundry = self.foundry.lock();
        if let Some(foundry) = &*foundry {
            return Ok(Arc::clone(foundry));
        }
        let made = Arc::new(Foundry::new(
            &self.cache_dir,
            self.compiler.clone(),
            self.stack,
        )?);
        *foundry = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Services have threads of their own: they stand in no message's way.
    pub(super) fn handle(&self) -> Result<Handle, String> {
        let mut runtime = self.runtime.lock();
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let made = tokio::runtime::Builder::new_multi_thread()
            .worker_threads((cores / 2).clamp(1, 4))
            .thread_name("services")
            .enable_all()
            .build()
            .map_err(|error| format!("no thread for services: {error}"))?;
        let handle = made.handle().clone();
        *runtime = Some(made);
        Ok(handle)
    }
}

/// All its tasks are to end.
pub(super) fn dismiss(entry: &mut Entry, reason: Reason) {
    for (key, running) in std::mem::take(&mut entry.tasks) {
        leave(entry, key, running, reason);
    }
}

pub(super) fn leave(entry: &mut Entry, key: TaskKey, running: Running, reason: Reason) {
    running.task.stop(reason);
    if let Some(handle) = running.handle {
        entry.leaving.insert(key, handle);
    }
}
