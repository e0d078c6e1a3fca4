//! The consumers of one queue and whose turn it is. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::outbox::{ConsumerKey, Outbox};

#[derive(Clone)]
pub struct Consumer {
    pub tag: Arc<str>,
    pub channel: u16,
    pub outbox: Arc<Outbox>,
    pub no_ack: bool,
    pub exclusive: bool,
    /// 0 is unlimited.
    pub prefetch: u32,
    /// Wants to be told when the queue goes away (capability consumer_cancel_notify).
    pub cancel_notify: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeRefusal {
    /// The queue is in exclusive use, or exclusive use was asked for and somebody consumes already.
    ExclusiveUse,
    Deleted,
}

#[derive(Default)]
pub(super) struct Consumers {
    slots: Vec<Option<Member>>,
    free: Vec<u32>,
    /// Who is served next. A consumer that cannot take more leaves the ring until it can.
    ring: VecDeque<u32>,
    last_serial: u64,
    count: u32,
    exclusive: bool,
}

pub(super) struct Member {
    pub consumer: Consumer,
    pub key: ConsumerKey,
    unacked: u32,
    in_ring: bool,
}

impl Member {
    pub fn has_credit(&self) -> bool {
        self.consumer.no_ack || self.consumer.prefetch == 0 || self.unacked < self.consumer.prefetch
    }

    pub fn delivered(&mut self) {
        if !self.consumer.no_ack {
            self.unacked += 1;
        }
    }
}

impl Consumers {
    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn add(&mut self, consumer: Consumer) -> Result<ConsumerKey, ConsumeRefusal> {
        if self.exclusive || (consumer.exclusive && self.count > 0) {
            return Err(ConsumeRefusal::ExclusiveUse);
        }
        self.exclusive = consumer.exclusive;
        self.last_serial += 1;
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let key = ConsumerKey {
            slot,
            serial: self.last_serial,
        };
        let member = Some(Member {
            consumer,
            key,
            unacked: 0,
            in_ring: true,
        });
        match self.slots.get_mut(slot as usize) {
            Some(empty) => *empty = member,
            None => self.slots.push(member),
        }
        self.ring.push_back(slot);
        self.count += 1;
        Ok(key)
    }

    pub fn remove(&mut self, key: ConsumerKey) -> Option<Consumer> {
        self.get_mut(key)?;
        let member = self.slots.get_mut(key.slot as usize)?.take()?;
        self.free.push(key.slot);
        self.ring.retain(|slot| *slot != key.slot);
        self.count -= 1;
        self.exclusive = false;
        Some(member.consumer)
    }

    pub fn take_all(&mut self) -> Vec<Consumer> {
        let all = std::mem::take(&mut self.slots);
        *self = Consumers {
            last_serial: self.last_serial,
            ..Consumers::default()
        };
        all.into_iter()
            .flatten()
            .map(|member| member.consumer)
            .collect()
    }

    fn get_mut(&mut self, key: ConsumerKey) -> Option<&mut Member> {
        let member = self.slots.get_mut(key.slot as usize)?.as_mut()?;
        (member.key == key).then_some(member)
    }

    /// Whose turn it is, if anybody can take a message.
    pub fn front(&mut self) -> Option<&mut Member> {
        let slot = *self.ring.front()?;
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The one in front has been served: the next one's turn.
    pub fn served(&mut self) {
        let Some(slot) = self.ring.pop_front() else {
            return;
        };
        let Some(member) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        member.in_ring = member.has_credit();
        if member.in_ring {
            self.ring.push_back(slot);
        }
    }

    /// The one in front cannot take more for now; `resume` brings it back.
    pub fn park(&mut self) {
        let Some(slot) = self.ring.pop_front() else {
            return;
        };
        if let Some(member) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) {
            member.in_ring = false;
        }
    }

    /// An acknowledgement of this consumer came in.
    pub fn acked(&mut self, key: ConsumerKey) {
        if let Some(member) = self.get_mut(key) {
            member.unacked = member.unacked.saturating_sub(1);
        }
        self.resume(key);
    }

    /// Something that kept the consumer from taking more is gone.
    pub fn resume(&mut self, key: ConsumerKey) {
        let Some(member) = self.get_mut(key) else {
            return;
        };
        if !member.in_ring && member.has_credit() {
            member.in_ring = true;
            self.ring.push_back(key.slot);
        }
    }
}
