//! The consumers of one queue and whose turn it is. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::timeout::Holding;
use super::{ListedConsumer, Reading};
use crate::clock::Millis;
use crate::names::Seq;
use crate::outbox::{ConsumerKey, Outbox};

#[derive(Clone)]
pub struct Consumer {
    pub tag: Arc<str>,
    pub channel: u16,
    /// Tells the channel from a later one with the same number.
    pub incarnation: u64,
    pub outbox: Arc<Outbox>,
    pub no_ack: bool,
    pub exclusive: bool,
    /// 0 is unlimited.
    pub prefetch: u32,
    /// Wants to be told when the queue goes away (capability consumer_cancel_notify).
    pub cancel_notify: bool,
    /// Consumers of a higher one are served first while they can take messages.
    pub priority: i64,
    /// It may hold a message this long; None is as the queue says.
    pub timeout: Option<Millis>,
    /// Of a stream.
    pub reading: Reading,
    /// As it came: encoded AMQP field table without the length in front. For listing.
    pub arguments: Arc<[u8]>,
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
    /// Who is served next, the highest priority first. A consumer that turns out to have no credit
    /// when its turn comes leaves its ring until it has, as in RabbitMQ.
    rings: Vec<Ring>,
    turns: Turns,
    last_serial: u64,
    parks: u64,
    count: u32,
    exclusive: bool,
}

struct Ring {
    priority: i64,
    slots: VecDeque<u32>,
}

/// Who is served at all.
#[derive(Default)]
enum Turns {
    #[default]
    Everybody,
    /// Only the first of these, in the order in which they came (x-single-active-consumer).
    First(VecDeque<u32>),
}

pub(super) struct Member {
    pub consumer: Consumer,
    pub key: ConsumerKey,
    pub holding: Holding,
    unacked: u32,
    in_ring: bool,
    /// When it was parked last, among all that ever were.
    parked: u64,
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
    pub fn new(single_active: bool) -> Consumers {
        let turns = match single_active {
            true => Turns::First(VecDeque::new()),
            false => Turns::Everybody,
        };
        Consumers {
            turns,
            ..Consumers::default()
        }
    }

    pub fn len(&self) -> u32 {
        self.count
    }

    pub fn add(&mut self, consumer: Consumer) -> Result<ConsumerKey, ConsumeRefusal> {
        let single_active = matches!(self.turns, Turns::First(_));
        if self.exclusive || (consumer.exclusive && (self.count > 0 || single_active)) {
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
            holding: Holding::default(),
            unacked: 0,
            in_ring: false,
            parked: 0,
        });
        match self.slots.get_mut(slot as usize) {
            Some(empty) => *empty = member,
            None => self.slots.push(member),
        }
        if let Turns::First(order) = &mut self.turns {
            order.push_back(slot);
        }
        self.count += 1;
        self.resume(key);
        Ok(key)
    }

    pub fn remove(&mut self, key: ConsumerKey) -> Option<Consumer> {
        self.get_mut(key)?;
        let member = self.slots.get_mut(key.slot as usize)?.take()?;
        self.free.push(key.slot);
        for ring in &mut self.rings {
            ring.slots.retain(|slot| *slot != key.slot);
        }
        self.rings.retain(|ring| !ring.slots.is_empty());
        self.count -= 1;
        self.exclusive = false;
        if let Some(next) = self.successor(key.slot) {
            self.resume(next);
        }
        Some(member.consumer)
    }

    /// Who is active after this one has gone: while another is, that one stays; else the first that
    /// came, of those with the highest priority.
    fn successor(&mut self, gone: u32) -> Option<ConsumerKey> {
        let Turns::First(order) = &mut self.turns else {
            return None;
        };
        let was_active = order.front() == Some(&gone);
        order.retain(|slot| *slot != gone);
        let slots = &self.slots;
        let member = |slot: &u32| slots.get(*slot as usize).and_then(Option::as_ref);
        if was_active {
            let priority = |slot: &u32| member(slot).map(|member| member.consumer.priority);
            let highest = order.iter().filter_map(priority).max();
            let next = order.iter().position(|slot| priority(slot) == highest);
            if let Some(next) = next.and_then(|index| order.remove(index)) {
                order.push_front(next);
            }
        }
        order.front().and_then(member).map(|member| member.key)
    }

    pub fn take_all(&mut self) -> Vec<Consumer> {
        let all = std::mem::take(&mut self.slots);
        *self = Consumers {
            last_serial: self.last_serial,
            ..Consumers::new(matches!(self.turns, Turns::First(_)))
        };
        all.into_iter()
            .flatten()
            .map(|member| member.consumer)
            .collect()
    }

    pub fn listed(&self) -> Vec<ListedConsumer> {
        let is_active = |member: &Member| match &self.turns {
            Turns::Everybody => true,
            Turns::First(order) => order.front() == Some(&member.key.slot),
        };
        let members = self.members();
        let listed = members.map(|member| ListedConsumer {
            consumer: member.consumer.clone(),
            active: is_active(member),
        });
        listed.collect()
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().flatten()
    }

    pub fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.slots.iter_mut().flatten()
    }

    pub fn knows(&self, key: ConsumerKey) -> bool {
        let slot = self.slots.get(key.slot as usize);
        slot.and_then(Option::as_ref)
            .is_some_and(|member| member.key == key)
    }

    /// It holds this message no longer.
    pub fn settled(&mut self, key: ConsumerKey, seq: Seq) {
        if let Some(member) = self.get_mut(key) {
            member.holding.settled(seq);
        }
    }

    fn get_mut(&mut self, key: ConsumerKey) -> Option<&mut Member> {
        let member = self.slots.get_mut(key.slot as usize)?.as_mut()?;
        (member.key == key).then_some(member)
    }

    /// How many messages those who have a turn can take as far as their own prefetch goes.
    pub fn room(&self) -> u64 {
        let taking = self.members().filter(|member| member.in_ring);
        let rooms = taking.map(|member| match member.consumer {
            Consumer { no_ack: true, .. } | Consumer { prefetch: 0, .. } => u64::MAX,
            Consumer { prefetch, .. } => u64::from(prefetch.saturating_sub(member.unacked)),
        });
        rooms.fold(0, u64::saturating_add)
    }

    /// Whose turn it is, if anybody can take a message.
    pub fn front(&mut self) -> Option<&mut Member> {
        loop {
            let slot = *self.foremost()?.front()?;
            let member = self.slots.get(slot as usize)?.as_ref()?;
            if member.has_credit() {
                return self.slots.get_mut(slot as usize)?.as_mut();
            }
            self.park();
        }
    }

    fn foremost(&mut self) -> Option<&mut VecDeque<u32>> {
        let mut rings = self.rings.iter_mut();
        let ring = rings.find(|ring| !ring.slots.is_empty())?;
        Some(&mut ring.slots)
    }

    fn enter(&mut self, slot: u32, priority: i64) {
        let index = self.rings.partition_point(|ring| ring.priority > priority);
        match self.rings.get_mut(index) {
            Some(ring) if ring.priority == priority => ring.slots.push_back(slot),
            Some(_) | None => {
                let slots = VecDeque::from([slot]);
                self.rings.insert(index, Ring { priority, slots });
            }
        }
    }

    /// The one in front has been served: the next one's turn.
    pub fn served(&mut self) {
        let mut rings = self.rings.iter_mut();
        let Some(ring) = rings.find(|ring| !ring.slots.is_empty()) else {
            return;
        };
        ring.slots.rotate_left(1);
    }

    /// The one in front cannot take more for now; `resume` brings it back.
    pub fn park(&mut self) {
        let Some(slot) = self.foremost().and_then(VecDeque::pop_front) else {
            return;
        };
        if let Some(member) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) {
            member.in_ring = false;
            self.parks += 1;
            member.parked = self.parks;
        }
    }

    /// An acknowledgement of this consumer came in.
    pub fn acked(&mut self, key: ConsumerKey) {
        let Some(member) = self.get_mut(key) else {
            return;
        };
        let was_full = !member.has_credit();
        member.unacked = member.unacked.saturating_sub(1);
        // Whom something else holds back (the channel, the socket) keeps the place it was parked in.
        if was_full {
            self.resume(key);
        }
    }

    /// What kept all of these from taking more is gone: they come back as they were parked.
    pub fn resume_all(&mut self, keys: &[ConsumerKey]) {
        let mut keys: SmallVec<[ConsumerKey; 8]> = SmallVec::from_slice(keys);
        keys.sort_by_cached_key(|key| self.get_mut(*key).map(|member| member.parked));
        for key in keys {
            self.resume(key);
        }
    }

    /// Something that kept the consumer from taking more is gone.
    pub fn resume(&mut self, key: ConsumerKey) {
        let its_turn = match &self.turns {
            Turns::Everybody => true,
            Turns::First(order) => order.front() == Some(&key.slot),
        };
        let Some(member) = self.get_mut(key) else {
            return;
        };
        if its_turn && !member.in_ring && member.has_credit() {
            member.in_ring = true;
            let priority = member.consumer.priority;
            self.enter(key.slot, priority);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(prefetch: u32) -> Consumer {
        Consumer {
            tag: Arc::from("c"),
            channel: 1,
            incarnation: 1,
            outbox: Arc::default(),
            no_ack: false,
            exclusive: false,
            prefetch,
            cancel_notify: false,
            priority: 0,
            timeout: None,
            reading: Reading::default(),
            arguments: Arc::default(),
        }
    }

    #[test]
    fn a_higher_priority_is_served_while_it_has_credit() {
        let mut consumers = Consumers::default();
        let low = consumers.add(consumer(0)).expect("not refused");
        let high = Consumer {
            priority: 5,
            ..consumer(1)
        };
        let high = consumers.add(high).expect("not refused");
        assert_eq!(serve(&mut consumers), Some(high));
        assert_eq!(serve(&mut consumers), Some(low));
        assert_eq!(serve(&mut consumers), Some(low));
        consumers.acked(high);
        assert_eq!(serve(&mut consumers), Some(high));
        consumers.remove(high);
        assert_eq!(serve(&mut consumers), Some(low));
    }

    #[test]
    fn a_single_active_consumer_is_followed_by_the_next_that_came() {
        let mut consumers = Consumers::new(true);
        let keys = [1, 0, 0].map(|prefetch| consumers.add(consumer(prefetch)).expect("taken"));
        assert_eq!(
            consumers.add(exclusive()),
            Err(ConsumeRefusal::ExclusiveUse)
        );
        assert_eq!(serve(&mut consumers), Some(keys[0]));
        assert_eq!(serve(&mut consumers), None);
        consumers.resume(keys[1]);
        assert_eq!(serve(&mut consumers), None);
        consumers.remove(keys[0]);
        assert_eq!(serve(&mut consumers), Some(keys[1]));
        consumers.remove(keys[2]);
        assert_eq!(serve(&mut consumers), Some(keys[1]));
    }

    #[test]
    fn a_single_active_consumer_is_followed_by_the_one_with_the_highest_priority() {
        let mut consumers = Consumers::new(true);
        let keys = [0, 0, 7, 7].map(|priority| {
            let consumer = Consumer {
                priority,
                ..consumer(0)
            };
            consumers.add(consumer).expect("taken")
        });
        assert_eq!(serve(&mut consumers), Some(keys[0]));
        consumers.remove(keys[1]);
        assert_eq!(serve(&mut consumers), Some(keys[0]));
        consumers.remove(keys[0]);
        assert_eq!(serve(&mut consumers), Some(keys[2]));
    }

    fn exclusive() -> Consumer {
        Consumer {
            exclusive: true,
            ..consumer(0)
        }
    }

    /// Hands one message to whose turn it is.
    fn serve(consumers: &mut Consumers) -> Option<ConsumerKey> {
        let member = consumers.front()?;
        member.delivered();
        let key = member.key;
        consumers.served();
        Some(key)
    }

    #[test]
    fn consumers_are_served_in_turn() {
        let mut consumers = Consumers::default();
        let keys =
            [0, 0, 0].map(|prefetch| consumers.add(consumer(prefetch)).expect("not refused"));
        let served: Vec<_> = (0..6)
            .map(|_| serve(&mut consumers).expect("somebody has credit"))
            .collect();
        assert_eq!(served, [keys, keys].concat());
    }

    #[test]
    fn a_consumer_gets_its_prefetch_and_one_more_for_each_acknowledgement() {
        let mut consumers = Consumers::default();
        let key = consumers.add(consumer(2)).expect("not refused");
        assert_eq!(serve(&mut consumers), Some(key));
        assert_eq!(serve(&mut consumers), Some(key));
        assert_eq!(serve(&mut consumers), None);
        // A socket with room gives no credit.
        consumers.resume(key);
        assert_eq!(serve(&mut consumers), None);
        consumers.acked(key);
        assert_eq!(serve(&mut consumers), Some(key));
        assert_eq!(serve(&mut consumers), None);
    }

    #[test]
    fn room_is_what_those_with_a_turn_can_take() {
        let mut consumers = Consumers::default();
        let first = consumers.add(consumer(2)).expect("not refused");
        assert_eq!(consumers.room(), 2);
        assert_eq!(serve(&mut consumers), Some(first));
        assert_eq!(consumers.room(), 1);
        consumers.park();
        assert_eq!(consumers.room(), 0);
        consumers.add(consumer(0)).expect("not refused");
        assert_eq!(consumers.room(), u64::MAX);
    }

    #[test]
    fn a_parked_consumer_leaves_the_turn_to_others_until_it_is_resumed() {
        let mut consumers = Consumers::default();
        let first = consumers.add(consumer(0)).expect("not refused");
        let second = consumers.add(consumer(0)).expect("not refused");
        consumers.park();
        assert_eq!(serve(&mut consumers), Some(second));
        assert_eq!(serve(&mut consumers), Some(second));
        consumers.resume(first);
        consumers.resume(first);
        assert_eq!(serve(&mut consumers), Some(second));
        assert_eq!(serve(&mut consumers), Some(first));
        assert_eq!(serve(&mut consumers), Some(second));
    }

    #[test]
    fn parked_consumers_come_back_in_the_order_in_which_they_were_parked() {
        let mut consumers = Consumers::default();
        let keys = [0, 0, 0].map(|prefetch| consumers.add(consumer(prefetch)).expect("taken"));
        assert_eq!(serve(&mut consumers), Some(keys[0]));
        for _ in &keys {
            consumers.park();
        }
        consumers.resume_all(&keys);
        let served = [(); 3].map(|()| serve(&mut consumers));
        assert_eq!(served, [keys[1], keys[2], keys[0]].map(Some));
    }

    #[test]
    fn who_is_held_back_by_something_else_keeps_its_place_when_it_acknowledges() {
        let mut consumers = Consumers::default();
        let keys = [0, 0].map(|prefetch| consumers.add(consumer(prefetch)).expect("taken"));
        let served = [(); 2].map(|()| serve(&mut consumers));
        assert_eq!(served, keys.map(Some));
        consumers.park();
        consumers.park();
        consumers.acked(keys[1]);
        assert_eq!(serve(&mut consumers), None);
        consumers.resume_all(&keys);
        let served = [(); 2].map(|()| serve(&mut consumers));
        assert_eq!(served, keys.map(Some));
    }

    #[test]
    fn an_acknowledgement_for_a_cancelled_consumer_gives_no_credit_to_its_successor() {
        let mut consumers = Consumers::default();
        let old = consumers.add(consumer(1)).expect("not refused");
        serve(&mut consumers);
        assert!(consumers.remove(old).is_some());
        let new = consumers.add(consumer(1)).expect("not refused");
        assert_eq!((new.slot, consumers.len()), (old.slot, 1));
        assert_eq!(serve(&mut consumers), Some(new));
        consumers.acked(old);
        assert_eq!(serve(&mut consumers), None);
        assert!(consumers.remove(old).is_none());
        assert_eq!(consumers.len(), 1);
    }

    #[test]
    fn a_consumer_cancelled_in_its_turn_does_not_stop_the_others() {
        let mut consumers = Consumers::default();
        let first = consumers.add(consumer(0)).expect("not refused");
        let second = consumers.add(consumer(0)).expect("not refused");
        consumers.remove(first);
        assert_eq!(serve(&mut consumers), Some(second));
    }

    #[test]
    fn exclusive_use_is_refused_where_somebody_consumes_and_ends_with_its_consumer() {
        let mut consumers = Consumers::default();
        let key = consumers.add(consumer(0)).expect("not refused");
        let refused = Err(ConsumeRefusal::ExclusiveUse);
        assert_eq!(consumers.add(exclusive()), refused);
        consumers.remove(key);
        let key = consumers.add(exclusive()).expect("not refused");
        assert_eq!(consumers.add(consumer(0)), refused);
        consumers.remove(key);
        assert!(consumers.add(consumer(0)).is_ok());
    }
}
