//! Write Warren plugins in Rust. This crate holds what a plugin sees: the trait of an exchange
//! type, the message of the running call, AMQP field tables, and a bench that runs a plugin
//! natively. It is not the broker's side (that is the broker's room `plugin/`).
//!
//! An exchange type is a struct, a trait and one line:
//!
//! ```
//! use std::collections::HashMap;
//! use warren_plugin_sdk::{Answer, Binding, ExchangeType, Inputs, Message, Opening};
//!
//! /// Routes where the binding's key is the routing key, whatever its case.
//! #[derive(Default)]
//! struct AnyCase(HashMap<u32, String>);
//!
//! impl ExchangeType for AnyCase {
//!     const TYPES: &'static [&'static str] = &["x-any-case"];
//!
//!     fn open(_: &Opening) -> Result<Self, String> { Ok(Self::default()) }
//!     fn bind(&mut self, binding: &Binding) -> Result<(), String> {
//!         self.0.insert(binding.slot, binding.routing_key.to_lowercase());
//!         Ok(())
//!     }
//!     fn unbind(&mut self, slot: u32) { self.0.remove(&slot); }
//!     fn inputs(&self) -> Inputs { Inputs::RoutingKey }
//!     fn route(&mut self, message: &Message) -> Answer {
//!         let key = message.routing_key().to_lowercase();
//!         Answer::to(self.0.iter().filter(|(_, bound)| **bound == key).map(|(slot, _)| *slot))
//!     }
//! }
//!
//! warren_plugin_sdk::export!(AnyCase);
//!
//! // And a test of it, without WebAssembly:
//! use warren_plugin_sdk::bench::{Bench, TestMessage};
//! let mut bench = Bench::<AnyCase>::open(&Default::default())?;
//! bench.bind(7, "Orders", &Default::default())?;
//! assert_eq!(bench.route(&TestMessage::new("ORDERS")), Answer::to([7]));
//! # Ok::<(), String>(())
//! ```

mod answer;
#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
mod by_key;
#[doc(hidden)]
pub mod component;
pub mod erlang;
mod exchange;
mod field;
mod host;
pub mod interceptor;
#[doc(hidden)]
pub mod interceptor_component;
mod keep;
mod message;
mod properties;
pub mod tracer;
#[cfg(not(target_arch = "wasm32"))]
pub mod tracer_bench;
#[doc(hidden)]
pub mod tracer_component;
mod write;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Decision, Inputs};
pub use exchange::{Binding, ExchangeType, Named, Opening, WrongKey};
pub use field::{Array, Fields, Items, Table, Value};
pub use host::{Host, HostFunctions, Level};
pub use keep::{History, Lifetime, State};
pub use message::{Message, MessageSource};
pub use properties::{Properties, PropertiesBuf};
pub use write::{ArrayBuf, FieldValue, TableBuf};
