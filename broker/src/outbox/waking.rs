//! Telling the connection that owns an outbox that there is something in it. Not what (see
//! `outbox.rs`), and not who rests meanwhile (see `outbox/resting.rs`).

use std::task::{Context, Poll, Waker};

use super::{Outbox, State};

/// What the owner knows of what was put in since it last took it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum News {
    #[default]
    None,
    /// Somebody has put something in, goes on doing so, and tells the owner when done. An owner who
    /// took every bit of it in between would write often, and each would wait for the other's lock.
    Coming,
    Told,
}

/// The owner's task, when it sleeps or may be about to.
#[derive(Default)]
pub(super) struct Wake {
    pub news: News,
    pub waker: Option<Waker>,
}

impl Outbox {
    /// Ready when another thread has put something in since the last `take`, and is done with it.
    pub fn poll_woken(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        // Also when ready: the owner may have to let the socket go first, and can be poked again.
        match &mut state.wake.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => state.wake.waker = Some(context.waker().clone()),
        }
        if state.wake.news == News::Told || state.closed {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Makes the owner look around, though nothing was put in.
    pub fn poke(&self) {
        self.tell(|_| News::Told);
    }

    /// Wakes the connection that owns this outbox, as whoever was told to must.
    pub fn wake(&self) {
        self.tell(|news| match news {
            News::Coming | News::Told => News::Told,
            // It has looked meanwhile, for another reason.
            News::None => News::None,
        });
    }

    fn tell(&self, news: impl FnOnce(News) -> News) {
        let mut state = self.state.lock();
        state.wake.news = news(state.wake.news);
        let waker = state.wake.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// Something was put in by somebody else, who must wake the owner soon if this is true.
    #[must_use]
    pub(super) fn needs_wake(&mut self) -> bool {
        match self.wake.news {
            News::None => {
                self.wake.news = News::Coming;
                true
            }
            News::Coming | News::Told => false,
        }
    }

    /// Something was put in by the owner, who looks after it before it sleeps.
    pub(super) fn is_owners(&mut self) {
        self.wake.news = News::Told;
    }
}
