//! The way out of one connection: encoded frames that wait for the socket, delivery tags, and what
//! was delivered but not acknowledged. A leaf lock: taken last, never held across anything.
//! Not the socket (see `net/`) and not the queue that the deliveries come from (see `queue/`).

mod recent;
mod resting;
mod unacked;
mod waking;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::amqp::write;
use crate::clock::Expiry;
use crate::confirms::Confirms;
use crate::message::{Message, MessageView};
use crate::names::{QueueId, Seq};
use crate::nearer;
use crate::tally::Deliveries;
use crate::trace::Party;
use recent::Recent;
use waking::{News, Wake};

/// Deliveries stop above this many waiting bytes: what does not stay in the cache is paid twice.
pub const OUTBOX_BYTES: usize = 256 * 1024;

/// Above this, publishers let the socket take what waits: what they publish next would not fit, and be
/// copied into the queue and out of it again.
const OUTBOX_BEHIND: usize = OUTBOX_BYTES / 2;

/// Less than this is not taken to the socket while more is coming: to write it costs as much as to
/// write all of it. With much more, whoever waits for the first of it would wait too long.
const WORTH_TAKING: usize = 16 * 1024;

/// Above this, a connection that makes us answer without reading our answers is not read either.
pub const OUTBOX_REPLY_BYTES: usize = 1024 * 1024;

/// Stands for a queue that no longer waits for an answer; queues are numbered from `1 << 32`.
pub const NO_QUEUE: QueueId = QueueId(0);

pub struct Outbox {
    state: Mutex<State>,
    /// For whoever traces.
    party: OnceLock<Party>,
}

struct State {
    bytes: Vec<u8>,
    frame_max: u32,
    /// Position in the connection's output stream of the first byte in `bytes`.
    taken: u64,
    channels: Vec<Option<Box<ChannelOut>>>,
    /// Channels that have confirms to send with the next write.
    confirming: Vec<u16>,
    /// Unacknowledged by agreement: settled when the bytes up to the position are in the socket.
    unsent: VecDeque<Unsent>,
    recent: Recent,
    /// A consumer was told "not now": ask its queue again when the socket has drained.
    refused: bool,
    /// A publisher here gives the consumers time, until somebody says that it may go on.
    resting: bool,
    /// Publishers that rest until what waits here is taken to the socket.
    crowding: Vec<Arc<Outbox>>,
    wake: Wake,
    closed: bool,
}

#[derive(Default)]
struct ChannelOut {
    /// Tells this channel from an earlier one with the same number.
    incarnation: u64,
    last_tag: u64,
    unacked: VecDeque<Unacked>,
    /// basic.qos global=true: 0 is unlimited. Deliveries of basic.get do not count.
    prefetch: u32,
    prefetch_used: u32,
    confirms: Option<Confirms>,
    deliveries: Deliveries,
}

/// A channel as its outbox knows it, for whoever lists it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelLook {
    pub unacked: usize,
    pub unconfirmed: usize,
    /// Of basic.qos global=true.
    pub prefetch: u32,
    pub deliveries: Deliveries,
}

/// Where an unacknowledged message is, should it come back.
#[derive(Clone)]
pub enum Place {
    Memory(Arc<Message>),
    /// In the store, or still held by the commit mailbox on its way there.
    Store(Weak<Message>),
    /// In a stream, where it stays whatever becomes of this delivery.
    Stream,
}

impl Place {
    /// A message that is still in memory, though its place does not hold it there.
    fn passing(&self) -> Option<Arc<Message>> {
        match self {
            Place::Store(message) => message.upgrade(),
            Place::Memory(_) | Place::Stream => None,
        }
    }
}

#[derive(Clone)]
pub struct Unacked {
    pub tag: u64,
    pub queue: QueueId,
    pub seq: Seq,
    /// None for basic.get.
    pub consumer: Option<ConsumerKey>,
    pub place: Place,
    pub size: u32,
    pub persistent: bool,
    pub returns: u32,
    pub expires: Expiry,
}

/// A delivery without acknowledgements whose bytes have not reached the socket yet.
pub struct Unsent {
    position: u64,
    pub queue: QueueId,
    pub seq: Seq,
    pub place: Place,
    pub size: u32,
    pub persistent: bool,
    pub expires: Expiry,
}

/// A consumer's place in its queue, with a number that is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerKey {
    pub slot: u32,
    pub serial: u64,
}

/// One delivery, as its queue hands it over.
pub struct Delivery<'a> {
    pub channel: u16,
    pub consumer_tag: &'a str,
    /// None: it answers basic.get.
    pub consumer: Option<ConsumerKey>,
    pub no_ack: bool,
    pub redelivered: bool,
    pub message: MessageView<'a>,
    pub queue: QueueId,
    pub seq: Seq,
    /// None: nothing to remember, the message is transient and needs no acknowledgement.
    pub place: Option<Place>,
    pub persistent: bool,
    /// How often it came back, for the queue to count.
    pub returns: u32,
    pub expires: Expiry,
}

pub enum Delivered {
    /// `wake`: the connection does not know yet that something waits.
    /// `behind`: whoever publishes faster than the socket takes should let it catch up.
    Yes {
        wake: bool,
        behind: bool,
    },
    /// The socket is behind. The connection will ask the queue again.
    Full,
    /// The channel's own prefetch is used up. The channel will ask the queue again.
    NoCredit,
    Gone,
}

/// What a written batch settles.
#[derive(Default)]
pub struct Flushed {
    pub sent: Vec<Unsent>,
    /// Consumers were refused: ask their queues again.
    pub refused: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox::new()
    }
}

impl Outbox {
    pub fn new() -> Outbox {
        Outbox {
            state: Mutex::new(State {
                bytes: Vec::new(),
                frame_max: crate::amqp::frame::FRAME_MIN_SIZE,
                taken: 0,
                channels: Vec::new(),
                confirming: Vec::new(),
                unsent: VecDeque::new(),
                recent: Recent::default(),
                refused: false,
                resting: false,
                crowding: Vec::new(),
                wake: Wake::default(),
                closed: false,
            }),
            party: OnceLock::new(),
        }
    }

    pub fn belongs_to(&self, party: Party) {
        // A connection is opened once.
        let _ = self.party.set(party);
    }

    pub fn party(&self) -> Option<&Party> {
        self.party.get()
    }

    pub fn set_frame_max(&self, frame_max: u32) {
        self.state.lock().frame_max = frame_max;
    }

    /// Writes frames that are not deliveries: replies, returns, heartbeats.
    pub fn write(&self, encode: impl FnOnce(&mut Vec<u8>, u32)) {
        let mut state = self.state.lock();
        let frame_max = state.frame_max;
        encode(&mut state.bytes, frame_max);
        state.is_owners();
    }

    /// From another connection's thread to one channel, if it is still the same; true when the owner
    /// must be woken.
    pub fn write_on(
        &self,
        channel: u16,
        incarnation: u64,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let mut state = self.state.lock();
        let slot = state.channels.get(usize::from(channel));
        let same = slot
            .and_then(Option::as_ref)
            .is_some_and(|out| out.incarnation == incarnation);
        if state.closed || !same {
            return false;
        }
        encode(&mut state.bytes);
        state.needs_wake()
    }

    pub fn open_channel(&self, channel: u16, incarnation: u64) {
        let mut state = self.state.lock();
        let index = usize::from(channel);
        if state.channels.len() <= index {
            state.channels.resize_with(index + 1, || None);
        }
        if let Some(slot) = state.channels.get_mut(index) {
            *slot = Some(Box::new(ChannelOut {
                incarnation,
                ..ChannelOut::default()
            }));
        }
    }

    /// Ends the channel; what it had not acknowledged goes back to its queues.
    pub fn close_channel(&self, channel: u16) -> VecDeque<Unacked> {
        let mut state = self.state.lock();
        let slot = state.channels.get_mut(usize::from(channel));
        slot.and_then(Option::take)
            .map(|out| out.unacked)
            .unwrap_or_default()
    }

    /// Ends the connection: nothing is taken any more. Returns what never reached the socket.
    pub fn close(&self) -> Vec<Unsent> {
        let mut state = self.state.lock();
        state.closed = true;
        state.bytes = Vec::new();
        // Two connections that rest for each other would keep each other in memory.
        state.crowding = Vec::new();
        state.recent.clear();
        state.unsent.drain(..).collect()
    }

    pub fn deliver(&self, delivery: Delivery<'_>) -> Delivered {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.closed {
            return Delivered::Gone;
        }
        if state.bytes.len() >= OUTBOX_BYTES {
            state.refused = true;
            return Delivered::Full;
        }
        let slot = state.channels.get_mut(usize::from(delivery.channel));
        let Some(channel) = slot.and_then(Option::as_mut) else {
            return Delivered::Gone;
        };
        // Those that do not acknowledge are held back too, as in RabbitMQ.
        let counted = channel.prefetch != 0 && delivery.consumer.is_some();
        if counted && channel.prefetch_used >= channel.prefetch {
            return Delivered::NoCredit;
        }
        channel.last_tag += 1;
        let tag = channel.last_tag;
        let deliveries = &mut channel.deliveries;
        deliveries.deliver(delivery.no_ack, delivery.redelivered);
        let message = delivery.message;
        let before = state.bytes.len();
        write::deliver(
            &mut state.bytes,
            state.frame_max,
            delivery.channel,
            delivery.consumer_tag,
            tag,
            delivery.redelivered,
            message.exchange,
            message.routing_key,
            message.properties,
            message.body,
        );
        // The next delivery is as long as a rule, and goes where the connection's thread has last read.
        let length = state.bytes.len() - before;
        nearer::to_append(&mut state.bytes, length);
        let position = state.taken + state.bytes.len() as u64;
        if !delivery.no_ack {
            let passing = delivery.place.as_ref().and_then(Place::passing);
            state.recent.keep(passing);
        }
        state.unsent.extend(channel.keep(tag, delivery, position));
        Delivered::Yes {
            wake: state.needs_wake(),
            behind: state.bytes.len() >= OUTBOX_BEHIND,
        }
    }

    /// Answers basic.get on the caller's own connection.
    pub fn get_ok(&self, got: Delivery<'_>, remaining: u32) {
        let Delivery {
            channel,
            no_ack,
            redelivered,
            message,
            queue,
            seq,
            place,
            persistent,
            returns,
            expires,
            ..
        } = got;
        let mut state = self.state.lock();
        let state = &mut *state;
        state.is_owners();
        let slot = state.channels.get_mut(usize::from(channel));
        let Some(out) = slot.and_then(Option::as_mut) else {
            return;
        };
        out.last_tag += 1;
        out.deliveries.get(no_ack, redelivered);
        write::get_ok(
            &mut state.bytes,
            state.frame_max,
            channel,
            out.last_tag,
            redelivered,
            message.exchange,
            message.routing_key,
            remaining,
            message.properties,
            message.body,
        );
        if let Some(place) = place {
            state.recent.keep(place.passing());
            let size = message.body.len() as u32;
            let tag = out.last_tag;
            let consumer = None;
            out.unacked.push_back(Unacked {
                tag,
                queue,
                seq,
                consumer,
                place,
                size,
                persistent,
                returns,
                expires,
            });
        }
    }

    /// The channel has a prefetch of its own.
    pub fn channel_is_limited(&self, channel: u16) -> bool {
        let state = self.state.lock();
        let slot = state.channels.get(usize::from(channel));
        slot.and_then(Option::as_ref)
            .is_some_and(|out| out.prefetch != 0)
    }

    /// basic.qos with global=true.
    pub fn set_prefetch(&self, channel: u16, prefetch: u32) {
        let mut state = self.state.lock();
        if let Some(out) = state
            .channels
            .get_mut(usize::from(channel))
            .and_then(Option::as_mut)
        {
            out.prefetch = prefetch;
        }
    }

    pub fn start_confirms(&self, channel: u16) {
        let mut state = self.state.lock();
        if let Some(out) = state
            .channels
            .get_mut(usize::from(channel))
            .and_then(Option::as_mut)
        {
            out.confirms.get_or_insert_default();
        }
    }

    /// Numbers the next publish on a channel in confirm mode.
    pub fn next_publish(&self, channel: u16) -> u64 {
        let mut state = self.state.lock();
        let out = state
            .channels
            .get_mut(usize::from(channel))
            .and_then(Option::as_mut);
        out.and_then(|out| out.confirms.as_mut())
            .map_or(0, Confirms::number)
    }

    /// Settles publishes; the frames are written with the next batch. True: wake the owner, who gives
    /// no incarnation itself.
    pub fn resolve(
        &self,
        channel: u16,
        incarnation: Option<u64>,
        publishes: &[u64],
        ok: bool,
    ) -> bool {
        let mut state = self.state.lock();
        let out = state
            .channels
            .get_mut(usize::from(channel))
            .and_then(Option::as_mut);
        let Some(out) = out else { return false };
        if incarnation.is_some_and(|incarnation| incarnation != out.incarnation) {
            return false;
        }
        let Some(confirms) = out.confirms.as_mut() else {
            return false;
        };
        for publish in publishes {
            confirms.resolve(*publish, ok);
        }
        out.deliveries.confirmed += if ok { publishes.len() as u64 } else { 0 };
        if confirms.has_news() && !state.confirming.contains(&channel) {
            state.confirming.push(channel);
        }
        match incarnation {
            Some(_) => state.needs_wake(),
            None => {
                state.is_owners();
                false
            }
        }
    }

    /// Moves everything that waits into `into` (which must be empty), unless it is little and more is
    /// coming. Those who rest because it was much may go on.
    #[must_use]
    pub fn take(&self, into: &mut Vec<u8>) -> Vec<Arc<Outbox>> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.wake.news == News::Coming && state.bytes.len() < WORTH_TAKING {
            return Vec::new();
        }
        state.wake.news = News::None;
        for channel in state.confirming.drain(..) {
            let slot = state.channels.get_mut(usize::from(channel));
            if let Some(confirms) = slot
                .and_then(Option::as_mut)
                .and_then(|out| out.confirms.as_mut())
            {
                confirms.write(channel, &mut state.bytes);
            }
        }
        std::mem::swap(&mut state.bytes, into);
        state.taken += into.len() as u64;
        std::mem::take(&mut state.crowding)
    }

    /// `remaining` bytes of what was taken are not in the socket yet.
    pub fn flushed(&self, remaining: usize) -> Flushed {
        let mut state = self.state.lock();
        let sent_upto = state.taken - remaining as u64;
        let count = state
            .unsent
            .partition_point(|unsent| unsent.position <= sent_upto);
        let sent = state.unsent.drain(..count).collect();
        let refused = state.refused && remaining == 0;
        if refused {
            state.refused = false;
        }
        Flushed { sent, refused }
    }

    pub fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.bytes.is_empty() && state.confirming.is_empty()
    }

    /// An idle connection gives back what it can do without.
    pub fn shrink(&self) {
        let mut state = self.state.lock();
        if state.bytes.is_empty() {
            state.bytes = Vec::new();
        }
        state.recent.clear();
    }

    /// The peer lets our answers pile up.
    pub fn over_reply_bound(&self) -> bool {
        self.state.lock().bytes.len() >= OUTBOX_REPLY_BYTES
    }
}

impl ChannelOut {
    /// Remembers a delivery until it is acknowledged, or gives back what is settled once it is sent.
    fn keep(&mut self, tag: u64, delivery: Delivery<'_>, position: u64) -> Option<Unsent> {
        let Delivery {
            queue,
            seq,
            persistent,
            returns,
            expires,
            ..
        } = delivery;
        let size = delivery.message.body.len() as u32;
        let place = delivery.place?;
        if delivery.no_ack {
            return Some(Unsent {
                position,
                queue,
                seq,
                place,
                size,
                persistent,
                expires,
            });
        }
        self.prefetch_used += 1;
        self.unacked.push_back(Unacked {
            tag,
            queue,
            seq,
            consumer: delivery.consumer,
            place,
            size,
            persistent,
            returns,
            expires,
        });
        None
    }
}

#[cfg(test)]
mod tests;
