//! What the configuration says of one listener's encryption.

use std::path::PathBuf;
use std::time::Duration;

use crate::protection::LoginFrom;

#[derive(Clone, Debug, PartialEq)]
pub struct TlsOptions {
    /// PEM: ours first, then what leads to the authority. Empty is not set, as with the others.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// PEM: authorities that may vouch for clients.
    pub ca: PathBuf,
    pub verify: Verify,
    /// With `verify`: clients without a certificate are turned away.
    pub fail_if_no_peer_cert: bool,
    pub versions: Versions,
    pub handshake_timeout: Duration,
    /// Which part of a client's certificate is the user's name for SASL EXTERNAL.
    pub login_from: LoginFrom,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    None,
    Peer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    Tls12,
    Tls13,
    Both,
}

impl Default for TlsOptions {
    fn default() -> TlsOptions {
        TlsOptions {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            ca: PathBuf::new(),
            verify: Verify::None,
            fail_if_no_peer_cert: false,
            versions: Versions::Both,
            // RabbitMQ's ssl_handshake_timeout.
            handshake_timeout: Duration::from_secs(5),
            login_from: LoginFrom::DistinguishedName,
        }
    }
}
