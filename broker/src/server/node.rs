//! What the management API wants to know about this process, asked of the operating system.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::alarms::{free_disk, resident_memory, total_memory};
use crate::auth::Mechanism;
use crate::clock::{Clock, Entropy as _, Millis, SystemEntropy};
use crate::config::Config;
use crate::http::node::{Alarms, Listener, Node, NodeLimits, Protocol, Resources};
use crate::net::{Alarm, Gate};
use crate::tls::Identity;

pub(super) struct ThisNode {
    name: String,
    started_at: Millis,
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    listeners: Vec<Listener>,
    config: Config,
    hosts: Vec<String>,
}

impl ThisNode {
    pub fn node_name(&self) -> Arc<str> {
        Arc::from(self.name.as_str())
    }

    pub fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        gate: Arc<Gate>,
        listeners: Vec<Listener>,
    ) -> ThisNode {
        let mut hosts = config.management_hosts.clone();
        hosts.extend([full_host_name(), host_name()]);
        ThisNode {
            name: name(),
            started_at: clock.now(),
            clock,
            gate,
            listeners,
            config: config.clone(),
            hosts,
        }
    }
}

/// As RabbitMQ names its nodes.
pub(super) fn name() -> String {
    format!("warren@{}", host_name())
}

pub(super) fn listener(
    protocol: Protocol,
    address: SocketAddr,
    identity: Option<&Arc<Identity>>,
) -> Listener {
    Listener {
        protocol,
        address,
        identity: identity.cloned(),
    }
}

fn full_host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn host_name() -> String {
    let name = full_host_name();
    let name = name.split('.').next().unwrap_or_default();
    if name.is_empty() { "localhost" } else { name }.to_owned()
}

/// A number of a line like `VmRSS:   12 kB`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn own(file: &str) -> String {
    std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default()
}

impl Node for ThisNode {
    fn name(&self) -> &str {
        &self.name
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn started_at(&self) -> Millis {
        self.started_at
    }

    fn alarms(&self) -> Alarms {
        Alarms {
            memory: self.gate.is_raised(Alarm::Memory),
            disk: self.gate.is_raised(Alarm::Disk),
        }
    }

    fn resources(&self) -> Resources {
        let limits = &self.config.limits;
        let total_memory = total_memory();
        let io = own("io");
        let open = std::fs::read_dir("/proc/self/fd");
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Resources {
            memory: resident_memory().unwrap_or(0),
            memory_limit: limits.memory_high_watermark.of(total_memory),
            total_memory,
            disk_free: free_disk(&self.config.data_dir).unwrap_or(0),
            disk_limit: limits.disk_free_limit,
            descriptors: open.map_or(0, |open| open.count() as u64),
            descriptors_limit: descriptors.current.unwrap_or(u64::MAX),
            threads: field(&own("status"), "Threads"),
            cpu_milliseconds: cpu_milliseconds(),
            written_bytes: field(&io, "write_bytes"),
            read_bytes: field(&io, "read_bytes"),
        }
    }

    fn listeners(&self) -> Vec<Listener> {
        self.listeners.clone()
    }

    fn data_dir(&self) -> PathBuf {
        let dir = &self.config.data_dir;
        dir.canonicalize().unwrap_or_else(|_| dir.clone())
    }

    fn is_stopping(&self) -> bool {
        self.gate.is_stopping()
    }

    fn salt(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = SystemEntropy.bytes();
        [a, b, c, d]
    }

    fn mechanisms(&self) -> &[Mechanism] {
        &self.config.amqp.auth_mechanisms
    }

    fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        let (first, second) = secret.split_at_mut(16);
        first.copy_from_slice(&SystemEntropy.bytes());
        second.copy_from_slice(&SystemEntropy.bytes());
        secret
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    fn limits(&self) -> NodeLimits {
        NodeLimits {
            max_message_size: self.config.amqp.max_message_size,
            max_connections: self.config.amqp.max_connections.into(),
        }
    }
}

/// Of all threads, user and system: fields 14 and 15 of proc(5)'s stat, in ticks of 10 ms.
fn cpu_milliseconds() -> u64 {
    let stat = own("stat");
    let (_, after_name) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum::<u64>()
        * 10
}
