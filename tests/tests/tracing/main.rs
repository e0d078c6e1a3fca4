//! Tracing: the firehose, traces into files, and what becomes of tracers that misbehave.

mod events;
mod faults;
mod files;
mod firehose;
mod spans;
mod uploads;

use lapin::message::BasicGetMessage;
use lapin::options::BasicGetOptions;
use serde_json::json;
use warren_tests::kit::{Broker, Channel, DEADLINE, Http, Options, soon};

fn start() -> (Broker, Http) {
    let broker = Broker::start(Options::default().managed());
    let http = broker.http();
    (broker, http)
}

fn trace_on(http: &Http) {
    http.put("/vhosts/%2F", &json!({"tracing": true})).is(204);
}

/// The first message of a queue, and gone from there.
async fn take(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    let options = BasicGetOptions { no_ack: true };
    let got = channel.basic_get(queue.into(), options).await;
    got.expect("basic.get")
}

/// The same once there is one.
async fn next(channel: &Channel, queue: &str) -> BasicGetMessage {
    let mut found = None;
    soon("a message", DEADLINE, async || {
        found = take(channel, queue).await;
        found.is_some()
    })
    .await;
    found.expect("a message")
}
