//! Who the broker is on its encrypted listeners: certificate, key, authorities. It can change while
//! connections are open; they keep what they began with.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::{TlsOptions, Verify, Versions};
use crate::protection::{Certificate, LoginFrom};

/// Reads a file: given by whoever may touch the disk.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Who we are, now.
pub struct Identity {
    current: RwLock<Current>,
}

/// What a handshake that begins now goes by.
#[derive(Clone)]
pub struct Current {
    pub config: Arc<ServerConfig>,
    pub handshake_timeout: Duration,
    pub login_from: LoginFrom,
    /// Clients are asked for certificates.
    pub verifies: bool,
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    pub ca_file: PathBuf,
    /// Ours first.
    pub chain: Arc<[Certificate]>,
    pub authorities: Arc<[Certificate]>,
}

/// Which file cannot be used, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct TlsError {
    pub file: PathBuf,
    pub text: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.file.display(), self.text)
    }
}

impl std::error::Error for TlsError {}

impl Identity {
    pub fn new(options: &TlsOptions, read: ReadFile<'_>) -> Result<Identity, TlsError> {
        Ok(Identity {
            current: RwLock::new(load(options, read)?),
        })
    }

    /// Connections from now on get the new certificate; after an error, the old one.
    pub fn reload(&self, options: &TlsOptions, read: ReadFile<'_>) -> Result<(), TlsError> {
        let fresh = load(options, read)?;
        *self.current.write() = fresh;
        Ok(())
    }

    pub fn current(&self) -> Current {
        self.current.read().clone()
    }
}

fn load(options: &TlsOptions, read: ReadFile<'_>) -> Result<Current, TlsError> {
    let chain = certificates(&options.certificate, read)?;
    let authorities = match options.verify {
        Verify::None => Vec::new(),
        Verify::Peer => certificates(&options.ca, read)?,
    };
    let key = key(&options.key, read)?;
    let of_chain = described(&options.certificate, &chain)?;
    let of_authorities = described(&options.ca, &authorities)?;
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(options, authorities, &provider)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(options.versions))
        .map_err(|error| problem(&options.certificate, &error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            Error::InconsistentKeys(_) => TlsError {
                file: options.key.clone(),
                text: format!(
                    "does not belong to the certificate in {}",
                    options.certificate.display()
                ),
            },
            other => problem(&options.key, &other),
        })?;
    Ok(Current {
        config: Arc::new(config),
        handshake_timeout: options.handshake_timeout,
        login_from: options.login_from,
        verifies: options.verify == Verify::Peer,
        certificate_file: options.certificate.clone(),
        key_file: options.key.clone(),
        ca_file: options.ca.clone(),
        chain: of_chain.into(),
        authorities: of_authorities.into(),
    })
}

fn problem(file: &Path, error: &dyn fmt::Display) -> TlsError {
    TlsError {
        file: file.to_owned(),
        text: error.to_string(),
    }
}

fn contents(file: &Path, read: ReadFile<'_>) -> Result<Vec<u8>, TlsError> {
    read(file).map_err(|error| problem(file, &format!("cannot be read: {error}")))
}

fn certificates(file: &Path, read: ReadFile<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = contents(file, read)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| problem(file, &format!("is not PEM: {error:?}")))?;
    match found.is_empty() {
        true => Err(problem(file, &"has no certificate (PEM) in it")),
        false => Ok(found),
    }
}

fn described(file: &Path, found: &[CertificateDer<'_>]) -> Result<Vec<Certificate>, TlsError> {
    let described = found.iter().enumerate().map(|(place, der)| {
        Certificate::parse(der).map_err(|error| {
            let text = format!("certificate {} cannot be read: {error}", place + 1);
            problem(file, &text)
        })
    });
    described.collect()
}

fn key(file: &Path, read: ReadFile<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = contents(file, read)?;
    if pem.windows(9).any(|part| part == b"ENCRYPTED") {
        return Err(problem(
            file,
            &"the key is encrypted; one without a password is needed",
        ));
    }
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| problem(file, &"has no private key (PEM) in it"))
}

fn verifier(
    options: &TlsOptions,
    authorities: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if options.verify == Verify::None {
        return Ok(Arc::new(NoClientAuth));
    }
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority)
            .map_err(|error| problem(&options.ca, &error))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match options.fail_if_no_peer_cert {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map_err(|error| problem(&options.ca, &error))
}

static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];
static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

fn versions(versions: Versions) -> &'static [&'static SupportedProtocolVersion] {
    match versions {
        Versions::Tls12 => &ONLY_12,
        Versions::Tls13 => &ONLY_13,
        Versions::Both => &BOTH,
    }
}
