//! `WARREN_SECTION_KEY`: which key a variable of the environment stands for. Not what it means.

use super::tree::{self, Entries, Node, Origin};

const PREFIX: &str = "WARREN_";

/// Read by the command line, or by the container image.
const NOT_KEYS: &[&str] = &["config", "log"];

/// Sections whose keys a variable may name. Lists of tables (users ...) are the file's alone.
const SECTIONS: &[&str] = &["amqp", "management", "prometheus", "limits", "tls"];

const TOP_LEVEL: &[&str] = &["data_dir", "plugins_dir", "loopback_users"];

/// Every key of a `[plugins.<name>]`, longest first: names of plugins have underscores too.
const PLUGIN_KEYS: &[&str] = &[
    "observe_timeout",
    "observe_every",
    "route_timeout",
    "file_bytes",
    "file_count",
    "max_exchanges",
    "max_bindings",
    "state_bytes",
    "state_keys",
    "log_lines",
    "max_instances",
    "bind_timeout",
    "result_bytes",
    "enabled",
    "memory",
    "grants",
    "config",
    "stack",
];

/// Lays our variables over the file; returns those that look like ours and are not.
pub fn lay_over(entries: &mut Entries, variables: &[(String, String)]) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let key = key.to_ascii_lowercase();
        if NOT_KEYS.contains(&key.as_str()) {
            continue;
        }
        match path(&key, entries) {
            Some(path) => {
                let origin = Origin::Variable(name.clone());
                tree::lay_over(entries, &path, value, &origin);
            }
            None => unknown.push(name.clone()),
        }
    }
    unknown
}

fn path(key: &str, entries: &Entries) -> Option<Vec<String>> {
    if TOP_LEVEL.contains(&key) {
        return Some(vec![key.to_owned()]);
    }
    if let Some(rest) = key.strip_prefix("plugins_") {
        return plugin(rest, entries);
    }
    SECTIONS.iter().find_map(|section| {
        let key = key.strip_prefix(section)?.strip_prefix('_')?;
        Some(vec![(*section).to_owned(), key.to_owned()])
    })
}

fn plugin(rest: &str, entries: &Entries) -> Option<Vec<String>> {
    let (name, key) = PLUGIN_KEYS.iter().find_map(|key| {
        let name = rest.strip_suffix(key)?.strip_suffix('_')?;
        (!name.is_empty()).then_some((name, *key))
    })?;
    // A variable cannot spell a hyphen: the file's own spelling of the name wins.
    let known = match entries.get("plugins").map(|entry| &entry.node) {
        Some(Node::Table(plugins)) => plugins.keys().find(|known| known.replace('-', "_") == name),
        Some(_) | None => None,
    };
    let name = known.cloned().unwrap_or_else(|| name.replace('_', "-"));
    Some(vec!["plugins".to_owned(), name, key.to_owned()])
}
