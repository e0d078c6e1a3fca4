//! Definitions as a file: everything that is declared, without a message. Written as RabbitMQ
//! writes it; read in `import.rs`.

use serde_json::{Map, Value, json};

use super::VERSION;
use super::answer::Answer;
use super::call::{Call, Handled, Outcome};
use super::import::{Import, Into};
use super::{bindings, exchanges, kept, parameters, permissions, policies, queues, users, vhosts};
use crate::vhost::Vhost;
use crate::vhost::policy::{Origin, PolicyDefinition};

pub(super) fn export(call: &Call) -> Handled {
    let house = &call.house;
    let mut all = about();
    let rows = house.users.users();
    put(&mut all, "users", rows.iter().map(users::row).collect());
    let found = house.broker.vhosts();
    put(
        &mut all,
        "vhosts",
        found.iter().map(|vhost| vhost_row(vhost)).collect(),
    );
    let rows = house.users.permissions();
    put(
        &mut all,
        "permissions",
        rows.iter().map(permissions::row).collect(),
    );
    let rows = house.users.topic_permissions();
    put(
        &mut all,
        "topic_permissions",
        rows.iter().map(permissions::topic_row).collect(),
    );
    let globals = house.broker.global_parameters();
    let globals = globals
        .iter()
        .map(|(name, value)| parameters::global_row(name, value));
    put(&mut all, "global_parameters", globals.collect());
    for key in ["parameters", "policies", "queues", "exchanges", "bindings"] {
        put(&mut all, key, Vec::new());
    }
    for vhost in &found {
        for (key, rows) in contents(vhost) {
            let rows = rows.into_iter().map(|row| with_vhost(row, &vhost.name));
            if let Some(Value::Array(list)) = all.get_mut(key) {
                list.extend(rows);
            }
        }
    }
    file(call, &Value::Object(all), "definitions")
}

pub(super) fn export_vhost(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let mut all = about();
    let metadata = vhost.metadata();
    all.insert("metadata".to_owned(), vhosts::shown_metadata(&metadata));
    all.insert("description".to_owned(), json!(metadata.description));
    all.insert(
        "default_queue_type".to_owned(),
        json!(metadata.default_queue_type),
    );
    all.insert("limits".to_owned(), json!(vhost.limits()));
    for (key, rows) in contents(&vhost) {
        put(&mut all, key, rows);
    }
    file(call, &Value::Object(all), "vhost")
}

fn about() -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("rabbit_version".to_owned(), json!(VERSION));
    map.insert("rabbitmq_version".to_owned(), json!(VERSION));
    map.insert("product_name".to_owned(), json!("Warren"));
    map.insert(
        "product_version".to_owned(),
        json!(env!("CARGO_PKG_VERSION")),
    );
    map
}

fn put(map: &mut Map<String, Value>, key: &str, rows: Vec<Value>) {
    map.insert(key.to_owned(), Value::Array(rows));
}

fn file(call: &Call, value: &Value, stem: &str) -> Handled {
    let answer = Answer::json(value);
    // The browser is told to keep it as a file only where a page asks for that.
    Ok(Outcome::Now(match call.request.query("download") {
        None => answer,
        Some(name) => {
            let name = if name.is_empty() { stem } else { name };
            let name = name.replace(['"', '\\', '/'], "_");
            answer.with(
                "content-disposition",
                format!("attachment; filename=\"{name}\""),
            )
        }
    }))
}

fn vhost_row(vhost: &Vhost) -> Value {
    let metadata = vhost.metadata();
    let mut row = json!({
        "name": *vhost.name,
        "description": metadata.description,
        "tags": metadata.tags,
        "metadata": vhosts::shown_metadata(&metadata),
    });
    if let (Value::Object(map), Some(queue_type)) = (&mut row, &metadata.default_queue_type) {
        map.insert("default_queue_type".to_owned(), json!(queue_type));
    }
    row
}

fn with_vhost(mut row: Value, vhost: &str) -> Value {
    if let Value::Object(map) = &mut row {
        map.insert("vhost".to_owned(), json!(vhost));
    }
    row
}

/// What is in a vhost, without its name.
fn contents(vhost: &Vhost) -> [(&'static str, Vec<Value>); 5] {
    let mut found = vhost.queues();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let queues = found.iter().filter_map(|queue| queues::definition(queue));
    let exchanges = vhost.exchanges();
    let exchanges = exchanges
        .iter()
        .filter_map(|exchange| exchanges::definition(exchange));
    let bindings = bindings::of_vhost(vhost);
    let bindings = bindings.iter().filter(|binding| !binding.source.is_empty());
    let policies = vhost.policies(Origin::User);
    [
        ("parameters", parameters_of(vhost)),
        ("policies", policies.iter().map(policy_row).collect()),
        ("queues", queues.collect()),
        ("exchanges", exchanges.collect()),
        (
            "bindings",
            bindings.filter_map(bindings::definition).collect(),
        ),
    ]
}

fn policy_row(policy: &PolicyDefinition) -> Value {
    let mut row = policies::row("", policy);
    if let Value::Object(map) = &mut row {
        map.remove("vhost");
    }
    row
}

/// In files, limits and operator policies are parameters too.
fn parameters_of(vhost: &Vhost) -> Vec<Value> {
    let parameters = vhost.parameters();
    let mut rows: Vec<Value> = parameters
        .iter()
        .map(|one| json!({"component": one.component, "name": one.name, "value": one.value}))
        .collect();
    for policy in vhost.policies(Origin::Operator) {
        let value = json!({
            "pattern": policy.pattern,
            "apply-to": policy.apply_to,
            "definition": policy.definition,
            "priority": policy.priority,
        });
        rows.push(json!({"component": "operator_policy", "name": policy.name, "value": value}));
    }
    let limits = vhost.limits();
    if limits != crate::vhost::VhostLimits::default() {
        rows.push(json!({"component": "vhost-limits", "name": "limits", "value": limits}));
    }
    rows
}

pub(super) fn import(call: &Call) -> Handled {
    import_from(call, Into::Broker)
}

pub(super) fn import_into_vhost(call: &Call) -> Handled {
    import_from(call, Into::Vhost(call.vhost()?))
}

fn import_from(call: &Call, into: Into) -> Handled {
    let file = super::import::read(&call.request)?;
    let import = Import {
        house: std::sync::Arc::clone(&call.house),
        into,
        user: call.user.name.clone(),
    };
    // Exchanges are opened by plugins, and a large file takes its time.
    let work = async move {
        let done = tokio::task::spawn_blocking(move || import.run(&file)).await;
        let saved = done.map_err(|_| super::Failure::bad("the import failed"))??;
        kept(saved).await?;
        Ok(Answer::no_content())
    };
    Ok(Outcome::Later(Box::pin(work)))
}
