//! How errors reach the client, and what the end of a connection leaves behind.

use std::sync::Arc;

use super::channel::Channel;
use super::{Parting, Phase, Session};
use crate::amqp::reply::ReplyCode;
use crate::amqp::{AMQPClass, channel, connection, short_string, write};
use crate::error::{Refusal, Scope};
use crate::queue::{Effects, Queue};

impl Session {
    /// Closes the connection for a reason.
    pub(super) fn fail(&mut self, refusal: &Refusal, ids: (u16, u16), effects: &mut Effects) {
        match &self.phase {
            Phase::Closing | Phase::Ended(_) => return,
            Phase::Header
            | Phase::StartOk
            | Phase::Refused
            | Phase::TuneOk(_)
            | Phase::Open(_)
            | Phase::Running(_) => {}
        }
        tracing::info!(
            peer = %self.peer, code = refusal.code.code(), text = %refusal.text, "closing connection"
        );
        self.release_everything(effects);
        let (class_id, method_id) = ids;
        self.outbox.write(|out, _| {
            let close = connection::AMQPMethod::Close(connection::Close {
                reply_code: refusal.code.code(),
                reply_text: short_string(&refusal.code.text(&refusal.text)),
                class_id,
                method_id,
            });
            write::method(out, 0, AMQPClass::Connection(close));
        });
        self.phase = Phase::Closing;
    }

    /// Closes the channel, or the connection, as the refusal says.
    pub(super) fn fail_on(
        &mut self,
        number: u16,
        refusal: &Refusal,
        ids: (u16, u16),
        effects: &mut Effects,
    ) {
        match refusal.scope {
            Scope::Connection => self.fail(refusal, ids, effects),
            Scope::Channel => {
                tracing::info!(
                    peer = %self.peer, channel = number, code = refusal.code.code(),
                    text = %refusal.text, "closing channel"
                );
                self.shut_channel(number, effects);
                let (class_id, method_id) = ids;
                self.outbox.write(|out, _| {
                    let close = channel::AMQPMethod::Close(channel::Close {
                        reply_code: refusal.code.code(),
                        reply_text: short_string(&refusal.code.text(&refusal.text)),
                        class_id,
                        method_id,
                    });
                    write::method(out, number, AMQPClass::Channel(close));
                });
            }
        }
    }

    /// The broker stops: 320.
    pub fn force_close(&mut self, effects: &mut Effects) {
        let text = "broker forced connection closure with reason 'shutdown'";
        self.dismiss(text, effects);
    }

    /// What the connection belongs to is gone, or somebody has closed it: 320.
    pub fn dismiss(&mut self, reason: &str, effects: &mut Effects) {
        let refusal = Refusal::connection(ReplyCode::ConnectionForced, reason);
        self.fail(&refusal, (0, 0), effects);
    }

    /// The store has failed: nothing can be promised any more.
    pub fn disk_failed(&mut self, effects: &mut Effects) {
        let text = "the broker's disk has failed";
        self.fail(
            &Refusal::connection(ReplyCode::InternalError, text),
            (0, 0),
            effects,
        );
    }

    pub(super) fn closed_by_client(&mut self, close: &connection::Close) {
        tracing::debug!(peer = %self.peer, code = close.reply_code, "client closes the connection");
        let mut effects = Effects::default();
        self.release_everything(&mut effects);
        effects.apply();
        self.outbox.write(|out, _| {
            let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
            write::method(out, 0, AMQPClass::Connection(ok));
        });
        self.phase = Phase::Ended(Parting::Unread);
    }

    /// The socket is gone, however that came about.
    pub fn end(&mut self, effects: &mut Effects) {
        self.release_everything(effects);
        let mut unsent = self.outbox.close();
        unsent.sort_by_key(|unsent| unsent.queue);
        while let Some(last) = unsent.last() {
            let id = last.queue;
            let start = unsent.partition_point(|unsent| unsent.queue < id);
            let group = unsent.split_off(start);
            if let Some(queue) = self.queues.get(&id) {
                queue.unsent(group, effects);
            }
        }
        self.phase = Phase::Ended(Parting::Unread);
    }

    fn release_everything(&mut self, effects: &mut Effects) {
        let channels: Vec<(u16, Channel)> = self.channels.drain().collect();
        self.release_channels(channels, effects);
        for queue in std::mem::take(&mut self.exclusive) {
            self.drop_queue(&queue, false);
        }
    }

    /// Deletes a queue whose time has come, without anybody having asked.
    pub(super) fn drop_queue(&mut self, queue: &Arc<Queue>, if_unused: bool) {
        let Phase::Running(running) = &self.phase else {
            return;
        };
        if queue.is_deleted() {
            return;
        }
        match running.vhost.delete_queue(queue, if_unused, false) {
            // The row is removed in order with all other changes; nobody waits for it.
            Ok((deleted, _saved)) => super::queue::tell_consumers(deleted.consumers),
            Err(refusal) => tracing::debug!(queue = %queue.name, ?refusal, "queue was not deleted"),
        }
    }
}
