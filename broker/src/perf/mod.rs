//! `warren perf`: the load generator. A client, not a part of the broker.

#[derive(clap::Args, Clone, Debug)]
pub struct Options {}
