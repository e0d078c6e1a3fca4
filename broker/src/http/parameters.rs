//! Runtime parameters, of vhosts and of the broker.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, after};
use super::listing::{all, listed, one};
use crate::plugin::service::CheckError;
use crate::vhost::{Parameter, Vhost};

pub(super) fn row(vhost: &str, parameter: &Parameter) -> Value {
    json!({
        "vhost": vhost,
        "component": parameter.component,
        "name": parameter.name,
        "value": parameter.value,
    })
}

fn rows(call: &Call, vhosts: &[Arc<Vhost>], component: Option<&str>) -> Handled {
    check(call)?;
    let all = vhosts.iter().flat_map(|vhost| {
        let mut parameters = vhost.parameters();
        parameters.retain(|one| component.is_none_or(|component| one.component == component));
        parameters.into_iter().map(|one| (vhost.name.clone(), one))
    });
    let all: Vec<_> = all.collect();
    listed(
        call,
        all,
        |(_, one)| &one.name,
        |(vhost, one)| row(vhost, one),
    )
}

fn check(call: &Call) -> Result<(), Failure> {
    let text = "User not authorised to access object";
    let may = call.user.is_policymaker();
    may.then_some(())
        .ok_or_else(|| Failure::NotAuthorised(text.to_owned()))
}

pub(super) fn list(call: &Call) -> Handled {
    rows(call, &call.visible_vhosts(), None)
}

pub(super) fn list_component(call: &Call) -> Handled {
    rows(call, &call.visible_vhosts(), Some(call.part(0)))
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    rows(call, &[vhost(call)?], Some(call.part(0)))
}

/// That the path names second, if this user may enter it.
fn vhost(call: &Call) -> Result<Arc<Vhost>, Failure> {
    let vhost = call.vhost_at(1)?;
    let enters = call.house.users.may_enter(&call.user.name, &vhost.name);
    if enters || call.user.is_administrator() {
        return Ok(vhost);
    }
    let text = "User not authorised to access object";
    Err(Failure::NotAuthorised(text.to_owned()))
}

fn find(vhost: &Vhost, component: &str, name: &str) -> Option<Parameter> {
    let parameters = vhost.parameters().into_iter();
    parameters
        .filter(|one| one.component == component)
        .find(|one| one.name == name)
}

pub(super) fn show(call: &Call) -> Handled {
    check(call)?;
    let vhost = vhost(call)?;
    let found = find(&vhost, call.part(0), call.part(2)).ok_or(Failure::NotFound)?;
    one(call, row(&vhost.name, &found))
}

pub(super) fn put(call: &Call) -> Handled {
    check(call)?;
    let vhost = vhost(call)?;
    let fields = call.fields()?;
    fields.require(&["value"])?;
    let (component, name) = (call.part(0), call.part(2));
    let parameter = Parameter {
        component: component.to_owned(),
        name: name.to_owned(),
        value: fields.get("value").cloned().unwrap_or(Value::Null),
    };
    validate(call, &vhost.name, &parameter)?;
    let is_new = find(&vhost, component, name).is_none();
    let saved = vhost.set_parameter(parameter)?;
    after(saved, Answer::put(is_new))
}

/// By the service that works by it. Who sets it must be allowed to enter where the service would.
fn validate(call: &Call, vhost: &str, parameter: &Parameter) -> Result<(), Failure> {
    let component = &parameter.component;
    let failed = |lines: &[String]| {
        let lines = lines.join("\n");
        // RabbitMQ has its web pages in mind here.
        let lines = lines.replace('<', "&lt;").replace('>', "&gt;");
        Err(Failure::bad(format!("Validation failed\n\n{lines}\n")))
    };
    let services = call.house.plugins.services();
    let entered = match services.check(vhost, parameter) {
        Ok(entered) => entered,
        Err(CheckError::Unknown) => return failed(&[format!("component {component} not found")]),
        Err(CheckError::Refused(lines)) => return failed(&lines),
        Err(CheckError::Failed(reason)) => return failed(&[reason]),
    };
    let users = &call.house.users;
    let user = call.user.name.as_str();
    match entered.iter().find(|vhost| !users.may_enter(user, vhost)) {
        None => Ok(()),
        Some(vhost) => failed(&[format!(
            "user \"{user}\" may not connect to vhost \"{vhost}\""
        )]),
    }
}

pub(super) fn delete(call: &Call) -> Handled {
    check(call)?;
    let saved = vhost(call)?.clear_parameter(call.part(0), call.part(2))?;
    after(saved, Answer::no_content())
}

pub(super) fn global_row(name: &str, value: &Value) -> Value {
    json!({"name": name, "value": value})
}

pub(super) fn list_global(call: &Call) -> Handled {
    check(call)?;
    let parameters = call.house.broker.global_parameters();
    let rows = parameters
        .iter()
        .map(|(name, value)| global_row(name, value));
    all(call, rows.collect())
}

pub(super) fn show_global(call: &Call) -> Handled {
    let found = call.house.broker.global_parameter(call.part(0));
    one(
        call,
        global_row(call.part(0), &found.ok_or(Failure::NotFound)?),
    )
}

pub(super) fn put_global(call: &Call) -> Handled {
    let fields = call.fields()?;
    fields.require(&["value"])?;
    let name = call.part(0);
    let is_new = call.house.broker.global_parameter(name).is_none();
    let value = fields.get("value").cloned().unwrap_or(Value::Null);
    let saved = call.house.broker.set_global_parameter(name, value)?;
    after(saved, Answer::put(is_new))
}

pub(super) fn delete_global(call: &Call) -> Handled {
    let saved = call.house.broker.clear_global_parameter(call.part(0))?;
    after(saved, Answer::no_content())
}
