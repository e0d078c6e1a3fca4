//! What runs beside the message path: shovels and federation links as RabbitMQ shows them, and the
//! tasks of all services.

use std::sync::Arc;

use hashbrown::HashMap;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, after};
use super::listing::all;
use super::{channels, fields};
use crate::client::SERVICE_TASK;
use crate::plugin::service::{Doing, TaskStatus};
use crate::vhost::{ConnectionFacts, Saved};

const SHOVEL: &str = "shovel";
const FEDERATION: &str = "federation";

/// A service's own facts, with what every task has.
fn facts(task: &TaskStatus) -> Map<String, Value> {
    let facts = task.facts.as_ref().and_then(Value::as_object);
    facts.cloned().unwrap_or_default()
}

/// As RabbitMQ writes it here.
fn timestamp(at: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(at);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").replace('Z', "")
}

fn tasks(call: &Call, plugin: &str) -> Vec<TaskStatus> {
    let services = call.house.plugins.services();
    let mut tasks = services.list_of(plugin);
    // Who sees everything sees what belongs to no virtual host.
    tasks.retain(|task| match task.vhost.as_str() {
        "" => call.user.is_monitoring(),
        vhost => call.sees_vhost(vhost),
    });
    tasks
}

pub(super) fn shovel(call: &Call, task: &TaskStatus) -> Value {
    let mut row = facts(task);
    row.insert("node".to_owned(), json!(call.house.node.name()));
    row.insert("timestamp".to_owned(), json!(timestamp(task.since)));
    row.insert("name".to_owned(), json!(task.name));
    if !task.vhost.is_empty() {
        row.insert("vhost".to_owned(), json!(task.vhost));
    }
    row.entry("type").or_insert_with(|| json!("dynamic"));
    row.insert("state".to_owned(), json!(task.doing.name()));
    if let Some(why) = &task.why {
        let name = match task.doing {
            Doing::Blocked => "blocked_reason",
            Doing::Starting | Doing::Running | Doing::Flow | Doing::Paused | Doing::Terminated => {
                "reason"
            }
        };
        row.insert(name.to_owned(), json!(why));
    }
    Value::Object(row)
}

pub(super) fn list_shovels(call: &Call) -> Handled {
    let tasks = tasks(call, SHOVEL);
    all(call, tasks.iter().map(|task| shovel(call, task)).collect())
}

pub(super) fn list_shovels_in_vhost(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let mut tasks = tasks(call, SHOVEL);
    tasks.retain(|task| *task.vhost == *vhost.name);
    all(call, tasks.iter().map(|task| shovel(call, task)).collect())
}

fn find(call: &Call, plugin: &str) -> Result<TaskStatus, Failure> {
    let vhost = call.vhost()?;
    let tasks = tasks(call, plugin).into_iter();
    tasks
        .filter(|task| *task.vhost == *vhost.name)
        .find(|task| task.name == call.part(1))
        .ok_or(Failure::NotFound)
}

pub(super) fn show_shovel(call: &Call) -> Handled {
    let task = find(call, SHOVEL)?;
    Ok(Answer::json(&shovel(call, &task)).into())
}

fn check(call: &Call) -> Result<(), Failure> {
    let text = "User not authorised to access object";
    let may = call.user.is_policymaker();
    may.then_some(())
        .ok_or_else(|| Failure::NotAuthorised(text.to_owned()))
}

/// The parameter goes, and the shovel with it.
pub(super) fn delete_shovel(call: &Call) -> Handled {
    check(call)?;
    let saved = call.vhost()?.clear_parameter(SHOVEL, call.part(1))?;
    after(saved, Answer::no_content())
}

pub(super) fn restart_shovel(call: &Call) -> Handled {
    check(call)?;
    let task = find(call, SHOVEL)?;
    restarted(call, &task)
}

fn restarted(call: &Call, task: &TaskStatus) -> Handled {
    let services = call.house.plugins.services();
    match services.restart(&task.plugin, &task.vhost, &task.name) {
        true => Ok(Answer::no_content().into()),
        false => Err(Failure::NotFound),
    }
}

pub(super) fn pause_shovel(call: &Call) -> Handled {
    check(call)?;
    let task = find(call, SHOVEL)?;
    let services = call.house.plugins.services();
    told(services.pause(SHOVEL, &task.vhost, &task.name))
}

pub(super) fn resume_shovel(call: &Call) -> Handled {
    check(call)?;
    let task = find(call, SHOVEL)?;
    let services = call.house.plugins.services();
    told(services.resume(SHOVEL, &task.vhost, &task.name))
}

fn told(saved: Option<Saved>) -> Handled {
    let saved = saved.ok_or(Failure::NotFound)?;
    after(saved, Answer::no_content())
}

/// By virtual host and task: the connections on which what links bring is published here.
type Locals = HashMap<(String, String), Arc<ConnectionFacts>>;

fn local_connections(call: &Call) -> Locals {
    let connections = call.house.broker.connections().list().into_iter();
    let known = connections.filter_map(|connection| {
        let properties = fields::table(&connection.client_properties);
        let task = properties.get(SERVICE_TASK)?.as_str()?.to_owned();
        Some(((connection.vhost.to_string(), task), connection))
    });
    known.collect()
}

fn link(call: &Call, task: &TaskStatus, locals: &Locals) -> Value {
    let mut row = facts(task);
    row.insert("node".to_owned(), json!(call.house.node.name()));
    row.insert("vhost".to_owned(), json!(task.vhost));
    row.insert("timestamp".to_owned(), json!(timestamp(task.since)));
    let status = match (task.doing, &task.why) {
        (Doing::Running | Doing::Flow | Doing::Blocked, _) => "running",
        (Doing::Starting, None) => "starting",
        (Doing::Starting | Doing::Terminated, Some(_)) => "error",
        (Doing::Terminated, None) => "shutdown",
        (Doing::Paused, _) => "paused",
    };
    row.insert("status".to_owned(), json!(status));
    if let Some(why) = &task.why {
        row.insert("error".to_owned(), json!(why));
    }
    if let Some(local) = locals.get(&(task.vhost.clone(), task.name.clone())) {
        row.insert("local_connection".to_owned(), json!(local.name()));
        let channel = channels::first_of(call, local);
        row.extend(channel.map(|channel| ("local_channel".to_owned(), channel)));
    }
    Value::Object(row)
}

fn links(call: &Call, tasks: &[TaskStatus]) -> Handled {
    let locals = local_connections(call);
    let rows = tasks.iter().map(|task| link(call, task, &locals));
    all(call, rows.collect())
}

pub(super) fn list_links(call: &Call) -> Handled {
    let tasks = tasks(call, FEDERATION);
    links(call, &tasks)
}

pub(super) fn list_links_in_vhost(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let mut tasks = tasks(call, FEDERATION);
    tasks.retain(|task| *task.vhost == *vhost.name);
    links(call, &tasks)
}

/// By the id that the list has.
pub(super) fn restart_link(call: &Call) -> Handled {
    check(call)?;
    let vhost = call.vhost()?;
    let tasks = tasks(call, FEDERATION).into_iter();
    let mut of_vhost = tasks.filter(|task| *task.vhost == *vhost.name);
    let wanted = call.part(1);
    let task = of_vhost.find(|task| facts(task).get("id").is_some_and(|id| id == wanted));
    restarted(call, &task.ok_or(Failure::NotFound)?)
}

fn row(task: &TaskStatus) -> Value {
    json!({
        "plugin": task.plugin,
        "vhost": task.vhost,
        "name": task.name,
        "state": task.doing.name(),
        "since": task.since,
        "reason": task.why,
        "facts": task.facts,
        "counters": task.counters,
        "restarts": task.restarts,
    })
}

pub(super) fn list(call: &Call) -> Handled {
    let tasks = call.house.plugins.services().list();
    all(call, tasks.iter().map(row).collect())
}

pub(super) fn list_of_plugin(call: &Call) -> Handled {
    let tasks = call.house.plugins.services().list_of(call.part(0));
    all(call, tasks.iter().map(row).collect())
}

/// Plugin, virtual host (`-` for none) and name.
fn named(call: &Call) -> (&str, &str, &str) {
    let vhost = match call.part(1) {
        "-" => "",
        vhost => vhost,
    };
    (call.part(0), vhost, call.part(2))
}

pub(super) fn restart(call: &Call) -> Handled {
    let (plugin, vhost, name) = named(call);
    match call.house.plugins.services().restart(plugin, vhost, name) {
        true => Ok(Answer::no_content().into()),
        false => Err(Failure::NotFound),
    }
}

pub(super) fn pause(call: &Call) -> Handled {
    let (plugin, vhost, name) = named(call);
    told(call.house.plugins.services().pause(plugin, vhost, name))
}

pub(super) fn resume(call: &Call) -> Handled {
    let (plugin, vhost, name) = named(call);
    told(call.house.plugins.services().resume(plugin, vhost, name))
}
