//! One client's connection as a state machine: octets in, effects and frames out. Synchronous and
//! without a socket; what has to be waited for comes back as a [`Wait`] that `net/` waits for.

mod access;
mod basic;
mod channel;
mod close;
mod consumer_arguments;
mod content;
mod counted;
mod dispatch;
mod exchange;
mod handshake;
mod properties;
mod publish;
mod queue;
mod sasl;
mod settle;
mod tx;
mod upcoming;
mod wait;

use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

pub use handshake::{Negotiated, blocked, unblocked};
pub use wait::{Resumed, Then, Wait};

use crate::amqp::frame::{self, Cut};
use crate::amqp::write;
use crate::auth::{Anonymous, Mechanism, Users};
use crate::error::Refusal;
use crate::names::{ConnectionId, QueueId};
use crate::outbox::{ConsumerKey, Outbox};
use crate::protection::Protection;
use crate::queue::{Effects, Queue};
use crate::tally::Traffic;
use crate::vhost::{Broker, Memo, Presence, Vhost};
use access::AccessCache;
use channel::{Channel, ChannelConsumer};
use counted::Counted;
use dispatch::not_for_servers;
use publish::Publisher;

/// What a connection may ask for, from the configuration.
#[derive(Clone, Debug)]
pub struct Limits {
    pub frame_max: u32,
    pub channel_max: u16,
    /// Seconds; 0 is off.
    pub heartbeat: u16,
    pub max_message_size: u64,
    /// 0 is no limit.
    pub consumer_max_per_channel: u32,
    /// Offered in this order.
    pub mechanisms: Arc<[Mechanism]>,
    pub anonymous: Arc<Anonymous>,
}

/// Frames before the negotiation are held to this size, as RabbitMQ's initial_frame_max.
const INITIAL_FRAME_MAX: u32 = 8192;

pub struct Session {
    pub id: ConnectionId,
    pub outbox: Arc<Outbox>,
    broker: Arc<Broker>,
    users: Arc<Users>,
    limits: Limits,
    peer: SocketAddr,
    /// Our own end of the connection.
    local: SocketAddr,
    /// Of an encrypted connection.
    protection: Option<Arc<Protection>>,
    /// A service of this broker: nobody has to be shown who it is, and it may do everything.
    of_this_broker: bool,
    /// Counted by whoever has the socket.
    pub traffic: Arc<Traffic>,
    phase: Phase,
    frame_max: u32,
    channels: HashMap<u16, Channel>,
    last_incarnation: u64,
    /// Queues that deliveries on this connection came from.
    queues: HashMap<QueueId, Arc<Queue>>,
    /// Queues that go with this connection.
    exclusive: Vec<Arc<Queue>>,
    memo: Memo,
    publisher: Publisher,
    counted: Counted,
    has_rejected: bool,
    /// Counts up: whose turn it is to be asked first.
    turn: usize,
}

/// How far the connection has got.
enum Phase {
    Header,
    StartOk,
    /// The login failed and the client is not told so.
    Refused,
    TuneOk(handshake::Login),
    Open(handshake::Login),
    Running(Running),
    /// We have sent connection.close: everything but close-ok is ignored.
    Closing,
    Ended(Parting),
}

impl Phase {
    /// What keeps the session's other fields free: a message does not count its vhost up and down.
    #[inline]
    fn vhost(&self) -> Result<&Arc<Vhost>, Refusal> {
        match self {
            Phase::Running(running) => Ok(&running.vhost),
            Phase::Header
            | Phase::StartOk
            | Phase::Refused
            | Phase::TuneOk(_)
            | Phase::Open(_)
            | Phase::Closing
            | Phase::Ended(_) => Err(not_for_servers()),
        }
    }
}

/// How the socket is left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The peer has answered our close, so it has read all there was: nobody waits for anything.
    Answered,
    /// The peer has yet to read our last word, which a reset would take from it.
    Unread,
}

struct Running {
    vhost: Arc<Vhost>,
    user: Arc<str>,
    capabilities: handshake::Capabilities,
    channel_max: u16,
    access: AccessCache,
    presence: Presence,
}

/// Where a connection stands after some octets.
pub enum Next {
    /// More octets are wanted.
    Read,
    /// Nothing of this connection goes on before this has happened.
    Wait(Wait),
    /// Nothing of this connection goes on before what is in the outbox was written.
    Full,
    /// Write what is in the outbox and close the socket.
    End(Parting),
}

/// What one frame came to.
enum Flow {
    Done,
    Wait(Box<Wait>),
    /// The peer must take what it asked for before it may ask for more.
    Full,
}

impl Session {
    pub fn new(
        broker: Arc<Broker>,
        users: Arc<Users>,
        limits: Limits,
        peer: SocketAddr,
    ) -> Session {
        Session {
            id: broker.next_connection(),
            memo: broker.memo(),
            outbox: Arc::new(Outbox::new()),
            broker,
            users,
            limits,
            peer,
            local: SocketAddr::from(([0, 0, 0, 0], 0)),
            protection: None,
            of_this_broker: false,
            traffic: Arc::default(),
            phase: Phase::Header,
            frame_max: INITIAL_FRAME_MAX,
            channels: HashMap::new(),
            last_incarnation: 0,
            queues: HashMap::new(),
            exclusive: Vec::new(),
            publisher: Publisher::default(),
            counted: Counted::default(),
            has_rejected: false,
            turn: 0,
        }
    }

    /// Which of our addresses the client has connected to.
    pub fn arrived_at(&mut self, local: SocketAddr) {
        self.local = local;
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection is encrypted.
    pub fn protected_by(&mut self, protection: Protection) {
        self.protection = Some(Arc::new(protection));
    }

    /// The client is a service of this broker.
    pub fn is_of_this_broker(&mut self) {
        self.of_this_broker = true;
    }

    /// Works off whole frames from the front of `buffer`; returns how many octets they took.
    pub fn feed(&mut self, buffer: &[u8], effects: &mut Effects) -> (usize, Next) {
        let fed = self.feed_frames(buffer, effects);
        self.memo.tell_hits();
        self.write_counted();
        fed
    }

    fn feed_frames(&mut self, buffer: &[u8], effects: &mut Effects) -> (usize, Next) {
        let mut rest = buffer;
        let next = loop {
            match self.step(&mut rest, effects) {
                Ok(Step::Used(Flow::Done)) => {}
                Ok(Step::Used(Flow::Wait(wait))) => break Next::Wait(*wait),
                Ok(Step::Used(Flow::Full)) => break Next::Full,
                Ok(Step::Incomplete) => break Next::Read,
                Ok(Step::End(parting)) => break Next::End(parting),
                Err(refusal) => {
                    self.fail(&refusal, (0, 0), effects);
                    return (buffer.len(), Next::Read);
                }
            }
        };
        (buffer.len() - rest.len(), next)
    }

    /// Takes what it uses from the front of `rest`.
    fn step<'a>(&mut self, rest: &mut &'a [u8], effects: &mut Effects) -> Result<Step, Refusal> {
        match &self.phase {
            Phase::Header => return Ok(self.header(rest)),
            Phase::Ended(parting) => return Ok(Step::End(*parting)),
            Phase::Refused => return Ok(Step::Incomplete),
            Phase::StartOk
            | Phase::TuneOk(_)
            | Phase::Open(_)
            | Phase::Running(_)
            | Phase::Closing => {}
        }
        let buffer: &'a [u8] = rest;
        let cut = frame::cut(buffer, self.frame_max);
        let cut = match cut {
            Ok(cut) => cut,
            // The peer may send anything after our close.
            Err(_) if matches!(self.phase, Phase::Closing) => {
                return Ok(Step::End(Parting::Unread));
            }
            Err(error) => return Err(Refusal::connection(error.code(), error.text())),
        };
        match cut {
            Cut::Incomplete => Ok(Step::Incomplete),
            Cut::Frame { frame, length } => {
                *rest = buffer.get(length..).unwrap_or_default();
                self.frame(frame, rest, effects).map(Step::Used)
            }
        }
    }

    fn header(&mut self, rest: &mut &[u8]) -> Step {
        match frame::protocol_header(rest) {
            Ok(None) => Step::Incomplete,
            Ok(Some(length)) => {
                let start = handshake::start(&self.mechanisms(), &self.broker.cluster_name());
                self.outbox.write(|out, _| write::method(out, 0, start));
                self.phase = Phase::StartOk;
                *rest = rest.get(length..).unwrap_or_default();
                Step::Used(Flow::Done)
            }
            Err(error) => {
                tracing::info!(peer = %self.peer, %error, "refused");
                self.outbox
                    .write(|out, _| out.extend_from_slice(&frame::PROTOCOL_HEADER));
                self.phase = Phase::Ended(Parting::Unread);
                Step::End(Parting::Unread)
            }
        }
    }

    /// Asks every queue this connection consumes from again: its socket has room.
    pub fn resume_consumers(&mut self, effects: &mut Effects) {
        let first = self.next_turn();
        let channels = self.channels.values();
        let consumers = channels.flat_map(|channel| channel.consumers.values());
        resume_from(first, consumers, effects);
    }

    fn next_turn(&mut self) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }

    /// Deliveries from this queue may come back. Queues that are gone are forgotten before the map
    /// grows: a channel may live for months and use a queue for every request.
    fn remember_queue(&mut self, queue: &Arc<Queue>) {
        if self.queues.len() == self.queues.capacity() {
            self.queues.retain(|_, known| !known.is_deleted());
            self.queues.reserve(self.queues.len() + 1);
        }
        self.queues.insert(queue.id, Arc::clone(queue));
    }

    /// Settles deliveries without acknowledgement whose bytes are in the socket now.
    pub fn sent(&mut self, sent: &[crate::outbox::Unsent], effects: &mut Effects) {
        for group in sent.chunk_by(|one, next| one.queue == next.queue) {
            let queue = group
                .first()
                .and_then(|first| self.queues.get(&first.queue));
            if let Some(queue) = queue {
                queue.sent(group, effects);
            }
        }
    }

    /// Past the handshake, and what was agreed there.
    pub fn negotiated(&self) -> Option<Negotiated> {
        match &self.phase {
            Phase::Open(login) => Some(login.negotiated),
            Phase::Running(running) => Some(running.capabilities.negotiated),
            Phase::Header
            | Phase::StartOk
            | Phase::Refused
            | Phase::TuneOk(_)
            | Phase::Closing
            | Phase::Ended(_) => None,
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Why somebody wants this connection closed, once somebody does.
    pub fn dismissed(&self) -> Option<String> {
        match &self.phase {
            Phase::Running(running) => running.presence.dismissed().map(str::to_owned),
            Phase::Header
            | Phase::StartOk
            | Phase::Refused
            | Phase::TuneOk(_)
            | Phase::Open(_)
            | Phase::Closing
            | Phase::Ended(_) => None,
        }
    }

    /// The login failed: nothing more is read.
    pub fn is_refused(&self) -> bool {
        matches!(self.phase, Phase::Refused)
    }

    /// Our close is out; only the peer's answer matters.
    pub fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing)
    }

    /// Only publishers are stopped by alarms.
    pub fn has_published(&self) -> bool {
        self.publisher.has_published
    }

    /// What the client sends may go on to the store, so the store's bound holds for it.
    pub fn fills_the_store(&self) -> bool {
        self.publisher.has_published || self.has_rejected
    }

    /// The client wants to hear of alarms.
    pub fn wants_blocked(&self) -> bool {
        match &self.phase {
            Phase::Running(running) => running.capabilities.blocked,
            Phase::Header
            | Phase::StartOk
            | Phase::Refused
            | Phase::TuneOk(_)
            | Phase::Open(_)
            | Phase::Closing
            | Phase::Ended(_) => false,
        }
    }
}

/// Asks the queues of these consumers again, each time another one first: the first may take all
/// the room there is.
fn resume_from<'a>(
    first: usize,
    consumers: impl Iterator<Item = &'a ChannelConsumer>,
    effects: &mut Effects,
) {
    let mut consumers: SmallVec<[&ChannelConsumer; 8]> = consumers.collect();
    consumers.sort_unstable_by_key(|consumer| (consumer.queue.id, consumer.key.serial));
    let of_one_queue =
        |one: &&ChannelConsumer, next: &&ChannelConsumer| one.queue.id == next.queue.id;
    let queues = consumers.chunk_by(of_one_queue);
    let queues: SmallVec<[&[&ChannelConsumer]; 8]> = queues.collect();
    let first = first.checked_rem(queues.len()).unwrap_or(0);
    for consumers in queues.iter().cycle().skip(first).take(queues.len()) {
        let keys: SmallVec<[ConsumerKey; 8]> = consumers.iter().map(|one| one.key).collect();
        if let Some(consumer) = consumers.first() {
            consumer.queue.deliver(&keys, effects);
        }
    }
}

enum Step {
    Used(Flow),
    Incomplete,
    End(Parting),
}
