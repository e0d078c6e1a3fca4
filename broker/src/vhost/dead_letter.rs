//! Where messages go that a queue did not keep: each is routed once more, and leaves the old queue
//! and enters the new one in one batch. A work list, so that a chain of queues is not a chain of
//! calls. Not the headers (see `x_death.rs`).

use std::sync::Arc;

use super::exchange_type::{Answer, Fault, Moment};
use super::x_death::{Death, is_cycle};
use super::{Broker, Route, Step, Transaction, Vhost, Waiting, carbon_copies};
use crate::message::Message;
use crate::queue::{DeadLetter, DeadLetters, Effects};
use crate::store::Stored;

impl DeadLetters for Broker {
    fn take(self: Arc<Self>, mut letters: Vec<DeadLetter>) {
        while !letters.is_empty() {
            if let Some(missing) = letters.iter().find(|letter| letter.message.is_none()) {
                let queue = missing.queue;
                return self.read_first(queue, letters);
            }
            let round = Round::new(Arc::clone(&self), letters);
            match round.go_on() {
                Some(more) => letters = more,
                None => return,
            }
        }
    }
}

impl Broker {
    /// Only the store has some of them.
    fn read_first(self: Arc<Self>, queue: crate::names::QueueId, letters: Vec<DeadLetter>) {
        let missing = letters
            .iter()
            .filter(|letter| letter.queue == queue && letter.message.is_none());
        let seqs = missing.map(|letter| letter.seq).collect();
        let broker = Arc::clone(&self);
        let then = move |read: Vec<Stored>| {
            let mut letters = letters;
            letters.retain_mut(|letter| {
                if letter.queue != queue || letter.message.is_some() {
                    return true;
                }
                let found = read.iter().find(|stored| stored.seq == letter.seq);
                letter.message = found.map(|stored| Arc::clone(&stored.message));
                // Gone from the store: purged meanwhile, or its queue deleted.
                letter.message.is_some()
            });
            broker.take(letters);
        };
        self.store().fetch_for(queue, seqs, Box::new(then));
    }
}

/// Letters that go together.
struct Round {
    broker: Arc<Broker>,
    letters: std::vec::IntoIter<DeadLetter>,
    transaction: Transaction,
    /// Something of this lies in the store and must not be in two places there, nor in none.
    atomic: bool,
    effects: Effects,
}

/// One letter under way.
struct Underway {
    letter: DeadLetter,
    vhost: Arc<Vhost>,
    message: Arc<Message>,
    route: Route,
}

impl Round {
    fn new(broker: Arc<Broker>, letters: Vec<DeadLetter>) -> Round {
        Round {
            broker,
            atomic: letters.iter().any(|letter| letter.stored),
            letters: letters.into_iter(),
            transaction: Transaction::default(),
            effects: Effects::default(),
        }
    }

    /// Letters that these have caused; `None` when a slow plugin goes on with the rest.
    fn go_on(mut self) -> Option<Vec<DeadLetter>> {
        while let Some(letter) = self.letters.next() {
            let Some(mut underway) = self.set_out(letter) else {
                continue;
            };
            let mut memo = self.broker.dead_routes.lock();
            let step = underway
                .route
                .walk(&underway.vhost, &underway.message.view(), &mut memo);
            memo.tell_hits();
            drop(memo);
            match step {
                Step::Later(waiting) => {
                    self.wait(underway, waiting);
                    return None;
                }
                Step::Done | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. } => {
                    self.arrive(underway, step)
                }
            }
        }
        if self.atomic {
            // What is lost with a batch that was not synced is lost as a whole.
            self.transaction.commit(self.broker.store(), false, |_| {});
        }
        let more = self.effects.take_letters();
        self.effects.apply();
        Some(more)
    }

    /// None: nobody takes it, and it is settled.
    fn set_out(&mut self, letter: DeadLetter) -> Option<Underway> {
        if letter.stored {
            self.transaction.settles.push((letter.queue, letter.seq));
        }
        let vhost = self.broker.vhost(&letter.vhost)?;
        let death = Death {
            queue: &letter.queue_name,
            reason: letter.reason,
            to: &letter.to,
            now: vhost.now(),
        };
        let message = Arc::new(death.write(letter.message.as_ref()?));
        let mut route = Route::default();
        let further_keys = carbon_copies(message.properties());
        match &*letter.to.exchange {
            "" => {
                let keys = std::iter::once(message.routing_key().to_owned());
                route.add_by_name(&vhost, keys.chain(further_keys).collect());
            }
            // An exchange that is not there takes nothing, silently, as in RabbitMQ.
            name => route.start(&vhost.exchange(name)?, Moment::Publish, further_keys),
        }
        Some(Underway {
            letter,
            vhost,
            message,
            route,
        })
    }

    fn wait(mut self, underway: Underway, waiting: Waiting) {
        self.effects.wake_all();
        let table = waiting.table();
        let message = underway.route.asked(&waiting, &underway.message);
        let (moment, instance) = (waiting.moment, Arc::clone(&waiting.instance));
        let done = Box::new(move |answer| self.answered(underway, &waiting, answer));
        instance.route_later(moment, message, table, done);
    }

    fn answered(
        mut self,
        mut underway: Underway,
        waiting: &Waiting,
        answer: Result<Answer, Fault>,
    ) {
        let Underway {
            vhost,
            route,
            message,
            ..
        } = &mut underway;
        let step = match route.resume(vhost, waiting, answer) {
            Step::Done => route.walk(vhost, &message.view(), &mut self.broker.dead_routes.lock()),
            other @ (Step::Later(_) | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. }) => {
                other
            }
        };
        match step {
            Step::Later(waiting) => return self.wait(underway, waiting),
            Step::Done | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. } => {
                self.arrive(underway, step)
            }
        }
        let broker = Arc::clone(&self.broker);
        if let Some(more) = self.go_on() {
            broker.take(more);
        }
    }

    fn arrive(&mut self, underway: Underway, step: Step) {
        let Underway {
            letter,
            vhost,
            message,
            mut route,
        } = underway;
        match step {
            Step::Done | Step::Later(_) => {}
            Step::Rejected(text) => {
                let (queue, exchange) = (&letter.queue_name, &letter.to.exchange);
                tracing::warn!(%queue, %exchange, text, "a dead letter was rejected");
            }
            Step::Fault(Fault(reason))
            | Step::Unseen {
                fault: Fault(reason),
                ..
            } => {
                let (queue, exchange) = (&letter.queue_name, &letter.to.exchange);
                tracing::error!(%queue, %exchange, reason, "a dead letter could not be routed");
            }
        }
        route
            .queues
            .retain(|queue| !is_cycle(&message, &queue.name));
        if self.atomic {
            self.transaction
                .add(&vhost, &route, &message, &mut self.effects);
        } else {
            vhost.hand_over(&route, &message.view(), None, &mut self.effects);
        }
    }
}
