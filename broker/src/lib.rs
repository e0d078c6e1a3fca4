//! Warren, an AMQP 0-9-1 broker whose routing is WebAssembly. `ARCHITECTURE.md` draws the floors.

pub mod amqp;
pub mod cli;
pub mod clock;
pub mod config;
pub mod message;
pub mod names;
pub mod perf;
pub mod store;
pub mod vhost;
