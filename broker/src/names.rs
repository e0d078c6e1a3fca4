//! Small identifying types that several floors share. Not the objects they name.

/// A queue's number in the store. Never reused, not even after the queue is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// A message's place in one queue. Grows with every publish, never reused across restarts.
pub type Seq = u64;

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
