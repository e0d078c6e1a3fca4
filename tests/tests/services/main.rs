//! Services in running brokers: shovels, federation, and services that fail on purpose. A table of
//! the faults, with figures, is `fault_table`:
//! `cargo test --release --test services -- --ignored --nocapture`.

mod fault_table;
mod faults;
mod federation;
mod posting;
mod proxy;
mod shovel;
mod soak;
mod web;

use serde_json::Value;
use warren_tests::kit::{Broker, DEADLINE, Options, eventually};

fn broker() -> Broker {
    Broker::start(Options::default().managed())
}

/// The rows of the API's list, until it is as it should be.
#[track_caller]
fn until(broker: &Broker, path: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let http = broker.http();
    let mut rows = Vec::new();
    eventually(DEADLINE, || {
        let found = http.json(path);
        rows = found.as_array().cloned().unwrap_or_default();
        fits(&rows)
    });
    rows
}
