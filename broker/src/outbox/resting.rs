//! Publishers that are faster than consumers rest for a moment: who does, and who tells them to go
//! on. Not how long (see `net/`), and not when a queue is crowded (see `queue/state.rs`).

use std::sync::Arc;

use super::{News, Outbox};

/// More publishers than this are not remembered; they go on by themselves a moment later.
const MOST_CROWDING: usize = 64;

impl Outbox {
    /// The owner reads nothing for a moment, or until [`Outbox::rested`].
    pub fn rest(&self) {
        self.state.lock().resting = true;
    }

    pub fn is_resting(&self) -> bool {
        self.state.lock().resting
    }

    /// The owner may read again.
    pub fn rested(&self) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.resting) {
            return;
        }
        let waker = state.wake.waker.take();
        if waker.is_none() {
            // It is just about to look, and must not go to sleep.
            state.wake.news = News::Told;
        }
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// `publisher`, which rests, goes on once what waits here was taken to the socket. False: that has
    /// just happened, and nobody will tell it.
    #[must_use]
    pub fn tell_when_taken(&self, publisher: &Arc<Outbox>) -> bool {
        let mut state = self.state.lock();
        let waits = !state.bytes.is_empty();
        if waits && state.crowding.len() < MOST_CROWDING {
            state.crowding.push(Arc::clone(publisher));
        }
        waits
    }
}
