//! The newest messages of a stream, in memory for the consumers that keep up. Not all of them: what
//! is older is read back from the store.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Message;
use crate::names::Seq;

/// A consumer that is further behind than this reads from the store.
pub(super) const BYTES: usize = 2 * 1024 * 1024;

pub(super) const BYTES_UNDER_PRESSURE: usize = 64 * 1024;

pub(super) struct Tail {
    /// The number of the first.
    first: Seq,
    /// None: a move will bring it.
    messages: VecDeque<Option<Arc<Message>>>,
    bytes: usize,
}

impl Tail {
    pub fn new(first: Seq) -> Tail {
        Tail {
            first,
            messages: VecDeque::new(),
            bytes: 0,
        }
    }

    pub fn push(&mut self, message: Option<Arc<Message>>) {
        self.bytes += message.as_ref().map_or(0, |message| message.size());
        self.messages.push_back(message);
    }

    fn index(&self, seq: Seq) -> Option<usize> {
        seq.checked_sub(self.first)?.try_into().ok()
    }

    pub fn fill(&mut self, seq: Seq, message: Arc<Message>) {
        let place = self.index(seq).and_then(|at| self.messages.get_mut(at));
        if let Some(place) = place {
            self.bytes += message.size();
            *place = Some(message);
        }
    }

    pub fn get(&self, seq: Seq) -> Option<&Arc<Message>> {
        self.messages.get(self.index(seq)?)?.as_ref()
    }

    /// Keeps what is not written yet, which the store's mailbox holds anyway.
    pub fn trim(&mut self, bound: usize, written: Seq) {
        while self.bytes > bound && self.first < written {
            let Some(message) = self.messages.pop_front() else {
                return;
            };
            self.first += 1;
            self.bytes -= message.map_or(0, |message| message.size());
        }
    }
}
