//! What the management API asks about this process. Answered by the composition root, which knows
//! the sockets, the machine and the plugins.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::Mechanism;
use crate::clock::Millis;
use crate::tls::Identity;

pub trait Node: Send + Sync {
    /// As in `rabbit@host`.
    fn name(&self) -> &str;
    fn now(&self) -> Millis;
    fn started_at(&self) -> Millis;
    fn alarms(&self) -> Alarms;
    fn resources(&self) -> Resources;
    fn listeners(&self) -> Vec<Listener>;
    fn data_dir(&self) -> PathBuf;
    fn is_stopping(&self) -> bool;
    fn salt(&self) -> [u8; 4];
    /// Nobody can guess it.
    fn secret(&self) -> [u8; 32];
    /// Names, besides its addresses and localhost, under which browsers may ask for pages.
    fn hosts(&self) -> Vec<String>;
    /// Definitions in the configuration that a missing limit stands for.
    fn limits(&self) -> NodeLimits;
    /// Of SASL, those that are offered.
    fn mechanisms(&self) -> &[Mechanism];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    pub memory: bool,
    pub disk: bool,
}

/// Bytes and numbers; what cannot be found out is nought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub memory: u64,
    pub memory_limit: u64,
    pub total_memory: u64,
    pub disk_free: u64,
    pub disk_limit: u64,
    pub descriptors: u64,
    pub descriptors_limit: u64,
    pub threads: u64,
    pub cpu_milliseconds: u64,
    pub written_bytes: u64,
    pub read_bytes: u64,
}

#[derive(Clone)]
pub struct Listener {
    pub protocol: Protocol,
    pub address: SocketAddr,
    /// Of an encrypted one.
    pub identity: Option<Arc<Identity>>,
}

impl Listener {
    /// RabbitMQ's.
    pub fn protocol_name(&self) -> &'static str {
        match (self.protocol, self.identity.is_some()) {
            (Protocol::Amqp, true) => "amqp/ssl",
            (Protocol::Http, true) => "https",
            (Protocol::Prometheus, true) => "https/prometheus",
            (plain, false) => plain.name(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Amqp,
    Http,
    Prometheus,
}

impl Protocol {
    /// RabbitMQ's, without TLS.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Amqp => "amqp",
            Protocol::Http => "http",
            Protocol::Prometheus => "http/prometheus",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeLimits {
    pub max_message_size: u64,
    pub max_connections: u64,
}
