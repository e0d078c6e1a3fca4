//! Tracing as RabbitMQ's plugin offers it: traces by name, and the files that they write. Not what a
//! trace is (see `vhost::taps`), and not what it writes (see the plugin `tracing`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::about::object;
use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome};
use super::kept;
use super::listing::{listed, one};
use crate::plugin::{Plugins, TraceFile};
use crate::vhost::{Saved, Trace, TraceFormat};

/// RabbitMQ's words for whatever goes wrong.
const NOT_STARTED: &str = "Something went wrong trying to start the trace - check the logs.";

/// In a path.
const NODE: &str = "node";

impl Call {
    /// What the path names behind the collection; RabbitMQ also takes it behind `node/NAME`.
    fn named(&self) -> Result<&[String], Failure> {
        let path = self.request.parts.get(2).map(String::as_str);
        if path != Some(NODE) {
            return Ok(&self.captured);
        }
        match self.captured.split_first() {
            Some((node, rest)) if node == self.house.node.name() => Ok(rest),
            Some(_) | None => Err(Failure::NotFound),
        }
    }

    fn name_at(&self, index: usize) -> Result<&str, Failure> {
        let found = self.named()?.get(index).map(String::as_str);
        found.ok_or(Failure::NotFound)
    }
}

fn row(trace: &Trace) -> Value {
    let mut map = object([
        ("vhost", json!(trace.vhost)),
        ("name", json!(trace.name)),
        ("format", json!(trace.format.name())),
        ("pattern", json!(trace.pattern)),
    ]);
    if let Some(most) = trace.max_payload_bytes {
        map.insert("max_payload_bytes".to_owned(), json!(most));
    }
    if let Some(username) = &trace.username {
        map.insert("tracer_connection_username".to_owned(), json!(username));
    }
    Value::Object(map)
}

fn rows(call: &Call, wanted: impl Fn(&Trace) -> bool) -> Handled {
    let mut traces = call.house.broker.traces();
    traces.retain(wanted);
    listed(call, traces, |trace| &trace.name, row)
}

pub(super) fn list(call: &Call) -> Handled {
    call.named()?;
    rows(call, |_| true)
}

pub(super) fn of_vhost(call: &Call) -> Handled {
    let vhost = call.name_at(0)?;
    rows(call, |trace| trace.vhost == vhost)
}

pub(super) fn show(call: &Call) -> Handled {
    let (vhost, name) = (call.name_at(0)?, call.name_at(1)?);
    let traces = call.house.broker.traces();
    let found = traces
        .iter()
        .find(|trace| trace.vhost == vhost && trace.name == name);
    one(call, row(found.ok_or(Failure::NotFound)?))
}

pub(super) fn put(call: &Call) -> Handled {
    let trace = asked(call)?;
    if call.house.broker.vhost(&trace.vhost).is_none() {
        return Err(Failure::NotFound);
    }
    change(call, move |plugins| {
        let added = plugins.add_trace(trace).map_err(|error| {
            tracing::warn!(%error, "a trace was not started");
            Failure::bad(NOT_STARTED)
        })?;
        match added {
            true => Ok(Answer::created()),
            false => Err(Failure::bad(NOT_STARTED)),
        }
    })
}

fn asked(call: &Call) -> Result<Trace, Failure> {
    let fields = call.fields()?;
    fields.require(&["format", "pattern"])?;
    let format = match fields.text("format")? {
        Some("text") => TraceFormat::Text,
        Some("json") => TraceFormat::Json,
        Some(_) | None => return Err(Failure::bad("format not json or text")),
    };
    let max_payload_bytes = match fields.get("max_payload_bytes") {
        None => None,
        Some(most) => match most.as_u64() {
            Some(most) => Some(most),
            None => return Err(Failure::bad("max_payload_bytes not integer")),
        },
    };
    let vhost = call.name_at(0)?.to_owned();
    let username = fields.text("tracer_connection_username")?;
    if let Some(username) = username {
        let password = fields.text("tracer_connection_password")?;
        let users = &call.house.users;
        let login = users.login(username, password.unwrap_or_default().as_bytes(), true);
        if login.is_err() || !users.may_enter(username, &vhost) {
            return Err(Failure::bad(NOT_STARTED));
        }
    }
    Ok(Trace {
        name: call.name_at(1)?.to_owned(),
        vhost,
        format,
        pattern: fields.text("pattern")?.unwrap_or_default().to_owned(),
        max_payload_bytes,
        username: username.map(str::to_owned),
    })
}

pub(super) fn delete(call: &Call) -> Handled {
    let (vhost, name) = (call.name_at(0)?, call.name_at(1)?);
    match call.house.broker.remove_trace(vhost, name) {
        true => Ok(Outcome::Now(Answer::no_content())),
        false => Err(Failure::NotFound),
    }
}

/// A component may have to be loaded first, and files be read: nobody else waits for that.
fn change(
    call: &Call,
    work: impl FnOnce(&Plugins) -> Result<Answer, Failure> + Send + 'static,
) -> Handled {
    let plugins = Arc::clone(&call.house.plugins);
    let work = async move {
        let done = tokio::task::spawn_blocking(move || work(&plugins)).await;
        done.map_err(|_| Failure::bad(NOT_STARTED))?
    };
    Ok(Outcome::Later(Box::pin(work)))
}

/// Switches a virtual host's firehose as it was asked for, once what it is about is on disk.
pub(super) fn switch(call: &Call, on: bool, saved: Vec<Saved>, answer: Answer) -> Handled {
    let vhost = call.part(0).to_owned();
    let plugins = Arc::clone(&call.house.plugins);
    let work = async move {
        kept(saved).await?;
        let switch = move || plugins.set_tracing(&vhost, on);
        let switched = tokio::task::spawn_blocking(switch).await;
        let switched = switched.map_err(|_| Failure::bad(NOT_STARTED))?;
        switched.map_err(|error| Failure::bad(error.to_string()))?;
        Ok(answer)
    };
    Ok(Outcome::Later(Box::pin(work)))
}

fn file_row(file: &TraceFile) -> Value {
    json!({"name": file.name, "size": file.size})
}

pub(super) fn files(call: &Call) -> Handled {
    call.named()?;
    let files = call.house.plugins.trace_files().list();
    listed(call, files, |file| &file.name, file_row)
}

pub(super) fn file(call: &Call) -> Handled {
    let name = call.name_at(0)?.to_owned();
    change(call, move |plugins| {
        let read = plugins.trace_files().read(&name);
        let octets = read.map_err(|error| Failure::bad(error.to_string()))?;
        let octets = octets.ok_or(Failure::NotFound)?;
        Ok(Answer::some(200, "text/plain", octets))
    })
}

pub(super) fn delete_file(call: &Call) -> Handled {
    let name = call.name_at(0)?.to_owned();
    change(call, move |plugins| {
        let removed = plugins.trace_files().remove(&name);
        match removed.map_err(|error| Failure::bad(error.to_string()))? {
            true => Ok(Answer::no_content()),
            false => Err(Failure::NotFound),
        }
    })
}
