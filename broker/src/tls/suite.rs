//! Cipher suites in the words of RabbitMQ's management API, which are Erlang's.

use tokio_rustls::rustls::{CipherSuite, ProtocolVersion};

/// Key exchange, cipher, hash.
pub(super) type Words = [&'static str; 3];

pub(super) fn protocol(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "tlsv1.3",
        Some(ProtocolVersion::TLSv1_2) => "tlsv1.2",
        // Others are not negotiated.
        Some(_) | None => "unknown",
    }
}

pub(super) fn words(suite: CipherSuite) -> Words {
    use CipherSuite as S;
    let key_exchange = match suite {
        S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ecdhe_ecdsa",
        S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        | S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        | S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ecdhe_rsa",
        // TLS 1.3 does not tie it to the suite.
        _ => "any",
    };
    let cipher = match suite {
        S::TLS13_AES_128_GCM_SHA256
        | S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "aes_128_gcm",
        S::TLS13_AES_256_GCM_SHA384
        | S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "aes_256_gcm",
        S::TLS13_CHACHA20_POLY1305_SHA256
        | S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "chacha20_poly1305",
        _ => "unknown",
    };
    [key_exchange, cipher, "aead"]
}
