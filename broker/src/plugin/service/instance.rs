//! One instance of a service in its own store, for one call: `check`, `plan` or `run`. Whatever
//! happens, it is dropped afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};

use super::Surroundings;
use super::bindings::Everything;
use super::bindings::exports::warren::service::service as wire;
use super::bindings::warren::service::broker::Parameter as WireParameter;
use super::engine::{LONGEST_COMPUTATION, Loaded, SLICE};
use super::services::Plugin;
use super::task::Task;
use super::wasi::Wasi;
use crate::plugin::fault::CallFault;
use crate::plugin::limits::DESCRIBE_TIMEOUT;
use crate::plugin::state::MemoryLimiter;
use crate::vhost::Parameter;
use crate::web::WebClient;

/// What one call may hand over to the host or back, beside the bodies that it asks for.
const HOSTCALL_BYTES: usize = 64 << 20;

/// What stands behind an instance's imports.
pub(super) struct ServiceState {
    pub table: ResourceTable,
    pub memory: MemoryLimiter,
    pub plugin: Arc<Plugin>,
    pub loaded: Arc<Loaded>,
    pub surroundings: Surroundings,
    /// None: the instance runs nothing.
    pub task: Option<Arc<Task>>,
    /// What of the broker's changes it has heard of.
    pub changes: tokio::sync::watch::Receiver<()>,
    /// Its connections to HTTP servers, but while a request is on its way.
    pub web: WebClient,
    pub wasi: Option<Box<Wasi>>,
    /// How often it has been asked to give way since it last called something.
    slices: u64,
    /// Virtual hosts of this broker that a parameter names.
    pub local_vhosts: Vec<String>,
}

impl ServiceState {
    /// The service called something: it is not in a loop.
    pub fn called(&mut self) {
        self.slices = 0;
        self.loaded.ticker.wake();
    }

    /// Waits for it, unless the task is to stop: none then.
    pub async fn unless_stopping<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        let waited = match &self.task {
            // Once it is to stop it may still ask: what is done at the end has a time limit.
            Some(task) if task.stopping().is_none() => tokio::select! {
                biased;
                waited = wait => Some(waited),
                _ = task.stopped() => None,
            },
            Some(_) | None => Some(wait.await),
        };
        self.called();
        waited
    }

    fn gives_way(&mut self) -> UpdateDeadline {
        self.loaded.ticker.wake();
        self.slices += 1;
        let most = LONGEST_COMPUTATION.as_millis() as u64 / SLICE;
        match self.slices > most {
            true => UpdateDeadline::Interrupt,
            false => UpdateDeadline::Yield(SLICE),
        }
    }
}

/// A task as `plan` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub vhost: String,
    pub name: String,
    pub settings: String,
}

/// What a service says of a parameter.
pub(super) struct Checked {
    /// What whoever sets it reads, a line each.
    pub errors: Vec<String>,
    /// Virtual hosts of this broker that it names.
    pub local_vhosts: Vec<String>,
}

pub(super) struct Caller<'a> {
    pub plugin: &'a Arc<Plugin>,
    pub loaded: &'a Arc<Loaded>,
    pub surroundings: &'a Surroundings,
}

impl Caller<'_> {
    fn store(&self, task: Option<&Arc<Task>>) -> Store<ServiceState> {
        let loaded = self.loaded;
        let mut store = Store::new(
            &loaded.engine,
            ServiceState {
                table: ResourceTable::new(),
                memory: MemoryLimiter {
                    limit: loaded.limits.memory_for(0),
                    used: 0,
                },
                plugin: Arc::clone(self.plugin),
                loaded: Arc::clone(loaded),
                surroundings: self.surroundings.clone(),
                task: task.cloned(),
                changes: self.plugin.changes.subscribe(),
                web: WebClient::default(),
                wasi: None,
                slices: 0,
                local_vhosts: Vec::new(),
            },
        );
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().gives_way()));
        store.set_epoch_deadline(SLICE);
        loaded.ticker.wake();
        store
    }

    async fn instance(
        &self,
        task: Option<&Arc<Task>>,
    ) -> Result<(Store<ServiceState>, Everything), CallFault> {
        let mut store = self.store(task);
        let instance = self.loaded.pre.instantiate_async(&mut store).await;
        let instance = instance.map_err(|error| CallFault::of(&error, "its start"))?;
        Ok((store, instance))
    }

    pub async fn check(&self, parameter: &Parameter, vhost: &str) -> Result<Checked, CallFault> {
        let parameter = WireParameter {
            vhost: vhost.to_owned(),
            component: parameter.component.clone(),
            name: parameter.name.clone(),
            value: parameter.value.to_string(),
        };
        let call = async {
            let (mut store, instance) = self.instance(None).await?;
            let guest = instance.warren_service_service();
            let checked = guest.call_check(&mut store, &parameter).await;
            let checked = checked.map_err(|error| CallFault::of(&error, "check"))?;
            Ok(Checked {
                errors: checked.err().unwrap_or_default(),
                local_vhosts: std::mem::take(&mut store.data_mut().local_vhosts),
            })
        };
        within(DESCRIBE_TIMEOUT, "check", call).await
    }

    pub async fn plan(&self) -> Result<Vec<Planned>, CallFault> {
        let call = async {
            let (mut store, instance) = self.instance(None).await?;
            let guest = instance.warren_service_service();
            let planned = guest.call_plan(&mut store).await;
            let planned = planned.map_err(|error| CallFault::of(&error, "plan"))?;
            let planned = planned.into_iter().map(|task| Planned {
                vhost: task.vhost,
                name: task.name,
                settings: task.settings,
            });
            Ok(planned.collect())
        };
        within(DESCRIBE_TIMEOUT, "plan", call).await
    }

    /// The inner error is the service's own word.
    pub async fn run(&self, task: &Arc<Task>) -> Result<Result<(), String>, CallFault> {
        let (mut store, instance) = self.instance(Some(task)).await?;
        let memory = store.data().memory.used;
        task.memory.store(memory as u64, Ordering::Relaxed);
        let wanted = wire::Task {
            vhost: task.vhost.clone(),
            name: task.name.clone(),
            settings: task.settings.clone(),
        };
        let guest = instance.warren_service_service();
        let ran = guest.call_run(&mut store, &wanted).await;
        ran.map_err(|error| CallFault::of(&error, "run"))
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, CallFault>>,
) -> Result<T, CallFault> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(CallFault {
            kind: crate::plugin::FaultKind::Timeout,
            text: format!("in {what}: not done within {limit:?}"),
        }),
    }
}
