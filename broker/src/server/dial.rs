//! How services reach brokers: this one without a socket, others over TCP and TLS.

use std::path::PathBuf;

use tokio::net::TcpStream;

use crate::client::{Address, Encryption, Scheme, Stream, Uri};
use crate::net::Acceptor;
use crate::plugin::service::{Dial, Dialled};
use crate::tls::Outgoing;
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

async fn remote(uri: &Uri, host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
    let connected = TcpStream::connect((host, port)).await;
    let stream = connected.map_err(|error| format!("{host}:{port}: {error}"))?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(host, port, %error, "no TCP_NODELAY");
    }
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
    let authorities = match (encryption.verify, &encryption.ca) {
        (false, _) => None,
        (true, Some(path)) => Some(read(path)?),
        (true, None) => return Err("verify_peer needs a cacertfile".to_owned()),
    };
    let identity = match (&encryption.certificate, &encryption.key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (_, _) => None,
    };
    let server_name = encryption.server_name.as_deref().unwrap_or(host).to_owned();
    Ok(Outgoing {
        authorities,
        identity,
        server_name,
    })
}
