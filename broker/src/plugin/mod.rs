//! Plugins: building them and (later) running them.

pub mod build;
