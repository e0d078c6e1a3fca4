//! Plugins as they are: what each is, does and has done wrong.

use serde_json::{Value, json};

use super::call::{Call, Handled};
use super::listing::listed;
use crate::plugin::{PluginState, PluginStatus};

fn row(plugin: &PluginStatus) -> Value {
    let (state, reason) = match &plugin.state {
        PluginState::Loading => ("loading", None),
        PluginState::Running => ("running", None),
        PluginState::Degraded => ("degraded", None),
        PluginState::Disabled => ("disabled", None),
        PluginState::Refused { reason } => ("refused", Some(reason)),
    };
    let faults = plugin.faults.iter();
    let faults = faults.map(|(kind, count)| (format!("{kind:?}").to_lowercase(), json!(count)));
    json!({
        "name": plugin.name,
        "version": plugin.version,
        "summary": plugin.summary,
        "types": plugin.types,
        "state": state,
        "reason": reason,
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
