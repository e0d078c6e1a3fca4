//! `warren plugin bench`: what a component's calls cost on this machine, and how many of its answers
//! the broker remembers. No broker's throughput (see `warren perf`).

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::stage::{End, Stage};
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
            println!("a call failed: {text}");
        }
    }
    drop(memo);
    let twice = begun.elapsed();
    calls.sort_unstable();
    let plugin = stage.host.plugins().into_iter().next();
    let plugin = plugin.context("the plugin is gone")?;
    let at = |share: f64| {
        let place = (calls.len() as f64 * share) as usize;
        let nanos = calls.get(place.min(calls.len().saturating_sub(1)));
        nanos.copied().unwrap_or_default()
    };
    let slowest = calls.len() / 100;
    let slowest = calls.iter().rev().take(slowest.max(1));
    let count = slowest.len() as u64;
    let hits = plugin.memo_hits as f64 / (2 * KEYS) as f64;
    println!("{} ({type_name}), {bindings} bindings", stage.name);
    println!("calls measured       {}", calls.len());
    println!("call, median         {} ns", at(0.5));
    println!("call, 99 of 100      {} ns", at(0.99));
    println!("slowest 1 %, mean    {} ns", slowest.sum::<u64>() / count);
    println!(
        "remembered           {:.0} % of {KEYS} keys, twice each",
        hits * 100.0
    );
    println!(
        "walk, mean of those  {} ns",
        twice.as_nanos() / (2 * KEYS) as u128
    );
    println!(
        "bind, mean           {} ns",
        bound.as_nanos() / bindings.max(1) as u128
    );
    println!("memory               {} bytes an instance", plugin.memory);
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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
