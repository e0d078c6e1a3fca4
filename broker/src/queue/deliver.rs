//! From a publish to a consumer's outbox: what happens to a message under the queue's lock.

use std::sync::Arc;

use super::backlog::{Body, Entry, Front};
use super::consumers::ConsumeRefusal;
use super::limits::Expired;
use super::state::{Loading, QueueState};
use super::tap::tell;
use super::{Consumer, Effects, Inside, Overflow, Publishing, Queue, Reason, Streaming};
use crate::amqp::properties::with_headers;
use crate::amqp::table::Value;
use crate::clock::Expiry;
use crate::message::{Message, MessageView};
use crate::names::{QueueId, Seq};
use crate::outbox::{ConsumerKey, Delivered, Delivery, Outbox, Place};
use crate::store::{Append, Confirm, Stored};

/// The paged part is read in requests of at most this much.
const PAGE_MESSAGES: usize = 4096;
const PAGE_BYTES: usize = 1024 * 1024;

/// What became of a publish at one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The queue was deleted meanwhile: counts as not routed.
    Gone,
    /// Safe as far as it will ever be.
    InMemory,
    /// The queue is full and takes nothing more: the publisher is owed a nack.
    Rejected,
    /// The store has the confirm and will resolve it.
    InStore,
}

/// The answer to basic.get.
pub enum Got {
    Empty,
    /// get-ok is in the outbox.
    Sent,
    /// The message is being read back; the closure given is called when to try again.
    Loading,
    Deleted,
}

/// What belongs to a delivery besides the message.
#[derive(Clone, Copy)]
struct Terms {
    seq: Seq,
    redelivered: bool,
    persistent: bool,
    returns: u32,
    expires: Expiry,
}

impl Terms {
    fn append(self, queue: QueueId, message: Arc<Message>, confirm: Option<Confirm>) -> Append {
        Append {
            queue,
            seq: self.seq,
            message,
            persistent: self.persistent,
            expires: self.expires,
            confirm,
        }
    }
}

/// What came of offering one message to the consumer whose turn it is.
enum Offered {
    Taken,
    /// That consumer cannot take it now, and is not asked again until it can.
    Refused,
}

impl Queue {
    /// Takes one published message. `confirm` is used only when the answer is `InStore`.
    pub fn publish(
        &self,
        publishing: &mut Publishing<'_>,
        confirm: impl FnOnce() -> Option<Confirm>,
        effects: &mut Effects,
    ) -> Accepted {
        match &self.inside {
            Inside::Line(state) => self.take_in(&mut state.lock(), publishing, confirm, effects),
            Inside::Stream(stream) => Streaming::of(self, stream).publish(publishing, confirm),
        }
    }

    fn take_in(
        &self,
        state: &mut QueueState,
        publishing: &mut Publishing<'_>,
        confirm: impl FnOnce() -> Option<Confirm>,
        effects: &mut Effects,
    ) -> Accepted {
        if self.is_deleted() {
            return Accepted::Gone;
        }
        if self.turns_away(state, publishing, effects) {
            return Accepted::Rejected;
        }
        state.counted.published += 1;
        state.now = self.timed(state);
        let expires = self.expiry(state, publishing.time_to_live());
        let seq = state.take_seq(publishing.priority(self.attributes.max_priority));
        let persistent = publishing.persistent && self.attributes.outlives_run();
        let pressed = self.home.pressure.is_on();
        let stored = persistent || state.backlog.pages_transient(seq, pressed);
        let terms = Terms {
            seq,
            redelivered: false,
            persistent,
            returns: 0,
            expires,
        };
        if stored {
            let confirm = if persistent { confirm() } else { None };
            self.keep(state, terms.append(self.id, publishing.message(), confirm));
        }
        let accepted = match persistent {
            true => Accepted::InStore,
            false => Accepted::InMemory,
        };
        if state.backlog.is_empty() {
            while state.consumers.front().is_some() {
                match state.offer_new(self.id, publishing, stored, terms, effects) {
                    Offered::Taken => {
                        self.watch_for_timeouts(state);
                        state.backlog.passed(seq);
                        return accepted;
                    }
                    Offered::Refused => {}
                }
            }
        }
        let message = publishing.give();
        let size = message.size();
        state.backlog.push(Entry {
            seq,
            body: Body::Here(message),
            redelivered: false,
            stored,
            persistent,
            returns: 0,
            expires,
        });
        state.crowded_by(self.id, size, effects);
        self.shed(state, effects);
        // Also for what stands in front only since something was dropped.
        self.expire(state, effects);
        accepted
    }

    /// The queue is full and does not make room.
    pub(super) fn turns_away(
        &self,
        state: &mut QueueState,
        publishing: &mut Publishing<'_>,
        effects: &mut Effects,
    ) -> bool {
        if !state.would_overflow(publishing.length()) {
            return false;
        }
        match state.options.overflow {
            Overflow::DropHead => return false,
            Overflow::RejectPublish => {}
            Overflow::RejectPublishDlx => {
                let entry = Entry {
                    seq: 0,
                    body: Body::Here(publishing.message()),
                    redelivered: false,
                    stored: false,
                    persistent: publishing.persistent,
                    returns: 0,
                    expires: Expiry::NEVER,
                };
                self.discard(state, entry, Reason::MaxLength, &mut Vec::new(), effects);
            }
        }
        true
    }

    /// Adds a consumer. `added` runs under the lock and writes consume-ok: no delivery can come
    /// before it.
    pub fn consume(
        &self,
        consumer: Consumer,
        added: impl FnOnce(),
        effects: &mut Effects,
    ) -> Result<ConsumerKey, ConsumeRefusal> {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                return Streaming::of(self, stream).consume(consumer, added, effects);
            }
        };
        if self.is_deleted() {
            return Err(ConsumeRefusal::Deleted);
        }
        let key = state.consumers.add(consumer)?;
        added();
        self.drain(&mut state, effects);
        Ok(key)
    }

    /// Ends a consumer; `true` when it was the last one.
    pub fn cancel(&self, key: ConsumerKey, effects: &mut Effects) -> bool {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => return Streaming::of(self, stream).cancel(key),
        };
        let was_last = state.consumers.remove(key).is_some() && state.consumers.len() == 0;
        if was_last {
            self.used(&mut state);
        }
        self.drain(&mut state, effects);
        was_last
    }

    /// Delivers what can be delivered, once nothing holds these consumers back any more: their channel
    /// has credit, their socket has drained.
    pub fn deliver(&self, resumed: &[ConsumerKey], effects: &mut Effects) {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                return Streaming::of(self, stream).deliver(resumed, effects);
            }
        };
        state.consumers.resume_all(resumed);
        self.drain(&mut state, effects);
    }

    pub fn get(
        &self,
        outbox: &Outbox,
        channel: u16,
        no_ack: bool,
        when_loaded: impl FnOnce() -> Box<dyn FnOnce() + Send>,
        effects: &mut Effects,
    ) -> Got {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            // Refused before it comes here: a stream has no head to take from.
            Inside::Stream(_) => return Got::Empty,
        };
        if self.is_deleted() {
            return Got::Deleted;
        }
        self.used(&mut state);
        match self.expire_all(&mut state, effects) {
            Expired::All | Expired::Some => {}
            Expired::Behind => return Got::Empty,
        }
        match state.backlog.front() {
            Front::Empty => return state.nothing_to_get(),
            Front::Here => {}
            Front::Bodies(_) | Front::Page => {
                self.load(&mut state);
                state.getters.push(when_loaded());
                return Got::Loading;
            }
        }
        let Some(entry) = state.backlog.pop() else {
            return Got::Empty;
        };
        let Body::Here(message) = &entry.body else {
            return Got::Empty;
        };
        // What stood behind it may be over its time, and then does not count any more.
        self.expire_all(&mut state, effects);
        let remaining = u32::try_from(state.backlog.len()).unwrap_or(u32::MAX);
        let place = (!no_ack).then(|| place_of(message, entry.stored));
        let counted = state.counted(message.view(), entry.returns);
        let got = Delivery {
            channel,
            consumer_tag: "",
            consumer: None,
            no_ack,
            redelivered: entry.redelivered,
            message: counted.as_ref().map_or(message.view(), Message::view),
            queue: self.id,
            seq: entry.seq,
            place,
            persistent: entry.persistent,
            returns: entry.returns,
            expires: entry.expires,
        };
        tell(&state.tap, outbox, &got);
        outbox.get_ok(got, remaining);
        state.counted.out.get(no_ack, entry.redelivered);
        if !no_ack {
            state.unacked += 1;
            state.unacked_bytes += message.body().len() as u64;
        } else if entry.stored {
            self.acknowledge(&mut state, &mut vec![entry.seq], effects);
        }
        // What stands in front now may have a time of its own.
        self.expire(&mut state, effects);
        self.prefetch_page(&mut state);
        Got::Sent
    }

    /// The store has written everything up to `upto`.
    pub fn written(&self, upto: Seq, effects: &mut Effects) {
        match &self.inside {
            Inside::Line(state) => state.lock().backlog.written(upto),
            Inside::Stream(stream) => Streaming::of(self, stream).written(upto, effects),
        }
    }

    /// Messages were read back.
    pub fn loaded(&self, messages: Vec<Stored>, effects: &mut Effects) {
        let mut state = match &self.inside {
            Inside::Line(state) => state.lock(),
            Inside::Stream(stream) => {
                return Streaming::of(self, stream).loaded(messages, effects);
            }
        };
        match std::mem::replace(&mut state.loading, Loading::Idle) {
            Loading::Idle => return,
            Loading::Page(from) => state.backlog.paged_in(from, messages),
            Loading::Bodies(asked) => state.backlog.bodies_in(&asked, messages),
        }
        let getters = std::mem::take(&mut state.getters);
        effects.ready.extend(getters);
        self.shed(&mut state, effects);
        self.drain(&mut state, effects);
    }

    pub(super) fn drain(&self, state: &mut QueueState, effects: &mut Effects) {
        state.now = self.timed(state);
        loop {
            // Each time: what stood behind a message that is gone may be over its own time.
            match self.expire(state, effects) {
                Expired::All => {}
                Expired::Some | Expired::Behind => return,
            }
            // Without a message nobody is asked: who is asked and cannot take it loses its turn.
            if state.backlog.is_empty() || state.consumers.front().is_none() {
                break;
            }
            match state.backlog.front() {
                Front::Empty => {
                    state.ease(effects);
                    return self.watch_for_timeouts(state);
                }
                Front::Here => {}
                Front::Bodies(_) | Front::Page => return self.load(state),
            }
            self.offer_first(state, effects);
        }
        state.ease(effects);
        self.watch_for_timeouts(state);
        self.prefetch_page(state);
    }

    /// Delivers what can be delivered as it stands there.
    pub(super) fn hand_on(&self, state: &mut QueueState, effects: &mut Effects) {
        while matches!(state.backlog.front(), Front::Here) && state.consumers.front().is_some() {
            self.offer_first(state, effects);
        }
    }

    #[inline]
    fn offer_first(&self, state: &mut QueueState, effects: &mut Effects) {
        if let Some(entry) = state.backlog.pop() {
            match state.offer(self.id, &entry, effects) {
                Offered::Taken => {}
                Offered::Refused => state.backlog.unpop(entry),
            }
        }
    }

    /// Asks for the next part before it is missed.
    fn prefetch_page(&self, state: &mut QueueState) {
        if state.backlog.wants_page().is_some() && state.consumers.len() > 0 {
            self.load(state);
        }
    }

    /// Reads back what came back without its body and now stands in front.
    pub(super) fn load_returned(&self, state: &mut QueueState) {
        if let Front::Bodies(_) = state.backlog.front() {
            self.load(state);
        }
    }

    pub(super) fn load(&self, state: &mut QueueState) {
        match state.loading {
            Loading::Idle => {}
            Loading::Page(_) | Loading::Bodies(_) => return,
        }
        if let Front::Bodies(seqs) = state.backlog.front() {
            self.home.store.fetch(self.id, seqs.clone());
            state.loading = Loading::Bodies(seqs);
        } else if let Some(from) = state.backlog.wants_page() {
            state.backlog.page_requested(from);
            let store = &self.home.store;
            store.load(self.id, from, PAGE_MESSAGES, PAGE_BYTES);
            state.loading = Loading::Page(from);
        }
    }
}

impl QueueState {
    fn nothing_to_get(&mut self) -> Got {
        self.counted.get_empty += 1;
        Got::Empty
    }

    /// Offers a message that was just published and is not in the backlog.
    fn offer_new(
        &mut self,
        queue: QueueId,
        publishing: &mut Publishing<'_>,
        stored: bool,
        terms: Terms,
        effects: &mut Effects,
    ) -> Offered {
        let Some(member) = self.consumers.front() else {
            return Offered::Refused;
        };
        let needs_place = stored || !member.consumer.no_ack;
        let place = needs_place.then(|| place_of(publishing.kept(), stored));
        self.hand_over(queue, publishing.view, place, terms, true, effects)
    }

    fn offer(&mut self, queue: QueueId, entry: &Entry, effects: &mut Effects) -> Offered {
        let Body::Here(message) = &entry.body else {
            return Offered::Refused;
        };
        let Some(member) = self.consumers.front() else {
            return Offered::Refused;
        };
        let needs_place = entry.stored || !member.consumer.no_ack;
        let place = needs_place.then(|| place_of(message, entry.stored));
        let terms = Terms {
            seq: entry.seq,
            redelivered: entry.redelivered,
            persistent: entry.persistent,
            returns: entry.returns,
            expires: entry.expires,
        };
        // A consumer is told only of returns there were; basic.get always tells.
        let counted = match entry.returns {
            0 => None,
            returns => self.counted(message.view(), returns),
        };
        match counted {
            Some(counted) => self.hand_over(queue, counted.view(), place, terms, false, effects),
            None => self.hand_over(queue, message.view(), place, terms, false, effects),
        }
    }

    /// The message as a quorum queue hands it out.
    fn counted(&self, message: MessageView<'_>, returns: u32) -> Option<Message> {
        if !self.counts_returns {
            return None;
        }
        let count = Value::I64(returns.into()).encoded();
        let headers = [("x-delivery-count".to_owned(), count)];
        let properties = with_headers(message.properties, &headers);
        let counted = MessageView {
            properties: &properties,
            ..message
        };
        Some(counted.to_message())
    }

    fn hand_over(
        &mut self,
        queue: QueueId,
        message: MessageView<'_>,
        place: Option<Place>,
        terms: Terms,
        fresh: bool,
        effects: &mut Effects,
    ) -> Offered {
        let now = self.now;
        let size = message.body.len() as u64;
        let Some(member) = self.consumers.front() else {
            return Offered::Refused;
        };
        let consumer = &member.consumer;
        let no_ack = consumer.no_ack;
        let delivered = consumer.outbox.deliver(Delivery {
            channel: consumer.channel,
            consumer_tag: &consumer.tag,
            consumer: Some(member.key),
            no_ack,
            redelivered: terms.redelivered,
            message,
            queue,
            seq: terms.seq,
            place,
            persistent: terms.persistent,
            returns: terms.returns,
            expires: terms.expires,
        });
        match delivered {
            Delivered::Yes { wake, behind } => {
                if let Some(tap) = &self.tap {
                    tap.consumed(consumer, message, terms.redelivered);
                }
                if wake {
                    effects.wakes.push(Arc::clone(&consumer.outbox));
                }
                if behind && fresh && effects.rest.is_none() {
                    effects.crowd_at(&consumer.outbox);
                }
                if let Some(now) = now.filter(|_| !no_ack) {
                    member.holding.got(terms.seq, now);
                }
                member.delivered();
                self.counted.out.deliver(no_ack, terms.redelivered);
                self.consumers.served();
                self.crowd.taken();
                if !no_ack {
                    self.unacked += 1;
                    self.unacked_bytes += size;
                }
                Offered::Taken
            }
            Delivered::Full | Delivered::NoCredit | Delivered::Gone => {
                self.consumers.park();
                Offered::Refused
            }
        }
    }
}

/// What an unacknowledged message is remembered by: its bytes, or only where they are.
fn place_of(message: &Arc<Message>, stored: bool) -> Place {
    if stored {
        Place::Store(Arc::downgrade(message))
    } else {
        Place::Memory(Arc::clone(message))
    }
}
