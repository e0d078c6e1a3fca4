//! Warren, an AMQP 0-9-1 broker whose routing is WebAssembly. `ARCHITECTURE.md` draws the floors.

pub mod clock;
pub mod message;
pub mod names;
pub mod plugin;
pub mod store;
pub mod vhost;
