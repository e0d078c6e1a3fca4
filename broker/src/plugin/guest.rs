//! What a component exports that stands in the way of a message, an exchange type or an interceptor, as
//! one thing to be asked. Limits are set by whoever asks (see `live`).

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::exports::warren::exchange::exchange_type as exchange;
use super::bindings::{ExchangePlugin, ExchangePluginPre};
use super::instance::OwnedOpening;
use super::interceptor::bindings::exports::warren::interceptor::interceptor;
use super::interceptor::bindings::{InterceptorPlugin, InterceptorPluginPre};
use super::state::HostState;
use crate::vhost::exchange_type::{BindingView, Moment};

/// A component that can be instantiated.
pub(super) enum Pre {
    Exchange(ExchangePluginPre<HostState>),
    Interceptor(InterceptorPluginPre<HostState>),
}

pub(super) enum Guest {
    Exchange(exchange::Guest),
    Interceptor(interceptor::Guest),
}

impl Pre {
    pub fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Guest> {
        Ok(match self {
            Pre::Exchange(pre) => {
                let plugin: ExchangePlugin = pre.instantiate(store)?;
                Guest::Exchange(plugin.warren_exchange_exchange_type().clone())
            }
            Pre::Interceptor(pre) => {
                let plugin: InterceptorPlugin = pre.instantiate(store)?;
                Guest::Interceptor(plugin.warren_interceptor_interceptor().clone())
            }
        })
    }

    pub fn instance_pre(&self) -> &InstancePre<HostState> {
        match self {
            Pre::Exchange(pre) => pre.instance_pre(),
            Pre::Interceptor(pre) => pre.instance_pre(),
        }
    }
}

impl Guest {
    pub fn describe(
        &self,
        store: &mut Store<HostState>,
    ) -> wasmtime::Result<exchange::Description> {
        match self {
            Guest::Exchange(guest) => guest.call_describe(store),
            Guest::Interceptor(guest) => {
                let interceptor::Description {
                    summary,
                    configuration,
                } = guest.call_describe(store)?;
                let keys = configuration.into_iter().map(|key| exchange::Argument {
                    name: key.name,
                    summary: key.summary,
                });
                Ok(exchange::Description {
                    types: Vec::new(),
                    summary,
                    arguments: Vec::new(),
                    configuration: keys.collect(),
                    whole_message: true,
                })
            }
        }
    }

    /// The inner type, of an exchange type that has one.
    pub fn open(
        &self,
        store: &mut Store<HostState>,
        opening: &OwnedOpening,
        configuration: &str,
    ) -> wasmtime::Result<Result<Option<String>, String>> {
        match self {
            Guest::Exchange(guest) => {
                let opening = exchange::Opening {
                    vhost: opening.vhost.clone(),
                    name: opening.exchange.to_string(),
                    type_name: opening.type_name.clone(),
                    arguments: opening.arguments.clone(),
                    configuration: configuration.to_owned(),
                };
                let opened = guest.call_open(store, &opening)?;
                Ok(opened.map(|opened| opened.inner_type))
            }
            Guest::Interceptor(guest) => {
                let opening = interceptor::Opening {
                    vhost: opening.vhost.clone(),
                    exchange: opening.exchange.to_string(),
                    configuration: configuration.to_owned(),
                };
                Ok(guest.call_open(store, &opening)?.map(|()| None))
            }
        }
    }

    /// Nothing is bound to an interceptor.
    pub fn bind(
        &self,
        store: &mut Store<HostState>,
        binding: BindingView<'_>,
    ) -> wasmtime::Result<Result<(), String>> {
        let BindingView {
            slot,
            routing_key,
            arguments,
        } = binding;
        match self {
            Guest::Exchange(guest) => guest.call_bind(store, slot, routing_key, arguments),
            Guest::Interceptor(_) => Ok(Ok(())),
        }
    }

    pub fn unbind(&self, store: &mut Store<HostState>, slot: u32) -> wasmtime::Result<()> {
        match self {
            Guest::Exchange(guest) => guest.call_unbind(store, slot),
            Guest::Interceptor(_) => Ok(()),
        }
    }

    /// An interceptor is asked about every message.
    pub fn inputs(&self, store: &mut Store<HostState>) -> wasmtime::Result<exchange::Dependence> {
        match self {
            Guest::Exchange(guest) => guest.call_inputs(store),
            Guest::Interceptor(_) => Ok(exchange::Dependence::Anything),
        }
    }

    /// To nowhere further, where an interceptor lets a message pass.
    pub fn ask(
        &self,
        store: &mut Store<HostState>,
        moment: Moment,
    ) -> wasmtime::Result<exchange::Answer> {
        match (self, moment) {
            (Guest::Exchange(guest), Moment::Publish) => guest.call_route(store),
            (Guest::Exchange(guest), Moment::Due) => guest.call_due(store),
            (Guest::Interceptor(guest), _) => Ok(answer(guest.call_before_route(store)?)),
        }
    }
}

fn answer(verdict: interceptor::Verdict) -> exchange::Answer {
    let passed = exchange::Answer {
        decision: exchange::Decision::To(Vec::new()),
        set_headers: Vec::new(),
    };
    match verdict {
        interceptor::Verdict::Pass => passed,
        interceptor::Verdict::Stamp(headers) => {
            let headers = headers.into_iter().map(|header| exchange::Header {
                name: header.name,
                value: header.value,
            });
            exchange::Answer {
                set_headers: headers.collect(),
                ..passed
            }
        }
        interceptor::Verdict::Reject(reason) => exchange::Answer {
            decision: exchange::Decision::Reject(reason),
            ..passed
        },
    }
}
