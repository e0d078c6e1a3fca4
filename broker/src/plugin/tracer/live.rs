//! One running instance of a tracer in its own store, and its calls with their limits. Any fault
//! leaves it unusable: the owner drops it (see `watching`).

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;

use super::bindings::TracerPlugin;
use super::bindings::exports::warren::tracer::tracer as wire;
use super::lift;
use super::loaded::LoadedTracer;
use super::observing::Output;
use crate::plugin::deadline;
use crate::plugin::engine::Ticker;
use crate::plugin::fault::CallFault;
use crate::plugin::limits::{DESCRIBE_TIMEOUT, Limits};
use crate::plugin::state::HostState;
use crate::trace::Traced;
use crate::vhost::Trace;

/// What a tracer hands over in one call of an import: a body of the greatest size that is usual.
const MOST_HANDED_OVER: usize = 32 << 20;

pub(super) struct Live {
    store: Store<HostState>,
    guest: wire::Guest,
    ticker: Arc<Ticker>,
    bind_timeout: Duration,
    observe_timeout: Duration,
}

impl Live {
    pub fn instantiate(loaded: &LoadedTracer) -> Result<Live, CallFault> {
        let limits: &Limits = &loaded.limits;
        let state = HostState::new(loaded.surroundings.clone(), limits.memory_for(0));
        let mut store = Store::new(&loaded.engine, state);
        store.limiter(|state| &mut state.memory);
        deadline::install(&mut store);
        store.set_hostcall_fuel(MOST_HANDED_OVER);
        loaded.ticker.wake();
        deadline::arm(&mut store, DESCRIBE_TIMEOUT);
        let plugin: TracerPlugin = loaded
            .pre
            .instantiate(&mut store)
            .map_err(|error| CallFault::of(&error, "its start"))?;
        Ok(Live {
            guest: plugin.warren_tracer_tracer().clone(),
            store,
            ticker: Arc::clone(&loaded.ticker),
            bind_timeout: limits.bind_timeout,
            observe_timeout: limits.observe_timeout,
        })
    }

    fn begin(&mut self, timeout: Duration, events: &[Arc<Traced>]) {
        self.store.data_mut().observing.begin(events.to_vec());
        self.ticker.wake();
        deadline::arm(&mut self.store, timeout);
    }

    /// What the call that has returned wants, and how much of it was too much.
    pub fn outputs(&mut self) -> (Vec<Output>, u64) {
        self.store.data_mut().observing.end()
    }

    pub fn describe(&mut self) -> Result<wire::Description, CallFault> {
        self.begin(DESCRIBE_TIMEOUT, &[]);
        self.guest
            .call_describe(&mut self.store)
            .map_err(|error| CallFault::of(&error, "describe"))
    }

    pub fn open(&mut self, opening: &wire::Opening) -> Result<Result<(), String>, CallFault> {
        // Interpreters page in their heap here, and nobody waits.
        self.begin(DESCRIBE_TIMEOUT, &[]);
        self.guest
            .call_open(&mut self.store, opening)
            .map_err(|error| CallFault::of(&error, "open"))
    }

    pub fn traces(&mut self, traces: &[Trace]) -> Result<(), CallFault> {
        self.begin(self.bind_timeout, &[]);
        self.guest
            .call_traces(&mut self.store, &lift::traces(traces))
            .map_err(|error| CallFault::of(&error, "traces"))
    }

    pub fn observe(&mut self, events: &[Arc<Traced>]) -> Result<(), CallFault> {
        self.begin(self.observe_timeout, events);
        self.guest
            .call_observe(&mut self.store, &lift::events(events))
            .map_err(|error| CallFault::of(&error, "observe"))
    }

    /// Linear memory in bytes.
    pub fn memory(&self) -> usize {
        self.store.data().memory.used
    }
}
