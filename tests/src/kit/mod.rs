//! Starts, kills and restarts a real broker, and gives tests short words for what clients do. Not a
//! client library: what goes wrong here fails the test.

mod broker;
mod client;
mod encrypted;
mod http;
mod start;
mod wait;
mod web;
mod wire;

pub use broker::{Broker, fixture};
pub use client::{
    Channel, Client, Deliveries, Refused, durable, headers, persistent, text, transient,
};
pub use encrypted::{Authority, Encrypted, Signed, encrypt};
pub use http::{Http, Reply};
pub use start::{NotStarted, Options, binary};
pub use wait::{DEADLINE, eventually, soon};
pub use web::{Answer, Asked, WebServer};
pub use wire::{Frame, Wire};
