//! From the protocol header to connection.open-ok: who the client is and what both sides agreed on.

use std::sync::Arc;

use super::access::AccessCache;
use super::{Flow, Phase, Running, Session};
use crate::amqp::frame::FRAME_MIN_SIZE;
use crate::amqp::reply::ReplyCode;
use crate::amqp::{
    AMQPClass, AMQPValue, FieldTable, LongString, connection, short_string, table, write,
};
use crate::error::Refusal;
use crate::trace::Party;
use crate::vhost::{Entering, Full, Introduction, Presence, Vhost, bound};

/// Clients branch on product and version: Warren says what it is compatible with, and who it is in
/// `platform`.
const PRODUCT: &str = "RabbitMQ";
const COMPATIBLE_VERSION: &str = "4.2.0";

/// What Warren does, and nothing else. Clients rely on each of these.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    pub frame_max: u32,
    /// Seconds; 0 is off.
    pub heartbeat: u16,
}

/// A client that has shown who it is.
#[derive(Clone)]
pub(super) struct Login {
    user: Arc<str>,
    mechanism: Arc<str>,
    /// Encoded.
    client_properties: Vec<u8>,
    cancel_notify: bool,
    blocked: bool,
    channel_max: u16,
    pub negotiated: Negotiated,
}

/// What the client understands beyond the specification.
#[derive(Clone, Copy)]
pub(super) struct Capabilities {
    pub cancel_notify: bool,
    pub blocked: bool,
    pub negotiated: Negotiated,
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

pub(super) fn start(mechanisms: &str, cluster_name: &str) -> AMQPClass {
    let mut capabilities = FieldTable::default();
    for capability in CAPABILITIES {
        capabilities.insert(capability.into(), AMQPValue::Boolean(true));
    }
    let platform = concat!("Warren ", env!("CARGO_PKG_VERSION"));
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties.insert("product".into(), text(PRODUCT));
    properties.insert("version".into(), text(COMPATIBLE_VERSION));
    properties.insert("platform".into(), text(platform));
    properties.insert("cluster_name".into(), text(cluster_name));
    properties.insert(
        "copyright".into(),
        text("Copyright (c) the authors of Warren"),
    );
    properties.insert(
        "information".into(),
        text("Licensed under Apache-2.0 or MIT"),
    );
    AMQPClass::Connection(connection::AMQPMethod::Start(connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: properties,
        mechanisms: mechanisms.into(),
        locales: "en_US".into(),
    }))
}

impl Session {
    pub(super) fn start_ok(&mut self, start_ok: connection::StartOk) -> Result<Flow, Refusal> {
        let connection::StartOk {
            client_properties,
            mechanism,
            response,
            ..
        } = start_ok;
        let capabilities = match client_properties.inner().get("capabilities") {
            Some(AMQPValue::FieldTable(capabilities)) => Some(capabilities),
            Some(_) | None => None,
        };
        let capable = |name: &str| {
            let capability = capabilities.and_then(|table| table.inner().get(name));
            matches!(capability, Some(AMQPValue::Boolean(true)))
        };
        let user = match self.authenticate(mechanism.as_str(), response.as_bytes()) {
            Ok(user) => user,
            // Without the capability a client takes a closed socket for the answer, after a while
            // that makes guessing slow.
            Err(refusal)
                if refusal.code == ReplyCode::AccessRefused
                    && !capable("authentication_failure_close") =>
            {
                self.phase = Phase::Refused;
                return Ok(Flow::Done);
            }
            Err(refusal) => return Err(refusal),
        };
        let Limits {
            channel_max,
            frame_max,
            heartbeat,
        } = Limits::of(self);
        self.outbox.write(|out, _| {
            let tune = connection::Tune {
                channel_max,
                frame_max,
                heartbeat,
            };
            write::method(
                out,
                0,
                AMQPClass::Connection(connection::AMQPMethod::Tune(tune)),
            );
        });
        self.phase = Phase::TuneOk(Login {
            user,
            mechanism: Arc::from(mechanism.as_str()),
            cancel_notify: capable("consumer_cancel_notify"),
            blocked: capable("connection.blocked"),
            client_properties: table::encode(&client_properties),
            channel_max,
            negotiated: Negotiated {
                frame_max,
                heartbeat,
            },
        });
        Ok(Flow::Done)
    }

    pub(super) fn tune_ok(
        &mut self,
        mut login: Login,
        tune: &connection::TuneOk,
    ) -> Result<Flow, Refusal> {
        let ours = Limits::of(self);
        let channel_max = agree(
            "channel_max",
            ours.channel_max.into(),
            tune.channel_max.into(),
        )?;
        let frame_max = agree("frame_max", ours.frame_max, tune.frame_max)?;
        if frame_max != 0 && frame_max < FRAME_MIN_SIZE {
            let text = format!(
                "negotiated frame_max = {frame_max} is lower than the minimum allowed value \
                 ({FRAME_MIN_SIZE})"
            );
            return Err(Refusal::connection(ReplyCode::NotAllowed, text));
        }
        login.channel_max = channel_max as u16;
        login.negotiated = Negotiated {
            frame_max,
            heartbeat: tune.heartbeat,
        };
        self.frame_max = frame_max;
        self.outbox.set_frame_max(frame_max);
        self.phase = Phase::Open(login);
        Ok(Flow::Done)
    }

    pub(super) fn connection_open(
        &mut self,
        login: &Login,
        open: &connection::Open,
    ) -> Result<Flow, Refusal> {
        let name = open.virtual_host.as_str();
        let missing = || {
            let text = format!("vhost {name} not found");
            Refusal::connection(ReplyCode::NotAllowed, text)
        };
        let vhost = self.broker.vhost(name).ok_or_else(missing)?;
        let presence = self.enter(&vhost, login)?;
        // Only now, so that whoever deletes it meanwhile finds this connection.
        if vhost.is_deleted() {
            return Err(missing());
        }
        if !self.of_this_broker && !self.users.may_enter(&login.user, name) {
            let text = format!("access to vhost '{name}' refused for user '{}'", login.user);
            return Err(Refusal::connection(ReplyCode::NotAllowed, text));
        }
        tracing::info!(peer = %self.peer, user = %login.user, vhost = name, "connection open");
        self.phase = Phase::Running(Running {
            vhost,
            user: Arc::clone(&login.user),
            capabilities: Capabilities {
                cancel_notify: login.cancel_notify,
                blocked: login.blocked,
                negotiated: login.negotiated,
            },
            channel_max: login.channel_max,
            access: AccessCache::default(),
            presence,
        });
        self.outbox.write(|out, _| {
            let open_ok = connection::AMQPMethod::OpenOk(connection::OpenOk {});
            write::method(out, 0, AMQPClass::Connection(open_ok));
        });
        Ok(Flow::Done)
    }

    /// Takes a place among the connections, where the limits leave one.
    fn enter(&self, vhost: &Vhost, login: &Login) -> Result<Presence, Refusal> {
        let user = &login.user;
        let introduction = Introduction {
            id: self.id,
            peer: self.peer,
            local: self.local,
            user: Arc::clone(user),
            vhost: Arc::clone(&vhost.name),
            mechanism: Arc::clone(&login.mechanism),
            client_properties: login.client_properties.clone(),
            channel_max: login.channel_max,
            frame_max: login.negotiated.frame_max,
            heartbeat: login.negotiated.heartbeat,
            connected_at: vhost.now(),
            protection: self.protection.clone(),
            traffic: Arc::clone(&self.traffic),
            outbox: Arc::clone(&self.outbox),
        };
        let entered = self.broker.connections().enter(Entering {
            introduction,
            vhost_limit: bound(vhost.limits().max_connections),
            user_limit: bound(self.users.limits(user).max_connections),
        });
        self.outbox.belongs_to(Party {
            connection: Arc::from(format!("{} -> {}", self.peer, self.local)),
            user: Arc::clone(user),
        });
        entered.map_err(|full| {
            let text = match full {
                Full::Vhost(limit) => format!(
                    "access to vhost '{}' refused for user '{user}': connection limit ({limit}) \
                     is reached",
                    vhost.name
                ),
                Full::User(limit) => format!(
                    "connection refused for user '{user}': user connection limit ({limit}) is \
                     reached"
                ),
            };
            Refusal::connection(ReplyCode::NotAllowed, text)
        })
    }

    /// A token renewed: with passwords there is nothing to renew but the
    /// answer to whether it is still right.
    pub(super) fn update_secret(
        &mut self,
        _update: &connection::UpdateSecret,
    ) -> Result<Flow, Refusal> {
        // For tokens that run out. Our own users have passwords, which are asked for once; RabbitMQ
        // takes anything from them here.
        self.outbox.write(|out, _| {
            let ok = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
            write::method(out, 0, AMQPClass::Connection(ok));
        });
        Ok(Flow::Done)
    }
}

struct Limits {
    channel_max: u16,
    frame_max: u32,
    heartbeat: u16,
}

impl Limits {
    fn of(session: &Session) -> Limits {
        let super::Limits {
            channel_max,
            frame_max,
            heartbeat,
            ..
        } = session.limits;
        Limits {
            channel_max,
            frame_max,
            heartbeat,
        }
    }
}

/// 0 is no limit, on both sides.
fn agree(name: &str, ours: u32, theirs: u32) -> Result<u32, Refusal> {
    match (ours, theirs) {
        (0, theirs) => Ok(theirs),
        (ours, 0) => Ok(ours),
        (ours, theirs) if theirs > ours => Err(Refusal::connection(
            ReplyCode::NotAllowed,
            format!(
                "negotiated {name} = {theirs} is higher than the maximum allowed value ({ours})"
            ),
        )),
        (_, theirs) => Ok(theirs),
    }
}

/// connection.blocked with RabbitMQ's reasons.
pub fn blocked(reason: &str) -> AMQPClass {
    let reason = short_string(reason);
    AMQPClass::Connection(connection::AMQPMethod::Blocked(connection::Blocked {
        reason,
    }))
}

pub fn unblocked() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Unblocked(connection::Unblocked {}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_holds_and_zero_is_none() {
        assert_eq!(agree("frame_max", 131_072, 0), Ok(131_072));
        assert_eq!(agree("frame_max", 0, 4096), Ok(4096));
        assert_eq!(agree("frame_max", 131_072, 4096), Ok(4096));
        let refusal = agree("frame_max", 131_072, 200_000).unwrap_err();
        assert_eq!(
            refusal.text,
            "negotiated frame_max = 200000 is higher than the maximum allowed value (131072)"
        );
    }
}
