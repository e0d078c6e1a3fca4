//! Health checks: 200 when all is well, 503 with a reason otherwise, in RabbitMQ's words.

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome, shown};
use crate::protection::Certificate;

fn ok() -> Handled {
    shown(&json!({"status": "ok"}))
}

fn failed(mut body: Value, reason: &str) -> Handled {
    if let Some(map) = body.as_object_mut() {
        map.insert("status".to_owned(), json!("failed"));
        map.insert("reason".to_owned(), json!(reason));
    }
    Err(Failure::Other(503, body))
}

/// Nothing that could be wrong here is without notice elsewhere: a broker that could not open a
/// vhost or its store has not started.
pub(super) fn fine(_: &Call) -> Handled {
    ok()
}

pub(super) fn single_node(_: &Call) -> Handled {
    shown(&json!({"status": "ok", "reason": "single node cluster"}))
}

pub(super) fn alarms(call: &Call) -> Handled {
    let alarms = call.house.node.alarms();
    let node = call.house.node.name();
    let raised = [("memory", alarms.memory), ("disk", alarms.disk)];
    let raised: Vec<Value> = raised
        .iter()
        .filter(|(_, raised)| *raised)
        .map(|(resource, _)| json!({"node": node, "resource": resource}))
        .collect();
    match raised.is_empty() {
        true => ok(),
        false => failed(
            json!({"alarms": raised}),
            "There are alarms in effect in the cluster",
        ),
    }
}

const DAY: u64 = 24 * 60 * 60;

/// Whether a listener's certificate, or one that leads to its authority, ends within this time.
pub(super) fn certificates(call: &Call) -> Handled {
    let within: Option<u64> = call.part(0).parse().ok();
    let within = within.ok_or_else(|| Failure::bad("not_an_integer"))?;
    let unit = match call.part(1) {
        "days" => DAY,
        "weeks" => DAY * 7,
        "months" => DAY * 365 / 12,
        "years" => DAY * 365,
        _ => {
            let text = "Time unit not recognised. Supported units: days, weeks, months, years.";
            return Err(Failure::bad(text));
        }
    };
    let node = &call.house.node;
    let until = (node.now() / 1000).saturating_add(within.saturating_mul(unit));
    let listeners = node.listeners();
    let expiring = listeners.iter().filter_map(|listener| {
        let current = listener.identity.as_ref()?.current();
        let of = |certificates: &[Certificate]| -> Vec<String> {
            let ends = certificates.iter().filter(|one| one.expires <= until);
            ends.map(|one| date(&one.validity[1])).collect()
        };
        let (own, authorities) = (of(&current.chain), of(&current.authorities));
        (!own.is_empty() || !authorities.is_empty()).then(|| {
            json!({
                "certfile": current.certificate_file.display().to_string(),
                "certfile_expires_on": own,
                "cacertfile": current.ca_file.display().to_string(),
                "cacertfile_expires_on": authorities,
                "interface": listener.address.ip().to_string(),
                "node": node.name(),
                "port": listener.address.port(),
                "protocol": listener.protocol_name(),
            })
        })
    });
    let expiring: Vec<Value> = expiring.collect();
    match expiring.is_empty() {
        true => ok(),
        false => failed(json!({"expired": expiring}), "Certificates expiring"),
    }
}

/// `2027-11-22 7:36:52`, as RabbitMQ writes it here.
fn date(iso: &str) -> String {
    let (day, time) = iso.split_once('T').unwrap_or((iso, ""));
    let time = time.trim_end_matches('Z');
    format!("{day} {}", time.strip_prefix('0').unwrap_or(time))
}

pub(super) fn port(call: &Call) -> Handled {
    let port: u16 = call
        .part(0)
        .parse()
        .map_err(|_| Failure::bad("Invalid port"))?;
    let listeners = call.house.node.listeners();
    let ports: Vec<u16> = listeners
        .iter()
        .map(|listener| listener.address.port())
        .collect();
    if ports.contains(&port) {
        return shown(&json!({"status": "ok", "port": port}));
    }
    failed(
        json!({"missing": port, "ports": ports}),
        "No active listener",
    )
}

pub(super) fn protocol(call: &Call) -> Handled {
    let wanted = call.part(0);
    // The names that RabbitMQ's tools use for one and the same.
    let asked = match wanted {
        "amqp091" | "amqp0.9.1" | "amqp0-9-1" | "amqp10" | "amqp1.0" => "amqp",
        "prometheus" => "http/prometheus",
        other => other,
    };
    let mut protocols: Vec<&str> = Vec::new();
    for listener in call.house.node.listeners() {
        let name = listener.protocol_name();
        if !protocols.contains(&name) {
            protocols.push(name);
        }
    }
    if protocols.contains(&asked) {
        return shown(&json!({"status": "ok", "protocol": asked}));
    }
    failed(
        json!({"missing": wanted, "protocols": protocols}),
        "No active listener",
    )
}

pub(super) fn in_service(call: &Call) -> Handled {
    match call.house.node.is_stopping() {
        false => ok(),
        true => failed(json!({}), "this node is being shut down"),
    }
}

pub(super) fn ready(call: &Call) -> Handled {
    in_service(call)?;
    below_connection_limit(call)?;
    alarms(call)
}

pub(super) fn below_connection_limit(call: &Call) -> Handled {
    let current = call.house.broker.connections().count() as u64;
    let limit = call.house.node.limits().max_connections;
    match current < limit {
        true => shown(&json!({"status": "ok", "current": current, "limit": limit})),
        false => failed(
            json!({"current": current, "limit": limit}),
            "node connection limit is reached",
        ),
    }
}

/// The old one: all of the above that can be wrong.
pub(super) fn node(call: &Call) -> Handled {
    if !call.part(0).is_empty() && call.part(0) != call.house.node.name() {
        return Err(Failure::NotFound);
    }
    in_service(call)?;
    alarms(call)
}

/// RabbitMQ publishes to a queue of its own; here the vhost is there or it is not, and what could
/// not be written shows in `kept`.
pub(super) fn aliveness(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let saved = vhost.touch();
    Ok(Outcome::After(
        vec![saved],
        Answer::json(&json!({"status": "ok"})),
    ))
}
