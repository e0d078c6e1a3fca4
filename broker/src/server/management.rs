//! Opens the listeners of the management API and of the metrics, and starts both.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::node::{ThisNode, listener};
use super::tls::Identities;
use crate::auth::Users;
use crate::config::Config;
use crate::http::node::{Listener, Protocol};
use crate::http::{Door, Management, Service};
use crate::net::Gate;
use crate::plugin::Plugins;
use crate::vhost::Broker;

pub(super) fn listen(
    config: &Config,
    identities: &Identities,
) -> anyhow::Result<(Vec<Door>, Vec<Listener>)> {
    let mut doors = Vec::new();
    let mut listeners = Vec::new();
    let default = Config::default();
    let of_api = (&config.management, &default.management);
    let of_metrics = (&config.prometheus, &default.prometheus);
    let services = [
        (Protocol::Http, of_api, &identities.management),
        (Protocol::Prometheus, of_metrics, &identities.prometheus),
    ];
    for (protocol, (given, usual), identity) in services {
        let plain = given.listen.iter().map(|address| (address, None));
        let encrypted = given.tls_listen.iter();
        let encrypted = encrypted.map(|address| (address, identity.as_ref()));
        for (address, identity) in plain.chain(encrypted) {
            let name = protocol.name();
            let socket = match TcpListener::bind(address) {
                Ok(socket) => socket,
                // Nobody has asked for it there, and a second broker beside the first has to start.
                Err(error) if error.kind() == ErrorKind::AddrInUse && given == usual => {
                    tracing::warn!(address, protocol = name, "taken by somebody else: off");
                    continue;
                }
                Err(error) => {
                    return Err(error).context(format!("cannot listen on {address} ({name})"));
                }
            };
            socket.set_nonblocking(true)?;
            listeners.push(listener(protocol, socket.local_addr()?, identity));
            doors.push(Door {
                service: match protocol {
                    Protocol::Prometheus => Service::Metrics,
                    Protocol::Http | Protocol::Amqp => Service::Api,
                },
                identity: identity.cloned(),
                socket,
            });
        }
    }
    Ok((doors, listeners))
}

/// It ends with the broker.
pub(super) fn start(
    broker: &Arc<Broker>,
    (users, plugins): (&Arc<Users>, &Arc<Plugins>),
    node: ThisNode,
    gate: &Arc<Gate>,
    doors: Vec<Door>,
) -> anyhow::Result<()> {
    if doors.is_empty() {
        return Ok(());
    }
    let (broker, users) = (Arc::clone(broker), Arc::clone(users));
    let management = Management::new(broker, users, Arc::clone(plugins), Arc::new(node));
    let (stop, stopped) = oneshot::channel();
    let gate = Arc::clone(gate);
    tokio::spawn(async move {
        gate.stopping().await;
        drop(stop);
    });
    management.start(doors, stopped)
}
