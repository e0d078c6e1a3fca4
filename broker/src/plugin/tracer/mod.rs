//! The host of tracers: components that are told what has happened. They read lines of events (see
//! `crate::trace`) on threads of their own, so that nobody waits for them. Not who tells.

mod bindings;
mod files;
mod lift;
mod live;
mod loaded;
mod observing;
mod uploads;
mod watching;
mod watchmen;

pub use files::{TraceFile, TraceFiles};
pub(super) use loaded::{LoadedTracer, described};
pub(super) use observing::Observing;
pub use uploads::UploadCounts;
pub(super) use uploads::Uploads;
pub(super) use watching::Tracer;
pub(super) use watchmen::Watchmen;
