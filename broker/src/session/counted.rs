//! What a client has done, gathered while its octets are worked off: shared counters are written
//! once a batch, or when another channel or exchange comes into it, and not once a message.

use std::sync::Arc;

use super::{Phase, Session};
use crate::tally::Sizes;
use crate::vhost::Exchange;

#[derive(Default)]
pub(super) struct Counted {
    channel: u16,
    /// Of the publishes; None is the default exchange.
    exchange: Option<Arc<Exchange>>,
    published: u64,
    /// Queues that these publishes went to, added up.
    routed: u64,
    returned: u64,
    dropped: u64,
    acked: u64,
    got_nothing: u64,
    sizes: Sizes,
}

/// What became of one publish.
#[derive(Clone, Copy)]
pub(super) struct Published {
    pub queues: usize,
    pub returned: bool,
    pub dropped: bool,
    /// Octets of the body.
    pub size: usize,
}

impl Counted {
    fn is_nothing(&self) -> bool {
        self.published == 0 && self.acked == 0 && self.got_nothing == 0
    }
}

impl Session {
    pub(super) fn count_publish(
        &mut self,
        channel: u16,
        exchange: Option<&Arc<Exchange>>,
        published: Published,
    ) {
        self.count_on(channel);
        let same = match (&self.counted.exchange, exchange) {
            (None, None) => true,
            (Some(counted), Some(exchange)) => Arc::ptr_eq(counted, exchange),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            let exchange = exchange.cloned();
            self.write_counted();
            self.counted.exchange = exchange;
        }
        self.counted.published += 1;
        self.counted.sizes.count(published.size as u64);
        self.counted.routed += published.queues as u64;
        self.counted.returned += u64::from(published.returned);
        self.counted.dropped += u64::from(published.dropped);
    }

    pub(super) fn count_acks(&mut self, channel: u16, count: usize) {
        self.count_on(channel);
        self.counted.acked += count as u64;
    }

    pub(super) fn count_get_empty(&mut self, channel: u16) {
        self.count_on(channel);
        self.counted.got_nothing += 1;
    }

    fn count_on(&mut self, channel: u16) {
        if self.counted.channel != channel {
            self.write_counted();
            self.counted.channel = channel;
        }
    }

    #[inline]
    pub(super) fn write_counted(&mut self) {
        if !self.counted.is_nothing() {
            self.write_what_was_counted();
        }
    }

    fn write_what_was_counted(&mut self) {
        let Counted {
            channel,
            exchange,
            published,
            routed,
            returned,
            dropped,
            acked,
            got_nothing,
            sizes,
        } = &mut self.counted;
        if let Some(channel) = self.channels.get(channel) {
            let requests = &channel.facts.requests;
            requests.published.add(*published);
            requests.returned.add(*returned);
            requests.dropped.add(*dropped);
            requests.acked.add(*acked);
            requests.get_empty.add(*got_nothing);
        }
        if *published > 0 {
            self.traffic.sizes.add(&std::mem::take(sizes));
            match (exchange, &self.phase) {
                (Some(exchange), _) => exchange.count(*published, *routed),
                (None, Phase::Running(running)) => {
                    running.vhost.count_default(*published, *routed);
                }
                (
                    None,
                    Phase::Header
                    | Phase::StartOk
                    | Phase::Refused
                    | Phase::TuneOk(_)
                    | Phase::Open(_)
                    | Phase::Closing
                    | Phase::Ended(_),
                ) => {}
            }
        }
        for count in [published, routed, returned, dropped, acked, got_nothing] {
            *count = 0;
        }
    }
}
