//! A loaded plugin: what all its exchanges share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bindings::exports::warren::exchange::exchange_type::Description;
use super::component::Loaded;
use super::fault::CallFault;
use super::instance::Instance;
use super::keeping::Keeper;
use super::lane::Lane;
use super::live_set::LiveSet;
use super::plugin_log::PluginLog;
use super::state::Surroundings;
use super::status::{PluginStatus, Tallies};
use crate::clock::{Clock, Millis};
use crate::vhost::kept::{OfType, Usage};

pub(super) struct Plugin {
    pub name: String,
    pub loaded: Loaded,
    pub description: Description,
    pub clock: Arc<dyn Clock>,
    pub record: Record,
    pub lane: Lane,
    live_set: LiveSet,
}

/// What is known of a plugin over all its versions.
#[derive(Clone)]
pub(super) struct Record {
    pub tallies: Arc<Tallies>,
    pub log: Arc<PluginLog>,
    pub usage: Arc<Usage>,
}

impl Record {
    pub fn new(plugin: &str, now: Millis) -> Record {
        Record {
            tallies: Arc::new(Tallies::new(now)),
            log: Arc::new(PluginLog::new(plugin)),
            usage: Arc::default(),
        }
    }
}

impl Plugin {
    pub fn new(
        name: &str,
        loaded: Loaded,
        description: Description,
        clock: Arc<dyn Clock>,
        record: Record,
    ) -> Plugin {
        record.log.limit_to(loaded.limits.log_lines);
        Plugin {
            name: name.to_owned(),
            live_set: LiveSet::new(loaded.limits.max_instances),
            loaded,
            description,
            clock,
            record,
            lane: Lane::new(name),
        }
    }

    pub fn tallies(&self) -> &Tallies {
        &self.record.tallies
    }

    pub fn surroundings(&self, exchange: &Arc<str>, kept: &Arc<OfType>) -> Surroundings {
        Surroundings {
            clock: Arc::clone(&self.clock),
            log: Arc::clone(&self.record.log),
            exchange: Arc::clone(exchange),
            keeper: Keeper {
                of_type: Arc::clone(kept),
                usage: Arc::clone(&self.record.usage),
                room: self.loaded.limits.room(),
            },
        }
    }

    /// The error is what a client sees.
    pub fn room_for_exchange(&self) -> Result<(), String> {
        let most = self.loaded.limits.max_exchanges;
        let there = self.record.usage.exchanges.load(Ordering::Relaxed);
        if there < most {
            return Ok(());
        }
        let name = &self.name;
        Err(format!(
            "limit of {most} exchanges of plugin '{name}' is reached (max_exchanges)"
        ))
    }

    /// The error is what a client sees.
    pub fn room_for_binding(&self) -> Result<(), String> {
        let most = self.loaded.limits.max_bindings;
        let there = self.record.usage.bindings.load(Ordering::Relaxed);
        if there < most {
            return Ok(());
        }
        let name = &self.name;
        Err(format!(
            "limit of {most} bindings of plugin '{name}' is reached (max_bindings)"
        ))
    }

    /// For the log, and for whoever must be told that a call failed.
    pub fn fault_text(&self, fault: &CallFault) -> String {
        format!("plugin {}: {fault}", self.name)
    }

    pub fn make_room(&self, newcomer: &Arc<Instance>) {
        let evicted = self.live_set.admit(newcomer);
        if evicted > 0 {
            self.tallies()
                .evictions
                .fetch_add(evicted, Ordering::Relaxed);
        }
    }

    pub fn status(&self) -> PluginStatus {
        let (state, since) = self.tallies().state();
        let mut status = PluginStatus::new(&self.name, state, since);
        self.tallies().fill(&mut status);
        status.version = Some(self.loaded.version.clone());
        status.manifest = self.loaded.manifest.clone();
        status.summary = self.description.summary.clone();
        status.types = self.description.types.clone();
        status.limits = self.loaded.limits.clone();
        status.live_instances = self.live_set.live();
        let usage = &self.record.usage;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        status.bindings = get(&usage.bindings);
        status.state_keys = get(&usage.keys);
        status.state_bytes = get(&usage.bytes);
        status.state_refused = get(&usage.refused);
        (status.log_lines, status.log_lines_dropped) = self.record.log.counts();
        status
    }
}
