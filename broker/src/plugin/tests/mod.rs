//! The host against real components.

mod breaker;
mod calls;
mod faults;
mod fixture;
mod lanes;
mod loading;
mod message_access;
mod pace;
