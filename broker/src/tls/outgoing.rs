//! Encrypted connections that we open: to other brokers. Certificates come as files' contents, from
//! whoever may read files.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::roots::Roots;

/// What a peer is held to, and who we are.
#[derive(Debug)]
pub struct Outgoing {
    pub trust: Trust,
    /// PEM: our certificate and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the peer's certificate has to bear.
    pub server_name: String,
}

/// Who may vouch for the peer.
#[derive(Debug)]
pub enum Trust {
    /// It is not asked who it is, as with RabbitMQ's `verify_none`.
    Anybody,
    /// The authorities in a file, PEM.
    File(Vec<u8>),
    Machine(Roots),
}

/// A TCP stream behind TLS, the client's end.
pub struct OutgoingStream(TlsStream<TcpStream>);

impl Outgoing {
    /// The error says which side is at fault.
    pub async fn connect(&self, stream: TcpStream) -> Result<OutgoingStream, String> {
        let config = self.config()?;
        let name = ServerName::try_from(self.server_name.clone())
            .map_err(|_| format!("{:?} is no server name", self.server_name))?;
        let connector = TlsConnector::from(Arc::new(config));
        let connected = connector.connect(name, stream).await;
        connected
            .map(OutgoingStream)
            .map_err(|error| format!("TLS: {error}"))
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let failed = |what: &str, error: &dyn fmt::Display| format!("{what}: {error}");
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed("TLS", &error))?;
        let builder = match &self.trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
            Trust::Machine(roots) => builder.with_root_certificates(Arc::clone(&roots.0)),
            Trust::File(pem) => {
                let mut roots = RootCertStore::empty();
                for authority in CertificateDer::pem_slice_iter(pem) {
                    let authority = authority.map_err(|error| failed("cacertfile", &error))?;
                    let added = roots.add(authority);
                    added.map_err(|error| failed("cacertfile", &error))?;
                }
                builder.with_root_certificates(roots)
            }
        };
        let Some((certificate, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| failed("certfile", &error))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| failed("keyfile", &error))?;
        let config = builder.with_client_auth_cert(chain, key);
        config.map_err(|error| failed("certfile", &error))
    }
}

/// Takes any certificate, and checks only that the peer has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl AsyncRead for OutgoingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for OutgoingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(context))?;
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
