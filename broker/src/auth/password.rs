//! Password hashes as RabbitMQ keeps them: base64 of four octets of salt and the hash of salt and
//! password. Not the comparison of users.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash {
    salt: [u8; 4],
    hash: Vec<u8>,
    algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
    Md5,
}

impl PasswordHash {
    pub fn new(password: &[u8], salt: [u8; 4]) -> PasswordHash {
        let algorithm = Algorithm::Sha256;
        PasswordHash {
            salt,
            hash: algorithm.hash(&salt, password),
            algorithm,
        }
    }

    /// Where its algorithm is named, it must be that one. RabbitMQ's names and LavinMQ's.
    pub fn decode_as(encoded: &str, algorithm: Option<&str>) -> Option<PasswordHash> {
        let decoded = PasswordHash::decode(encoded)?;
        let named = match algorithm {
            None => return Some(decoded),
            Some("rabbit_password_hashing_sha256" | "SHA256") => Algorithm::Sha256,
            Some("rabbit_password_hashing_sha512" | "SHA512") => Algorithm::Sha512,
            Some("rabbit_password_hashing_md5" | "MD5") => Algorithm::Md5,
            Some(_) => return None,
        };
        (decoded.algorithm == named).then_some(decoded)
    }

    /// RabbitMQ's name.
    pub fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Sha256 => "rabbit_password_hashing_sha256",
            Algorithm::Sha512 => "rabbit_password_hashing_sha512",
            Algorithm::Md5 => "rabbit_password_hashing_md5",
        }
    }

    /// The algorithm is told by the hash's length: SHA-256, SHA-512, or the MD5 of old exports.
    pub fn decode(encoded: &str) -> Option<PasswordHash> {
        let bytes = STANDARD.decode(encoded).ok()?;
        let (salt, hash) = bytes.split_first_chunk::<4>()?;
        let algorithm = match hash.len() {
            32 => Algorithm::Sha256,
            64 => Algorithm::Sha512,
            16 => Algorithm::Md5,
            _ => return None,
        };
        Some(PasswordHash {
            salt: *salt,
            hash: hash.to_vec(),
            algorithm,
        })
    }

    /// As RabbitMQ writes it.
    pub fn encode(&self) -> String {
        STANDARD.encode([self.salt.as_slice(), &self.hash].concat())
    }

    pub fn matches(&self, password: &[u8]) -> bool {
        let hash = self.algorithm.hash(&self.salt, password);
        // Every octet is looked at, whatever the first difference.
        hash.len() == self.hash.len()
            && hash
                .iter()
                .zip(&self.hash)
                .fold(0, |different, (a, b)| different | (a ^ b))
                == 0
    }
}

impl Algorithm {
    fn hash(self, salt: &[u8; 4], password: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Sha256 => Sha256::new()
                .chain_update(salt)
                .chain_update(password)
                .finalize()
                .to_vec(),
            Algorithm::Sha512 => Sha512::new()
                .chain_update(salt)
                .chain_update(password)
                .finalize()
                .to_vec(),
            Algorithm::Md5 => Md5::new()
                .chain_update(salt)
                .chain_update(password)
                .finalize()
                .to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_written_by_rabbitmq_is_understood() {
        // rabbitmqctl hash_password test12, salt 908dc60a (RabbitMQ's documentation).
        let salt = [0x90, 0x8d, 0xc6, 0x0a];
        let encoded = STANDARD.encode(
            [
                salt.as_slice(),
                &Sha256::digest([salt.as_slice(), b"test12"].concat()),
            ]
            .concat(),
        );
        assert_eq!(encoded, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
        let decoded = PasswordHash::decode(&encoded).unwrap();
        assert!(decoded.matches(b"test12"));
        assert_eq!(decoded.encode(), encoded);
    }

    #[test]
    fn garbage_is_no_hash() {
        assert_eq!(PasswordHash::decode("not base64!"), None);
        assert_eq!(PasswordHash::decode("AAAA"), None);
    }
}
