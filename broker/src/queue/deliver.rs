//! From a publish to a consumer's outbox: what happens to a message under the queue's lock.

use std::sync::Arc;

use super::backlog::{Body, Entry, Front};
use super::consumers::ConsumeRefusal;
use super::state::{Loading, QueueState};
use super::{Consumer, Effects, Queue};
use crate::message::{Message, MessageView};
use crate::names::{QueueId, Seq};
use crate::outbox::{ConsumerKey, Delivered, Delivery, Outbox, Place};
use crate::store::{Append, Confirm, Stored};

/// The paged part is read in requests of at most this much.
const PAGE_MESSAGES: usize = 4096;
const PAGE_BYTES: usize = 1024 * 1024;

/// A message on its way into its queues. It is copied out of the read buffer at most once, and not
/// at all when it goes straight to a consumer who does not acknowledge.
pub struct Publishing<'a> {
    view: MessageView<'a>,
    pub persistent: bool,
    owned: Option<Arc<Message>>,
}

impl<'a> Publishing<'a> {
    pub fn new(view: MessageView<'a>, persistent: bool) -> Publishing<'a> {
        Publishing {
            view,
            persistent,
            owned: None,
        }
    }

    pub fn owned(message: &'a Arc<Message>, persistent: bool) -> Publishing<'a> {
        Publishing {
            view: message.view(),
            persistent,
            owned: Some(Arc::clone(message)),
        }
    }

    pub fn message(&mut self) -> Arc<Message> {
        let view = self.view;
        Arc::clone(
            self.owned
                .get_or_insert_with(|| Arc::new(view.to_message())),
        )
    }
}

/// What became of a publish at one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The queue was deleted meanwhile: counts as not routed.
    Gone,
    /// Safe as far as it will ever be.
    InMemory,
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
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Accepted::Gone;
        }
        let persistent = publishing.persistent && self.attributes.outlives_run();
        let stored = persistent || state.backlog.pages_transient(self.pressure.is_on());
        let seq = state.take_seq();
        if stored {
            let message = publishing.message();
            let confirm = if persistent { confirm() } else { None };
            self.store.append(Append {
                queue: self.id,
                seq,
                message,
                persistent,
                confirm,
            });
        }
        let accepted = if persistent {
            Accepted::InStore
        } else {
            Accepted::InMemory
        };
        if state.backlog.is_empty() {
            while state.consumers.front().is_some() {
                match state.offer_new(self.id, seq, publishing, stored, persistent, effects) {
                    Offered::Taken => {
                        state.backlog.passed(seq);
                        return accepted;
                    }
                    Offered::Refused => {}
                }
            }
        }
        let body = Body::Here(publishing.message());
        state.backlog.push(Entry {
            seq,
            body,
            redelivered: false,
            stored,
            persistent,
        });
        accepted
    }

    /// Adds a consumer. `added` runs under the lock and writes consume-ok: no delivery can come
    /// before it.
    pub fn consume(
        &self,
        consumer: Consumer,
        added: impl FnOnce(),
        effects: &mut Effects,
    ) -> Result<ConsumerKey, ConsumeRefusal> {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Err(ConsumeRefusal::Deleted);
        }
        let key = state.consumers.add(consumer)?;
        added();
        self.drain(&mut state, effects);
        Ok(key)
    }

    /// Ends a consumer; `true` when it was the last one.
    pub fn cancel(&self, key: ConsumerKey) -> bool {
        let mut state = self.state.lock();
        state.consumers.remove(key).is_some() && state.consumers.len() == 0
    }

    /// Delivers what can be delivered. Asked after consume, after acknowledgements, after a socket
    /// has drained.
    pub fn deliver(&self, resumed: Option<ConsumerKey>, effects: &mut Effects) {
        let mut state = self.state.lock();
        if let Some(key) = resumed {
            state.consumers.resume(key);
        }
        self.drain(&mut state, effects);
    }

    pub fn get(
        &self,
        outbox: &Outbox,
        channel: u16,
        no_ack: bool,
        when_loaded: impl FnOnce() -> Box<dyn FnOnce() + Send>,
    ) -> Got {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Got::Deleted;
        }
        match state.backlog.front() {
            Front::Empty => return Got::Empty,
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
        let remaining = u32::try_from(state.backlog.len()).unwrap_or(u32::MAX);
        let place = (!no_ack).then(|| place_of(message, entry.stored));
        let Entry {
            seq,
            redelivered,
            persistent,
            stored,
            ..
        } = entry;
        let view = message.view();
        outbox.get_ok(
            channel,
            view,
            redelivered,
            remaining,
            self.id,
            seq,
            persistent,
            place,
        );
        if !no_ack {
            state.unacked += 1;
        } else if stored {
            self.store.settle(self.id, &[seq]);
        }
        self.prefetch_page(&mut state);
        Got::Sent
    }

    /// The store has written everything up to `upto`.
    pub fn written(&self, upto: Seq) {
        self.state.lock().backlog.written(upto);
    }

    /// Messages were read back.
    pub fn loaded(&self, messages: Vec<Stored>, effects: &mut Effects) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.loading, Loading::Idle) {
            Loading::Idle => return,
            Loading::Page => state.backlog.paged_in(messages),
            Loading::Bodies(asked) => state.backlog.bodies_in(&asked, messages),
        }
        let getters = std::mem::take(&mut state.getters);
        effects.ready.extend(getters);
        self.drain(&mut state, effects);
    }

    pub(super) fn drain(&self, state: &mut QueueState, effects: &mut Effects) {
        while state.consumers.front().is_some() {
            match state.backlog.front() {
                Front::Empty => return,
                Front::Here => {}
                Front::Bodies(_) | Front::Page => return self.load(state),
            }
            let Some(entry) = state.backlog.pop() else {
                return;
            };
            match state.offer(self.id, &entry, effects) {
                Offered::Taken => {}
                Offered::Refused => state.backlog.unpop(entry),
            }
        }
        self.prefetch_page(state);
    }

    /// Asks for the next part before it is missed.
    fn prefetch_page(&self, state: &mut QueueState) {
        if state.backlog.wants_page().is_some() && state.consumers.len() > 0 {
            self.load(state);
        }
    }

    fn load(&self, state: &mut QueueState) {
        match state.loading {
            Loading::Idle => {}
            Loading::Page | Loading::Bodies(_) => return,
        }
        if let Front::Bodies(seqs) = state.backlog.front() {
            self.store.fetch(self.id, seqs.clone());
            state.loading = Loading::Bodies(seqs);
        } else if let Some(from) = state.backlog.wants_page() {
            state.backlog.page_requested();
            self.store.load(self.id, from, PAGE_MESSAGES, PAGE_BYTES);
            state.loading = Loading::Page;
        }
    }
}

impl QueueState {
    /// Offers a message that was just published and is not in the backlog.
    fn offer_new(
        &mut self,
        queue: QueueId,
        seq: Seq,
        publishing: &mut Publishing<'_>,
        stored: bool,
        persistent: bool,
        effects: &mut Effects,
    ) -> Offered {
        let Some(member) = self.consumers.front() else {
            return Offered::Refused;
        };
        let needs_place = stored || !member.consumer.no_ack;
        let place = needs_place.then(|| place_of(&publishing.message(), stored));
        let message = publishing.view;
        self.hand_over(queue, seq, message, place, false, persistent, effects)
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
        let Entry {
            seq,
            redelivered,
            persistent,
            ..
        } = *entry;
        self.hand_over(
            queue,
            seq,
            message.view(),
            place,
            redelivered,
            persistent,
            effects,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one delivery")]
    fn hand_over(
        &mut self,
        queue: QueueId,
        seq: Seq,
        message: MessageView<'_>,
        place: Option<Place>,
        redelivered: bool,
        persistent: bool,
        effects: &mut Effects,
    ) -> Offered {
        let Some(member) = self.consumers.front() else {
            return Offered::Refused;
        };
        let consumer = &member.consumer;
        let no_ack = consumer.no_ack;
        let delivered = consumer.outbox.deliver(Delivery {
            channel: consumer.channel,
            consumer_tag: &consumer.tag,
            consumer: member.key,
            no_ack,
            redelivered,
            message,
            queue,
            seq,
            place,
            persistent,
        });
        match delivered {
            Delivered::Yes { wake } => {
                if wake {
                    effects.wakes.push(Arc::clone(&consumer.outbox));
                }
                member.delivered();
                self.consumers.served();
                self.unacked += u64::from(!no_ack);
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
