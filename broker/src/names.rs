//! Small identifying types that several floors share. Not the objects they name.

/// A queue's number in the store. Never reused, not even after the queue is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// A message's place in one queue. Grows with every publish, never reused across restarts.
/// Its highest octet is the message's priority: each priority is an order of its own, and the store
/// keeps it in a stretch of its own.
pub type Seq = u64;

const LANE_SHIFT: u32 = 56;

/// The number that `count` has among messages of this priority.
pub fn in_lane(priority: u8, count: u64) -> Seq {
    (u64::from(priority) << LANE_SHIFT) | (count & LANE_MASK)
}

pub fn lane_of(seq: Seq) -> u8 {
    (seq >> LANE_SHIFT) as u8
}

/// The highest number that stands in the same order.
pub fn lane_end(seq: Seq) -> Seq {
    seq | LANE_MASK
}

/// What is left of a number without its priority.
pub fn count_of(seq: Seq) -> u64 {
    seq & LANE_MASK
}

const LANE_MASK: u64 = (1 << LANE_SHIFT) - 1;

/// A binding's place in its source exchange: what a plugin answers with. Dense, reused after unbind.
pub type Slot = u32;

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    Queue(String),
    Exchange(String),
}

/// A client connection of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);
