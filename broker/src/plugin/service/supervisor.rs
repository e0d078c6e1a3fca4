//! Keeps running what is to run: asks each service for its plan whenever something has changed, and
//! starts and ends tasks accordingly. Not how a task lives (see `task`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::Surroundings;
use super::engine::Loaded;
use super::instance::{Caller, Planned};
use super::services::{Entry, PAUSED, Plugin, Readiness, Running, Services, dismiss, leave};
use super::task::{Doing, Reason, Task};
use crate::vhost::Listening;

/// What changes together is looked at together.
const SETTLE: Duration = Duration::from_millis(20);

/// While much changes, plans are asked for no more often than this.
const BETWEEN_PLANS: Duration = Duration::from_millis(250);

/// After a plan that failed.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn govern(services: Arc<Services>, surroundings: Surroundings) {
    let mut parameters = surroundings.broker.parameters_changed();
    let mut listening: Option<Listening> = None;
    let mut last = None;
    loop {
        if let Some(last) = last {
            tokio::time::sleep_until(last + BETWEEN_PLANS).await;
        }
        let all_well = look(&services, &surroundings).await;
        last = Some(Instant::now());
        listening = match (looks_at_topology(&services), listening.take()) {
            (true, Some(listening)) => Some(listening),
            // What has changed before we listen is seen by looking once more.
            (true, None) => {
                services.kick.notify_one();
                Some(surroundings.broker.connections().news().listen())
            }
            (false, _) => None,
        };
        let again = async {
            match all_well {
                true => std::future::pending().await,
                false => tokio::time::sleep(AGAIN).await,
            }
        };
        tokio::select! {
            _ = parameters.changed() => {}
            () = services.kick.notified() => {}
            () = heard(&mut listening) => {}
            () = again => {}
        }
        tokio::time::sleep(SETTLE).await;
        if let Some(listening) = &mut listening {
            while listening.events.try_recv().is_ok() {}
        }
        services.changes.send_replace(());
    }
}

async fn heard(listening: &mut Option<Listening>) {
    match listening {
        Some(listening) => match listening.events.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn looks_at_topology(services: &Services) -> bool {
    let state = services.state.lock();
    let needed = state.values().filter(|entry| is_ready(entry));
    let mut flags = needed.map(|entry| &entry.plugin.looks_at_topology);
    flags.any(|flag| flag.load(Ordering::Relaxed))
}

fn is_ready(entry: &Entry) -> bool {
    match entry.readiness {
        Readiness::Ready(_) => true,
        Readiness::Unneeded | Readiness::Refused(_) => false,
    }
}

/// False: some plan could not be had.
async fn look(services: &Arc<Services>, surroundings: &Surroundings) -> bool {
    let plugins: Vec<Arc<Plugin>> = {
        let state = services.state.lock();
        state
            .values()
            .map(|entry| Arc::clone(&entry.plugin))
            .collect()
    };
    let mut all_well = true;
    for plugin in plugins {
        if !is_needed(services, surroundings, &plugin) {
            rest(services, surroundings, &plugin);
            continue;
        }
        match plan(services, surroundings, &plugin).await {
            Ok(Some((loaded, planned))) => {
                reconcile(services, surroundings, (&plugin, &loaded), planned);
            }
            Ok(None) => {}
            Err(reason) => {
                let plugin = plugin.name.as_str();
                tracing::error!(plugin, reason, "a service has no plan");
                all_well = false;
            }
        }
    }
    all_well
}

/// A service without parameters of its own always has something to do.
fn is_needed(services: &Services, surroundings: &Surroundings, plugin: &Plugin) -> bool {
    let state = services.state.lock();
    let configured = state
        .get(&plugin.name)
        .is_some_and(|entry| entry.is_configured);
    let mut components = plugin.components.iter();
    configured
        || plugin.components.is_empty()
        || components.any(|component| surroundings.broker.has_parameters(component))
}

/// Nothing to do: its tasks end, and what is kept for them goes.
fn rest(services: &Services, surroundings: &Surroundings, plugin: &Plugin) {
    if let Some(entry) = services.state.lock().get_mut(&plugin.name) {
        dismiss(entry, Reason::Removed);
        entry.leaving.retain(|_, handle| !handle.is_finished());
    }
    forget(surroundings, plugin, &BTreeMap::new());
}

async fn plan(
    services: &Arc<Services>,
    surroundings: &Surroundings,
    plugin: &Arc<Plugin>,
) -> Result<Option<(Arc<Loaded>, Vec<Planned>)>, String> {
    let (of, name) = (Arc::clone(services), plugin.name.clone());
    let loaded = tokio::task::spawn_blocking(move || of.loaded(&name)).await;
    let Ok(Ok(loaded)) = loaded else {
        // It was said when it was refused.
        return Ok(None);
    };
    let (asked, of, within) = (
        Arc::clone(&loaded),
        Arc::clone(plugin),
        surroundings.clone(),
    );
    let planned = services.handle()?.spawn(async move {
        let caller = Caller {
            plugin: &of,
            loaded: &asked,
            surroundings: &within,
        };
        caller.plan().await
    });
    match planned.await {
        Ok(Ok(planned)) => Ok(Some((loaded, planned))),
        Ok(Err(fault)) => Err(fault.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn reconcile(
    services: &Services,
    surroundings: &Surroundings,
    (plugin, loaded): (&Arc<Plugin>, &Arc<Loaded>),
    planned: Vec<Planned>,
) {
    let Ok(handle) = services.handle() else {
        return;
    };
    let wanted: BTreeMap<_, _> = planned
        .into_iter()
        .map(|task| ((task.vhost.clone(), task.name.clone()), task))
        .collect();
    let mut state = services.state.lock();
    // It may have been replaced meanwhile, and is then looked at again.
    let entry = state.get_mut(&plugin.name);
    let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.plugin, plugin)) else {
        return;
    };
    entry.leaving.retain(|_, handle| !handle.is_finished());
    let gone = entry.tasks.extract_if(.., |key, running| {
        let wanted = wanted.get(key);
        wanted.is_none_or(|wanted| wanted.settings != running.task.settings)
    });
    for (key, running) in gone.collect::<Vec<_>>() {
        let reason = match wanted.contains_key(&key) {
            true => Reason::Restarted,
            false => Reason::Removed,
        };
        leave(entry, key, running, reason);
    }
    for (key, task) in &wanted {
        if entry.tasks.get(key).is_some_and(|running| !running.is_due) {
            continue;
        }
        let broker = &surroundings.broker;
        let kept = broker.service_state(&plugin.name, &task.vhost, &task.name);
        let running = if kept.contains_key(PAUSED) {
            Running {
                task: Task::new(plugin, task.clone(), Doing::Paused),
                handle: None,
                is_due: false,
            }
        } else {
            let task = Task::new(plugin, task.clone(), Doing::Starting);
            let before = entry.leaving.remove(key);
            let live = Arc::clone(&task).live(Arc::clone(loaded), surroundings.clone());
            let handle = handle.spawn(async move {
                if let Some(before) = before {
                    let _ = before.await;
                }
                live.await;
            });
            Running {
                task,
                handle: Some(handle),
                is_due: false,
            }
        };
        entry.tasks.insert(key.clone(), running);
    }
    drop(state);
    forget(surroundings, plugin, &wanted);
}

/// What is kept for tasks that are planned no more.
fn forget(
    surroundings: &Surroundings,
    plugin: &Plugin,
    wanted: &BTreeMap<(String, String), Planned>,
) {
    let broker = &surroundings.broker;
    for key in broker.tasks_with_state(&plugin.name) {
        if !wanted.contains_key(&key) {
            // Nobody waits for that.
            drop(broker.forget_service_state(&plugin.name, &key.0, &key.1, None));
        }
    }
}
