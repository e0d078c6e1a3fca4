//! Opens the listeners of the management API and starts it.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::node::{ThisNode, listener};
use crate::auth::Users;
use crate::config::Config;
use crate::http::Management;
use crate::http::node::{Listener, Protocol};
use crate::net::Gate;
use crate::vhost::Broker;

pub(super) fn listen(config: &Config) -> anyhow::Result<(Vec<TcpListener>, Vec<Listener>)> {
    let mut sockets = Vec::new();
    let mut listeners = Vec::new();
    for address in &config.management.listen {
        let socket = TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address} (management)"))?;
        socket.set_nonblocking(true)?;
        listeners.push(listener(Protocol::Http, socket.local_addr()?));
        sockets.push(socket);
    }
    Ok((sockets, listeners))
}

/// It ends with the broker.
pub(super) fn start(
    broker: &Arc<Broker>,
    users: &Arc<Users>,
    node: ThisNode,
    gate: &Arc<Gate>,
    sockets: Vec<TcpListener>,
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
