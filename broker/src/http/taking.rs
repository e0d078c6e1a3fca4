//! Takes messages out of a queue, as basic.get does: what a client's channel would be is an outbox
//! of our own here, read back from the octets it would have sent. Not what becomes of them.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::amqp::frame::{self, Cut, FrameKind};
use crate::amqp::method::{self, Method};
use crate::amqp::{AMQPClass, basic, content};
use crate::outbox::{Outbox, Unacked};
use crate::queue::{Back, Effects, Got, Queue, Settle};

const CHANNEL: u16 = 1;

/// Holds what it took until it is told what becomes of it.
pub(super) struct Hand {
    queue: Arc<Queue>,
    outbox: Outbox,
}

impl Hand {
    pub fn of(queue: Arc<Queue>) -> Hand {
        let outbox = Outbox::new();
        // One frame holds a whole body.
        outbox.set_frame_max(0);
        outbox.open_channel(CHANNEL, 1);
        Hand { queue, outbox }
    }

    /// What basic.get would have sent. None: nothing is ready any more.
    pub async fn take(&self, no_ack: bool) -> Option<Vec<u8>> {
        loop {
            let (tell, loaded) = oneshot::channel();
            let when_loaded = || {
                // Nobody waits any more when the request is gone.
                Box::new(move || {
                    let _ = tell.send(());
                }) as Box<dyn FnOnce() + Send>
            };
            let mut effects = Effects::default();
            let outbox = &self.outbox;
            let got = self
                .queue
                .get(outbox, CHANNEL, no_ack, when_loaded, &mut effects);
            effects.apply();
            match got {
                Got::Empty | Got::Deleted => return None,
                // It tries again once the queue has read it, or is gone.
                Got::Loading => drop(loaded.await),
                Got::Sent => {
                    let mut octets = Vec::new();
                    // Publishers rest for consumers, and this is none.
                    drop(outbox.take(&mut octets));
                    return Some(octets);
                }
            }
        }
    }

    /// What it holds is settled.
    pub fn settle(&self, how: Settle) {
        let mut effects = Effects::default();
        self.queue.settle(&self.emptied(), how, &mut effects);
        effects.apply();
    }

    /// What it holds goes back to where it was.
    pub fn put_back(&self, back: Back) {
        let held = self.emptied();
        if held.is_empty() {
            return;
        }
        let mut effects = Effects::default();
        let returned = held.into_iter().map(Into::into).collect();
        self.queue.requeue(returned, back, &mut effects);
        effects.apply();
    }

    fn emptied(&self) -> Vec<Unacked> {
        let held = self.outbox.close_channel(CHANNEL);
        self.outbox.open_channel(CHANNEL, 1);
        held.into()
    }
}

impl Drop for Hand {
    /// Whoever asked may have gone before the answer: nothing stays in a hand that nobody has.
    fn drop(&mut self) {
        self.put_back(Back::Returned);
    }
}

/// A message as basic.get hands it out.
pub(super) struct Taken<'a> {
    pub got: basic::GetOk,
    pub properties: &'a [u8],
    pub body: &'a [u8],
}

/// basic.get-ok with its content.
pub(super) fn parsed(octets: &[u8]) -> Option<Taken<'_>> {
    let mut rest = octets;
    let mut next = || {
        let Ok(Cut::Frame { frame, length }) = frame::cut(rest, 0) else {
            return None;
        };
        rest = rest.get(length..)?;
        Some(frame)
    };
    let Ok(Method::Other(class)) = method::parse(next()?.payload) else {
        return None;
    };
    let AMQPClass::Basic(basic::AMQPMethod::GetOk(got)) = *class else {
        return None;
    };
    let header = content::parse_header(next()?.payload).ok()?;
    let body = match header.body_size {
        0 => &[],
        _ => {
            next()
                .filter(|frame| frame.kind == FrameKind::Body)?
                .payload
        }
    };
    Some(Taken {
        got,
        properties: header.properties,
        body,
    })
}
