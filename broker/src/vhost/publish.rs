//! From a finished walk to the queues: delivery of one message, and of several as one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::timers::held_as;
use super::{Route, Vhost};
use crate::amqp::properties::Properties;
use crate::clock::Millis;
use crate::message::{Message, MessageView};
use crate::names::{QueueId, Seq};
use crate::queue::{Accepted, Effects, Publishing, Queue, Reserved};
use crate::store::{
    Append, Confirm, ConfirmSink, DefinitionChange, Hold, Move, SharedConfirm, TimerKey,
};

/// Who is owed a confirm.
#[derive(Clone)]
pub struct ConfirmTo {
    pub sink: Arc<dyn ConfirmSink>,
    pub publish: u64,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// At least one queue has it, or an exchange holds it.
    pub routed: bool,
    /// A queue was full and did not take it.
    pub rejected: bool,
    /// The store resolves the confirm; otherwise it is due now.
    pub owed: bool,
}

/// Gathers the confirms of one publish that goes to several places.
struct Owed {
    to: Option<ConfirmTo>,
    shared: Option<Arc<SharedConfirm>>,
    single: bool,
    given: u32,
}

impl Owed {
    fn new(to: Option<ConfirmTo>, places: usize) -> Owed {
        Owed {
            to,
            shared: None,
            single: places == 1,
            given: 0,
        }
    }

    fn give(&mut self) -> Option<Confirm> {
        let ConfirmTo { sink, publish } = self.to.as_ref()?;
        let (sink, publish) = (Arc::clone(sink), *publish);
        self.given += 1;
        if self.single {
            return Some(Confirm::One { sink, publish });
        }
        // One more than was given away, until all places are known.
        let shared = self.shared.get_or_insert_with(|| {
            Arc::new(SharedConfirm {
                open: AtomicU32::new(1),
                sink,
                publish,
            })
        });
        shared.open.fetch_add(1, Ordering::AcqRel);
        Some(Confirm::Shared(Arc::clone(shared)))
    }

    /// It is answered now, whatever the places to which it was given say later.
    fn refuse(self) {
        if let Some(shared) = self.shared {
            // One more than there are places: it is never all of them.
            drop(shared);
        }
    }

    /// True when somebody else will resolve it.
    fn close(self) -> bool {
        match self.shared {
            Some(shared) => Confirm::Shared(shared).resolve().is_none(),
            None => self.given > 0,
        }
    }
}

impl Vhost {
    /// Hands a message to everything its walk has found.
    pub fn hand_over(
        &self,
        route: &Route,
        message: &MessageView<'_>,
        confirm: Option<ConfirmTo>,
        effects: &mut Effects,
    ) -> Handed {
        if let Some(rewritten) = route.rewritten(message) {
            return self.hand_over_as(route, &rewritten.view(), confirm, effects);
        }
        self.hand_over_as(route, message, confirm, effects)
    }

    fn hand_over_as(
        &self,
        route: &Route,
        message: &MessageView<'_>,
        confirm: Option<ConfirmTo>,
        effects: &mut Effects,
    ) -> Handed {
        let persistent = Properties::new(message.properties).is_persistent();
        let mut publishing = Publishing::new(*message, persistent);
        let mut owed = Owed::new(confirm, route.queues.len() + route.holds.len());
        let mut routed = false;
        let mut rejected = false;
        let last = route.queues.len().saturating_sub(1);
        for (number, queue) in route.queues.iter().enumerate() {
            publishing.last = number == last;
            match queue.publish(&mut publishing, || owed.give(), effects) {
                Accepted::Gone => {}
                Accepted::InMemory | Accepted::InStore => routed = true,
                Accepted::Rejected => {
                    routed = true;
                    rejected = true;
                }
            }
        }
        for held in &route.holds {
            let message = MessageView {
                exchange: &held_as(held),
                ..*message
            };
            self.shared.home.store.hold(Hold {
                due: held.until,
                vhost: Arc::clone(&self.name),
                message: Arc::new(message.to_message()),
                confirm: owed.give(),
            });
            routed = true;
        }
        let owed = match rejected {
            true => {
                owed.refuse();
                false
            }
            false => owed.close(),
        };
        Handed {
            routed,
            rejected,
            owed,
        }
    }

    pub fn now(&self) -> Millis {
        self.shared.clock.now()
    }
}

/// Messages and settlements that take effect together: tx.commit, and the release of what was held.
#[derive(Default)]
pub struct Transaction {
    appends: Vec<(Arc<Queue>, Reserved, Arc<Message>)>,
    holds: Vec<Hold>,
    pub settles: Vec<(QueueId, Seq)>,
    pub timers: Vec<TimerKey>,
    pub definitions: Vec<DefinitionChange>,
    /// A queue was full and did not take its message.
    pub rejected: bool,
}

impl Transaction {
    /// Adds one routed message; `true` when somebody takes it.
    pub fn add(
        &mut self,
        vhost: &Vhost,
        route: &Route,
        message: &Arc<Message>,
        effects: &mut Effects,
    ) -> bool {
        let message = match route.rewritten(&message.view()) {
            Some(rewritten) => Arc::new(rewritten),
            None => Arc::clone(message),
        };
        let mut publishing = Publishing::owned(&message);
        let mut routed = false;
        for queue in route.queues.iter() {
            // The route may be old: a queue of that name counts, as in RabbitMQ.
            let queue = match queue.is_deleted() {
                true => vhost.queue(&queue.name),
                false => Some(Arc::clone(queue)),
            };
            let Some(queue) = queue else { continue };
            match queue.reserve(&mut publishing, effects) {
                Ok(reserved) => {
                    self.appends.push((queue, reserved, Arc::clone(&message)));
                    routed = true;
                }
                Err(Accepted::Rejected) => {
                    routed = true;
                    self.rejected = true;
                }
                Err(Accepted::Gone | Accepted::InMemory | Accepted::InStore) => {}
            }
        }
        for held in &route.holds {
            let view = MessageView {
                exchange: &held_as(held),
                ..message.view()
            };
            self.hold(&vhost.name, Arc::new(view.to_message()), held.until);
            routed = true;
        }
        routed
    }

    pub fn hold(&mut self, vhost: &Arc<str>, message: Arc<Message>, due: Millis) {
        self.holds.push(Hold {
            due,
            vhost: Arc::clone(vhost),
            message,
            confirm: None,
        });
    }

    /// Writes everything in one batch; only then are the messages delivered, and `done` is called.
    pub fn commit(
        self,
        store: &crate::store::Store,
        synced: bool,
        done: impl FnOnce(&mut Effects) + Send + 'static,
    ) {
        let appends = self
            .appends
            .iter()
            .map(|(queue, reserved, message)| Append {
                queue: queue.id,
                seq: reserved.seq,
                message: Arc::clone(message),
                persistent: reserved.persistent,
                expires: reserved.expires,
                confirm: None,
            });
        let change = Move {
            appends: appends.collect(),
            holds: self.holds,
            settles: self.settles,
            timers: self.timers,
            definitions: self.definitions,
            synced,
            done: None,
        };
        let revealed = self.appends;
        let done = move || {
            let mut effects = Effects::default();
            for (queue, reserved, message) in &revealed {
                queue.reveal(reserved, Arc::clone(message), &mut effects);
            }
            done(&mut effects);
            effects.apply();
        };
        store.commit(Move {
            done: Some(Box::new(done)),
            ..change
        });
    }
}
