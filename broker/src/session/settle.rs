//! Acknowledgements from the client: ack, nack, reject.

use std::sync::Arc;

use super::Session;
use super::channel::Mode;
use super::consumer_arguments::not_supported;
use super::tx::Settlement;
use crate::error::Refusal;
use crate::outbox::{Place, Unacked};
use crate::queue::{Back, Effects, Queue, Settle};

impl Session {
    pub(super) fn ack(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let acked = self.unacked(number, tag, multiple)?;
        self.count_acks(number, acked.len());
        if let Some(acked) = self.in_transaction(number, acked, Settlement::Ack) {
            self.settle(number, acked, Settle::Acked, effects);
        }
        Ok(())
    }

    pub(super) fn nack(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        requeue: bool,
        back: Back,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let nacked = self.unacked(number, tag, multiple)?;
        let nacked = self.none_of_streams(number, nacked, "basic.nack and basic.reject")?;
        let settlement = if requeue {
            Settlement::Requeue
        } else {
            Settlement::Discard
        };
        let Some(nacked) = self.in_transaction(number, nacked, settlement) else {
            return Ok(());
        };
        if requeue {
            // What comes back is the next to go out, so here its queue is the first.
            self.requeue(nacked, back, effects);
            self.resume_if_limited(number, effects);
        } else {
            self.settle(number, nacked, Settle::Rejected, effects);
        }
        Ok(())
    }

    fn unacked(&self, number: u16, tag: u64, multiple: bool) -> Result<Vec<Unacked>, Refusal> {
        let unknown = || Refusal::precondition(format!("unknown delivery tag {tag}"));
        self.outbox
            .take_unacked(number, tag, multiple)
            .ok_or_else(unknown)
    }

    /// What a stream has delivered can only be acknowledged.
    pub(super) fn none_of_streams(
        &self,
        number: u16,
        unacked: Vec<Unacked>,
        what: &str,
    ) -> Result<Vec<Unacked>, Refusal> {
        let of_stream = |unacked: &&Unacked| match unacked.place {
            Place::Stream => true,
            Place::Memory(_) | Place::Store(_) => false,
        };
        let queue = unacked.iter().find(of_stream).map(|one| one.queue);
        let Some(queue) = queue.and_then(|queue| self.queues.get(&queue)) else {
            return Ok(unacked);
        };
        // The connection ends over this, and gives the others back to their queues.
        self.outbox.put_back_unacked(number, unacked);
        Err(not_supported(what, &queue.name, &queue.vhost))
    }

    /// Keeps the settlement for the commit where the channel is transactional.
    fn in_transaction(
        &mut self,
        number: u16,
        unacked: Vec<Unacked>,
        settlement: Settlement,
    ) -> Option<Vec<Unacked>> {
        let channel = self.channels.get_mut(&number);
        match channel.map(|channel| (&mut channel.mode, &channel.facts)) {
            Some((Mode::Tx(tx), facts)) => {
                facts.uncommitted_acks.add(unacked.len() as u64);
                tx.settle(unacked, settlement);
                None
            }
            Some((Mode::Plain | Mode::Confirm(_), _)) | None => Some(unacked),
        }
    }

    pub(super) fn settle(
        &mut self,
        number: u16,
        mut settled: Vec<Unacked>,
        how: Settle,
        effects: &mut Effects,
    ) {
        self.has_rejected |= how == Settle::Rejected;
        let one_queue = settled
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.queue == b.queue));
        if !one_queue {
            settled.sort_by_key(|unacked| unacked.queue);
        }
        let groups = settled.chunk_by(|one, next| one.queue == next.queue);
        let queue_of = |group: &[Unacked]| self.queues.get(&group.first()?.queue);
        let groups = groups.filter_map(|group| Some((queue_of(group)?, group)));
        if !self.outbox.channel_is_limited(number) {
            groups.for_each(|(queue, group)| queue.settle(group, how, effects));
            return;
        }
        // The room on the channel is for all its queues in turn. Served at once, the one that these
        // messages came from would always be the first.
        let groups = groups.map(|(queue, group)| (Arc::clone(queue), group));
        let groups: Vec<(Arc<Queue>, &[Unacked])> = groups.collect();
        for (queue, group) in &groups {
            queue.settle_only(group, how, effects);
        }
        self.resume_channel(number, effects);
        for (queue, _) in groups {
            queue.deliver(&[], effects);
        }
    }

    /// The channel's own prefetch has room: its consumers take turns for it.
    pub(super) fn resume_if_limited(&mut self, number: u16, effects: &mut Effects) {
        if self.outbox.channel_is_limited(number) {
            self.resume_channel(number, effects);
        }
    }
}
