//! Messages that were held and are due: each is asked about again and goes on, all of them in one
//! batch with their removal from the schedule. Runs on the store's timer thread.

use std::sync::Arc;
use std::sync::mpsc;

use super::exchange_type::{Fault, Moment};
use super::router::{HeldFor, Holding};
use super::{Broker, Memo, Route, Step, Transaction, Vhost, Waiting, carbon_copies};
use crate::message::{Message, MessageView};
use crate::queue::Effects;
use crate::store::Held;

/// An exchange that is gone or whose type is unavailable is asked about again after this long.
const UNAVAILABLE_RETRY_MS: u64 = 10_000;

/// A plugin that failed is asked again after this long.
const FAULT_RETRY_MS: u64 = 1_000;

/// In front of the exchange's name, where a message is kept because the exchange's type is away
/// and not because its instance said so. No name that a client can send is as long as this.
const WAITS_FOR_TYPE: &str = match std::str::from_utf8(&[0; 256]) {
    Ok(text) => text,
    Err(_) => panic!(),
};

/// The exchange under which the store keeps a held message.
pub(super) fn held_as(held: &Holding) -> Arc<str> {
    let name = &held.exchange.name;
    match held.reason {
        HeldFor::Decision => Arc::clone(name),
        HeldFor::Type => Arc::from(format!("{WAITS_FOR_TYPE}{name}")),
    }
}

fn named(message: &Message, exchange: &Arc<str>) -> Message {
    MessageView {
        exchange,
        ..message.view()
    }
    .to_message()
}

impl Broker {
    pub fn release(&self, due: Vec<Held>) {
        let mut transaction = Transaction::default();
        let mut memo = Memo::default();
        let mut effects = Effects::default();
        for held in due {
            transaction.timers.push(held.key);
            match self.vhost(&held.vhost) {
                Some(vhost) => {
                    vhost.release(&mut transaction, &mut memo, &held.message, &mut effects);
                }
                None => tracing::warn!(vhost = %held.vhost, "held message of a vhost that is gone"),
            }
        }
        // Synced: the schedule must not remember what the queues have lost, nor the reverse.
        transaction.commit(self.store(), true, |_| {});
        effects.apply();
    }
}

impl Vhost {
    fn release(
        &self,
        transaction: &mut Transaction,
        memo: &mut Memo,
        message: &Arc<Message>,
        effects: &mut Effects,
    ) {
        let kept = message.exchange();
        let (name, moment) = match kept.strip_prefix(WAITS_FOR_TYPE) {
            Some(name) => (name, Moment::Publish),
            None => (kept.as_ref(), Moment::Due),
        };
        let exchange = self.exchange(name);
        let waited = moment == Moment::Publish;
        let Some(exchange) = exchange.filter(|exchange| exchange.is_available() || waited) else {
            tracing::warn!(
                exchange = name,
                "a held message waits for its exchange to come back"
            );
            let again = self.now() + UNAVAILABLE_RETRY_MS;
            return transaction.hold(&self.name, Arc::clone(message), again);
        };
        let own;
        let message = match moment {
            Moment::Due => message,
            Moment::Publish => {
                exchange.wait_over();
                own = Arc::new(named(message, &exchange.name));
                &own
            }
        };
        let mut route = Route::default();
        route.start(&exchange, moment, carbon_copies(message.properties()));
        let mut step = route.walk(self, &message.view(), memo);
        loop {
            match step {
                Step::Done => break,
                Step::Later(waiting) => {
                    let answer = wait_for(&waiting, route.asked(&waiting, message));
                    step = match route.resume(self, &waiting, answer) {
                        Step::Done => route.walk(self, &message.view(), memo),
                        other @ (Step::Later(_)
                        | Step::Rejected(_)
                        | Step::Fault(_)
                        | Step::Unseen { .. }) => other,
                    };
                }
                Step::Rejected(text) => {
                    tracing::warn!(exchange = %exchange.name, text, "a held message was rejected");
                    return;
                }
                Step::Fault(Fault(reason))
                | Step::Unseen {
                    fault: Fault(reason),
                    ..
                } => {
                    tracing::error!(exchange = %exchange.name, reason, "held message: asked again");
                    let again = self.now() + FAULT_RETRY_MS;
                    let kept = Arc::new(named(message, kept));
                    return transaction.hold(&self.name, kept, again);
                }
            }
        }
        if !transaction.add(self, &route, message, effects) {
            tracing::warn!(exchange = %exchange.name, "a held message was due and nobody was bound");
        }
    }
}

/// The timer thread may wait for a slow plugin; nobody else is behind it.
pub(super) fn wait_for(
    waiting: &Waiting,
    message: Arc<Message>,
) -> Result<super::exchange_type::Answer, Fault> {
    let (done, answer) = mpsc::channel();
    let table = waiting.table();
    waiting.instance.route_later(
        waiting.moment,
        message,
        table,
        Box::new(move |result| drop(done.send(result))),
    );
    answer
        .recv()
        .unwrap_or_else(|_| Err(Fault("the plugin's thread has ended".to_owned())))
}
