//! Plugins as they are: what each is, does and has done wrong.

use serde_json::{Value, json};

use super::call::{Call, Handled};
use super::listing::listed;
use crate::plugin::PluginStatus;

fn row(plugin: &PluginStatus) -> Value {
    let faults = plugin.faults.iter();
    let faults = faults.map(|(kind, count)| (format!("{kind:?}").to_lowercase(), json!(count)));
    json!({
        "name": plugin.name,
        "version": plugin.version,
        "summary": plugin.summary,
        "types": plugin.types,
        "state": plugin.state.name(),
        "reason": plugin.state.reason(),
        "calls": plugin.calls,
        "seconds": plugin.time.as_secs_f64(),
        "longest_call_seconds": plugin.longest_call.as_secs_f64(),
        "faults": Value::Object(faults.collect()),
        "rebuilds": plugin.rebuilds,
        "longest_rebuild_seconds": plugin.longest_rebuild.as_secs_f64(),
        "open_breakers": plugin.open_breakers,
        "live_instances": plugin.live_instances,
        "evictions": plugin.evictions,
        "log_lines": plugin.log_lines,
        "log_lines_dropped": plugin.log_lines_dropped,
    })
}

pub(super) fn list(call: &Call) -> Handled {
    listed(call, call.house.node.plugins(), |plugin| &plugin.name, row)
}
