//! Consumers of a quorum queue that keep a message too long: it goes back, and they are cancelled,
//! as in RabbitMQ since 4.3. Classic queues and streams wait for ever.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::state::QueueState;
use super::{Back, Consumer, Effects, Queue, Returned};
use crate::clock::Millis;
use crate::names::Seq;
use crate::outbox::ConsumerKey;

/// What one consumer holds, in the order in which it got it. Only kept where somebody looks.
#[derive(Default)]
pub(super) struct Holding {
    since: HashMap<Seq, Millis>,
    /// By time. May name what is settled, but never first, and not more often than what is held.
    order: VecDeque<(Seq, Millis)>,
}

/// So few settled ones are not worth a look.
const FEW_SETTLED: usize = 64;

impl Holding {
    pub fn got(&mut self, seq: Seq, now: Millis) {
        self.since.insert(seq, now);
        self.order.push_back((seq, now));
    }

    pub fn settled(&mut self, seq: Seq) {
        self.since.remove(&seq);
        let Holding { since, order } = self;
        let is_held = |entry: &(Seq, Millis)| since.get(&entry.0) == Some(&entry.1);
        while order.front().is_some_and(|first| !is_held(first)) {
            order.pop_front();
        }
        if order.len() > 2 * since.len() + FEW_SETTLED {
            order.retain(is_held);
        }
    }

    pub fn since(&self) -> Option<Millis> {
        self.order.front().map(|(_, since)| *since)
    }

    /// Held since this time or longer.
    pub fn take_older(&mut self, than: Millis) -> Vec<Seq> {
        let count = self.order.partition_point(|(_, since)| *since <= than);
        let older = self.order.drain(..count);
        older
            .filter(|(seq, since)| self.since.get(seq) == Some(since))
            .map(|(seq, _)| seq)
            .collect()
    }
}

impl Consumer {
    fn patience(&self, state_timeout: Option<Millis>) -> Option<Millis> {
        self.timeout.or(state_timeout)
    }
}

impl Queue {
    #[inline]
    pub(super) fn timed(&self, state: &QueueState) -> Option<Millis> {
        state.counts_returns.then(|| self.home.clock.now())
    }

    /// Asks to be called when the first message will have been held too long.
    #[inline]
    pub(super) fn watch_for_timeouts(&self, state: &mut QueueState) {
        if state.counts_returns {
            self.watch_for_first_timeout(state);
        }
    }

    fn watch_for_first_timeout(&self, state: &mut QueueState) {
        let timeout = state.options.consumer_timeout;
        let due = state.consumers.members().filter_map(|member| {
            let since = member.holding.since()?;
            Some(since.saturating_add(member.consumer.patience(timeout)?))
        });
        if let Some(first) = due.min() {
            self.call_at(state, first);
        }
    }

    /// Takes back what was held too long, and ends the consumers that held it.
    pub(super) fn time_out(&self, state: &mut QueueState, now: Millis, effects: &mut Effects) {
        if !state.counts_returns {
            return;
        }
        let timeout = state.options.consumer_timeout;
        let late: Vec<(ConsumerKey, Vec<Seq>)> = state
            .consumers
            .members_mut()
            .filter_map(|member| {
                let patience = member.consumer.patience(timeout)?;
                let seqs = member.holding.take_older(now.checked_sub(patience)?);
                (!seqs.is_empty()).then_some((member.key, seqs))
            })
            .collect();
        for (key, seqs) in late {
            let Some(consumer) = state.consumers.remove(key) else {
                continue;
            };
            let outbox = &consumer.outbox;
            let unacked = outbox.take_back(consumer.channel, consumer.incarnation, self.id, &seqs);
            tracing::warn!(
                queue = %self.name, consumer = %consumer.tag, messages = unacked.len(),
                "a consumer took too long and is cancelled"
            );
            let unacked = unacked.into_iter().map(Returned::from).collect();
            self.give_back(state, unacked, Back::Failed, effects);
            effects.cancelled.push(consumer);
        }
        self.watch_for_timeouts(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_longest_is_taken_first_and_what_is_settled_never() {
        let mut holding = Holding::default();
        for (seq, now) in [(1, 10), (2, 20), (3, 30)] {
            holding.got(seq, now);
        }
        holding.settled(1);
        assert_eq!(holding.since(), Some(20));
        assert!(holding.take_older(19).is_empty());
        assert_eq!(holding.take_older(20), [2]);
        assert_eq!(holding.since(), Some(30));
    }

    #[test]
    fn what_is_settled_behind_a_message_that_is_kept_takes_no_room() {
        let mut holding = Holding::default();
        holding.got(1, 10);
        for seq in 2..10_000 {
            holding.got(seq, 20);
            holding.settled(seq);
        }
        assert!(holding.order.len() < 2 * FEW_SETTLED);
        assert_eq!(holding.take_older(30), [1]);
    }
}
