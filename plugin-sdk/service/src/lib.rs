//! Write Warren services in Rust: components that run beside the message path, such as a bridge to
//! another system. `wit/service/service.wit` says what each import does, with units and limits. Not
//! exchange types (see `warren-plugin-sdk`).
//!
//! A service is a type, a trait and one line:
//!
//! ```no_run
//! use warren_service_sdk::{Service, Task, host};
//!
//! struct Heartbeat;
//!
//! impl Service for Heartbeat {
//!     fn run(task: Task) -> Result<(), String> {
//!         host::running();
//!         while host::stopping().is_none() {
//!             host::log(host::Level::Info, &format!("{} is alive", task.name));
//!             host::sleep(1_000);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! warren_service_sdk::export!(Heartbeat);
//! ```
//!
//! It runs once. One that names `parameters` in its `plugin.toml` runs while there are such runtime
//! parameters, as often as `plan` says.

#[path = "../../src/field.rs"]
mod field;
pub mod parameter;
#[path = "../../src/properties.rs"]
mod properties;
pub mod shown;
pub mod web;
#[path = "../../src/write.rs"]
mod write;

use std::marker::PhantomData;

pub use bindings::warren::service::{amqp, broker, host, http, state};
pub use field::{Array, Fields, Items, Table, Value};
pub use properties::{Properties, PropertiesBuf};
pub use write::{ArrayBuf, FieldValue, TableBuf};

use bindings::exports::warren::service::service as wit;
pub use broker::Parameter;
pub use wit::Task;

// Generated: its names and forms are wit-bindgen's.
#[allow(clippy::all, clippy::unwrap_used, missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/service",
        world: "warren:service/everything",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "warren_service_sdk::bindings",
    });
}

/// What a service is. Each call is made in an instance of its own: nothing is remembered between
/// them but what is in `state`.
pub trait Service {
    /// Refuses a runtime parameter that the service cannot work by, in lines of text for whoever
    /// sets it. Bounded by a second.
    fn check(parameter: &Parameter) -> Result<(), Vec<String>> {
        let _ = parameter;
        Ok(())
    }

    /// What is to run, as things stand. Bounded by a second. One task without settings by default.
    fn plan() -> Vec<Task> {
        vec![Task {
            vhost: String::new(),
            name: "main".to_owned(),
            settings: String::new(),
        }]
    }

    /// Does the task; returns when it is done for good, or cannot go on (it is then started again
    /// after a delay).
    fn run(task: Task) -> Result<(), String>;
}

/// Makes a type that implements [`Service`] the component's export. Once in a crate.
#[macro_export]
macro_rules! export {
    ($service:ty) => {
        // Natively nothing is exported; the type still counts as used.
        const _: fn($crate::Task) -> ::std::result::Result<(), ::std::string::String> =
            <$service as $crate::Service>::run;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::Exported<$service>;
    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

#[doc(hidden)]
pub struct Exported<T>(PhantomData<T>);

impl<T: Service> wit::Guest for Exported<T> {
    fn check(parameter: Parameter) -> Result<(), Vec<String>> {
        T::check(&parameter)
    }

    fn plan() -> Vec<Task> {
        T::plan()
    }

    fn run(task: Task) -> Result<(), String> {
        std::panic::set_hook(Box::new(|panic| {
            host::log(host::Level::Error, &panic.to_string());
        }));
        T::run(task)
    }
}
