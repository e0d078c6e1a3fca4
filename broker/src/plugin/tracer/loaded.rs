//! A tracer's component that has passed: linked, described, and opened once to see whether it can be.
//! Not its instance (see `live`).

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::exports::warren::tracer::tracer as wire;
use super::bindings::{TracerPlugin, TracerPluginPre};
use super::live::Live;
use crate::plugin::check::Accepted;
use crate::plugin::component::{Loader, unfit};
use crate::plugin::engine::Ticker;
use crate::plugin::hosts::Hosts;
use crate::plugin::inspect::Described;
use crate::plugin::limits::Limits;
use crate::plugin::manifest::Manifest;
use crate::plugin::state::{HostState, Surroundings};
use crate::plugin::wasi;
use crate::vhost::Wish;

pub(in crate::plugin) struct LoadedTracer {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    pub pre: TracerPluginPre<HostState>,
    pub limits: Limits,
    pub version: String,
    pub manifest: Option<Manifest>,
    pub asked: Vec<String>,
    pub opening: wire::Opening,
    pub description: wire::Description,
    /// Of HTTP servers, those that it may post to.
    pub hosts: Hosts,
    pub surroundings: Surroundings,
}

impl LoadedTracer {
    /// An error is the reason for the refusal.
    pub fn load(
        loader: Loader<'_>,
        component: &Component,
        accepted: Accepted,
        manifest: Option<Manifest>,
    ) -> Result<LoadedTracer, String> {
        let mut linker = Linker::<HostState>::new(loader.engine);
        link(&mut linker, accepted.wants_wasi)
            .map_err(|error| format!("linking failed: {error}"))?;
        let pre = linker.instantiate_pre(component).map_err(unfit)?;
        let pre = TracerPluginPre::new(pre).map_err(unfit)?;
        let configuration = loader.configuration(manifest.as_ref())?;
        let mut loaded = LoadedTracer {
            engine: loader.engine.clone(),
            ticker: Arc::clone(loader.ticker),
            pre,
            limits: loader.limits,
            version: accepted.version,
            manifest,
            asked: accepted.asked,
            opening: wire::Opening {
                configuration,
                node: loader.node.to_owned(),
            },
            description: nothing_yet(),
            hosts: Hosts::granted(loader.grants),
            surroundings: loader.surroundings,
        };
        let mut live = Live::instantiate(&loaded).map_err(|fault| fault.to_string())?;
        loaded.description = live.describe().map_err(|fault| fault.to_string())?;
        let opened = live
            .open(&loaded.opening)
            .map_err(|fault| fault.to_string())?;
        opened.map_err(|reason| format!("it does not open: {reason}"))?;
        Ok(loaded)
    }

    pub fn wish(&self) -> Wish {
        match self.description.messages {
            wire::Messages::None => Wish::Nothing,
            wire::Messages::Traced => Wish::Traced,
            wire::Messages::All => Wish::Everything,
        }
    }
}

/// For its author, and for whoever is to trust it.
pub(in crate::plugin) fn described(loaded: &LoadedTracer) -> Described {
    let wire::Description {
        summary,
        configuration,
        messages,
        news,
    } = &loaded.description;
    let messages = match messages {
        wire::Messages::None => "no messages",
        wire::Messages::Traced => "messages of traced virtual hosts",
        wire::Messages::All => "all messages",
    };
    let news = if *news { ", news" } else { "" };
    let configuration = configuration.iter();
    let configuration = configuration.map(|key| (key.name.clone(), key.summary.clone()));
    Described {
        summary: summary.clone(),
        configuration: configuration.collect(),
        told: Some(format!("{messages}{news}")),
        ..Described::default()
    }
}

fn nothing_yet() -> wire::Description {
    wire::Description {
        summary: String::new(),
        configuration: Vec::new(),
        messages: wire::Messages::None,
        news: false,
    }
}

fn link(linker: &mut Linker<HostState>, wants_wasi: bool) -> wasmtime::Result<()> {
    TracerPlugin::add_to_linker::<HostState, HasSelf<HostState>>(linker, |state| state)?;
    if wants_wasi {
        wasi::add_to_linker(linker)?;
    }
    Ok(())
}
