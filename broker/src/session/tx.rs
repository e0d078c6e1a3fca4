//! The tx class: publishes and acknowledgements that take effect together at tx.commit, synced.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::channel::Mode;
use super::dispatch::not_for_servers;
use super::{Flow, Session, Then, Wait};
use crate::amqp::reply::ReplyCode;
use crate::amqp::{AMQPClass, tx, write};
use crate::error::Refusal;
use crate::message::Message;
use crate::outbox::{Place, Unacked};
use crate::queue::{Back, Effects, Settle};
use crate::vhost::{ChannelMode, Route, Transaction, is_reply_name};

/// A transaction lives in memory until it is committed, so it must end somewhere.
const TX_BYTES: usize = 256 * 1024 * 1024;

#[derive(Default)]
pub(super) struct TxState {
    publishes: Vec<TxPublish>,
    settled: Vec<(Settlement, Vec<Unacked>)>,
    bytes: usize,
}

struct TxPublish {
    message: Arc<Message>,
    route: Route,
    mandatory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settlement {
    Ack,
    Requeue,
    Discard,
}

impl TxState {
    pub fn publish(
        &mut self,
        message: Arc<Message>,
        route: &Route,
        mandatory: bool,
    ) -> Result<(), Refusal> {
        self.bytes += message.size();
        if self.bytes > TX_BYTES {
            let text = format!("transaction is larger than {TX_BYTES} bytes");
            return Err(Refusal::connection(ReplyCode::ResourceError, text));
        }
        self.publishes.push(TxPublish {
            message,
            route: route.found(),
            mandatory,
        });
        Ok(())
    }

    pub fn settle(&mut self, unacked: Vec<Unacked>, settlement: Settlement) {
        self.settled.push((settlement, unacked));
    }

    pub fn into_unacked(self) -> impl Iterator<Item = Unacked> {
        self.settled.into_iter().flat_map(|(_, unacked)| unacked)
    }
}

impl Session {
    pub(super) fn tx_method(
        &mut self,
        number: u16,
        method: tx::AMQPMethod,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        use tx::AMQPMethod;
        match method {
            AMQPMethod::Select(_) => {
                let Some(channel) = self.channels.get_mut(&number) else {
                    return Ok(Flow::Done);
                };
                match &channel.mode {
                    Mode::Confirm(_) => {
                        let text = "cannot switch from confirm to tx mode";
                        return Err(Refusal::precondition(text));
                    }
                    Mode::Tx(_) => {}
                    Mode::Plain => {
                        channel.facts.set_mode(ChannelMode::Transactional);
                        channel.mode = Mode::Tx(TxState::default());
                    }
                }
                let ok = AMQPMethod::SelectOk(tx::SelectOk {});
                self.outbox
                    .write(|out, _| write::method(out, number, AMQPClass::Tx(ok)));
                Ok(Flow::Done)
            }
            AMQPMethod::Commit(_) => {
                let state = self.take_transaction(number)?;
                self.commit(number, state, effects)
            }
            AMQPMethod::Rollback(_) => {
                let state = self.take_transaction(number)?;
                // The messages stay unacknowledged, under their old tags.
                self.outbox
                    .put_back_unacked(number, state.into_unacked().collect());
                let ok = AMQPMethod::RollbackOk(tx::RollbackOk {});
                self.outbox
                    .write(|out, _| write::method(out, number, AMQPClass::Tx(ok)));
                Ok(Flow::Done)
            }
            AMQPMethod::SelectOk(_) | AMQPMethod::CommitOk(_) | AMQPMethod::RollbackOk(_) => {
                Err(not_for_servers())
            }
        }
    }

    fn take_transaction(&mut self, number: u16) -> Result<TxState, Refusal> {
        let channel = self.channels.get_mut(&number);
        if let Some(channel) = &channel {
            channel.facts.uncommitted_messages.set(0);
            channel.facts.uncommitted_acks.set(0);
        }
        match channel.map(|channel| &mut channel.mode) {
            Some(Mode::Tx(state)) => Ok(std::mem::take(state)),
            Some(Mode::Plain | Mode::Confirm(_)) | None => {
                Err(Refusal::precondition("channel is not transactional"))
            }
        }
    }

    fn commit(
        &mut self,
        number: u16,
        state: TxState,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let vhost = self.vhost()?;
        let mut transaction = Transaction::default();
        for mut publish in state.publishes {
            let message = &publish.message;
            if message.exchange().is_empty() {
                // Names of queues, of which some may have come since it was published.
                publish.route = publish.route.renewed(&vhost, message.routing_key());
            }
            if message.exchange().is_empty() && is_reply_name(message.routing_key()) {
                let rewritten = publish.route.rewritten(&message.view());
                let message = rewritten.as_ref().map_or(message.view(), Message::view);
                self.broker.reply(message, effects);
            }
            let routed = transaction.add(&vhost, &publish.route, message, effects);
            if !routed && publish.mandatory {
                self.return_unroutable(number, &publish.message.view());
            }
        }
        for (settlement, unacked) in state.settled {
            match settlement {
                Settlement::Requeue => {
                    self.requeue(unacked, Back::Returned, effects);
                    self.resume_if_limited(number, effects);
                }
                Settlement::Discard => self.settle(number, unacked, Settle::Rejected, effects),
                Settlement::Ack => {
                    let stored = unacked.iter().filter(|unacked| match unacked.place {
                        Place::Store(_) => true,
                        Place::Memory(_) | Place::Stream => false,
                    });
                    let rows = stored.map(|unacked| (unacked.queue, unacked.seq));
                    transaction.settles.extend(rows);
                    self.settle(number, unacked, Settle::Committed, effects);
                }
            }
        }
        if transaction.rejected {
            // The rest has happened all the same, as in RabbitMQ.
            transaction.commit(self.broker.store(), true, |_| {});
            return Err(Refusal::precondition("partial tx completion"));
        }
        let (committed, done) = oneshot::channel();
        transaction.commit(self.broker.store(), true, move |_| {
            // Nobody waits any more when the connection is gone.
            let _ = committed.send(());
        });
        let method = AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {}));
        Ok(Flow::Wait(Box::new(Wait::Saved {
            done,
            then: Then::Reply {
                channel: number,
                method,
            },
        })))
    }
}
