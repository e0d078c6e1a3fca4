//! The management API over HTTP, as tools see it.

mod command_line;
mod definitions;
mod events;
mod explain;
mod messages;
mod objects;
mod pages;
mod refusals;
mod rights;
mod statistics;

use serde_json::Value;
use warren_tests::kit::{Broker, Http, Options};

fn start() -> (Broker, Http) {
    let broker = Broker::start(Options::default().managed());
    let http = broker.http();
    (broker, http)
}

/// The names in a list.
fn names(list: &Value) -> Vec<String> {
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| row["name"].as_str().expect("a name").to_owned())
        .collect()
}
