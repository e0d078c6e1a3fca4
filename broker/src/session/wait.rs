//! What a connection waits for, and how it goes on. The waiting itself is done by `net/`.

use tokio::sync::oneshot;

use super::basic::PausedGet;
use super::publish::PausedPublish;
use super::{Flow, Next, Session};
use crate::amqp::reply::ReplyCode;
use crate::amqp::{AMQPClass, write};
use crate::error::Refusal;
use crate::queue::{Consumer, Effects};
use crate::vhost::exchange_type::{Answer, Fault};
use crate::vhost::{Saved, tell_consumers};

pub enum Wait {
    /// A change is on its way to the disk.
    Saved {
        done: oneshot::Receiver<()>,
        then: Then,
    },
    /// A slow plugin decides.
    Answer {
        answer: oneshot::Receiver<Result<Answer, Fault>>,
        publish: Box<PausedPublish>,
    },
    /// The message that basic.get asks for is being read.
    Loaded {
        done: oneshot::Receiver<()>,
        get: PausedGet,
    },
}

/// What comes after a change is on disk.
pub enum Then {
    Reply {
        channel: u16,
        method: AMQPClass,
    },
    /// First the one, then these hear that their queue is gone.
    Cancelled(Box<Then>, Vec<Consumer>),
    Nothing,
}

/// A wait that is over.
pub enum Resumed {
    Saved(Then),
    Answer(Result<Answer, Fault>, Box<PausedPublish>),
    Loaded(PausedGet),
    /// The store has failed; nothing can be promised any more.
    StoreFailed,
}

impl Session {
    pub fn resume(&mut self, resumed: Resumed, effects: &mut Effects) -> Next {
        let mut ids = (60, 70);
        let flow = match resumed {
            Resumed::Saved(then) => {
                self.then(then);
                Ok(Flow::Done)
            }
            Resumed::Answer(answer, publish) => {
                ids = (60, 40);
                self.publish_answered(answer, publish, effects)
            }
            Resumed::Loaded(get) => self.get_again(get, effects),
            Resumed::StoreFailed => {
                let text = "the broker's disk has failed";
                let refusal = Refusal::connection(ReplyCode::InternalError, text);
                self.fail(&refusal, (0, 0), effects);
                Ok(Flow::Done)
            }
        };
        match flow {
            Ok(Flow::Done) => Next::Read,
            Ok(Flow::Wait(wait)) => Next::Wait(*wait),
            Ok(Flow::Full) => Next::Full,
            Err((channel, refusal)) => {
                self.fail_on(channel, &refusal, ids, effects);
                Next::Read
            }
        }
    }

    fn then(&self, then: Then) {
        match then {
            Then::Reply { channel, method } => {
                self.outbox
                    .write(|out, _| write::method(out, channel, method));
            }
            Then::Cancelled(first, consumers) => {
                self.then(*first);
                tell_consumers(consumers);
            }
            Then::Nothing => {}
        }
    }

    /// Replies now, or once the change is on disk.
    pub(super) fn reply_saved(
        &mut self,
        channel: u16,
        saved: Saved,
        nowait: bool,
        method: AMQPClass,
    ) -> Flow {
        match (saved, nowait) {
            (Saved::Nothing, true) => Flow::Done,
            (Saved::Nothing, false) => {
                self.outbox
                    .write(|out, _| write::method(out, channel, method));
                Flow::Done
            }
            (Saved::Later(done), true) => Flow::Wait(Box::new(Wait::Saved {
                done,
                then: Then::Nothing,
            })),
            (Saved::Later(done), false) => Flow::Wait(Box::new(Wait::Saved {
                done,
                then: Then::Reply { channel, method },
            })),
        }
    }
}
