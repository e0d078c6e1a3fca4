//! The messages that lie behind this one in the same read, as far as the exchange types are concerned.
//! Takes nothing in: what is wrong with them is found when their turn comes.

use super::Session;
use crate::amqp::frame::{self, Cut, FrameKind};
use crate::amqp::method::{self, Method};
use crate::vhost::foresee;

/// The routing keys of messages to one exchange, up to anything that is none.
struct Upcoming<'a> {
    octets: &'a [u8],
    exchange: &'a str,
    frame_max: u32,
}

impl<'a> Iterator for Upcoming<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let Ok(Cut::Frame { frame, length }) = frame::cut(self.octets, self.frame_max) else {
                return None;
            };
            self.octets = self.octets.get(length..)?;
            match frame.kind {
                FrameKind::Header | FrameKind::Body => {}
                FrameKind::Heartbeat => return None,
                FrameKind::Method => {
                    return match method::parse(frame.payload) {
                        Ok(Method::Publish(publish)) if publish.exchange == self.exchange => {
                            Some(publish.routing_key)
                        }
                        Ok(
                            Method::Publish(_)
                            | Method::Ack { .. }
                            | Method::Nack { .. }
                            | Method::Reject { .. }
                            | Method::Other(_),
                        )
                        | Err(_) => None,
                    };
                }
            }
        }
    }
}

impl Session {
    /// While this message is worked off, memory brings what the next one's key is looked for in.
    #[inline]
    pub(super) fn make_ready_for(&self, octets: &[u8]) {
        if self.memo.is_slow()
            && let Some(exchange) = self.publisher.exchange()
        {
            let mut upcoming = Upcoming {
                octets,
                exchange: &exchange.name,
                frame_max: self.frame_max,
            };
            if let Some(key) = upcoming.next() {
                self.memo.prefetch(key);
            }
        }
    }

    /// Where many keys are new, their exchange's type is asked about several at once.
    #[inline]
    pub(super) fn look_ahead(&mut self, octets: &[u8]) {
        if self.memo.may_foresee()
            && let Some(exchange) = self.publisher.exchange()
        {
            let upcoming = Upcoming {
                octets,
                exchange: &exchange.name,
                frame_max: self.frame_max,
            };
            foresee(exchange, upcoming, &mut self.memo);
        }
    }
}
