//! What changes something, and what tells one thing.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::{Options, json as parsed};

pub(super) struct Verb {
    pub name: &'static str,
    /// What has to be said; square brackets: may be.
    pub words: &'static str,
    /// What is being done, for whoever watches.
    pub says: fn(&Options) -> String,
    pub run: fn(&Client, &Options) -> anyhow::Result<String>,
}

impl Options {
    fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// A path whose `{}` are the vhost and these words.
    fn in_vhost(&self, before: &str, words: &[usize]) -> String {
        let mut path = format!("{before}/{}", encoded(&self.vhost));
        for index in words {
            path.push('/');
            path.push_str(&encoded(self.word(*index)));
        }
        path
    }

    fn of(&self, before: &str, index: usize) -> String {
        format!("{before}/{}", encoded(self.word(index)))
    }
}

fn done(outcome: anyhow::Result<()>) -> anyhow::Result<String> {
    outcome.map(|()| String::new())
}

fn on_vhost(what: &str, options: &Options) -> String {
    format!(
        "{what} \"{}\" in vhost \"{}\"",
        options.word(0),
        options.vhost
    )
}

fn policy(options: &Options) -> anyhow::Result<Value> {
    Ok(json!({
        "pattern": options.word(1),
        "definition": parsed(options.word(2))?,
        "priority": options.priority,
        "apply-to": options.apply_to,
    }))
}

/// Tags stay when the password changes, and the other way round.
fn tags_of(client: &Client, options: &Options) -> anyhow::Result<Value> {
    let user = client.get(&options.of("/users", 0))?;
    Ok(user.get("tags").cloned().unwrap_or_else(|| json!([])))
}

/// RabbitMQ switches tracing on even where there is no such vhost; here that is said.
fn trace(client: &Client, options: &Options, on: bool) -> anyhow::Result<String> {
    let vhost = options.in_vhost("/vhosts", &[]);
    client.get(&vhost)?;
    client.put(&vhost, &json!({"tracing": on}))?;
    let state = if on { "enabled" } else { "disabled" };
    Ok(format!("Trace {state} for vhost {}", options.vhost))
}

fn add_trace(client: &Client, options: &Options) -> anyhow::Result<String> {
    let mut trace = json!({"format": options.word(1), "pattern": options.word(2)});
    if let Some(most) = options.words.get(3) {
        let most: u64 = most.parse().context("MAX_PAYLOAD_BYTES is a number")?;
        trace["max_payload_bytes"] = json!(most);
    }
    done(client.put(&options.in_vhost("/traces", &[0]), &trace))
}

fn set_limits(client: &Client, before: &str, name: &str, limits: &str) -> anyhow::Result<String> {
    let limits = parsed(limits)?;
    let limits = limits.as_object().context("limits are an object")?;
    for (limit, value) in limits {
        let path = format!("{before}/{}/{}", encoded(name), encoded(limit));
        client.put(&path, &json!({"value": value}))?;
    }
    Ok(String::new())
}

fn clear_limits(client: &Client, before: &str, name: &str) -> anyhow::Result<String> {
    let path = format!("{before}/{}", encoded(name));
    let limits = client.get(&path)?;
    let values = limits.get(0).and_then(|row| row.get("value")?.as_object());
    for limit in values.into_iter().flat_map(|values| values.keys()) {
        client.delete(&format!("{path}/{}", encoded(limit)))?;
    }
    Ok(String::new())
}

fn status(client: &Client, _: &Options) -> anyhow::Result<String> {
    let overview = client.get("/overview")?;
    let nodes = client.get("/nodes")?;
    let node = nodes.get(0).cloned().unwrap_or_default();
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let of = |name: &str| text(overview.get(name));
    let here = |name: &str| text(node.get(name));
    let total = |name: &str| text(overview.get("object_totals").and_then(|all| all.get(name)));
    let mut lines = vec![
        format!(
            "{} {} as RabbitMQ {}",
            of("product_name"),
            of("product_version"),
            of("rabbitmq_version")
        ),
        format!(
            "Node: {}, process {}, up {} s",
            of("node"),
            here("os_pid"),
            node.get("uptime").and_then(Value::as_u64).unwrap_or(0) / 1000
        ),
        format!("Cluster: {}", of("cluster_name")),
        format!("Data: {}", here("db_dir")),
        format!(
            "Memory: {} of {} bytes, alarm: {}",
            here("mem_used"),
            here("mem_limit"),
            here("mem_alarm")
        ),
        format!(
            "Disk: {} bytes free, limit {}, alarm: {}",
            here("disk_free"),
            here("disk_free_limit"),
            here("disk_free_alarm")
        ),
        format!(
            "File descriptors: {} of {}",
            here("fd_used"),
            here("fd_total")
        ),
        format!(
            "Connections: {}, channels: {}, queues: {}, consumers: {}",
            total("connections"),
            total("channels"),
            total("queues"),
            total("consumers")
        ),
        format!("Plugins: {}", here("enabled_plugins")),
    ];
    for listener in overview
        .get("listeners")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |name: &str| text(listener.get(name));
        lines.push(format!(
            "Listening: {}:{} ({})",
            part("ip_address"),
            part("port"),
            part("protocol")
        ));
    }
    Ok(lines.join("\n"))
}

fn export(client: &Client, options: &Options) -> anyhow::Result<String> {
    let definitions = client.get("/definitions")?;
    let text = serde_json::to_string_pretty(&definitions)?;
    match options.word(0) {
        "-" => Ok(text),
        file => {
            std::fs::write(file, text).with_context(|| format!("cannot write {file}"))?;
            Ok(String::new())
        }
    }
}

fn import(client: &Client, options: &Options) -> anyhow::Result<String> {
    let file = options.word(0);
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    client.post("/definitions", &parsed(&text)?)?;
    Ok(String::new())
}

fn close_all(client: &Client, options: &Options) -> anyhow::Result<String> {
    let connections = client.get(&options.in_vhost("/vhosts", &[]).add("/connections"))?;
    let connections = connections.as_array().cloned().unwrap_or_default();
    for connection in &connections {
        let name = connection
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        client.delete(&format!("/connections/{}", encoded(name)))?;
    }
    Ok(format!("{} closed", connections.len()))
}

trait Add {
    fn add(self, end: &str) -> String;
}

impl Add for String {
    fn add(mut self, end: &str) -> String {
        self.push_str(end);
        self
    }
}

fn authenticate(client: &Client, options: &Options) -> anyhow::Result<String> {
    let as_user = Client {
        address: client.address.clone(),
        user: options.word(0).to_owned(),
        password: options.word(1).to_owned(),
    };
    as_user.get("/whoami")?;
    Ok("Success".to_owned())
}

#[rustfmt::skip]
pub(super) const VERBS: &[Verb] = &[
    Verb { name: "status", words: "", says: |_| "Asking for the status".to_owned(), run: status },
    Verb { name: "ping", words: "", says: |options| format!("Will ping {}", options.address), run: |client, _| client.get("/whoami").map(|_| "Ping succeeded".to_owned()) },
    Verb { name: "version", words: "", says: |_| "Asking for the version".to_owned(), run: |client, _| Ok(client.get("/overview")?.get("product_version").and_then(Value::as_str).unwrap_or_default().to_owned()) },
    Verb { name: "add_user", words: "NAME PASSWORD", says: |options| format!("Adding user \"{}\"", options.word(0)), run: |client, options| done(client.put(&options.of("/users", 0), &json!({"password": options.word(1), "tags": ""}))) },
    Verb { name: "delete_user", words: "NAME", says: |options| format!("Deleting user \"{}\"", options.word(0)), run: |client, options| done(client.delete(&options.of("/users", 0))) },
    Verb { name: "change_password", words: "NAME PASSWORD", says: |options| format!("Changing password for user \"{}\"", options.word(0)), run: |client, options| { let tags = tags_of(client, options)?; done(client.put(&options.of("/users", 0), &json!({"password": options.word(1), "tags": tags}))) } },
    Verb { name: "clear_password", words: "NAME", says: |options| format!("Clearing password for user \"{}\"", options.word(0)), run: |client, options| { let tags = tags_of(client, options)?; done(client.put(&options.of("/users", 0), &json!({"password_hash": "", "tags": tags}))) } },
    Verb { name: "authenticate_user", words: "NAME PASSWORD", says: |options| format!("Authenticating user \"{}\"", options.word(0)), run: authenticate },
    Verb { name: "set_user_tags", words: "NAME [TAG...]", says: |options| format!("Setting tags for user \"{}\"", options.word(0)), run: |client, options| done(client.put(&options.of("/users", 0), &json!({"tags": options.words.get(1..).unwrap_or_default()}))) },
    Verb { name: "set_permissions", words: "USER CONFIGURE WRITE READ", says: |options| format!("Setting permissions for user \"{}\" in vhost \"{}\"", options.word(0), options.vhost), run: |client, options| done(client.put(&options.in_vhost("/permissions", &[0]), &json!({"configure": options.word(1), "write": options.word(2), "read": options.word(3)}))) },
    Verb { name: "clear_permissions", words: "USER", says: |options| format!("Clearing permissions for user \"{}\" in vhost \"{}\"", options.word(0), options.vhost), run: |client, options| done(client.delete(&options.in_vhost("/permissions", &[0]))) },
    Verb { name: "set_topic_permissions", words: "USER EXCHANGE WRITE READ", says: |options| format!("Setting topic permissions on \"{}\" for user \"{}\" in vhost \"{}\"", options.word(1), options.word(0), options.vhost), run: |client, options| done(client.put(&options.in_vhost("/topic-permissions", &[0]), &json!({"exchange": options.word(1), "write": options.word(2), "read": options.word(3)}))) },
    Verb { name: "clear_topic_permissions", words: "USER", says: |options| format!("Clearing topic permissions for user \"{}\" in vhost \"{}\"", options.word(0), options.vhost), run: |client, options| done(client.delete(&options.in_vhost("/topic-permissions", &[0]))) },
    Verb { name: "add_vhost", words: "NAME", says: |options| format!("Adding vhost \"{}\"", options.word(0)), run: |client, options| done(client.put(&options.of("/vhosts", 0), &json!({}))) },
    Verb { name: "delete_vhost", words: "NAME", says: |options| format!("Deleting vhost \"{}\"", options.word(0)), run: |client, options| done(client.delete(&options.of("/vhosts", 0))) },
    Verb { name: "trace_on", words: "", says: |options| format!("Starting tracing for vhost \"{}\"", options.vhost), run: |client, options| trace(client, options, true) },
    Verb { name: "trace_off", words: "", says: |options| format!("Stopping tracing for vhost \"{}\"", options.vhost), run: |client, options| trace(client, options, false) },
    Verb { name: "add_trace", words: "NAME FORMAT PATTERN [MAX_PAYLOAD_BYTES]", says: |options| on_vhost("Starting trace", options), run: add_trace },
    Verb { name: "delete_trace", words: "NAME", says: |options| on_vhost("Stopping trace", options), run: |client, options| done(client.delete(&options.in_vhost("/traces", &[0]))) },
    Verb { name: "delete_trace_file", words: "NAME", says: |options| format!("Deleting trace file {}", options.word(0)), run: |client, options| done(client.delete(&options.of("/trace-files", 0))) },
    Verb { name: "set_vhost_limits", words: "DEFINITION", says: |options| format!("Setting vhost limits for vhost \"{}\"", options.vhost), run: |client, options| set_limits(client, "/vhost-limits", &options.vhost, options.word(0)) },
    Verb { name: "clear_vhost_limits", words: "", says: |options| format!("Clearing vhost limits for vhost \"{}\"", options.vhost), run: |client, options| clear_limits(client, "/vhost-limits", &options.vhost) },
    Verb { name: "set_user_limits", words: "USER DEFINITION", says: |options| format!("Setting user limits for user \"{}\"", options.word(0)), run: |client, options| set_limits(client, "/user-limits", options.word(0), options.word(1)) },
    Verb { name: "clear_user_limits", words: "USER", says: |options| format!("Clearing user limits for user \"{}\"", options.word(0)), run: |client, options| clear_limits(client, "/user-limits", options.word(0)) },
    Verb { name: "set_policy", words: "NAME PATTERN DEFINITION", says: |options| on_vhost("Setting policy", options), run: |client, options| done(client.put(&options.in_vhost("/policies", &[0]), &policy(options)?)) },
    Verb { name: "clear_policy", words: "NAME", says: |options| on_vhost("Clearing policy", options), run: |client, options| done(client.delete(&options.in_vhost("/policies", &[0]))) },
    Verb { name: "set_operator_policy", words: "NAME PATTERN DEFINITION", says: |options| on_vhost("Setting operator policy override", options), run: |client, options| done(client.put(&options.in_vhost("/operator-policies", &[0]), &policy(options)?)) },
    Verb { name: "clear_operator_policy", words: "NAME", says: |options| on_vhost("Clearing operator policy override", options), run: |client, options| done(client.delete(&options.in_vhost("/operator-policies", &[0]))) },
    Verb { name: "set_parameter", words: "COMPONENT NAME VALUE", says: |options| format!("Setting runtime parameter \"{}\" for component \"{}\" to \"{}\" in vhost \"{}\"", options.word(1), options.word(0), options.word(2), options.vhost), run: |client, options| { let path = format!("{}/{}/{}", options.of("/parameters", 0), encoded(&options.vhost), encoded(options.word(1))); done(client.put(&path, &json!({"value": parsed(options.word(2))?}))) } },
    Verb { name: "clear_parameter", words: "COMPONENT NAME", says: |options| format!("Clearing runtime parameter \"{}\" for component \"{}\" on vhost \"{}\"", options.word(1), options.word(0), options.vhost), run: |client, options| { let path = format!("{}/{}/{}", options.of("/parameters", 0), encoded(&options.vhost), encoded(options.word(1))); done(client.delete(&path)) } },
    Verb { name: "set_global_parameter", words: "NAME VALUE", says: |options| format!("Setting global runtime parameter \"{}\"", options.word(0)), run: |client, options| done(client.put(&options.of("/global-parameters", 0), &json!({"value": parsed(options.word(1))?}))) },
    Verb { name: "clear_global_parameter", words: "NAME", says: |options| format!("Clearing global runtime parameter \"{}\"", options.word(0)), run: |client, options| done(client.delete(&options.of("/global-parameters", 0))) },
    Verb { name: "set_cluster_name", words: "NAME", says: |options| format!("Setting cluster name to {}", options.word(0)), run: |client, options| done(client.put("/cluster-name", &json!({"name": options.word(0)}))) },
    Verb { name: "restart_shovel", words: "NAME", says: |options| format!("Restarting dynamic Shovel {} in virtual host {}", options.word(0), options.vhost), run: |client, options| done(client.delete(&options.in_vhost("/shovels/vhost", &[0]).add("/restart"))) },
    Verb { name: "delete_shovel", words: "NAME", says: |options| format!("Deleting shovel {} in vhost {}", options.word(0), options.vhost), run: |client, options| done(client.delete(&options.in_vhost("/shovels/vhost", &[0]))) },
    Verb { name: "pause_shovel", words: "NAME", says: |options| on_vhost("Pausing shovel", options), run: |client, options| done(client.put(&options.in_vhost("/shovels/vhost", &[0]).add("/pause"), &json!({}))) },
    Verb { name: "resume_shovel", words: "NAME", says: |options| on_vhost("Resuming shovel", options), run: |client, options| done(client.put(&options.in_vhost("/shovels/vhost", &[0]).add("/resume"), &json!({}))) },
    Verb { name: "restart_federation_link", words: "ID", says: |options| on_vhost("Restarting federation link", options), run: |client, options| done(client.delete(&options.in_vhost("/federation-links/vhost", &[0]).add("/restart"))) },
    Verb { name: "delete_queue", words: "NAME", says: |options| on_vhost("Deleting queue", options), run: |client, options| done(client.delete(&options.in_vhost("/queues", &[0]))) },
    Verb { name: "purge_queue", words: "NAME", says: |options| format!("Purging queue '{}' in vhost '{}'", options.word(0), options.vhost), run: |client, options| done(client.delete(&options.in_vhost("/queues", &[0]).add("/contents"))) },
    Verb { name: "close_connection", words: "NAME", says: |options| format!("Closing connection {}", options.word(0)), run: |client, options| done(client.delete(&options.of("/connections", 0))) },
    Verb { name: "close_all_connections", words: "", says: |options| format!("Closing all connections in vhost {}", options.vhost), run: close_all },
    Verb { name: "export_definitions", words: "FILE", says: |options| format!("Exporting definitions to {}", options.word(0)), run: export },
    Verb { name: "import_definitions", words: "FILE", says: |options| format!("Importing definitions from {}", options.word(0)), run: import },
];
