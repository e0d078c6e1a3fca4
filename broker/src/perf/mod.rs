//! `warren perf`: puts a broker under load and measures it, Warren or any other that speaks AMQP
//! 0-9-1. A client with blocking sockets and threads, lean enough that the broker is the
//! bottleneck; no part of the broker runs here.

mod batch;
mod chart;
mod churn;
mod client;
mod command;
mod consumer;
mod crowd;
mod deliveries;
mod latency;
mod load;
mod options;
mod presets;
mod process;
mod publisher;
mod report;
mod rounds;
mod scale;
mod socket;
mod statistics;
mod table;
mod target;
mod topology;
mod window;

pub use command::{Command, run};
