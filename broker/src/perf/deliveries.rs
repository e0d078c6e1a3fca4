//! Counts deliveries in what was read, without copies and without allocation. Pure: octets in,
//! counts out. Not a parser for all of AMQP: what it does not know it hands back as a method.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::client::not_closed;
use super::publisher::STAMP;
use crate::amqp::frame::{Cut, FRAME_END, Frame, FrameKind, cut};
use crate::amqp::method::{self, Method};
use crate::amqp::{content, write};

const CHANNEL: u16 = super::client::CHANNEL;

/// Class and method of basic.deliver.
const DELIVER: u32 = 60 << 16 | 60;

const HEAD: usize = 7;

/// Where the stream of deliveries is, and what was counted since it was last asked.
pub struct Deliveries {
    /// Ack every so many; 0 is never.
    ack: u64,
    frame_max: u32,
    run: u64,
    state: State,
    tag: u64,
    pub consumed: u64,
    /// Deliveries since the last ack.
    unacked: u64,
    /// Acks to be written.
    pub acks: Vec<u8>,
    same: Same,
}

enum State {
    Between,
    /// The method was read.
    Header,
    /// Octets of body still to come.
    Body {
        left: u64,
        fresh: bool,
    },
}

/// Deliveries of one publisher's write follow one another and carry the same stamp.
#[derive(Default)]
struct Same {
    stamp: [u8; STAMP],
    count: u64,
}

/// A delivery whose content lies in one frame, with nothing of it missing.
struct Whole<'a> {
    tag: u64,
    body: &'a [u8],
    length: usize,
}

/// What is recorded, if anything: the time now and where to.
pub type Latencies<'a> = Option<(Duration, &'a mut Histogram<u64>)>;

impl Deliveries {
    pub fn new(ack: u64, frame_max: u32, run: u64) -> Deliveries {
        Deliveries {
            ack,
            frame_max,
            run,
            state: State::Between,
            tag: 0,
            consumed: 0,
            unacked: 0,
            acks: Vec::new(),
            same: Same::default(),
        }
    }

    /// Works off all whole frames; how many octets they took.
    pub fn work_off(&mut self, octets: &[u8], mut latencies: Latencies<'_>) -> Result<usize> {
        let mut rest = octets;
        loop {
            if let State::Between = self.state
                && let Some(whole) = whole(rest)
            {
                self.tag = whole.tag;
                if let Some(latencies) = &mut latencies {
                    self.stamped(whole.body, latencies);
                }
                self.delivered();
                rest = rest.get(whole.length..).unwrap_or_default();
                continue;
            }
            match cut(rest, self.frame_max)? {
                Cut::Frame { frame, length } => {
                    self.frame(frame, &mut latencies)?;
                    rest = rest.get(length..).unwrap_or_default();
                }
                Cut::Incomplete => break,
            }
        }
        if let Some(latencies) = &mut latencies {
            self.record(latencies);
        }
        Ok(octets.len() - rest.len())
    }

    /// An ack for what none was written for yet.
    pub fn ack_rest(&mut self) {
        if self.ack > 0 && self.unacked > 0 {
            self.unacked = 0;
            write::ack(&mut self.acks, CHANNEL, self.tag, true);
        }
    }

    fn frame(&mut self, frame: Frame<'_>, latencies: &mut Latencies<'_>) -> Result<()> {
        match frame.kind {
            FrameKind::Method => match method::parse_deliver(frame.payload) {
                Some(deliver) => {
                    self.tag = deliver.delivery_tag;
                    self.state = State::Header;
                }
                None => other(method::parse(frame.payload)?)?,
            },
            FrameKind::Header => {
                let left = content::parse_header(frame.payload)?.body_size;
                self.state = State::Body { left, fresh: true };
                if left == 0 {
                    self.delivered();
                }
            }
            FrameKind::Body => {
                if let State::Body { left, fresh } = self.state {
                    if let (true, Some(latencies)) = (fresh, latencies) {
                        self.stamped(frame.payload, latencies);
                    }
                    let left = left.saturating_sub(frame.payload.len() as u64);
                    self.state = State::Body { left, fresh: false };
                    if left == 0 {
                        self.delivered();
                    }
                }
            }
            FrameKind::Heartbeat => {}
        }
        Ok(())
    }

    #[inline]
    fn delivered(&mut self) {
        self.state = State::Between;
        self.consumed += 1;
        self.unacked += 1;
        if self.unacked == self.ack {
            self.unacked = 0;
            write::ack(&mut self.acks, CHANNEL, self.tag, self.ack > 1);
        }
    }

    #[inline]
    fn stamped(&mut self, body: &[u8], latencies: &mut (Duration, &mut Histogram<u64>)) {
        let Some(stamp) = body.first_chunk::<STAMP>() else {
            return;
        };
        if *stamp != self.same.stamp {
            self.record(latencies);
            self.same.stamp = *stamp;
        }
        self.same.count += 1;
    }

    /// Messages of an earlier run do not count.
    fn record(&mut self, (now, histogram): &mut (Duration, &mut Histogram<u64>)) {
        let count = std::mem::take(&mut self.same.count);
        let stamp = u128::from_be_bytes(self.same.stamp);
        let (written, run) = ((stamp >> 64) as u64, stamp as u64);
        if count > 0 && run == self.run {
            let nanos = (now.as_nanos() as u64).saturating_sub(written);
            histogram.saturating_record_n(nanos / 1000, count);
        }
    }
}

/// The delivery at the head of `octets`, when all of it is there and its body is one frame.
#[inline]
fn whole(octets: &[u8]) -> Option<Whole<'_>> {
    let [1, _, _, s3, s2, s1, s0, c1, c0, m1, m0, tag_length] = *octets.first_chunk()? else {
        return None;
    };
    if u32::from_be_bytes([c1, c0, m1, m0]) != DELIVER {
        return None;
    }
    let method = u32::from_be_bytes([s3, s2, s1, s0]) as usize;
    let tag = octets.get(12 + usize::from(tag_length)..)?;
    let tag = u64::from_be_bytes(*tag.first_chunk()?);
    let header_at = HEAD + method;
    let header = octets.get(header_at..)?;
    let [FRAME_END, 2, _, _, s3, s2, s1, s0, rest @ ..] = header else {
        return None;
    };
    let size = u32::from_be_bytes([*s3, *s2, *s1, *s0]) as usize;
    let [_, _, _, _, body_size @ ..] = *rest.first_chunk::<12>()?;
    let [FRAME_END, 3, _, _, s3, s2, s1, s0, rest @ ..] = rest.get(size..)? else {
        return None;
    };
    let length = u32::from_be_bytes([*s3, *s2, *s1, *s0]);
    if u64::from(length) != u64::from_be_bytes(body_size) {
        return None;
    }
    let (body, rest) = rest.split_at_checked(length as usize)?;
    let [FRAME_END, rest @ ..] = rest else {
        return None;
    };
    Some(Whole {
        tag,
        body,
        length: octets.len() - rest.len(),
    })
}

fn other(method: Method<'_>) -> Result<()> {
    match method {
        Method::Other(class) => not_closed(*class).map(|_| ()),
        Method::Publish(_) | Method::Ack { .. } | Method::Nack { .. } | Method::Reject { .. } => {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::new_histogram;
    use super::*;

    const FRAME_MAX: u32 = 4096;

    fn deliver(out: &mut Vec<u8>, tag: u64, body: &[u8]) {
        write::deliver(
            out,
            FRAME_MAX,
            CHANNEL,
            "ctag",
            tag,
            false,
            "",
            "key",
            &[],
            body,
        );
    }

    /// Bodies of no frame, one frame and several.
    fn three() -> Vec<u8> {
        let mut octets = Vec::new();
        deliver(&mut octets, 1, &[7; 100]);
        deliver(&mut octets, 2, &[]);
        deliver(&mut octets, 3, &[7; 10_000]);
        octets
    }

    #[test]
    fn deliveries_of_any_size_are_counted_and_acked() {
        let mut deliveries = Deliveries::new(2, FRAME_MAX, 0);
        let octets = three();
        let taken = deliveries.work_off(&octets, None).expect("good frames");
        assert_eq!((taken, deliveries.consumed), (octets.len(), 3));
        let mut acks = Vec::new();
        write::ack(&mut acks, CHANNEL, 2, true);
        assert_eq!(deliveries.acks, acks);
        deliveries.ack_rest();
        write::ack(&mut acks, CHANNEL, 3, true);
        assert_eq!(deliveries.acks, acks);
    }

    #[test]
    fn it_does_not_matter_where_reads_end() {
        let octets = three();
        for end in 0..octets.len() {
            let mut deliveries = Deliveries::new(0, FRAME_MAX, 0);
            let taken = deliveries.work_off(&octets[..end], None).expect("a part");
            deliveries
                .work_off(&octets[taken..], None)
                .expect("the rest");
            assert_eq!(deliveries.consumed, 3, "{end}");
        }
    }

    #[test]
    fn latencies_are_of_this_run_and_per_message() {
        let mut octets = Vec::new();
        let stamp =
            |micros: u64, run: u64| [(micros * 1000).to_be_bytes(), run.to_be_bytes()].concat();
        for (tag, (micros, run)) in [(100, 5), (100, 5), (300, 5), (300, 6)].iter().enumerate() {
            deliver(&mut octets, tag as u64 + 1, &stamp(*micros, *run));
        }
        let mut histogram = new_histogram();
        let now = Duration::from_micros(500);
        Deliveries::new(0, FRAME_MAX, 5)
            .work_off(&octets, Some((now, &mut histogram)))
            .expect("good frames");
        assert_eq!(histogram.len(), 3);
        assert_eq!((histogram.min(), histogram.max()), (200, 400));
    }

    #[test]
    fn a_close_of_the_channel_ends_the_load() {
        let mut octets = Vec::new();
        let close = crate::amqp::channel::Close {
            reply_code: 404,
            reply_text: crate::amqp::short_string("NOT_FOUND"),
            class_id: 0,
            method_id: 0,
        };
        let close = crate::amqp::channel::AMQPMethod::Close(close);
        write::method(&mut octets, CHANNEL, crate::amqp::AMQPClass::Channel(close));
        let error = Deliveries::new(0, FRAME_MAX, 0).work_off(&octets, None);
        let error = error.expect_err("a close").to_string();
        assert!(error.contains("NOT_FOUND"), "{error}");
    }
}
