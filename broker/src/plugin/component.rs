//! One component from bytes to ready: checked, compiled (or taken from the cache), linked, and
//! asked to describe itself. Not its instances (see `instance` and `live`).

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::ExchangePlugin;
use super::bindings::configured::exports::warren::plugin::configuration::GuestIndices as ConfigurationIndices;
use super::bindings::exports::warren::exchange::exchange_type::Description;
use super::cache::Cache;
use super::check::{self, Accepted, Interface, Kind};
use super::compile::{self, Elsewhere};
use super::engine::Ticker;
use super::guest::{ExchangePre, Pre};
use super::interceptor::bindings::InterceptorPluginPre;
use super::limits::{DESCRIBE_TIMEOUT, Limits};
use super::live::Live;
use super::manifest::Manifest;
use super::state::{HostState, Surroundings};
use super::tracer::LoadedTracer;
use super::wasi;

/// An exchange type's name is an AMQP short string.
const MAX_TYPE_NAME: usize = 255;

/// A component that can be instantiated.
pub(super) struct Loaded {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    pub pre: Pre,
    /// There where the component looks at its configuration itself.
    pub check: Option<ConfigurationIndices>,
    pub limits: Limits,
    pub version: String,
    pub manifest: Option<Manifest>,
    /// Imports that had to be granted.
    pub asked: Vec<String>,
    /// As JSON, with defaults.
    pub configuration: String,
}

/// A component that passed, as what it is.
pub(super) enum Part {
    Exchange(Box<Loaded>, Description),
    Interceptor(Box<Loaded>, Description),
    Tracer(Box<LoadedTracer>),
}

/// Everything a component is loaded with.
pub(super) struct Loader<'a> {
    pub engine: &'a Engine,
    pub ticker: &'a Arc<Ticker>,
    /// None when the folder cannot be used: everything is compiled, nothing is kept.
    pub cache: Option<&'a Cache>,
    /// None: compiled by this process.
    pub elsewhere: Option<Elsewhere>,
    pub limits: Limits,
    pub grants: &'a [String],
    pub config: &'a serde_json::Value,
    pub surroundings: Surroundings,
    /// The broker's name.
    pub node: &'a str,
}

impl Loader<'_> {
    /// An error is the reason for the refusal.
    pub fn load(self, bytes: &[u8]) -> Result<Part, String> {
        let (component, interface) = self.compiled(bytes)?;
        let accepted = check::accept(&interface, self.grants)?;
        let manifest = Manifest::of(bytes)?;
        match accepted.kind {
            Kind::Exchange => {
                let (loaded, description) = self.asked(&component, accepted, manifest)?;
                check_description(&description)?;
                Ok(Part::Exchange(Box::new(loaded), description))
            }
            Kind::Interceptor => {
                let (loaded, description) = self.asked(&component, accepted, manifest)?;
                Ok(Part::Interceptor(Box::new(loaded), description))
            }
            Kind::Tracer => LoadedTracer::load(self, &component, accepted, manifest)
                .map(|loaded| Part::Tracer(Box::new(loaded))),
        }
    }

    /// As JSON, with defaults.
    pub fn configuration(&self, manifest: Option<&Manifest>) -> Result<String, String> {
        let configuration = match manifest {
            Some(manifest) => manifest.complete(self.config)?,
            None => Manifest::default().complete(self.config)?,
        };
        Ok(configuration.to_string())
    }

    /// One that stands in the way of messages.
    fn asked(
        self,
        component: &Component,
        accepted: Accepted,
        manifest: Option<Manifest>,
    ) -> Result<(Loaded, Description), String> {
        let mut linker = Linker::<HostState>::new(self.engine);
        link(&mut linker, &accepted).map_err(|error| format!("linking failed: {error}"))?;
        let pre = linker.instantiate_pre(component).map_err(unfit)?;
        let check = match accepted.checks_configuration {
            true => Some(ConfigurationIndices::new(&pre).map_err(unfit)?),
            false => None,
        };
        let pre = match accepted.kind {
            Kind::Exchange => {
                let by_key = accepted.answers_by_key;
                Pre::Exchange(ExchangePre::new(pre, by_key).map_err(unfit)?)
            }
            Kind::Interceptor => Pre::Interceptor(InterceptorPluginPre::new(pre).map_err(unfit)?),
            Kind::Tracer => return Err("it does not stand in the way of messages".to_owned()),
        };
        let configuration = self.configuration(manifest.as_ref())?;
        let loaded = Loaded {
            engine: self.engine.clone(),
            ticker: Arc::clone(self.ticker),
            pre,
            check,
            manifest,
            asked: accepted.asked,
            configuration,
            limits: self.limits,
            version: accepted.version,
        };
        Live::check_configuration(&loaded, self.surroundings.clone())?;
        let description = Live::instantiate(&loaded, self.surroundings, 0, DESCRIBE_TIMEOUT)
            .and_then(|mut live| live.describe())
            .map_err(|fault| fault.to_string())?;
        Ok((loaded, description))
    }

    fn compiled(&self, bytes: &[u8]) -> Result<(Component, Interface), String> {
        if let Some(component) = self.cache.and_then(|cache| cache.get(self.engine, bytes)) {
            let interface = interface_of(&component, self.engine);
            return Ok((component, interface));
        }
        let interface = check::parse(bytes)?;
        // Before the compiler, which takes half a minute for an interpreter.
        check::accept(&interface, self.grants)?;
        let elsewhere = self.elsewhere.as_ref();
        let component = compile::compile(self.engine, bytes, self.cache, elsewhere)?;
        Ok((component, interface))
    }
}

fn interface_of(component: &Component, engine: &Engine) -> Interface {
    let names = component.component_type();
    Interface {
        imports: names
            .imports(engine)
            .map(|(name, _)| name.to_owned())
            .collect(),
        exports: names
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect(),
    }
}

pub(super) fn unfit(error: wasmtime::Error) -> String {
    format!("it does not fit its WIT package: {error:#}")
}

fn link(linker: &mut Linker<HostState>, accepted: &Accepted) -> wasmtime::Result<()> {
    // An interceptor imports no more than an exchange type may.
    ExchangePlugin::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    if accepted.wants_wasi {
        wasi::add_to_linker(linker)?;
    }
    Ok(())
}

fn check_description(description: &Description) -> Result<(), String> {
    if description.types.is_empty() {
        return Err("it describes no exchange type".to_owned());
    }
    for (index, name) in description.types.iter().enumerate() {
        if name.is_empty() || name.len() > MAX_TYPE_NAME {
            return Err(format!(
                "it describes an exchange type with a name of {} bytes",
                name.len()
            ));
        }
        let (before, _) = description.types.split_at(index);
        if before.contains(name) {
            return Err(format!("it describes the exchange type {name:?} twice"));
        }
    }
    Ok(())
}
