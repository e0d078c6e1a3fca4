//! Lists: which path they are, and what rabbitmqctl calls the columns.

use anyhow::bail;
use serde_json::{Map, Value};

use super::Options;
use super::client::encoded;

pub(super) struct List {
    pub verb: &'static str,
    /// `{vhost}` and `{0}`, the first word, stand for themselves.
    path: &'static str,
    title: &'static str,
    /// Shown when no column is asked for.
    usual: &'static [&'static str],
    /// Where rabbitmqctl's name is not the API's.
    renamed: &'static [(&'static str, &'static str)],
}

pub(super) struct Column {
    pub name: String,
    /// In the API: `a.b` is the field b of a.
    path: String,
}

#[rustfmt::skip]
pub(super) const LISTS: &[List] = &[
    List { verb: "list_queues", path: "/queues/{vhost}", title: "Listing queues for vhost {vhost}", usual: &["name", "messages"], renamed: &[("pid", "node"), ("messages_unacknowledged", "messages_unacknowledged")] },
    List { verb: "list_exchanges", path: "/exchanges/{vhost}", title: "Listing exchanges for vhost {vhost}", usual: &["name", "type"], renamed: &[] },
    List { verb: "list_bindings", path: "/bindings/{vhost}", title: "Listing bindings for vhost {vhost}", usual: &["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"], renamed: &[("source_name", "source"), ("destination_name", "destination"), ("destination_kind", "destination_type"), ("source_kind", "=exchange")] },
    List { verb: "list_connections", path: "/connections", title: "Listing connections", usual: &["user", "peer_host", "peer_port", "state"], renamed: &[("pid", "name")] },
    List { verb: "list_channels", path: "/channels", title: "Listing channels", usual: &["pid", "user", "consumer_count", "messages_unacknowledged"], renamed: &[("pid", "name"), ("connection", "connection_details.name")] },
    List { verb: "list_consumers", path: "/consumers/{vhost}", title: "Listing consumers in vhost {vhost}", usual: &["queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments"], renamed: &[("queue_name", "queue.name"), ("channel_pid", "channel_details.name")] },
    List { verb: "list_users", path: "/users", title: "Listing users", usual: &["user", "tags"], renamed: &[("user", "name")] },
    List { verb: "list_vhosts", path: "/vhosts", title: "Listing vhosts", usual: &["name"], renamed: &[] },
    List { verb: "list_traces", path: "/traces", title: "Listing traces", usual: &["vhost", "name", "format", "pattern"], renamed: &[] },
    List { verb: "list_trace_files", path: "/trace-files", title: "Listing trace files", usual: &["name", "size"], renamed: &[] },
    List { verb: "list_permissions", path: "/vhosts/{vhost}/permissions", title: "Listing permissions for vhost \"{vhost}\"", usual: &["user", "configure", "write", "read"], renamed: &[] },
    List { verb: "list_user_permissions", path: "/users/{0}/permissions", title: "Listing permissions for user \"{0}\"", usual: &["vhost", "configure", "write", "read"], renamed: &[] },
    List { verb: "list_topic_permissions", path: "/vhosts/{vhost}/topic-permissions", title: "Listing topic permissions for vhost \"{vhost}\"", usual: &["user", "exchange", "write", "read"], renamed: &[] },
    List { verb: "list_user_topic_permissions", path: "/users/{0}/topic-permissions", title: "Listing topic permissions for user \"{0}\"", usual: &["vhost", "exchange", "write", "read"], renamed: &[] },
    List { verb: "list_policies", path: "/policies/{vhost}", title: "Listing policies for vhost \"{vhost}\"", usual: &["vhost", "name", "pattern", "apply-to", "definition", "priority"], renamed: &[] },
    List { verb: "list_operator_policies", path: "/operator-policies/{vhost}", title: "Listing operator policy overrides for vhost \"{vhost}\"", usual: &["vhost", "name", "pattern", "apply-to", "definition", "priority"], renamed: &[] },
    List { verb: "list_parameters", path: "/parameters", title: "Listing runtime parameters", usual: &["component", "name", "value"], renamed: &[] },
    List { verb: "list_global_parameters", path: "/global-parameters", title: "Listing global runtime parameters", usual: &["name", "value"], renamed: &[] },
    List { verb: "list_vhost_limits", path: "/vhost-limits", title: "Listing limits for all vhosts", usual: &["vhost", "limits"], renamed: &[("limits", "value")] },
    List { verb: "list_user_limits", path: "/user-limits", title: "Listing limits for all users", usual: &["user", "limits"], renamed: &[("limits", "value")] },
    List { verb: "shovel_status", path: "/shovels", title: "Shovel status", usual: &["destination", "destination_exchange", "destination_exchange_key", "destination_protocol", "destination_queue", "last_changed", "name", "source", "source_exchange", "source_exchange_key", "source_protocol", "source_queue", "state", "termination_reason", "type", "vhost"], renamed: &[("destination", "dest_uri"), ("destination_exchange", "dest_exchange"), ("destination_exchange_key", "dest_exchange_key"), ("destination_protocol", "dest_protocol"), ("destination_queue", "dest_queue"), ("source", "src_uri"), ("source_exchange", "src_exchange"), ("source_exchange_key", "src_exchange_key"), ("source_protocol", "src_protocol"), ("source_queue", "src_queue"), ("last_changed", "timestamp"), ("termination_reason", "reason")] },
    List { verb: "federation_status", path: "/federation-links", title: "Listing federation links", usual: &["id", "type", "vhost", "exchange", "queue", "upstream", "upstream_exchange", "upstream_queue", "status", "local_connection", "consumer_tag", "uri", "error", "last_changed"], renamed: &[("last_changed", "timestamp")] },
    List { verb: "list_services", path: "/warren/services", title: "Listing tasks of services", usual: &["plugin", "vhost", "name", "state", "reason"], renamed: &[] },
    List { verb: "list_feature_flags", path: "/feature-flags", title: "Listing feature flags", usual: &["name", "state"], renamed: &[] },
];

impl List {
    fn takes_name(&self) -> bool {
        self.path.contains("{0}")
    }

    fn filled(&self, text: &str, options: &Options, quote: impl Fn(&str) -> String) -> String {
        let first = options.words.first().map_or("", String::as_str);
        text.replace("{vhost}", &quote(&options.vhost))
            .replace("{0}", &quote(first))
    }

    pub fn title(&self, options: &Options) -> String {
        self.filled(self.title, options, str::to_owned)
    }

    pub fn path(&self, options: &Options) -> anyhow::Result<String> {
        if self.takes_name() && options.words.is_empty() {
            bail!("usage: warren ctl {} NAME", self.verb);
        }
        Ok(self.filled(self.path, options, encoded))
    }

    pub fn columns(&self, options: &Options) -> anyhow::Result<Vec<Column>> {
        let skipped = usize::from(self.takes_name());
        let asked: Vec<&str> = options
            .words
            .iter()
            .skip(skipped)
            .map(String::as_str)
            .collect();
        let names = if asked.is_empty() {
            self.usual
        } else {
            asked.as_slice()
        };
        let columns = names.iter().map(|name| {
            let renamed = self.renamed.iter().find(|(own, _)| own == name);
            Column {
                name: (*name).to_owned(),
                path: renamed.map_or(*name, |(_, path)| path).to_owned(),
            }
        });
        Ok(columns.collect())
    }
}

impl Column {
    fn value(&self, row: &Value) -> Value {
        if let Some(constant) = self.path.strip_prefix('=') {
            return Value::from(constant);
        }
        // A name may have a point in it and be no path.
        if let Some(value) = row.get(&self.path) {
            return value.clone();
        }
        let found = self
            .path
            .split('.')
            .try_fold(row, |row, name| row.get(name));
        found.cloned().unwrap_or(Value::Null)
    }
}

pub(super) fn picked(row: &Value, columns: &[Column]) -> Value {
    let pairs = columns
        .iter()
        .map(|column| (column.name.clone(), column.value(row)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

pub(super) fn cells(row: &Value, columns: &[Column]) -> Vec<String> {
    columns
        .iter()
        .map(|column| cell(&column.value(row)))
        .collect()
}

/// Lists of words stand in square brackets, as rabbitmqctl writes tags.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let cells: Vec<String> = list.iter().map(cell).collect();
            format!("[{}]", cells.join(", "))
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_called_as_in_rabbitmqctl() {
        let row = json!({"queue": {"name": "q"}, "apply-to": "all", "tags": ["a", "b"], "n": 1});
        let column = |path: &str| Column {
            name: path.to_owned(),
            path: path.to_owned(),
        };
        let columns = [
            "queue.name",
            "apply-to",
            "tags",
            "n",
            "=exchange",
            "missing",
        ]
        .map(column);
        let expected = ["q", "all", "[a, b]", "1", "exchange", ""];
        assert_eq!(cells(&row, &columns), expected);
    }
}
