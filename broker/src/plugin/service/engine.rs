//! The compiler and runtime of services, whose calls may wait, and a service from bytes to ready.
//! Not its instances (see `instance`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine};

use super::bindings::{Everything, EverythingPre};
use super::check::{self, Accepted};
use super::grants::Grants;
use super::instance::ServiceState;
use super::wasi;
use crate::plugin::cache::Cache;
use crate::plugin::check as components;
use crate::plugin::compile::{self, Elsewhere, EngineKind};
use crate::plugin::engine::{Ticker, no_relief};
use crate::plugin::limits::Limits;

/// A service that computes gives way to others after this many ticks of a millisecond.
pub(super) const SLICE: u64 = 5;

/// A service that makes no call for so long is in a loop.
pub(super) const LONGEST_COMPUTATION: Duration = Duration::from_secs(10);

/// wasmtime's stack and that of the host functions. Only what is used becomes resident.
const FIBER_STACK: usize = 2 << 20;

/// More than a service may have by default: a memory that outgrows it is moved.
const MEMORY_RESERVATION: u64 = 128 << 20;

pub(in crate::plugin) fn new_engine(stack: usize) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        .async_stack_size(FIBER_STACK)
        .memory_reservation(MEMORY_RESERVATION);
    Engine::new(&config)
}

/// What all services are made with. Made when there is a first one.
pub(super) struct Foundry {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    cache: Option<Cache>,
    elsewhere: Option<Elsewhere>,
}

impl Foundry {
    pub fn new(
        cache_dir: &Path,
        compiler: Option<PathBuf>,
        stack: usize,
    ) -> Result<Foundry, String> {
        let engine = new_engine(stack).map_err(|error| format!("no engine: {error}"))?;
        // A service gives way by itself.
        let ticker = Ticker::start(no_relief())
            .map_err(|error| format!("no clock for services: {error}"))?;
        ticker.add(&engine);
        Ok(Foundry {
            engine,
            ticker: Arc::new(ticker),
            cache: Cache::open(cache_dir).ok(),
            elsewhere: compiler.map(|program| Elsewhere {
                program,
                kind: EngineKind::Services,
                stack,
            }),
        })
    }

    /// An error is the reason for the refusal.
    pub fn load(&self, bytes: &[u8], grants: &Grants, limits: Limits) -> Result<Loaded, String> {
        let (component, accepted) = self.compiled(bytes, grants)?;
        let mut linker = Linker::<ServiceState>::new(&self.engine);
        Everything::add_to_linker::<ServiceState, HasSelf<ServiceState>>(&mut linker, |state| {
            state
        })
        .and_then(|()| match accepted.wants_wasi {
            true => wasi::add_to_linker(&mut linker),
            false => Ok(()),
        })
        .map_err(|error| format!("linking failed: {error}"))?;
        let pre = linker.instantiate_pre(&component);
        let pre = pre.and_then(EverythingPre::new);
        let pre = pre.map_err(|error| format!("it does not fit its WIT package: {error:#}"))?;
        Ok(Loaded {
            engine: self.engine.clone(),
            ticker: Arc::clone(&self.ticker),
            pre,
            limits,
            grants: grants.clone(),
            version: accepted.version,
        })
    }

    fn compiled(&self, bytes: &[u8], grants: &Grants) -> Result<(Component, Accepted), String> {
        let interface = components::parse(bytes)?;
        // Before the compiler, which takes half a minute for an interpreter.
        let accepted = check::accept(&interface, grants)?;
        if let Some(cache) = &self.cache
            && let Some(component) = cache.get(&self.engine, bytes)
        {
            return Ok((component, accepted));
        }
        let (cache, elsewhere) = (self.cache.as_ref(), self.elsewhere.as_ref());
        let component = compile::compile(&self.engine, bytes, cache, elsewhere)?;
        Ok((component, accepted))
    }
}

/// A service that can be instantiated.
pub(super) struct Loaded {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    pub pre: EverythingPre<ServiceState>,
    pub limits: Limits,
    pub grants: Grants,
    pub version: String,
}
