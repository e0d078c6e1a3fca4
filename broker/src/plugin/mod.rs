//! The host of exchange types: WebAssembly components that decide where messages go. The only room
//! that knows wasmtime. Knows neither queues nor sessions: it answers `vhost::exchange_type`.

mod bindings;
mod breaker;
pub mod build;
mod builtin;
mod cache;
mod check;
mod component;
mod deadline;
mod declared;
mod engine;
mod fault;
mod host;
mod instance;
mod lane;
mod lent;
mod limits;
mod live;
mod live_set;
mod message_access;
mod one_plugin;
mod pace;
mod plugin_log;
mod reads;
mod state;
mod status;
mod wasi;

pub use builtin::BUILTIN;
pub use fault::FaultKind;
pub use host::PluginHost;
pub use limits::{Limits, PluginOptions, PluginSettings};
pub use status::{LoadReport, Outcome, PluginState, PluginStatus};

#[cfg(test)]
mod tests;
