//! Joins [`ExchangeType`] to the component's exports, which wit-bindgen writes. Compiled natively
//! too, but run only as WebAssembly: natively the bench stands in this place.

use std::marker::PhantomData;
use std::rc::Rc;

use crate::{Answer, Binding, Decision, ExchangeType, Host, Inputs, Level, Message, Named};
use crate::{History, State};
use crate::{HostFunctions, MessageSource, Opening, Table};
use bindings::exports::warren::exchange::exchange_type as wit;
use bindings::exports::warren::plugin::{by_key, configuration};
use bindings::warren::exchange as broker;

// Generated: its names and forms are wit-bindgen's.
#[allow(clippy::all, clippy::unwrap_used, missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../wit/exchange", "../wit/plugin"],
        world: "warren:plugin/keyed-exchange-plugin",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "warren_plugin_sdk::component::bindings",
    });
}

/// Makes a type that implements [`ExchangeType`] the component's export. Once in a crate.
#[macro_export]
macro_rules! export {
    ($exchange_type:ty) => {
        // Natively nothing is exported; the type still counts as used.
        const _: fn(
            &$crate::Opening<'_>,
        ) -> ::std::result::Result<$exchange_type, ::std::string::String> =
            <$exchange_type as $crate::ExchangeType>::open;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            thread_local! {
                static SERVING: ::std::cell::RefCell<::std::option::Option<$exchange_type>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl $crate::component::Instance for $exchange_type {
                fn with<R>(f: impl FnOnce(&mut ::std::option::Option<Self>) -> R) -> R {
                    SERVING.with_borrow_mut(f)
                }
            }

            type Component = $crate::component::Exported<$exchange_type>;
            $crate::component::bindings::export_component!(
                Component with_types_in $crate::component::bindings
            );
        };
    };
}

/// Where [`export!`] keeps the one value that this component instance serves with.
pub trait Instance: ExchangeType {
    fn with<R>(f: impl FnOnce(&mut Option<Self>) -> R) -> R;
}

pub struct Exported<T>(PhantomData<T>);

impl<T: Instance> wit::Guest for Exported<T> {
    fn describe() -> wit::Description {
        wit::Description {
            types: T::TYPES.iter().map(ToString::to_string).collect(),
            summary: T::SUMMARY.to_owned(),
            arguments: T::ARGUMENTS.iter().map(argument).collect(),
            configuration: T::CONFIGURATION.iter().map(argument).collect(),
            whole_message: T::WHOLE_MESSAGE,
        }
    }

    fn open(exchange: wit::Opening) -> Result<wit::Opened, String> {
        log_panics();
        let opened = T::open(&Opening {
            vhost: &exchange.vhost,
            name: &exchange.name,
            type_name: &exchange.type_name,
            arguments: Table(&exchange.arguments),
            configuration: &exchange.configuration,
            host: &Host::new(Rc::new(Broker)),
            state: &State::default(),
            history: &History::default(),
        })?;
        let inner_type = opened.inner_type();
        T::with(|serving| *serving = Some(opened));
        Ok(wit::Opened { inner_type })
    }

    fn bind(slot: u32, routing_key: String, arguments: Vec<u8>) -> Result<(), String> {
        T::with(|serving| {
            let serving = serving.as_mut().ok_or(NOT_OPEN)?;
            serving.bind(&Binding {
                slot,
                routing_key: &routing_key,
                arguments: Table(&arguments),
            })
        })
    }

    fn unbind(slot: u32) {
        T::with(|serving| {
            if let Some(serving) = serving {
                serving.unbind(slot);
            }
        });
    }

    fn inputs() -> wit::Dependence {
        match T::with(|serving| serving.as_ref().map(ExchangeType::inputs)) {
            Some(Inputs::Nothing) => wit::Dependence::Nothing,
            Some(Inputs::RoutingKey) => wit::Dependence::RoutingKey,
            Some(Inputs::Headers(names)) => wit::Dependence::Headers(names),
            Some(Inputs::Anything) | None => wit::Dependence::Anything,
        }
    }

    fn route() -> wit::Answer {
        answer(T::route)
    }

    fn due() -> wit::Answer {
        answer(T::due)
    }
}

impl<T: Instance> configuration::Guest for Exported<T> {
    fn check(configuration: String) -> Result<(), configuration::Refusal> {
        T::check(&configuration).map_err(|wrong| configuration::Refusal {
            key: wrong.key,
            reason: wrong.reason,
        })
    }
}

impl<T: Instance> by_key::Guest for Exported<T> {
    fn route_keys(keys: by_key::Keys) -> by_key::Destinations {
        let found = T::with(|serving| match serving {
            Some(serving) => crate::by_key::route_keys(serving, &keys.text, &keys.ends),
            None => crate::by_key::Destinations::default(),
        });
        by_key::Destinations {
            slots: found.slots,
            ends: found.ends,
            alone: found.alone,
        }
    }
}

const NOT_OPEN: &str = "this instance serves no exchange";

fn answer<T: Instance>(decide: fn(&mut T, &Message) -> Answer) -> wit::Answer {
    let Answer {
        decision,
        set_headers,
    } = T::with(|serving| match serving {
        Some(serving) => decide(serving, &Message::new(&Broker)),
        None => Answer::reject(NOT_OPEN),
    });
    wit::Answer {
        decision: match decision {
            Decision::To(slots) => wit::Decision::To(slots),
            Decision::Hold(until) => wit::Decision::Hold(until),
            Decision::Delegate => wit::Decision::Delegate,
            Decision::Reject(reason) => wit::Decision::Reject(reason),
        },
        set_headers: set_headers
            .into_iter()
            .map(|(name, value)| wit::Header {
                name,
                value: value.into_bytes(),
            })
            .collect(),
    }
}

fn argument(named: &Named) -> wit::Argument {
    wit::Argument {
        name: named.name.to_owned(),
        summary: named.summary.to_owned(),
    }
}

/// A panic is a trap, and a trap alone says nothing of why.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        Broker.log(Level::Error, &panic.to_string())
    }));
}

/// The broker on the other side of the component's imports.
pub(crate) struct Broker;

impl HostFunctions for Broker {
    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Error => broker::host::Level::Error,
            Level::Warn => broker::host::Level::Warn,
            Level::Info => broker::host::Level::Info,
            Level::Debug => broker::host::Level::Debug,
        };
        broker::host::log(level, line);
    }

    fn now(&self) -> u64 {
        broker::host::now()
    }
}

impl MessageSource for Broker {
    fn exchange(&self) -> String {
        broker::message::exchange()
    }

    fn routing_key(&self) -> String {
        broker::message::routing_key()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        broker::message::header(name)
    }

    fn headers(&self) -> Vec<u8> {
        broker::message::headers()
    }

    fn properties(&self) -> Vec<u8> {
        broker::message::properties()
    }

    fn body_length(&self) -> u64 {
        broker::message::body_length()
    }

    fn body(&self, offset: u64, length: u32) -> Vec<u8> {
        broker::message::body(offset, length)
    }
}
