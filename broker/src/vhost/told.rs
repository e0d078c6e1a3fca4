//! What is told of things that come, go and change: under RabbitMQ's names, for whoever listens at
//! the moment (see `news.rs`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::exchange::Identity;
use super::{Broker, Concerns, ConnectionFacts, Event, Exchange, Facts, Kind, Vhost};
use crate::amqp::table::{Table, Value as Field};
use crate::names::Destination;
use crate::outbox::Outbox;
use crate::protection::{Certificate, Protection};
use crate::queue::{Consumer, Queue};

/// RabbitMQ's word for AMQP 0-9-1.
const PROTOCOL: &str = "{0,9,1}";

impl Vhost {
    /// Something of this name has come, gone or changed here.
    pub(super) fn tell(&self, kind: Kind, name: &str, facts: impl FnOnce(Facts) -> Facts) {
        self.shared.connections.news().tell(|| Event {
            kind,
            concerns: Concerns::Vhost(Arc::clone(&self.name)),
            name: name.to_owned(),
            details: Vec::new(),
            facts: facts(self.fact().text("name", name)),
        });
    }

    fn fact(&self) -> Facts {
        Facts::default().text("vhost", &self.name)
    }

    pub(super) fn tell_queue(&self, queue: &Queue) {
        let attributes = &queue.attributes;
        self.tell(Kind::QueueCreated, &queue.name, |facts| {
            facts
                .flag("durable", attributes.durable)
                .flag("auto_delete", attributes.auto_delete)
                .flag("exclusive", attributes.exclusive.is_some())
                .text("owner_pid", "")
                .table("arguments", &attributes.arguments)
        });
    }

    pub(super) fn tell_exchange(&self, exchange: &Exchange) {
        let definition = &exchange.definition;
        self.tell(Kind::ExchangeCreated, &exchange.name, |facts| {
            facts
                .text("type", &definition.type_name)
                .flag("durable", definition.durable)
                .flag("auto_delete", definition.auto_delete)
                .flag("internal", definition.internal)
                .text("policy", "")
                .table("arguments", &definition.arguments.0)
        });
    }

    /// A binding: its exchange's name, and where it leads.
    pub(super) fn tell_binding(&self, kind: Kind, source: &str, identity: &Identity) {
        self.shared.connections.news().tell(|| {
            let (destination, name) = match &identity.destination {
                Destination::Queue(name) => ("queue", name),
                Destination::Exchange(name) => ("exchange", name),
            };
            Event {
                kind,
                concerns: Concerns::Vhost(Arc::clone(&self.name)),
                name: source.to_owned(),
                details: vec![
                    ("destination_type", destination.to_owned()),
                    ("destination", name.clone()),
                    ("routing_key", identity.routing_key.clone()),
                ],
                facts: self
                    .fact()
                    .text("source_name", source)
                    .text("source_kind", "exchange")
                    .text("destination_name", name)
                    .text("destination_kind", destination)
                    .text("routing_key", &identity.routing_key)
                    .table("arguments", &identity.arguments),
            }
        });
    }
}

impl Broker {
    /// Something of the whole broker: who may do what, virtual hosts, alarms.
    pub fn tell(&self, kind: Kind, name: &str, facts: impl FnOnce(Facts) -> Facts) {
        self.tell_about(kind, Concerns::Operators, name, facts);
    }

    pub fn tell_about(
        &self,
        kind: Kind,
        concerns: Concerns,
        name: &str,
        facts: impl FnOnce(Facts) -> Facts,
    ) {
        self.shared.connections.news().tell(|| Event {
            kind,
            concerns,
            name: name.to_owned(),
            details: Vec::new(),
            facts: facts(Facts::default().text("name", name)),
        });
    }

    /// A login, and why it failed if it did.
    pub fn tell_login(
        &self,
        user: &str,
        mechanism: &str,
        (peer, local): (SocketAddr, SocketAddr),
        error: Option<&str>,
    ) {
        let kind = match error {
            None => Kind::UserAuthenticationSuccess,
            Some(_) => Kind::UserAuthenticationFailure,
        };
        self.tell(kind, user, |facts| {
            let facts = facts
                .text("connection_type", "network")
                .text("connection_name", &format!("{peer} -> {local}"))
                .text("host", &erlang_address(local.ip()))
                .text("peer_host", &erlang_address(peer.ip()))
                .number("peer_port", peer.port().into())
                .text("protocol", PROTOCOL)
                .text("auth_mechanism", mechanism)
                .flag("ssl", false);
            match error {
                Some(error) => facts.text("error", error),
                None => facts,
            }
        });
    }

    pub fn tell_consumer(&self, outbox: &Outbox, queue: &Queue, consumer: &Consumer) {
        let channel = consumer.channel;
        let at = (outbox, channel, queue);
        self.tell_of_consumer(Kind::ConsumerCreated, at, &consumer.tag, |facts| {
            facts
                .flag("exclusive", consumer.exclusive)
                .flag("ack_required", !consumer.no_ack)
                .number("prefetch_count", consumer.prefetch.into())
                .table("arguments", &consumer.arguments)
        });
    }

    pub fn tell_consumer_gone(&self, outbox: &Outbox, channel: u16, queue: &Queue, tag: &str) {
        let at = (outbox, channel, queue);
        self.tell_of_consumer(Kind::ConsumerDeleted, at, tag, |facts| facts);
    }

    fn tell_of_consumer(
        &self,
        kind: Kind,
        (outbox, channel, queue): (&Outbox, u16, &Queue),
        tag: &str,
        facts: impl FnOnce(Facts) -> Facts,
    ) {
        let Some(party) = outbox.party() else { return };
        let news = self.shared.connections.news();
        news.tell(|| Event {
            kind,
            concerns: Concerns::User {
                user: Arc::clone(&party.user),
                vhost: Arc::clone(&queue.vhost),
            },
            name: tag.to_owned(),
            details: vec![("queue", queue.name.to_string())],
            facts: facts(Facts::default().text("consumer_tag", tag))
                .text("queue", &queue.name)
                .text("vhost", &queue.vhost)
                .text("channel", &format!("{} ({channel})", party.connection))
                .text("user_who_performed_action", &party.user),
        });
    }
}

pub(super) fn of_connection(kind: Kind, connection: &ConnectionFacts) -> Event {
    let name = connection.name();
    let facts = Facts::default()
        .text("name", &name)
        .text("pid", &name)
        .table("client_properties", &connection.client_properties);
    let facts = named(facts, connection);
    let facts = match kind == Kind::ConnectionCreated {
        true => introduced(facts, connection),
        false => facts,
    };
    Event {
        kind,
        concerns: Concerns::User {
            user: Arc::clone(&connection.user),
            vhost: Arc::clone(&connection.vhost),
        },
        name,
        details: Vec::new(),
        facts,
    }
}

/// As the client calls itself, where it does.
fn named(facts: Facts, connection: &ConnectionFacts) -> Facts {
    let properties = Table::new(&connection.client_properties);
    match properties.get("connection_name") {
        Some(Field::Str(name)) => facts.text("user_provided_name", &String::from_utf8_lossy(name)),
        Some(_) | None => facts,
    }
}

/// Empty where there is nothing to be told, as with RabbitMQ.
fn protected(facts: Facts, protection: Option<&Protection>) -> Facts {
    let certificate = protection.and_then(|protection| protection.certificate.as_ref());
    let of_certificate =
        |text: fn(&Certificate) -> String| certificate.map(text).unwrap_or_default();
    let of_protection =
        |text: fn(&Protection) -> &'static str| protection.map(text).unwrap_or_default();
    facts
        .flag("ssl", protection.is_some())
        .text(
            "peer_cert_subject",
            &of_certificate(|one| one.subject.clone()),
        )
        .text(
            "peer_cert_issuer",
            &of_certificate(|one| one.issuer.clone()),
        )
        .text(
            "peer_cert_validity",
            &of_certificate(|one| one.validity.join(" - ")),
        )
        .text("ssl_protocol", of_protection(|one| one.protocol))
        .text("ssl_key_exchange", of_protection(|one| one.key_exchange))
        .text("ssl_cipher", of_protection(|one| one.cipher))
        .text("ssl_hash", of_protection(|one| one.hash))
}

fn introduced(facts: Facts, connection: &ConnectionFacts) -> Facts {
    protected(facts, connection.protection.as_deref())
        .text("user", &connection.user)
        .text("user_who_performed_action", &connection.user)
        .text("vhost", &connection.vhost)
        .text("type", "network")
        .text("protocol", PROTOCOL)
        .text("auth_mechanism", &connection.mechanism)
        .text("host", &erlang_address(connection.local.ip()))
        .number("port", connection.local.port().into())
        .text("peer_host", &erlang_address(connection.peer.ip()))
        .number("peer_port", connection.peer.port().into())
        .number("channel_max", connection.channel_max.into())
        .number("frame_max", connection.frame_max.into())
        .number("timeout", connection.heartbeat.into())
        .number(
            "connected_at",
            i64::try_from(connection.connected_at).unwrap_or(i64::MAX),
        )
}

pub(super) fn of_channel(kind: Kind, connection: &ConnectionFacts, number: u16) -> Event {
    let name = format!("{} ({number})", connection.name());
    let facts = Facts::default()
        .text("pid", &name)
        .text("user_who_performed_action", &connection.user);
    let facts = match kind == Kind::ChannelCreated {
        true => facts
            .text("name", &name)
            .number("number", number.into())
            .text("user", &connection.user)
            .text("vhost", &connection.vhost)
            .text("connection", &connection.name()),
        false => facts,
    };
    Event {
        name,
        facts,
        ..of_connection(kind, connection)
    }
}

/// `{127,0,0,1}`
fn erlang_address(address: IpAddr) -> String {
    let parts: Vec<String> = match address.to_canonical() {
        IpAddr::V4(address) => address.octets().map(|octet| octet.to_string()).to_vec(),
        IpAddr::V6(address) => address.segments().map(|part| part.to_string()).to_vec(),
    };
    format!("{{{}}}", parts.join(","))
}

/// A JSON value as an AMQP one, encoded.
pub(super) fn of_json(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Field::Void.encoded(),
        Value::Bool(flag) => Field::Bool(*flag).encoded(),
        Value::Number(number) => match number.as_i64() {
            Some(int) => Field::I64(int).encoded(),
            None => Field::F64(number.as_f64().unwrap_or_default()).encoded(),
        },
        Value::String(text) => Field::Str(text.as_bytes()).encoded(),
        Value::Array(values) => {
            let items: Vec<u8> = values.iter().flat_map(of_json).collect();
            Field::Array(&items).encoded()
        }
        Value::Object(entries) => {
            let mut fields = Facts::default();
            for (name, value) in entries {
                fields = fields.json(name, value);
            }
            Field::Table(Table::new(fields.encoded())).encoded()
        }
    }
}
