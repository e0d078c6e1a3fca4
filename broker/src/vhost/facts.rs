//! What is known about a connection and its channels, for whoever lists them or closes one. The
//! connection's own task writes it; nobody asks it anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::clock::Millis;
use crate::names::ConnectionId;
use crate::outbox::Outbox;
use crate::protection::Protection;
use crate::tally::{Counter, Messages, Requests, Shared, Traffic};

pub struct ConnectionFacts {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub user: Arc<str>,
    pub vhost: Arc<str>,
    /// Of the login: PLAIN, AMQPLAIN, EXTERNAL, ANONYMOUS.
    pub mechanism: Arc<str>,
    /// Encoded AMQP field table without the length in front.
    pub client_properties: Vec<u8>,
    pub channel_max: u16,
    pub frame_max: u32,
    /// Seconds; 0 is off.
    pub heartbeat: u16,
    pub connected_at: Millis,
    /// Of an encrypted connection.
    pub protection: Option<Arc<Protection>>,
    pub traffic: Arc<Traffic>,
    pub outbox: Arc<Outbox>,
    pub(super) channels: Mutex<BTreeMap<u16, Arc<ChannelFacts>>>,
    /// Why it is to be closed.
    pub(super) dismissed: OnceLock<String>,
}

/// What a connection says of itself when it comes in.
pub struct Introduction {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub user: Arc<str>,
    pub vhost: Arc<str>,
    pub mechanism: Arc<str>,
    pub client_properties: Vec<u8>,
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
    pub connected_at: Millis,
    /// Of an encrypted connection.
    pub protection: Option<Arc<Protection>>,
    pub traffic: Arc<Traffic>,
    pub outbox: Arc<Outbox>,
}

pub struct ChannelFacts {
    pub number: u16,
    /// Tells this channel from an earlier one with the same number.
    pub incarnation: u64,
    pub requests: Requests,
    /// Of a transaction that is open.
    pub uncommitted_messages: Counter,
    pub uncommitted_acks: Counter,
    mode: AtomicU8,
    prefetch: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelMode {
    Plain,
    Confirm,
    Transactional,
}

impl ChannelFacts {
    pub fn new(number: u16, incarnation: u64) -> ChannelFacts {
        ChannelFacts {
            number,
            incarnation,
            requests: Requests::default(),
            uncommitted_messages: Counter::default(),
            uncommitted_acks: Counter::default(),
            mode: AtomicU8::new(0),
            prefetch: AtomicU32::new(0),
        }
    }

    pub fn set_mode(&self, mode: ChannelMode) {
        let number = match mode {
            ChannelMode::Plain => 0,
            ChannelMode::Confirm => 1,
            ChannelMode::Transactional => 2,
        };
        self.mode.store(number, Ordering::Relaxed);
    }

    pub fn mode(&self) -> ChannelMode {
        match self.mode.load(Ordering::Relaxed) {
            1 => ChannelMode::Confirm,
            2 => ChannelMode::Transactional,
            _ => ChannelMode::Plain,
        }
    }

    /// Of consumers to come; 0 is unlimited.
    pub fn set_prefetch(&self, prefetch: u32) {
        self.prefetch.store(prefetch, Ordering::Relaxed);
    }

    pub fn prefetch(&self) -> u32 {
        self.prefetch.load(Ordering::Relaxed)
    }
}

impl ConnectionFacts {
    pub(super) fn new(introduction: Introduction) -> ConnectionFacts {
        let Introduction {
            id,
            peer,
            local,
            user,
            vhost,
            mechanism,
            client_properties,
            channel_max,
            frame_max,
            heartbeat,
            connected_at,
            protection,
            traffic,
            outbox,
        } = introduction;
        ConnectionFacts {
            id,
            peer,
            local,
            user,
            vhost,
            mechanism,
            client_properties,
            channel_max,
            frame_max,
            heartbeat,
            connected_at,
            protection,
            traffic,
            outbox,
            channels: Mutex::default(),
            dismissed: OnceLock::new(),
        }
    }

    /// RabbitMQ's: both ends.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.peer, self.local)
    }

    pub fn channels(&self) -> Vec<Arc<ChannelFacts>> {
        self.channels.lock().values().cloned().collect()
    }

    /// What one of its channels has counted.
    pub fn messages(&self, channel: &ChannelFacts) -> Messages {
        let view = self.outbox.look_at(channel.number, channel.incarnation);
        Messages::of(&channel.requests, view.unwrap_or_default().deliveries)
    }
}

/// What has come and gone since the start.
#[derive(Debug, Default)]
pub struct Churn {
    pub connections_opened: Shared,
    pub connections_closed: Shared,
    pub channels_opened: Shared,
    pub channels_closed: Shared,
    pub queues_declared: Shared,
    pub queues_created: Shared,
    pub queues_deleted: Shared,
}
