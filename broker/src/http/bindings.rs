//! Bindings. Every queue is bound to the default exchange by its name; those bindings are shown and
//! cannot be changed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, after};
use super::fields;
use super::listing::{all, one};
use super::request::encoded;
use crate::auth::Access;
use crate::names::Destination;
use crate::vhost::{BindingRequest, ListedBinding, Vhost};

/// What stands in a path for no routing key and no arguments.
const NOTHING: &str = "~";

/// Names a binding among those between the same two.
fn properties_key(routing_key: &str, arguments: &[u8]) -> String {
    if arguments.is_empty() {
        return match routing_key {
            "" => NOTHING.to_owned(),
            key => key.replace('%', "%25").replace('~', "%7E"),
        };
    }
    let digest = Sha256::digest(arguments);
    let hash = digest.get(..4).unwrap_or_default();
    let key = routing_key.replace('%', "%25").replace('~', "%7E");
    format!("{key}~{}", URL_SAFE_NO_PAD.encode(hash))
}

fn destination_kind(destination: &Destination) -> (&'static str, &str) {
    match destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
    }
}

pub(super) fn row(vhost: &str, binding: &ListedBinding) -> Value {
    let (kind, name) = destination_kind(&binding.destination);
    json!({
        "source": *binding.source,
        "vhost": vhost,
        "destination": name,
        "destination_type": kind,
        "routing_key": binding.routing_key,
        "arguments": fields::table(&binding.arguments),
        "properties_key": properties_key(&binding.routing_key, &binding.arguments),
    })
}

/// As it is exported; not what ends with a connection.
pub(super) fn definition(binding: &ListedBinding) -> Option<Value> {
    let (kind, name) = destination_kind(&binding.destination);
    (!binding.of_exclusive_queue).then(|| {
        json!({
            "source": *binding.source,
            "destination": name,
            "destination_type": kind,
            "routing_key": binding.routing_key,
            "arguments": fields::table(&binding.arguments),
        })
    })
}

fn default_bindings(vhost: &Vhost) -> Vec<ListedBinding> {
    let mut names: Vec<Arc<str>> = vhost
        .queues()
        .iter()
        .map(|queue| queue.name.clone())
        .collect();
    names.sort();
    let binding = |name: &Arc<str>| ListedBinding {
        source: Arc::from(""),
        destination: Destination::Queue(name.to_string()),
        routing_key: name.to_string(),
        arguments: Vec::new(),
        of_exclusive_queue: false,
    };
    names.iter().map(binding).collect()
}

/// By source, destination and key, those of the default exchange first.
pub(super) fn of_vhost(vhost: &Vhost) -> Vec<ListedBinding> {
    let mut bindings = default_bindings(vhost);
    for exchange in vhost.exchanges() {
        let mut found = exchange.bindings();
        found.sort_by(|a, b| {
            let key = |binding: &ListedBinding| {
                (binding.destination.clone(), binding.routing_key.clone())
            };
            key(a).cmp(&key(b))
        });
        bindings.extend(found);
    }
    bindings
}

fn rows(call: &Call, vhosts: &[Arc<Vhost>], wanted: impl Fn(&ListedBinding) -> bool) -> Handled {
    let mut rows = Vec::new();
    for vhost in vhosts {
        let bindings = of_vhost(vhost);
        let bindings = bindings.iter().filter(|binding| wanted(binding));
        rows.extend(bindings.map(|binding| row(&vhost.name, binding)));
    }
    all(call, rows)
}

pub(super) fn list(call: &Call) -> Handled {
    rows(call, &call.visible_vhosts(), |_| true)
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    rows(call, &[call.vhost()?], |_| true)
}

/// The default exchange has a name in paths.
fn exchange_name(part: &str) -> &str {
    if part == "amq.default" { "" } else { part }
}

fn check_exchange(vhost: &Vhost, name: &str) -> Result<(), Failure> {
    if name.is_empty() || vhost.exchange(name).is_some() {
        return Ok(());
    }
    Err(Failure::NotFound)
}

pub(super) fn of_source(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let name = exchange_name(call.part(1));
    check_exchange(&vhost, name)?;
    rows(call, &[vhost], |binding| *binding.source == *name)
}

pub(super) fn to_exchange(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let name = exchange_name(call.part(1));
    check_exchange(&vhost, name)?;
    let destination = Destination::Exchange(name.to_owned());
    rows(call, &[vhost], |binding| binding.destination == destination)
}

pub(super) fn to_queue(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    vhost.queue(call.part(1)).ok_or(Failure::NotFound)?;
    let destination = Destination::Queue(call.part(1).to_owned());
    rows(call, &[vhost], |binding| binding.destination == destination)
}

/// Both ends, which must be there.
fn ends(call: &Call) -> Result<(Arc<Vhost>, String, Destination), Failure> {
    let vhost = call.vhost()?;
    let source = exchange_name(call.part(1)).to_owned();
    check_exchange(&vhost, &source)?;
    let name = call.part(3).to_owned();
    let destination = match call.part(2) {
        "q" => {
            vhost.queue(&name).ok_or(Failure::NotFound)?;
            Destination::Queue(name)
        }
        "e" => {
            check_exchange(&vhost, exchange_name(&name))?;
            Destination::Exchange(exchange_name(&name).to_owned())
        }
        _ => return Err(Failure::NotFound),
    };
    Ok((vhost, source, destination))
}

pub(super) fn between(call: &Call) -> Handled {
    let (vhost, source, destination) = ends(call)?;
    rows(call, &[vhost], |binding| {
        *binding.source == *source && binding.destination == destination
    })
}

fn find(call: &Call) -> Result<(Arc<Vhost>, ListedBinding), Failure> {
    let (vhost, source, destination) = ends(call)?;
    let wanted = call.part(4);
    let found = of_vhost(&vhost).into_iter().find(|binding| {
        let key = properties_key(&binding.routing_key, &binding.arguments);
        *binding.source == *source
            && binding.destination == destination
            && (key == wanted || (key == NOTHING && wanted.is_empty()) || binding.is_named(wanted))
    });
    Ok((vhost, found.ok_or(Failure::NotFound)?))
}

impl ListedBinding {
    /// A path is decoded once on the way: what was quoted in the key is not any more.
    fn is_named(&self, wanted: &str) -> bool {
        self.arguments.is_empty() && self.routing_key == wanted
    }
}

pub(super) fn show(call: &Call) -> Handled {
    let (vhost, binding) = find(call)?;
    one(call, row(&vhost.name, &binding))
}

fn check(
    call: &Call,
    vhost: &Vhost,
    source: &str,
    key: &str,
    to: &Destination,
) -> Result<(), Failure> {
    if source.is_empty() {
        return Err(Failure::refused());
    }
    let (_, name) = destination_kind(to);
    call.check_access(&vhost.name, Access::Write, name)?;
    call.check_access(&vhost.name, Access::Read, source)?;
    call.check_topic(vhost, Access::Read, source, key)
}

pub(super) fn bind(call: &Call) -> Handled {
    let (vhost, source, destination) = ends(call)?;
    let request = call.fields()?;
    let routing_key = request.text("routing_key")?.unwrap_or_default();
    let arguments = fields::encode(&request.table("arguments")?)?;
    check(call, &vhost, &source, routing_key, &destination)?;
    let location = format!(
        "{}/{}",
        call.part(3),
        encoded(&properties_key(routing_key, &arguments))
    );
    let saved = vhost.bind(&BindingRequest {
        source,
        destination,
        routing_key: routing_key.into(),
        arguments,
    })?;
    after(saved, Answer::created().with("location", location))
}

pub(super) fn unbind(call: &Call) -> Handled {
    let (vhost, binding) = find(call)?;
    let (source, key) = (binding.source.to_string(), &binding.routing_key);
    check(call, &vhost, &source, key, &binding.destination)?;
    let saved = vhost.unbind(&BindingRequest {
        source,
        destination: binding.destination.clone(),
        routing_key: key.as_str().into(),
        arguments: binding.arguments.clone(),
    })?;
    after(saved, Answer::no_content())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_named_by_key_and_arguments() {
        assert_eq!(properties_key("", &[]), "~");
        assert_eq!(properties_key("a.b", &[]), "a.b");
        assert_eq!(properties_key("a~%", &[]), "a%7E%25");
        let named = properties_key("a", b"\x01xt\x01");
        assert!(named.starts_with("a~") && named.len() == 8, "{named}");
        assert_ne!(named, properties_key("a", b"\x01xt\x00"));
    }
}
