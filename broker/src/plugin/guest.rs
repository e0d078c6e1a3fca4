//! What a component exports that stands in the way of a message, an exchange type or an interceptor, as
//! one thing to be asked. Limits are set by whoever asks (see `live`).

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::ExchangePluginIndices;
use super::bindings::exports::warren::exchange::exchange_type as exchange;
use super::bindings::keyed::exports::warren::plugin::by_key;
use super::instance::OwnedOpening;
use super::interceptor::bindings::exports::warren::interceptor::interceptor;
use super::interceptor::bindings::{InterceptorPlugin, InterceptorPluginPre};
use super::state::HostState;
use crate::vhost::exchange_type::{BindingView, Moment};

/// A component that can be instantiated.
pub(super) enum Pre {
    Exchange(ExchangePre),
    Interceptor(InterceptorPluginPre<HostState>),
}

pub(super) struct ExchangePre {
    pre: InstancePre<HostState>,
    indices: ExchangePluginIndices,
    /// There where the component answers by routing keys.
    by_key: Option<by_key::GuestIndices>,
}

impl ExchangePre {
    pub fn new(pre: InstancePre<HostState>, by_key: bool) -> wasmtime::Result<ExchangePre> {
        Ok(ExchangePre {
            indices: ExchangePluginIndices::new(&pre)?,
            by_key: match by_key {
                true => Some(by_key::GuestIndices::new(&pre)?),
                false => None,
            },
            pre,
        })
    }

    fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Guest> {
        let instance = self.pre.instantiate(&mut *store)?;
        let plugin = self.indices.load(&mut *store, &instance)?;
        let by_key = match &self.by_key {
            Some(indices) => Some(indices.load(&mut *store, &instance)?),
            None => None,
        };
        let exchange = plugin.warren_exchange_exchange_type().clone();
        Ok(Guest::Exchange(exchange, by_key))
    }
}

pub(super) enum Guest {
    Exchange(exchange::Guest, Option<by_key::Guest>),
    Interceptor(interceptor::Guest),
}

impl Pre {
    pub fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Guest> {
        Ok(match self {
            Pre::Exchange(pre) => pre.instantiate(store)?,
            Pre::Interceptor(pre) => {
                let plugin: InterceptorPlugin = pre.instantiate(store)?;
                Guest::Interceptor(plugin.warren_interceptor_interceptor().clone())
            }
        })
    }

    pub fn instance_pre(&self) -> &InstancePre<HostState> {
        match self {
            Pre::Exchange(pre) => &pre.pre,
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
            Guest::Exchange(guest, _) => guest.call_describe(store),
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
            Guest::Exchange(guest, _) => {
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
            Guest::Exchange(guest, _) => guest.call_bind(store, slot, routing_key, arguments),
            Guest::Interceptor(_) => Ok(Ok(())),
        }
    }

    pub fn unbind(&self, store: &mut Store<HostState>, slot: u32) -> wasmtime::Result<()> {
        match self {
            Guest::Exchange(guest, _) => guest.call_unbind(store, slot),
            Guest::Interceptor(_) => Ok(()),
        }
    }

    /// An interceptor is asked about every message.
    pub fn inputs(&self, store: &mut Store<HostState>) -> wasmtime::Result<exchange::Dependence> {
        match self {
            Guest::Exchange(guest, _) => guest.call_inputs(store),
            Guest::Interceptor(_) => Ok(exchange::Dependence::Anything),
        }
    }

    /// None where it answers one message at a time only.
    pub fn route_keys(
        &self,
        store: &mut Store<HostState>,
        keys: &by_key::Keys,
    ) -> Option<wasmtime::Result<by_key::Destinations>> {
        match self {
            Guest::Exchange(_, Some(guest)) => Some(guest.call_route_keys(store, keys)),
            Guest::Exchange(_, None) | Guest::Interceptor(_) => None,
        }
    }

    /// To nowhere further, where an interceptor lets a message pass.
    pub fn ask(
        &self,
        store: &mut Store<HostState>,
        moment: Moment,
    ) -> wasmtime::Result<exchange::Answer> {
        match (self, moment) {
            (Guest::Exchange(guest, _), Moment::Publish) => guest.call_route(store),
            (Guest::Exchange(guest, _), Moment::Due) => guest.call_due(store),
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
