//! The host of plugins: WebAssembly components that decide where messages go, or watch. The only room
//! that knows wasmtime. Knows neither queues nor sessions: it answers `vhost::exchange_type`.

mod bindings;
mod breaker;
pub mod build;
mod builtin;
mod cache;
mod check;
pub mod compile;
mod component;
mod deadline;
mod door;
mod engine;
mod entry;
mod fault;
mod folder;
mod guest;
mod health;
mod host;
mod hosts;
pub mod inspect;
mod instance;
mod interceptor;
mod keeping;
mod lane;
mod lent;
mod limits;
mod live;
mod live_set;
pub mod manifest;
mod message_access;
mod one_plugin;
mod pace;
mod plugin_log;
mod reads;
mod sections;
pub mod service;
mod state;
mod status;
mod tracer;
mod type_table;
mod wasi;
mod workshop;

pub use builtin::BUILTIN;
pub use check::{Asked, Kind, is_interceptor};
pub use door::{PluginError, Plugins, TracingError};
pub use engine::{Relief, no_relief};
pub use fault::FaultKind;
pub use host::PluginHost;
pub use interceptor::Intercepts;
pub use limits::{DEFAULT_HOLD, Limits, PluginOptions, PluginSettings};
pub use status::{
    Histogram, LoadReport, Outcome, PluginKind, PluginState, PluginStatus, RolledBack,
};
pub use tracer::{TraceFile, TraceFiles};

#[cfg(test)]
mod tests;
