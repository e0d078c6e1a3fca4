//! Joins [`Tracer`] to the component's exports, which wit-bindgen writes. Compiled natively too, but
//! run only as WebAssembly: natively the bench stands in this place.

use std::marker::PhantomData;
use std::rc::Rc;

use crate::tracer::{Desk, DeskFunctions, Outgoing, Payload, Tracer, TracerOpening};
use crate::{Host, HostFunctions, Level};
use bindings::exports::warren::tracer::tracer as wit;
use bindings::warren::exchange as broker;
use bindings::warren::tracer::{body, exchanges, files, uploads};

// Generated: its names and forms are wit-bindgen's.
#[allow(clippy::all, clippy::unwrap_used, missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../wit/exchange", "../wit/tracer"],
        world: "warren:tracer/tracer-plugin",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_tracer_component",
        default_bindings_module: "warren_plugin_sdk::tracer_component::bindings",
    });
}

/// Makes a type that implements [`Tracer`] the component's export. Once in a crate.
#[macro_export]
macro_rules! export_tracer {
    ($tracer:ty) => {
        // Natively nothing is exported; the type still counts as used.
        const _: fn(
            &$crate::tracer::TracerOpening<'_>,
        ) -> ::std::result::Result<$tracer, ::std::string::String> =
            <$tracer as $crate::tracer::Tracer>::open;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            thread_local! {
                static WATCHING: ::std::cell::RefCell<::std::option::Option<$tracer>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl $crate::tracer_component::Instance for $tracer {
                fn with<R>(f: impl FnOnce(&mut ::std::option::Option<Self>) -> R) -> R {
                    WATCHING.with_borrow_mut(f)
                }
            }

            type Component = $crate::tracer_component::Exported<$tracer>;
            $crate::tracer_component::bindings::export_tracer_component!(
                Component with_types_in $crate::tracer_component::bindings
            );
        };
    };
}

/// Where [`export_tracer!`] keeps the one value that this component instance works with.
pub trait Instance: Tracer {
    fn with<R>(f: impl FnOnce(&mut Option<Self>) -> R) -> R;
}

pub struct Exported<T>(PhantomData<T>);

impl<T: Instance> wit::Guest for Exported<T> {
    fn describe() -> wit::Description {
        let keys = T::CONFIGURATION.iter().map(|named| wit::Argument {
            name: named.name.to_owned(),
            summary: named.summary.to_owned(),
        });
        wit::Description {
            summary: T::SUMMARY.to_owned(),
            configuration: keys.collect(),
            messages: T::MESSAGES,
            news: T::NEWS,
        }
    }

    fn open(opening: wit::Opening) -> Result<(), String> {
        std::panic::set_hook(Box::new(|panic| {
            Broker.log(Level::Error, &panic.to_string())
        }));
        let opened = T::open(&TracerOpening {
            configuration: &opening.configuration,
            node: &opening.node,
            host: &Host::new(Rc::new(Broker)),
            desk: &Desk::of_component(Broker),
        })?;
        T::with(|watching| *watching = Some(opened));
        Ok(())
    }

    fn traces(traces: Vec<wit::Trace>) {
        T::with(|watching| {
            if let Some(watching) = watching {
                watching.traces(traces);
            }
        });
    }

    fn observe(events: Vec<wit::Event>) {
        T::with(|watching| {
            if let Some(watching) = watching {
                watching.observe(&events);
            }
        });
    }
}

/// The broker on the other side of the component's imports.
#[derive(Clone)]
pub struct Broker;

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

impl DeskFunctions for Broker {
    fn body(&self, event: u32, offset: u64, length: u32) -> Vec<u8> {
        body::read(event, offset, length)
    }

    fn declare(&self, vhost: &str, name: &str, exchange_type: &str) {
        exchanges::declare(vhost, name, exchange_type);
    }

    fn publish(&self, outgoing: Outgoing) {
        let payload = match outgoing.payload {
            Payload::OfEvent(event) => exchanges::Payload::OfEvent(event),
            Payload::Octets(octets) => exchanges::Payload::Octets(octets),
        };
        exchanges::publish(&exchanges::Outgoing {
            vhost: outgoing.vhost,
            exchange: outgoing.exchange,
            routing_key: outgoing.routing_key,
            properties: outgoing.properties,
            payload,
        });
    }

    fn append(&self, file: &str, octets: &[u8]) {
        files::append(file, octets);
    }

    fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| uploads::Header {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        uploads::post(url, &headers.collect::<Vec<_>>(), body);
    }
}
