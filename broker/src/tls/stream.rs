//! An encrypted stream with the manners of a plain socket: what it says is written has been given
//! to the operating system. Not what goes through it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::server::TlsStream;

use super::Identity;
use super::suite;
use crate::protection::{Certificate, LoginFrom, Protection};

/// A TCP stream behind TLS.
pub struct Encrypted {
    stream: TlsStream<TcpStream>,
    /// Octets that were taken in and are not with the operating system yet.
    unsent: usize,
}

/// Why a client did not get in.
#[derive(Debug)]
pub enum HandshakeError {
    TimedOut,
    Failed(io::Error),
}

impl std::fmt::Display for HandshakeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HandshakeError::TimedOut => formatter.write_str("the handshake was not over in time"),
            HandshakeError::Failed(error) => error.fmt(formatter),
        }
    }
}

impl Encrypted {
    /// The server's half of a handshake, with the certificate that holds now.
    pub async fn accept(
        identity: &Identity,
        stream: TcpStream,
    ) -> Result<(Encrypted, Protection), HandshakeError> {
        let current = identity.current();
        let acceptor = TlsAcceptor::from(current.config);
        let accepted = tokio::time::timeout(current.handshake_timeout, acceptor.accept(stream));
        match accepted.await {
            Ok(Ok(stream)) => {
                let protection = protection(stream.get_ref().1, current.login_from);
                Ok((Encrypted { stream, unsent: 0 }, protection))
            }
            Ok(Err(error)) => Err(HandshakeError::Failed(error)),
            Err(_) => Err(HandshakeError::TimedOut),
        }
    }
}

fn protection(session: &ServerConnection, login_from: LoginFrom) -> Protection {
    let suite = session.negotiated_cipher_suite();
    let words = suite.map(|suite| suite::words(suite.suite()));
    let [key_exchange, cipher, hash] = words.unwrap_or(["unknown"; 3]);
    let certificate = certificate_of(session);
    let login = match &certificate {
        Some(certificate) => certificate.login(login_from),
        None => Err("the client has shown no certificate"),
    };
    Protection {
        protocol: suite::protocol(session.protocol_version()),
        key_exchange,
        cipher,
        hash,
        certificate,
        login,
    }
}

fn certificate_of(session: &ServerConnection) -> Option<Certificate> {
    let first = session.peer_certificates()?.first()?;
    match Certificate::parse(first) {
        Ok(certificate) => Some(certificate),
        Err(error) => {
            tracing::warn!(error, "a client's certificate cannot be read");
            None
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    /// Done only when the octets are out: nobody would flush behind the last write of a batch. Whoever
    /// was told to wait comes back with the same octets, as with any socket.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unsent == 0 {
            self.unsent = ready!(Pin::new(&mut self.stream).poll_write(context, octets))?;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(Ok(std::mem::take(&mut self.unsent)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for Encrypted {
    /// A peer cannot tell a connection that ends without this from one that was cut.
    fn drop(&mut self) {
        let (socket, session) = self.stream.get_mut();
        session.send_close_notify();
        while session.wants_write() {
            match session.write_tls(&mut Unwaiting(socket)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

/// Takes what fits now.
struct Unwaiting<'a>(&'a TcpStream);

impl io::Write for Unwaiting<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
