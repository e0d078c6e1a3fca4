//! A consuming connection: one thread that reads, counts, and acknowledges in batches.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::client::{CHANNEL, Client, POLL, not_closed};
use super::load::{Load, Phase};
use super::options::Options;
use super::publisher::STAMP;
use super::report::new_histogram;
use crate::amqp::frame::FrameKind;
use crate::amqp::method::{self, Method};
use crate::amqp::{AMQPClass, FieldTable, basic, content, short_string, write};

pub struct Consumer {
    client: Client,
    no_ack: bool,
}

/// Where in a delivery we are.
struct Delivery {
    tag: u64,
    /// Octets of body still to come.
    left: u64,
    /// The body's first frame is still to come.
    fresh: bool,
}

/// What one read brought.
#[derive(Default)]
struct Progress {
    consumed: u64,
    /// Deliveries since the last ack.
    unacked: u64,
    acks: Vec<u8>,
}

impl Consumer {
    pub fn connect(options: &Options) -> Result<Consumer> {
        let mut client = Client::connect(&options.uri)?;
        let no_ack = options.ack == 0;
        if options.prefetch > 0 && !no_ack {
            let qos = basic::Qos {
                prefetch_count: options.prefetch,
                global: false,
            };
            client.call(CHANNEL, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)))?;
        }
        Ok(Consumer { client, no_ack })
    }

    /// Consumes until the load is over; the time from publish to delivery, per message.
    pub fn run(mut self, load: &Load<'_>) -> Result<Histogram<u64>> {
        let consume = basic::Consume {
            queue: short_string(&load.options.queue),
            consumer_tag: short_string(""),
            no_local: false,
            no_ack: self.no_ack,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        let consume = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
        self.client.call(CHANNEL, consume)?;
        load.consuming.fetch_add(1, Ordering::AcqRel);
        self.client.stream.set_read_timeout(Some(POLL))?;
        let mut delivery = Delivery {
            tag: 0,
            left: 0,
            fresh: false,
        };
        let mut latencies = new_histogram();
        let mut progress = Progress::default();
        while !load.phase().is_over() {
            self.work_off(load, &mut delivery, &mut progress, &mut latencies)?;
            load.consumed
                .fetch_add(progress.consumed, Ordering::Relaxed);
            progress.consumed = 0;
            if !progress.acks.is_empty() {
                self.client.stream.write_all(&progress.acks)?;
                progress.acks.clear();
            }
            self.client.inbox.fill(&mut self.client.stream)?;
        }
        if progress.unacked > 0 && !self.no_ack {
            write::ack(&mut progress.acks, CHANNEL, delivery.tag, true);
            self.client.stream.write_all(&progress.acks)?;
        }
        self.client.close();
        Ok(latencies)
    }

    /// All frames of one read, before anything is written.
    fn work_off(
        &mut self,
        load: &Load<'_>,
        delivery: &mut Delivery,
        progress: &mut Progress,
        latencies: &mut Histogram<u64>,
    ) -> Result<()> {
        let now = load.clock();
        let measure = load.options.measures_latency();
        while let Some(frame) = self.client.inbox.frame()? {
            match frame.kind {
                FrameKind::Method => match method::parse_deliver(frame.payload) {
                    Some(deliver) => delivery.tag = deliver.delivery_tag,
                    None => other(method::parse(frame.payload)?)?,
                },
                FrameKind::Header => {
                    delivery.left = content::parse_header(frame.payload)?.body_size;
                    delivery.fresh = true;
                    if delivery.left == 0 {
                        progress.delivered(delivery.tag, load.options.ack);
                    }
                }
                FrameKind::Body => {
                    if delivery.fresh && measure && load.phase() == Phase::Load {
                        record(latencies, frame.payload, load.run, now);
                    }
                    delivery.fresh = false;
                    delivery.left = delivery.left.saturating_sub(frame.payload.len() as u64);
                    if delivery.left == 0 {
                        progress.delivered(delivery.tag, load.options.ack);
                    }
                }
                FrameKind::Heartbeat => {}
            }
        }
        Ok(())
    }
}

impl Progress {
    fn delivered(&mut self, tag: u64, ack: u64) {
        self.consumed += 1;
        self.unacked += 1;
        if ack > 0 && self.unacked >= ack {
            self.unacked = 0;
            write::ack(&mut self.acks, CHANNEL, tag, ack > 1);
        }
    }
}

fn other(method: Method<'_>) -> Result<()> {
    match method {
        Method::Other(class) => not_closed(class).map(|_| ()),
        Method::Publish(_) | Method::Ack { .. } | Method::Nack { .. } | Method::Reject { .. } => {
            Ok(())
        }
    }
}

/// Messages of an earlier run do not count.
fn record(latencies: &mut Histogram<u64>, body: &[u8], run: u64, now: Duration) {
    let Some(stamp) = body.first_chunk::<STAMP>() else {
        return;
    };
    let [written, stamped] = [0, 8].map(|start| {
        stamp
            .get(start..start + 8)
            .and_then(|octets| octets.try_into().ok())
            .map_or(0, u64::from_be_bytes)
    });
    if stamped == run {
        let nanos = (now.as_nanos() as u64).saturating_sub(written);
        latencies.saturating_record(nanos / 1000);
    }
}
