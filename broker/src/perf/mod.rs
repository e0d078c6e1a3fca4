//! `warren perf`: the load generator. A client, not a part of the broker.

#[derive(clap::Args, Clone, Debug)]
pub struct Options {}

pub fn run(_options: &Options) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("the load generator is not here yet")
}
