//! `warren plugin bench`: what a component's calls cost on this machine, and how many of its answers
//! the broker remembers. No broker's throughput (see `warren perf`).

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::stage::{End, Stage};
use crate::cli::say;
use crate::message::{Message, MessageView};
use crate::vhost::{Exchange, Memo};

/// Messages that are all different, then the same ones again.
const KEYS: usize = 1024;

/// The instance is measured for so long, whatever a call takes.
const MEASURED: Duration = Duration::from_secs(2);

pub fn bench(
    component: &Path,
    bindings: usize,
    type_name: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let stage = Stage::open(component, serde_json::Value::Null)?;
    let own = stage.types.first().context("it has no exchange type")?;
    let type_name = type_name.unwrap_or(own);
    let refused = |text: String| anyhow::anyhow!("{type_name} refuses it: {text}");
    let exchange = stage
        .declare("bench", type_name, Vec::new())
        .map_err(refused)?;
    let begun = Instant::now();
    for number in 0..bindings {
        let queue = format!("queue-{number}");
        let key = format!("{}", number + 1);
        let bound = stage.bind(&exchange, &queue, &key, Vec::new());
        bound.map_err(refused)?;
    }
    let bound = begun.elapsed();
    let messages: Vec<_> = (0..KEYS).map(|key| message(&exchange, key)).collect();
    let (mut calls, mut failed) = (measure(&stage, &exchange, &messages), 0);
    let mut memo = Memo::default();
    let begun = Instant::now();
    for message in messages.iter().chain(&messages) {
        if let End::Failed(text) = stage.walk(&exchange, message, &mut memo) {
            failed += 1;
            say(format_args!("a call failed: {text}"));
        }
    }
    drop(memo);
    let twice = begun.elapsed();
    calls.sort_unstable();
    let plugin = stage.host.plugins().into_iter().next();
    let plugin = plugin.context("the plugin is gone")?;
    let hits = plugin.memo_hits as f64 / (2 * KEYS) as f64;
    say(format_args!(
        "{} ({type_name}), {bindings} bindings",
        stage.name
    ));
    let walk = twice.as_nanos() / (2 * KEYS) as u128;
    let bind = bound.as_nanos() / bindings.max(1) as u128;
    for (what, figure) in [
        ("calls measured", calls.len().to_string()),
        ("call, median", format!("{} ns", at(&calls, 0.5))),
        ("call, 99 of 100", format!("{} ns", at(&calls, 0.99))),
        ("slowest 1 %, mean", format!("{} ns", slowest(&calls))),
        (
            "remembered",
            format!("{:.0} % of {KEYS} keys, twice each", hits * 100.0),
        ),
        ("walk, mean of those", format!("{walk} ns")),
        ("bind, mean", format!("{bind} ns")),
        ("memory", format!("{} bytes an instance", plugin.memory)),
    ] {
        say(format_args!("{what:<20} {figure}"));
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Of sorted ones.
fn at(calls: &[u64], share: f64) -> u64 {
    let place = (calls.len() as f64 * share) as usize;
    let nanos = calls.get(place.min(calls.len().saturating_sub(1)));
    nanos.copied().unwrap_or_default()
}

/// The mean of the slowest hundredth of sorted ones.
fn slowest(calls: &[u64]) -> u64 {
    let count = (calls.len() / 100).max(1);
    calls.iter().rev().take(count).sum::<u64>() / count as u64
}

/// Nanoseconds of calls that are not remembered: every one has a memo of its own.
fn measure(stage: &Stage, exchange: &Arc<Exchange>, messages: &[Arc<Message>]) -> Vec<u64> {
    let mut nanos = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < MEASURED {
        for message in messages {
            let mut memo = Memo::default();
            let asked = Instant::now();
            let _ = stage.walk(exchange, message, &mut memo);
            nanos.push(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX));
            if begun.elapsed() > MEASURED {
                break;
            }
        }
    }
    nanos
}

fn message(exchange: &Exchange, key: usize) -> Arc<Message> {
    let view = MessageView {
        exchange: &exchange.name,
        routing_key: &format!("{key}"),
        properties: &[0, 0],
        body: &[],
        dead_lettered: false,
    };
    Arc::new(view.to_message())
}
