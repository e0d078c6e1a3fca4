//! Opens the listeners of the management API and of the metrics, and starts both.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::node::{ThisNode, listener};
use crate::auth::Users;
use crate::config::Config;
use crate::http::node::{Listener, Protocol};
use crate::http::{Management, Service};
use crate::net::Gate;
use crate::vhost::Broker;

type Socket = (Service, TcpListener);

pub(super) fn listen(config: &Config) -> anyhow::Result<(Vec<Socket>, Vec<Listener>)> {
    let mut sockets = Vec::new();
    let mut listeners = Vec::new();
    let default = Config::default();
    let of_api = (&config.management, &default.management);
    let of_metrics = (&config.prometheus, &default.prometheus);
    let services = [
        (Service::Api, Protocol::Http, of_api),
        (Service::Metrics, Protocol::Prometheus, of_metrics),
    ];
    for (service, protocol, (addresses, usual)) in services {
        for address in &addresses.listen {
            let name = protocol.name();
            let socket = match TcpListener::bind(address) {
                Ok(socket) => socket,
                // Nobody has asked for it there, and a second broker beside the first has to start.
                Err(error) if error.kind() == ErrorKind::AddrInUse && addresses == usual => {
                    tracing::warn!(address, protocol = name, "taken by somebody else: off");
                    continue;
                }
                Err(error) => {
                    return Err(error).context(format!("cannot listen on {address} ({name})"));
                }
            };
            socket.set_nonblocking(true)?;
            listeners.push(listener(protocol, socket.local_addr()?));
            sockets.push((service, socket));
        }
    }
    Ok((sockets, listeners))
}

/// It ends with the broker.
pub(super) fn start(
    broker: &Arc<Broker>,
    users: &Arc<Users>,
    node: ThisNode,
    gate: &Arc<Gate>,
    sockets: Vec<Socket>,
) -> anyhow::Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    let management = Management::new(Arc::clone(broker), Arc::clone(users), Arc::new(node));
    let (stop, stopped) = oneshot::channel();
    let gate = Arc::clone(gate);
    tokio::spawn(async move {
        gate.stopping().await;
        drop(stop);
    });
    management.start(sockets, stopped)
}
