//! How plugins reach brokers and HTTP servers: this broker without a socket, others over TCP and TLS.

use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::net::TcpStream;

use crate::client::{Address, Encryption, Scheme, Stream, Uri};
use crate::net::Acceptor;
use crate::plugin::service::{Dial, Dialled};
use crate::tls::{Outgoing, Roots, Trust};
use crate::web::{Place, Reach, Reached};
use tokio::runtime::Handle;

/// What is on its way between a service and this broker.
const PIPE: usize = 256 << 10;

pub(super) struct Dialler {
    pub acceptor: Acceptor,
    /// Of the message path: connections of this broker are served there.
    pub runtime: Handle,
}

impl Dial for Dialler {
    fn dial<'a>(&'a self, uri: &'a Uri) -> Dialled<'a> {
        Box::pin(async move {
            match &uri.address {
                Address::Local => {
                    let _within = self.runtime.enter();
                    Ok(Box::new(self.acceptor.join(PIPE)) as Box<dyn Stream>)
                }
                Address::Remote { host, port } => remote(uri, host, *port).await,
            }
        })
    }
}

/// The way to HTTP servers.
#[derive(Default)]
pub(super) struct Web {
    /// Once they have been needed and found.
    roots: OnceLock<Roots>,
}

impl Web {
    fn roots(&self) -> Result<Roots, String> {
        if let Some(roots) = self.roots.get() {
            return Ok(roots.clone());
        }
        let roots = Roots::of_this_machine()?;
        Ok(self.roots.get_or_init(|| roots).clone())
    }
}

impl Reach for Web {
    fn reach<'a>(&'a self, place: &'a Place) -> Reached<'a> {
        Box::pin(async move {
            let stream = connected(&place.host, place.port).await;
            let stream = stream.map_err(|error| error.to_string())?;
            if !place.encrypted {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let outgoing = Outgoing {
                trust: Trust::Machine(self.roots()?),
                identity: None,
                server_name: place.host.clone(),
            };
            Ok(Box::new(outgoing.connect(stream).await?))
        })
    }
}

async fn connected(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(host, port, %error, "no TCP_NODELAY");
    }
    Ok(stream)
}

async fn remote(uri: &Uri, host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
    let connected = connected(host, port).await;
    let stream = connected.map_err(|error| format!("{host}:{port}: {error}"))?;
    match uri.scheme {
        Scheme::Amqp => Ok(Box::new(stream)),
        Scheme::Amqps => {
            let outgoing = outgoing(&uri.encryption, host)?;
            Ok(Box::new(outgoing.connect(stream).await?))
        }
    }
}

fn outgoing(encryption: &Encryption, host: &str) -> Result<Outgoing, String> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let trust = match (encryption.verify, &encryption.ca) {
        (false, _) => Trust::Anybody,
        (true, Some(path)) => Trust::File(read(path)?),
        (true, None) => return Err("verify_peer needs a cacertfile".to_owned()),
    };
    let identity = match (&encryption.certificate, &encryption.key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (_, _) => None,
    };
    let server_name = encryption.server_name.as_deref().unwrap_or(host).to_owned();
    Ok(Outgoing {
        trust,
        identity,
        server_name,
    })
}
