//! `warren perf`: puts a broker under load and measures it, Warren or any other that speaks AMQP
//! 0-9-1. A client with blocking sockets and threads, lean enough that the broker is the
//! bottleneck; no part of the broker runs here.

mod client;
mod consumer;
mod cpu;
mod load;
mod options;
mod publisher;
mod report;
mod window;

pub use options::Options;

/// Runs the load and prints what was measured.
pub fn run(options: &Options) -> anyhow::Result<()> {
    options.check()?;
    let report = load::run(options)?;
    if options.json {
        println!("{}", report.to_json());
    } else {
        print!("{}", report.to_table());
    }
    Ok(())
}
