//! AMQP connections, which can be looked at and closed.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::about::object;
use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome};
use super::fields;
use super::listing::{listed, one};
use super::samples::Subject;
use super::stats::Shown;
use crate::protection::Protection;
use crate::vhost::ConnectionFacts;

impl Call {
    /// Who monitors sees all connections, everybody else their own.
    pub fn sees_connection(&self, connection: &ConnectionFacts) -> bool {
        self.user.is_monitoring() || *connection.user == *self.user.name
    }

    /// `blocked` while an alarm keeps a connection that publishes from being read.
    pub fn state_of(&self, connection: &ConnectionFacts) -> &'static str {
        let alarms = self.house.node.alarms();
        let channels = connection.channels();
        let publishes = channels
            .iter()
            .any(|channel| channel.requests.published.get() > 0);
        match (alarms.memory || alarms.disk) && publishes {
            true => "blocked",
            false => "running",
        }
    }
}

fn row(call: &Call, connection: &ConnectionFacts) -> Value {
    let traffic = &connection.traffic;
    let client_properties = fields::table(&connection.client_properties);
    let given = client_properties.get("connection_name").cloned();
    let mut map = object([
        ("name", json!(connection.name())),
        ("user_provided_name", json!(given)),
        ("vhost", json!(*connection.vhost)),
        ("user", json!(*connection.user)),
        ("user_who_performed_action", json!(*connection.user)),
        ("node", json!(call.house.node.name())),
        ("type", json!("network")),
        ("protocol", json!("AMQP 0-9-1")),
        ("state", json!(call.state_of(connection))),
        ("auth_mechanism", json!(*connection.mechanism)),
        ("client_properties", client_properties),
        ("connected_at", json!(connection.connected_at)),
        ("channels", json!(connection.channels().len())),
        ("channel_max", json!(connection.channel_max)),
        ("frame_max", json!(connection.frame_max)),
        ("timeout", json!(connection.heartbeat)),
        ("host", json!(connection.local.ip().to_string())),
        ("port", json!(connection.local.port())),
        ("peer_host", json!(connection.peer.ip().to_string())),
        ("peer_port", json!(connection.peer.port())),
        ("recv_cnt", json!(traffic.reads.get())),
        ("send_cnt", json!(traffic.writes.get())),
        ("send_pend", json!(connection.outbox.waiting_bytes())),
    ]);
    put_protection(connection.protection.as_deref(), &mut map);
    put_traffic(call, connection, &mut map);
    if given.is_none() {
        map.remove("user_provided_name");
    }
    Value::Object(map)
}

fn put_protection(protection: Option<&Protection>, map: &mut Map<String, Value>) {
    let certificate = protection.and_then(|protection| protection.certificate.as_ref());
    let validity = certificate.map(|certificate| {
        let [from, until] = &certificate.validity;
        format!("{from} - {until}")
    });
    map.extend(object([
        (
            "peer_cert_issuer",
            json!(certificate.map(|one| &one.issuer)),
        ),
        (
            "peer_cert_subject",
            json!(certificate.map(|one| &one.subject)),
        ),
        ("peer_cert_validity", json!(validity)),
        ("ssl", json!(protection.is_some())),
        ("ssl_cipher", json!(protection.map(|one| one.cipher))),
        ("ssl_hash", json!(protection.map(|one| one.hash))),
        (
            "ssl_key_exchange",
            json!(protection.map(|one| one.key_exchange)),
        ),
        ("ssl_protocol", json!(protection.map(|one| one.protocol))),
    ]));
}

fn put_traffic(call: &Call, connection: &ConnectionFacts, map: &mut Map<String, Value>) {
    let shown = Shown {
        house: &call.house,
        request: &call.request,
        subject: Subject::Connection(connection.id),
    };
    let traffic = &connection.traffic;
    shown.put(map, "recv_oct", traffic.received.get(), (0, "data_rates"));
    shown.put(map, "send_oct", traffic.sent.get(), (1, "data_rates"));
}

fn rows(call: &Call, wanted: impl Fn(&ConnectionFacts) -> bool) -> Handled {
    let connections = call.house.broker.connections().list().into_iter();
    let seen = connections.filter(|one| call.sees_connection(one) && wanted(one));
    let named: Vec<(String, Arc<ConnectionFacts>)> = seen.map(|one| (one.name(), one)).collect();
    listed(call, named, |(name, _)| name, |(_, one)| row(call, one))
}

pub(super) fn list(call: &Call) -> Handled {
    rows(call, |_| true)
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    rows(call, |connection| *connection.vhost == *vhost.name)
}

pub(super) fn list_of_user(call: &Call) -> Handled {
    rows(call, |connection| *connection.user == *call.part(0))
}

pub(super) fn find(call: &Call) -> Result<Arc<ConnectionFacts>, Failure> {
    let connections = call.house.broker.connections().list();
    let found = connections
        .into_iter()
        .find(|one| one.name() == call.part(0));
    let found = found.ok_or(Failure::NotFound)?;
    match call.sees_connection(&found) {
        true => Ok(found),
        false => Err(Failure::NotAuthorised(
            "User not authorised to access object".to_owned(),
        )),
    }
}

pub(super) fn show(call: &Call) -> Handled {
    one(call, row(call, &*find(call)?))
}

/// To close somebody else's takes an administrator.
fn may_close(call: &Call, connection: &ConnectionFacts) -> bool {
    call.user.is_administrator() || *connection.user == *call.user.name
}

fn dismiss(call: &Call, connection: &ConnectionFacts) {
    let reason = call
        .request
        .header("x-reason")
        .unwrap_or("Closed via management plugin");
    call.house
        .broker
        .connections()
        .dismiss_one(connection.id, reason);
}

pub(super) fn close(call: &Call) -> Handled {
    let connection = find(call)?;
    if !may_close(call, &connection) {
        return Err(Failure::NotAuthorised(
            "User not authorised to access object".to_owned(),
        ));
    }
    dismiss(call, &connection);
    Ok(Outcome::Now(Answer::no_content()))
}

pub(super) fn close_of_user(call: &Call) -> Handled {
    let connections = call.house.broker.connections().list();
    for connection in connections.iter().filter(|one| *one.user == *call.part(0)) {
        if !may_close(call, connection) {
            let text = "User not authorised to access object";
            return Err(Failure::NotAuthorised(text.to_owned()));
        }
        dismiss(call, connection);
    }
    Ok(Outcome::Now(Answer::no_content()))
}
