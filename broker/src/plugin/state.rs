//! What stands behind one instance's imports: the message of the running call, its log, its clock,
//! and how much memory it may still have. Not the calls themselves (see `live`).

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::bindings::warren::exchange::host::{self, Level};
use super::bindings::warren::exchange::message;
use super::deadline::Deadline;
use super::fault::MemoryExceeded;
use super::keeping::{Keeper, Keeping};
use super::lent::Lent;
use super::limits::{MAX_CORE_INSTANCES, MAX_TABLE_ELEMENTS};
use super::message_access;
use super::plugin_log::PluginLog;
use super::reads::{Field, Reads};
use super::tracer::Observing;
use super::wasi::Wasi;
use crate::clock::Clock;

pub(super) struct HostState {
    pub message: Lent,
    pub reads: Reads,
    pub memory: MemoryLimiter,
    pub deadline: Deadline,
    pub keeping: Keeping,
    /// Of a tracer.
    pub observing: Observing,
    surroundings: Surroundings,
    /// Only for components that import WASI, and only once they use it.
    wasi: Option<Box<Wasi>>,
}

/// Whom an instance works for and what it logs to.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub clock: Arc<dyn Clock>,
    pub log: Arc<PluginLog>,
    pub exchange: Arc<str>,
    pub keeper: Keeper,
}

impl HostState {
    pub fn new(surroundings: Surroundings, memory: usize) -> HostState {
        HostState {
            message: Lent::default(),
            reads: Reads::new(),
            memory: MemoryLimiter {
                limit: memory,
                used: 0,
            },
            deadline: Deadline::default(),
            keeping: Keeping::new(surroundings.keeper.clone()),
            observing: Observing::default(),
            surroundings,
            wasi: None,
        }
    }

    pub fn wasi(&mut self) -> &mut Wasi {
        let surroundings = &self.surroundings;
        self.wasi
            .get_or_insert_with(|| Box::new(Wasi::new(surroundings)))
    }
}

impl message::Host for HostState {
    fn exchange(&mut self) -> String {
        self.reads.field(Field::Exchange);
        self.message
            .view()
            .map_or_else(String::new, |message| message.exchange.to_string())
    }

    fn routing_key(&mut self) -> String {
        self.reads.field(Field::RoutingKey);
        self.message
            .view()
            .map_or_else(String::new, |message| message.routing_key.to_owned())
    }

    fn header(&mut self, name: String) -> Option<Vec<u8>> {
        self.reads.header(&name);
        let message = self.message.view()?;
        message_access::header(message.properties, &name).map(<[u8]>::to_vec)
    }

    fn headers(&mut self) -> Vec<u8> {
        self.reads.field(Field::Headers);
        self.message.view().map_or_else(Vec::new, |message| {
            message_access::headers(message.properties).to_vec()
        })
    }

    fn properties(&mut self) -> Vec<u8> {
        self.reads.field(Field::Properties);
        self.message
            .view()
            .map_or_else(Vec::new, |message| message.properties.to_vec())
    }

    fn body_length(&mut self) -> u64 {
        self.reads.field(Field::Body);
        self.message
            .view()
            .map_or(0, |message| message.body.len() as u64)
    }

    fn body(&mut self, offset: u64, length: u32) -> Vec<u8> {
        self.reads.field(Field::Body);
        let Some(message) = self.message.view() else {
            return Vec::new();
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = message.body.get(start..).unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        rest.get(..length).unwrap_or(rest).to_vec()
    }
}

impl host::Host for HostState {
    fn log(&mut self, level: Level, line: String) {
        let Surroundings {
            clock,
            log,
            exchange,
            ..
        } = &self.surroundings;
        log.line(level, exchange, &line, clock.now());
    }

    fn now(&mut self) -> u64 {
        self.reads.field(Field::Clock);
        self.surroundings.clock.now()
    }
}

/// Counts all memories of one instance together.
pub(super) struct MemoryLimiter {
    pub limit: usize,
    pub used: usize,
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            // An error and not `false`: the guest's allocator would only abort, and the counters
            // would call that a trap.
            return Err(wasmtime::Error::new(MemoryExceeded { limit: self.limit }));
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_CORE_INSTANCES
    }
}
