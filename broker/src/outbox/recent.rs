//! The messages that were delivered last, kept a little longer than the store needs them: what comes
//! back soon is handed out again at once and need not be read from disk first. Not the bookkeeping of
//! what is unacknowledged (see `unacked`): nothing depends on a message being here.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Message;

/// Of one connection, as messages count in memory.
const RECENT_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Recent {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl Recent {
    pub fn keep(&mut self, message: Option<Arc<Message>>) {
        let Some(message) = message else { return };
        let size = message.size();
        if size > RECENT_BYTES {
            return;
        }
        self.bytes += size;
        self.messages.push_back(message);
        while self.bytes > RECENT_BYTES {
            let Some(oldest) = self.messages.pop_front() else {
                return;
            };
            self.bytes -= oldest.size();
        }
    }

    pub fn clear(&mut self) {
        *self = Recent::default();
    }
}
