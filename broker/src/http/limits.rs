//! Limits of vhosts and of users.

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, after, integer};
use super::listing::all;
use crate::auth::UserLimits;
use crate::vhost::VhostLimits;

fn vhost_row(vhost: &str, limits: VhostLimits) -> Option<Value> {
    let said = limits != VhostLimits::default();
    said.then(|| json!({"vhost": vhost, "value": limits}))
}

pub(super) fn list_vhosts(call: &Call) -> Handled {
    let vhosts = call.visible_vhosts();
    let rows = vhosts
        .iter()
        .filter_map(|vhost| vhost_row(&vhost.name, vhost.limits()));
    all(call, rows.collect())
}

pub(super) fn show_vhost(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    if !call.sees_vhost(&vhost.name) {
        let text = "User not authorised to access virtual host";
        return Err(Failure::NotAuthorised(text.to_owned()));
    }
    let row = vhost_row(&vhost.name, vhost.limits());
    all(call, row.into_iter().collect())
}

fn unknown(name: &str, value: &Value) -> Failure {
    let reason =
        format!("Validation failed\n\nUnrecognised terms [{{<<\"{name}\">>,{value}}}] in limits\n");
    Failure::bad(reason)
}

fn value(call: &Call) -> Result<Value, Failure> {
    let fields = call.fields()?;
    fields.require(&["value"])?;
    Ok(fields.get("value").cloned().unwrap_or(Value::Null))
}

pub(super) fn put_vhost(call: &Call) -> Handled {
    let value = value(call)?;
    let number = integer(&value)?;
    set_vhost(call, Some(number), &value)
}

pub(super) fn delete_vhost(call: &Call) -> Handled {
    set_vhost(call, None, &Value::Null)
}

fn set_vhost(call: &Call, number: Option<i64>, value: &Value) -> Handled {
    let vhost = call.vhost()?;
    let mut limits = vhost.limits();
    match call.part(1) {
        "max-connections" => limits.max_connections = number,
        "max-queues" => limits.max_queues = number,
        other => return Err(unknown(other, value)),
    }
    let saved = call.house.broker.set_vhost_limits(&vhost.name, limits)?;
    after(saved, Answer::no_content())
}

fn user_row(user: &str, limits: UserLimits) -> Option<Value> {
    let said = limits != UserLimits::default();
    said.then(|| json!({"user": user, "value": limits}))
}

pub(super) fn list_users(call: &Call) -> Handled {
    let users = call.house.users.users();
    let rows = users
        .iter()
        .filter_map(|user| user_row(&user.name, user.limits));
    all(call, rows.collect())
}

pub(super) fn show_user(call: &Call) -> Handled {
    let user = call
        .house
        .users
        .user(call.part(0))
        .ok_or(Failure::NotFound)?;
    all(
        call,
        user_row(&user.name, user.limits).into_iter().collect(),
    )
}

pub(super) fn put_user(call: &Call) -> Handled {
    let value = value(call)?;
    let number = integer(&value)?;
    set_user(call, Some(number), &value)
}

pub(super) fn delete_user(call: &Call) -> Handled {
    set_user(call, None, &Value::Null)
}

fn set_user(call: &Call, number: Option<i64>, value: &Value) -> Handled {
    let name = call.part(0);
    let user = call.house.users.user(name).ok_or(Failure::NotFound)?;
    let mut limits = user.limits;
    match call.part(1) {
        "max-connections" => limits.max_connections = number,
        "max-channels" => limits.max_channels = number,
        other => return Err(unknown(other, value)),
    }
    let saved = call.house.users.set_limits(name, limits)?;
    after(saved, Answer::no_content())
}
