//! Policies and operator policies.

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Fields, Handled, after};
use super::listing::{listed, one};
use crate::vhost::Vhost;
use crate::vhost::policy::{Origin, PolicyDefinition};

pub(super) fn row(vhost: &str, policy: &PolicyDefinition) -> Value {
    json!({
        "vhost": vhost,
        "name": policy.name,
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": policy.definition,
        "priority": policy.priority,
    })
}

fn rows(call: &Call, vhosts: &[std::sync::Arc<Vhost>], origin: Origin) -> Handled {
    let all = vhosts.iter().flat_map(|vhost| {
        let policies = vhost.policies(origin).into_iter();
        policies.map(|policy| (vhost.name.clone(), policy))
    });
    let all: Vec<_> = all.collect();
    listed(
        call,
        all,
        |(_, policy)| &policy.name,
        |(vhost, policy)| row(vhost, policy),
    )
}

pub(super) fn list(call: &Call) -> Handled {
    rows(call, &call.visible_vhosts(), Origin::User)
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    rows(call, &[call.vhost()?], Origin::User)
}

pub(super) fn show(call: &Call) -> Handled {
    show_of(call, Origin::User)
}

pub(super) fn put(call: &Call) -> Handled {
    put_of(call, Origin::User)
}

pub(super) fn delete(call: &Call) -> Handled {
    delete_of(call, Origin::User)
}

pub(super) fn list_operator(call: &Call) -> Handled {
    rows(call, &call.visible_vhosts(), Origin::Operator)
}

pub(super) fn list_operator_in_vhost(call: &Call) -> Handled {
    rows(call, &[call.vhost()?], Origin::Operator)
}

pub(super) fn show_operator(call: &Call) -> Handled {
    show_of(call, Origin::Operator)
}

pub(super) fn put_operator(call: &Call) -> Handled {
    check_operator(call)?;
    put_of(call, Origin::Operator)
}

pub(super) fn delete_operator(call: &Call) -> Handled {
    check_operator(call)?;
    delete_of(call, Origin::Operator)
}

fn check_operator(call: &Call) -> Result<(), Failure> {
    match call.user.is_administrator() {
        true => Ok(()),
        false => Err(Failure::NotAuthorised("Not administrator user".to_owned())),
    }
}

fn find(vhost: &Vhost, origin: Origin, name: &str) -> Option<PolicyDefinition> {
    vhost
        .policies(origin)
        .into_iter()
        .find(|policy| policy.name == name)
}

fn show_of(call: &Call, origin: Origin) -> Handled {
    let vhost = call.vhost()?;
    let policy = find(&vhost, origin, call.part(1)).ok_or(Failure::NotFound)?;
    one(call, row(&vhost.name, &policy))
}

fn put_of(call: &Call, origin: Origin) -> Handled {
    let vhost = call.vhost()?;
    let name = call.part(1);
    let policy = read(name, &call.fields()?)?;
    let before = find(&vhost, origin, name);
    let saved = vhost.set_policy(origin, policy)?;
    after(saved, Answer::put(before.is_none()))
}

/// Files of RabbitMQ and LavinMQ write the same keys.
pub(super) fn read(name: &str, fields: &Fields) -> Result<PolicyDefinition, Failure> {
    fields.require(&["pattern", "definition"])?;
    let apply_to = fields.text("apply-to")?.unwrap_or("all");
    Ok(PolicyDefinition {
        name: name.to_owned(),
        pattern: fields.text("pattern")?.unwrap_or_default().to_owned(),
        apply_to: apply_to.to_owned(),
        priority: fields.integer("priority")?.unwrap_or(0),
        definition: fields.table("definition")?,
    })
}

fn delete_of(call: &Call, origin: Origin) -> Handled {
    let saved = call.vhost()?.clear_policy(origin, call.part(1))?;
    after(saved, Answer::no_content())
}
