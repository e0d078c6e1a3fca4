//! Sockets: listeners and the task that drives one connection. All waiting of the AMQP side happens
//! here. Knows no AMQP beyond handing octets to a session.

mod connection;
mod gate;
mod rest;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

pub use gate::{Alarm, Gate};

use crate::auth::Users;
use crate::session::{Limits, Session};
use crate::tls::{Encrypted, HandshakeError, Identity};
use crate::vhost::Broker;
use socket::Socket;

/// What every connection of a listener shares.
#[derive(Clone)]
pub struct Acceptor {
    pub broker: Arc<Broker>,
    pub users: Arc<Users>,
    pub limits: Limits,
    pub handshake_timeout: Duration,
    pub max_connections: usize,
    pub gate: Arc<Gate>,
    /// Of an encrypted listener.
    pub identity: Option<Arc<Identity>>,
    /// How many services have joined so far.
    pub joined: Arc<AtomicU32>,
}

/// How long to leave the listener alone when the process has no file descriptors left.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(200);

impl Acceptor {
    /// Accepts until the gate says stop. Running out of descriptors stops new connections only.
    pub async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.gate.stopping() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.connected(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                }
            }
        }
    }

    fn connected(&self, stream: TcpStream, peer: SocketAddr) {
        if self.gate.connections() >= self.max_connections {
            tracing::warn!(%peer, "connection limit reached");
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let limits = self.limits.clone();
        let local = stream.local_addr();
        let mut session = Session::new(
            Arc::clone(&self.broker),
            Arc::clone(&self.users),
            limits,
            peer,
        );
        // Not told: the socket is gone again, and nobody will see it.
        session.arrived_at(local.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))));
        self.gate.enter(session.id, &session.outbox);
        match &self.identity {
            None => {
                tokio::spawn(self.driver(Socket::new(stream), session).run());
            }
            Some(identity) => {
                tokio::spawn(
                    self.clone()
                        .encrypted(Arc::clone(identity), stream, session),
                );
            }
        }
    }

    /// A connection of a service of this broker, without a socket: the end that the service has.
    /// It shows no user and may do everything; other bounds hold for it as for anybody.
    pub fn join(&self, pipe: usize) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(pipe);
        let limits = self.limits.clone();
        // It has no address; each is shown with another one.
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let [_, b, c, d] = number.to_be_bytes();
        let peer = SocketAddr::from(([127, b, c, d], 0));
        let (broker, users) = (Arc::clone(&self.broker), Arc::clone(&self.users));
        let mut session = Session::new(broker, users, limits, peer);
        session.is_of_this_broker();
        self.gate.enter(session.id, &session.outbox);
        tokio::spawn(self.driver(ours, session).run());
        theirs
    }

    fn driver<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        session: Session,
    ) -> connection::Driver<S> {
        let gate = Arc::clone(&self.gate);
        let store = self.broker.store().clone();
        connection::Driver::new(stream, session, gate, store, self.handshake_timeout)
    }

    /// The connection has its place already, so that handshakes are bounded as connections are.
    async fn encrypted(self, identity: Arc<Identity>, stream: TcpStream, mut session: Session) {
        let accepted = tokio::select! {
            accepted = Encrypted::accept(&identity, stream) => accepted,
            () = self.gate.stopping() => Err(HandshakeError::TimedOut),
        };
        match accepted {
            Ok((stream, protection)) => {
                session.protected_by(protection);
                self.driver(stream, session).run().await;
            }
            Err(error) => {
                self.gate.leave(session.id);
                let peer = session.peer();
                tracing::info!(%peer, %error, "TLS handshake failed");
            }
        }
    }
}
