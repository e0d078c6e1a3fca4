//! Plugins: what each is, does and has done wrong; and the door through which they come, go and
//! change.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome};
use super::listing::{all, listed, one};
use crate::plugin::{Histogram, Limits, PluginError, PluginStatus, Plugins};

fn row(plugin: &PluginStatus) -> Value {
    let rolled_back = plugin.rolled_back.as_ref();
    let rolled_back = rolled_back.map(|back| json!({"reason": back.reason, "at": back.at}));
    let faults = plugin.faults.iter();
    let faults = faults.map(|(kind, count)| (format!("{kind:?}").to_lowercase(), json!(count)));
    let asked = plugin.asked.iter();
    let asked = asked.map(|asked| json!({"import": asked.import, "granted": asked.granted}));
    let asked = Value::Array(asked.collect());
    let mut row = json!({
        "name": plugin.name,
        "kind": plugin.kind.name(),
        "version": plugin.version,
        "manifest": plugin.manifest,
        "summary": plugin.summary,
        "types": plugin.types,
        "builtin": plugin.builtin,
        "state": plugin.state.name(),
        "reason": plugin.state.reason(),
        "since": plugin.since,
        "rolled_back": rolled_back,
        "replacements": plugin.replacements,
        "grants": plugin.grants,
        "asked": asked,
        "memo_hits": plugin.memo_hits,
        "memo_misses": plugin.memo_misses,
        "calls": plugin.calls,
        "rejected": plugin.rejected,
        "seconds": plugin.time.as_secs_f64(),
        "longest_call_seconds": plugin.longest_call.as_secs_f64(),
        "faults": Value::Object(faults.collect()),
        "rebuilds": plugin.rebuilds,
        "longest_rebuild_seconds": plugin.longest_rebuild.as_secs_f64(),
        "call_times": call_times(plugin),
        "open_breakers": plugin.open_breakers,
        "live_instances": plugin.live_instances,
        "evictions": plugin.evictions,
        "log_lines": plugin.log_lines,
        "log_lines_dropped": plugin.log_lines_dropped,
        "exchanges": plugin.exchanges,
        "bindings": plugin.bindings,
        "memory": plugin.memory,
        "state_keys": plugin.state_keys,
        "state_bytes": plugin.state_bytes,
        "state_refused": plugin.state_refused,
        "events": plugin.events.taken,
        "events_waiting": plugin.events.waiting,
        "events_dropped": plugin.events.dropped,
        "limits": limits(&plugin.limits),
    });
    // The macro above takes no more.
    row["uploads"] = json!(plugin.uploads.sent);
    row["uploads_waiting"] = json!(plugin.uploads.waiting);
    row["uploads_dropped"] = json!(plugin.uploads.dropped);
    row
}

/// Times in seconds, sizes in bytes.
fn limits(limits: &Limits) -> Value {
    json!({
        "route_timeout_seconds": limits.route_timeout.as_secs_f64(),
        "bind_timeout_seconds": limits.bind_timeout.as_secs_f64(),
        "memory": limits.memory,
        "result_bytes": limits.result_bytes,
        "stack": limits.stack,
        "max_instances": limits.max_instances,
        "max_exchanges": limits.max_exchanges,
        "max_bindings": limits.max_bindings,
        "state_keys": limits.state_keys,
        "state_bytes": limits.state_bytes,
        "log_lines": limits.log_lines,
        "observe_timeout_seconds": limits.observe_timeout.as_secs_f64(),
        "observe_every_seconds": limits.observe_every.as_secs_f64(),
        "file_bytes": limits.file_bytes,
        "file_count": limits.file_count,
    })
}

/// How many calls took so long, and longer than the bound before; the last has none.
fn call_times(plugin: &PluginStatus) -> Value {
    let buckets = plugin.call_times.counts.iter().enumerate();
    let buckets = buckets.map(|(bucket, calls)| {
        let bound = Histogram::bound(bucket).map(|bound| bound.as_secs_f64());
        json!({"up_to_seconds": bound, "calls": calls})
    });
    Value::Array(buckets.collect())
}

/// Its last lines, the newest first.
pub(super) fn log(call: &Call) -> Handled {
    check(call)?;
    let lines = call.house.plugins.log(call.part(0)).into_iter();
    let rows = lines.map(|line| {
        json!({
            "at": line.at,
            "level": line.level,
            "exchange": line.exchange,
            "line": line.line,
        })
    });
    all(call, rows.collect())
}

pub(super) fn list(call: &Call) -> Handled {
    listed(call, call.house.plugins.list(), |plugin| &plugin.name, row)
}

pub(super) fn show(call: &Call) -> Handled {
    let found = call.house.plugins.get(call.part(0));
    one(call, row(&found.ok_or(Failure::NotFound)?))
}

/// Components are compiled on the way, which may take seconds.
fn change(
    call: &Call,
    change: impl FnOnce(&Plugins, &str) -> Result<(), PluginError> + Send + 'static,
) -> Handled {
    let plugins = Arc::clone(&call.house.plugins);
    let name = call.part(0).to_owned();
    let work = async move {
        let done = tokio::task::spawn_blocking(move || change(&plugins, &name)).await;
        let done = done.map_err(|_| Failure::bad("the plugin could not be changed"))?;
        done.map_err(|error| Failure::bad(error.to_string()))?;
        Ok(Answer::no_content())
    };
    Ok(Outcome::Later(Box::pin(work)))
}

fn check(call: &Call) -> Result<(), Failure> {
    let found = call.house.plugins.get(call.part(0));
    found.map(drop).ok_or(Failure::NotFound)
}

pub(super) fn enable(call: &Call) -> Handled {
    check(call)?;
    change(call, Plugins::enable)
}

pub(super) fn disable(call: &Call) -> Handled {
    check(call)?;
    change(call, Plugins::disable)
}

pub(super) fn reload(call: &Call) -> Handled {
    check(call)?;
    change(call, Plugins::reload)
}

/// The body is the component.
pub(super) fn put(call: &Call) -> Handled {
    let component = call.request.body.clone();
    change(call, move |plugins, name| plugins.replace(name, &component))
}

pub(super) fn remove(call: &Call) -> Handled {
    check(call)?;
    change(call, Plugins::remove)
}
