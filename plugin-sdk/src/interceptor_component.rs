//! Joins [`Interceptor`] to the component's exports, which wit-bindgen writes. Compiled natively too,
//! but run only as WebAssembly: natively the bench stands in this place.

use std::marker::PhantomData;
use std::rc::Rc;

use crate::component::{Broker, log_panics};
use crate::interceptor::{Interceptor, InterceptorOpening, Verdict};
use crate::{Host, Message, State};
use bindings::exports::warren::interceptor::interceptor as wit;

// Generated: its names and forms are wit-bindgen's.
#[allow(clippy::all, clippy::unwrap_used, missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: ["../wit/exchange", "../wit/interceptor"],
        world: "warren:interceptor/interceptor-plugin",
        with: {
            "warren:exchange/message@0.1.0": crate::component::bindings::warren::exchange::message,
            "warren:exchange/host@0.1.0": crate::component::bindings::warren::exchange::host,
        },
        pub_export_macro: true,
        export_macro_name: "export_interceptor_component",
        default_bindings_module: "warren_plugin_sdk::interceptor_component::bindings",
    });
}

/// Makes a type that implements [`Interceptor`] the component's export. Once in a crate.
#[macro_export]
macro_rules! export_interceptor {
    ($interceptor:ty) => {
        // Natively nothing is exported; the type still counts as used.
        const _: fn(
            &$crate::interceptor::InterceptorOpening<'_>,
        ) -> ::std::result::Result<$interceptor, ::std::string::String> =
            <$interceptor as $crate::interceptor::Interceptor>::open;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            thread_local! {
                static STANDING: ::std::cell::RefCell<::std::option::Option<$interceptor>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl $crate::interceptor_component::Instance for $interceptor {
                fn with<R>(f: impl FnOnce(&mut ::std::option::Option<Self>) -> R) -> R {
                    STANDING.with_borrow_mut(f)
                }
            }

            type Component = $crate::interceptor_component::Exported<$interceptor>;
            $crate::interceptor_component::bindings::export_interceptor_component!(
                Component with_types_in $crate::interceptor_component::bindings
            );
        };
    };
}

/// Where [`export_interceptor!`] keeps the one value that this component instance works with.
pub trait Instance: Interceptor {
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
        }
    }

    fn open(opening: wit::Opening) -> Result<(), String> {
        log_panics();
        let opened = T::open(&InterceptorOpening {
            vhost: &opening.vhost,
            exchange: &opening.exchange,
            configuration: &opening.configuration,
            host: &Host::new(Rc::new(Broker)),
            state: &State::default(),
        })?;
        T::with(|standing| *standing = Some(opened));
        Ok(())
    }

    fn before_route() -> wit::Verdict {
        let verdict = T::with(|standing| match standing {
            Some(standing) => standing.before_route(&Message::new(&Broker)),
            None => Verdict::reject("this instance stands in front of no exchange"),
        });
        match verdict {
            Verdict::Pass => wit::Verdict::Pass,
            Verdict::Reject(reason) => wit::Verdict::Reject(reason),
            Verdict::Stamp(headers) => {
                let headers = headers.into_iter().map(|(name, value)| wit::Header {
                    name,
                    value: value.into_bytes(),
                });
                wit::Verdict::Stamp(headers.collect())
            }
        }
    }
}
