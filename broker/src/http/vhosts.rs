//! Virtual hosts.

use std::sync::Arc;

use serde_json::{Value, json};

use super::about::object;
use super::answer::{Answer, Failure};
use super::call::{Call, Fields, Handled, Outcome, after};
use super::listing::{listed, one};
use super::samples::Subject;
use super::stats::Shown;
use super::traces;
use crate::vhost::{Metadata, Saved, Vhost};

fn row(call: &Call, vhost: &Vhost) -> Value {
    let metadata = vhost.metadata();
    let queue_type = metadata.default_queue_type.as_deref().unwrap_or("classic");
    let mut map = object([
        ("name", json!(*vhost.name)),
        ("description", json!(metadata.description)),
        ("tags", json!(metadata.tags)),
        ("default_queue_type", json!(queue_type)),
        (
            "protected_from_deletion",
            json!(metadata.protected_from_deletion),
        ),
        ("metadata", shown_metadata(&metadata)),
        ("tracing", json!(vhost.is_traced())),
        ("cluster_state", json!({call.house.node.name(): "running"})),
    ]);
    let sums = call.house.sums(vhost);
    let shown = Shown {
        house: &call.house,
        request: &call.request,
        subject: Subject::Vhost(Arc::clone(&vhost.name)),
    };
    shown.put_depth(&mut map, sums.depth);
    shown.put_octets(&mut map, sums.octets);
    if let Some(stats) = shown.message_stats(&sums.messages, true) {
        map.insert("message_stats".to_owned(), stats);
    }
    Value::Object(map)
}

/// As it stands in definitions too.
pub(super) fn shown_metadata(metadata: &Metadata) -> Value {
    let mut map = object([
        ("description", json!(metadata.description)),
        ("tags", json!(metadata.tags)),
    ]);
    if let Some(queue_type) = &metadata.default_queue_type {
        map.insert("default_queue_type".to_owned(), json!(queue_type));
    }
    if metadata.protected_from_deletion {
        map.insert("protected_from_deletion".to_owned(), json!(true));
    }
    Value::Object(map)
}

pub(super) fn list(call: &Call) -> Handled {
    let vhosts = call.visible_vhosts();
    listed(call, vhosts, |vhost| &vhost.name, |vhost| row(call, vhost))
}

pub(super) fn show(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    one(call, row(call, &vhost))
}

/// What is not said stays as it was. Newer definitions say some of it below `metadata`.
pub(super) fn read_metadata(fields: &Fields, before: Metadata) -> Result<Metadata, Failure> {
    let inner = Fields(fields.table("metadata")?);
    let mut metadata = before;
    for fields in [&inner, fields] {
        if let Some(description) = fields.text("description")? {
            metadata.description = description.to_owned();
        }
        if let Some(tags) = fields.get("tags") {
            metadata.tags = words(tags);
        }
        match fields.text("default_queue_type")? {
            None | Some("undefined") => {}
            Some("") => metadata.default_queue_type = None,
            Some(name) => metadata.default_queue_type = Some(name.to_owned()),
        }
        if fields.get("protected_from_deletion").is_some() {
            metadata.protected_from_deletion = fields.flag("protected_from_deletion")?;
        }
    }
    Ok(metadata)
}

/// A list of texts, or one text with commas.
pub(super) fn words(value: &Value) -> Vec<String> {
    let words: Vec<&str> = match value {
        Value::String(text) => text.split(',').collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let words = words.iter().map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

pub(super) fn put(call: &Call) -> Handled {
    let fields = call.fields()?;
    let name = call.part(0);
    let broker = &call.house.broker;
    match broker.vhost(name) {
        Some(vhost) => {
            let metadata = read_metadata(&fields, vhost.metadata())?;
            let saved = broker.set_vhost_metadata(name, metadata)?;
            put_and_trace(call, &fields, vec![saved], Answer::no_content())
        }
        None => {
            let metadata = read_metadata(&fields, Metadata::default())?;
            let saved = broker.create_vhost(name, metadata)?;
            // RabbitMQ gives a new vhost's creator everything in it.
            let all = call
                .house
                .users
                .set_permissions(crate::auth::PermissionRow {
                    user: call.user.name.clone(),
                    vhost: name.to_owned(),
                    configure: ".*".to_owned(),
                    write: ".*".to_owned(),
                    read: ".*".to_owned(),
                })?;
            put_and_trace(call, &fields, vec![saved, all], Answer::created())
        }
    }
}

/// Tracing is no property that is kept: it ends with the broker.
fn put_and_trace(call: &Call, fields: &Fields, saved: Vec<Saved>, answer: Answer) -> Handled {
    match fields.get("tracing") {
        None => Ok(Outcome::After(saved, answer)),
        Some(_) => traces::switch(call, fields.flag("tracing")?, saved, answer),
    }
}

pub(super) fn delete(call: &Call) -> Handled {
    let saved = call.house.users.delete_vhost(call.part(0))?;
    after(saved, Answer::no_content())
}

/// A vhost here is never down.
pub(super) fn start(call: &Call) -> Handled {
    call.vhost()?;
    match call.part(1) == call.house.node.name() {
        true => Ok(Outcome::Now(Answer::no_content())),
        false => Err(Failure::NotFound),
    }
}

pub(super) fn protect(call: &Call) -> Handled {
    set_protection(call, true)
}

pub(super) fn unprotect(call: &Call) -> Handled {
    set_protection(call, false)
}

fn set_protection(call: &Call, protected_from_deletion: bool) -> Handled {
    let vhost = call.vhost()?;
    let metadata = Metadata {
        protected_from_deletion,
        ..vhost.metadata()
    };
    let saved = call
        .house
        .broker
        .set_vhost_metadata(&vhost.name, metadata)?;
    after(saved, Answer::no_content())
}
