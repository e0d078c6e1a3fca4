//! A stream under its lock: what goes to the store, what comes back, and what goes into the outboxes
//! of its consumers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, MutexGuard};

use super::segments::{Look, Rules};
use super::{Asked, Step, StreamState, offset_of};
use crate::amqp::properties::with_headers;
use crate::amqp::table::Value;
use crate::clock::{Expiry, Millis};
use crate::message::{Message, MessageView};
use crate::names::Seq;
use crate::outbox::{ConsumerKey, Delivered, Delivery, Place};
use crate::queue::{
    Accepted, ConsumeRefusal, Consumer, Counts, Deleted, Effects, ListedConsumer, Options,
    Publishing, Queue, QueueLook, Reserved,
};
use crate::store::{Append, Confirm, Stored};

/// A consumer that is behind reads parts of at most this much, one at a time.
const PAGE_MESSAGES: usize = 1024;
const PAGE_BYTES: usize = 128 * 1024;

/// A stream whose lock is held.
pub struct Streaming<'a> {
    queue: &'a Queue,
    state: MutexGuard<'a, StreamState>,
}

impl<'a> Streaming<'a> {
    pub(in crate::queue) fn of(queue: &'a Queue, stream: &'a Mutex<StreamState>) -> Streaming<'a> {
        let state = stream.lock();
        Streaming { queue, state }
    }

    pub fn begin(mut self) {
        self.retain();
    }

    /// Kept whatever its delivery mode, and confirmed when it is synced.
    pub fn publish(
        mut self,
        publishing: &mut Publishing<'_>,
        confirm: impl FnOnce() -> Option<Confirm>,
    ) -> Accepted {
        if self.queue.is_deleted() {
            return Accepted::Gone;
        }
        self.state.counted.published += 1;
        let message = publishing.message();
        let now = self.now();
        let (seq, arrived) = self.state.append(&message, now);
        self.queue.home.store.append(Append {
            queue: self.queue.id,
            seq,
            message,
            persistent: true,
            expires: Expiry::at(arrived),
            confirm: confirm(),
        });
        self.retain();
        Accepted::InStore
    }

    pub fn look(self) -> QueueLook {
        QueueLook {
            counts: self.state.counts(),
            counted: self.state.counted,
            ..QueueLook::default()
        }
    }

    pub fn listed(self) -> Vec<ListedConsumer> {
        let readers = self.state.readers.values();
        let listed = readers.map(|reader| ListedConsumer {
            consumer: reader.consumer.clone(),
            active: true,
        });
        listed.collect()
    }

    pub fn reserve(mut self, publishing: &mut Publishing<'_>) -> Option<Reserved> {
        if self.queue.is_deleted() {
            return None;
        }
        self.state.counted.published += 1;
        let now = self.now();
        let (seq, arrived) = self.state.reserve(&publishing.message(), now);
        Some(Reserved {
            seq,
            persistent: true,
            expires: Expiry::at(arrived),
        })
    }

    pub fn reveal(mut self, reserved: &Reserved, message: Arc<Message>, effects: &mut Effects) {
        if !self.queue.is_deleted() {
            self.state.reveal(reserved.seq, message);
            self.serve_all(effects);
        }
    }

    pub fn written(mut self, upto: Seq, effects: &mut Effects) {
        self.state.written(upto);
        self.serve_all(effects);
    }

    pub fn loaded(mut self, messages: Vec<Stored>, effects: &mut Effects) {
        let now = self.now();
        match self.state.answered(messages, now) {
            Some(key) => self.serve(key, effects),
            None => self.retain(),
        }
    }

    pub fn consume(
        mut self,
        consumer: Consumer,
        added: impl FnOnce(),
        effects: &mut Effects,
    ) -> Result<ConsumerKey, ConsumeRefusal> {
        if self.queue.is_deleted() {
            return Err(ConsumeRefusal::Deleted);
        }
        let key = self.state.add(consumer);
        added();
        self.serve(key, effects);
        Ok(key)
    }

    pub fn cancel(mut self, key: ConsumerKey) -> bool {
        self.state.remove(key);
        self.trim();
        self.state.readers.is_empty()
    }

    pub fn deliver(mut self, resumed: &[ConsumerKey], effects: &mut Effects) {
        for key in resumed {
            self.state.resume(*key);
            self.serve(*key, effects);
        }
    }

    /// Acknowledged, rejected or given back: the message stays where it is, and its consumer may get
    /// another one.
    pub fn settled(
        mut self,
        consumers: impl Iterator<Item = Option<ConsumerKey>>,
        effects: &mut Effects,
    ) {
        let mut credited: Vec<ConsumerKey> = Vec::new();
        for key in consumers.flatten() {
            self.state.counted.acked += 1;
            self.state.credit(key);
            if !credited.contains(&key) {
                credited.push(key);
            }
        }
        for key in credited {
            self.serve(key, effects);
        }
    }

    pub fn set_options(mut self, options: &Options) {
        self.state.rules = Rules::new(options);
        self.retain();
    }

    pub fn called(mut self) {
        self.state.called_at = None;
        self.retain();
    }

    pub fn counts(self) -> Counts {
        self.state.counts()
    }

    /// Whoever uses it and whatever it holds: as in RabbitMQ, if-unused and if-empty say nothing to a
    /// stream, and the answer counts no messages.
    pub fn delete(mut self) -> Deleted {
        self.queue.deleted.store(true, Ordering::Release);
        Deleted {
            messages: 0,
            consumers: self.state.take_all(),
        }
    }

    fn now(&self) -> Millis {
        self.queue.home.clock.now()
    }

    fn trim(&mut self) {
        let pressed = self.queue.home.pressure.is_on();
        self.state.trim(pressed);
    }

    fn serve_all(&mut self, effects: &mut Effects) {
        for key in self.state.keys() {
            self.serve(key, effects);
        }
        self.trim();
        self.retain();
    }

    fn serve(&mut self, key: ConsumerKey, effects: &mut Effects) {
        loop {
            let (from, messages, bytes) = match self.state.step(key) {
                Step::Nothing => return,
                Step::Give(seq, message) => {
                    self.hand_over(key, seq, message.view(), effects);
                    continue;
                }
                Step::Read(from) => (from, PAGE_MESSAGES, PAGE_BYTES),
                Step::Probe(at) => (at, 1, 1),
            };
            let store = &self.queue.home.store;
            store.load(self.queue.id, from, messages, bytes);
            self.state.asked(key);
        }
    }

    fn hand_over(
        &mut self,
        key: ConsumerKey,
        seq: Seq,
        message: MessageView<'_>,
        effects: &mut Effects,
    ) {
        let Some(reader) = self.state.readers.get(&key.serial) else {
            return;
        };
        let consumer = &reader.consumer;
        let offset = i64::try_from(offset_of(seq)).unwrap_or(i64::MAX);
        let headers = [("x-stream-offset".to_owned(), Value::I64(offset).encoded())];
        let properties = with_headers(message.properties, &headers);
        let given = MessageView {
            properties: &properties,
            ..message
        };
        let delivered = consumer.outbox.deliver(Delivery {
            channel: consumer.channel,
            consumer_tag: &consumer.tag,
            consumer: Some(key),
            no_ack: false,
            redelivered: false,
            message: given,
            queue: self.queue.id,
            seq,
            place: Some(Place::Stream),
            persistent: true,
            returns: 0,
            expires: Expiry::NEVER,
        });
        match delivered {
            Delivered::Yes { wake, .. } => {
                if wake {
                    effects.wake(&consumer.outbox);
                }
                if let Some(tap) = &self.state.tap {
                    tap.consumed(consumer, given, false);
                }
                self.state.counted.out.deliver(false, false);
                self.state.given(key, seq);
            }
            Delivered::Full | Delivered::NoCredit | Delivered::Gone => self.state.park(key),
        }
    }

    /// Takes away what the rules do not let stay, and sees to it that somebody looks again.
    fn retain(&mut self) {
        if self.queue.is_deleted() {
            return;
        }
        let store = &self.queue.home.store;
        let now = self.now();
        if let Some((first, last)) = self.state.drop_old(now) {
            store.purge_range(self.queue.id, first, last);
        }
        match self.state.look() {
            Look::Never => {}
            // What keeps it from being dropped is that it is not written; `written` looks again.
            Look::At(time) if time <= now => {}
            Look::At(time) if self.state.called_at.is_some_and(|called| called <= time) => {}
            Look::At(time) => {
                self.state.called_at = Some(time);
                self.queue.home.schedule.call(self.queue.id, time);
            }
            Look::Ask(seq) => {
                store.load(self.queue.id, seq, 1, 1);
                self.state.asked.push_back(Asked::Segment(seq));
            }
        }
    }
}
