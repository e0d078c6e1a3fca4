//! A loaded plugin: what all its exchanges share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bindings::exports::warren::exchange::exchange_type::Description;
use super::component::Loaded;
use super::fault::CallFault;
use super::instance::Instance;
use super::lane::Lane;
use super::live_set::LiveSet;
use super::plugin_log::PluginLog;
use super::state::Surroundings;
use super::status::{PluginState, PluginStatus, Tallies};
use crate::clock::Clock;

pub(super) struct Plugin {
    pub name: String,
    pub loaded: Loaded,
    pub description: Description,
    pub configuration: String,
    pub clock: Arc<dyn Clock>,
    pub log: Arc<PluginLog>,
    pub tallies: Tallies,
    pub lane: Lane,
    live_set: LiveSet,
}

impl Plugin {
    pub fn new(
        name: &str,
        loaded: Loaded,
        description: Description,
        configuration: String,
        surroundings: Surroundings,
    ) -> Plugin {
        Plugin {
            name: name.to_owned(),
            live_set: LiveSet::new(loaded.limits.max_instances),
            loaded,
            description,
            configuration,
            clock: surroundings.clock,
            log: surroundings.log,
            tallies: Tallies::default(),
            lane: Lane::new(name),
        }
    }

    pub fn surroundings(&self, exchange: &Arc<str>) -> Surroundings {
        Surroundings {
            clock: Arc::clone(&self.clock),
            log: Arc::clone(&self.log),
            exchange: Arc::clone(exchange),
        }
    }

    /// For the log, and for whoever must be told that a call failed.
    pub fn fault_text(&self, fault: &CallFault) -> String {
        format!("plugin {}: {fault}", self.name)
    }

    pub fn make_room(&self, newcomer: &Arc<Instance>) {
        let evicted = self.live_set.admit(newcomer);
        if evicted > 0 {
            self.tallies.evictions.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    pub fn status(&self) -> PluginStatus {
        let mut status = PluginStatus::new(&self.name, PluginState::Running);
        self.tallies.fill(&mut status);
        if status.open_breakers > 0 {
            status.state = PluginState::Degraded;
        }
        status.version = Some(self.loaded.version.clone());
        status.summary = self.description.summary.clone();
        status.types = self.description.types.clone();
        status.live_instances = self.live_set.live();
        (status.log_lines, status.log_lines_dropped) = self.log.counts();
        status
    }
}
