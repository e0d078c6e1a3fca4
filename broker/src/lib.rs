//! Warren, an AMQP 0-9-1 broker whose routing is WebAssembly. `ARCHITECTURE.md` draws the floors.

// `println!` panics when nobody reads; what the commands say goes through `cli::say`.
#![cfg_attr(not(test), warn(clippy::print_stdout))]

pub mod amqp;
pub mod auth;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod confirms;
pub mod ctl;
pub mod error;
pub mod http;
pub mod message;
pub mod names;
mod nearer;
pub mod net;
pub mod outbox;
pub mod perf;
pub mod plugin;
pub mod plugin_command;
pub mod protection;
pub mod queue;
pub mod server;
pub mod session;
pub mod store;
pub mod tally;
pub mod tls;
pub mod trace;
pub mod vhost;
pub mod web;
