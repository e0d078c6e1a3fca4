//! The host against real components.

mod breaker;
mod by_key;
mod calls;
mod committed;
mod faults;
pub mod fixture;
mod lanes;
mod loading;
mod message_access;
mod pace;
mod wasi;
