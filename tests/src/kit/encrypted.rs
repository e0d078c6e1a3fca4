//! Certificates for one test, and the client's half of TLS. Blocking.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};

use super::DEADLINE;

/// Who vouches for certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// PEM.
    pub certificate: String,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Authority {
            certificate: certificate.pem(),
            issuer: Issuer::new(parameters, key),
        }
    }

    /// `name` is the common name, `organisation` stands before it.
    pub fn sign(&self, name: &str, organisation: &str, alternatives: &[&str]) -> Signed {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let subject = &mut parameters.distinguished_name;
        subject.push(DnType::OrganizationName, organisation);
        subject.push(DnType::CommonName, name);
        for name in alternatives {
            let name = match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().expect("a name")),
            };
            parameters.subject_alt_names.push(name);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer);
        Signed {
            certificate: certificate.expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// For a broker on 127.0.0.1.
    pub fn server(&self) -> Signed {
        self.sign("broker", "Warren", &["127.0.0.1", "localhost"])
    }

    /// Writes it where a broker can read it.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let file = folder.join("ca.pem");
        std::fs::write(&file, &self.certificate).expect("a file");
        file
    }
}

impl Signed {
    /// `server.pem` and `server.key`.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("server.pem"), &self.certificate).expect("a file");
        std::fs::write(folder.join("server.key"), &self.key).expect("a file");
    }

    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain(), key);
        Arc::new(config.expect("a certificate and its key"))
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate")]
    }
}

pub type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts this authority, after its handshake. With TLS 1.3 a broker that turns the
/// client's certificate down says so only afterwards.
pub fn encrypt(
    address: &str,
    trusted: &Authority,
    client: Option<&Signed>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<Encrypted> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(trusted.certificate.as_bytes());
    roots
        .add(authority.expect("a certificate"))
        .expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(signed) => {
            let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("a key");
            let config = builder.with_client_auth_cert(signed.chain(), key);
            config.expect("a certificate and its key")
        }
    };
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, socket))
}
