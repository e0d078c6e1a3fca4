//! A consuming connection: one thread that reads, counts, and acknowledges in batches.

use std::io::Write;
use std::sync::atomic::Ordering;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::client::{CHANNEL, Client, POLL};
use super::deliveries::Deliveries;
use super::load::{Load, Phase};
use super::options::Options;
use super::report::new_histogram;
use crate::amqp::{AMQPClass, FieldTable, basic, short_string};

pub struct Consumer {
    client: Client,
    queues: Vec<String>,
}

impl Consumer {
    pub fn connect(options: &Options, place: usize) -> Result<Consumer> {
        let mut client = Client::connect(&options.uri)?;
        if options.prefetch > 0 && options.ack > 0 {
            let qos = basic::Qos {
                prefetch_count: options.prefetch,
                global: false,
            };
            client.call(CHANNEL, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)))?;
        }
        Ok(Consumer {
            client,
            queues: options.consumed_queues(place),
        })
    }

    /// Consumes until the load is over; the time from publish to delivery, per message.
    pub fn run(mut self, load: &Load<'_>) -> Result<Histogram<u64>> {
        for queue in &self.queues {
            consume(&mut self.client, queue, load.options.ack == 0)?;
        }
        load.consuming.fetch_add(1, Ordering::AcqRel);
        let Client {
            stream,
            broker: _,
            inbox,
            frame_max,
        } = &mut self.client;
        stream.set_read_timeout(Some(POLL))?;
        let mut latencies = new_histogram();
        let mut deliveries = Deliveries::new(load.options.ack, *frame_max, load.run);
        let measures = load.options.measures_latency();
        loop {
            let phase = load.phase();
            if phase.is_over() {
                break;
            }
            let measured = (measures && phase == Phase::Load).then(|| load.clock());
            let measured = measured.map(|now| (now, &mut latencies));
            let taken = deliveries.work_off(inbox.unread(), measured)?;
            inbox.take(taken);
            let consumed = std::mem::take(&mut deliveries.consumed);
            load.consumed.fetch_add(consumed, Ordering::Relaxed);
            if !deliveries.acks.is_empty() {
                stream.write_all(&deliveries.acks)?;
                deliveries.acks.clear();
            }
            inbox.fill(stream)?;
        }
        deliveries.ack_rest();
        stream.write_all(&deliveries.acks)?;
        self.client.close();
        Ok(latencies)
    }
}

pub fn consume(client: &mut Client, queue: &str, no_ack: bool) -> Result<()> {
    let consume = basic::Consume {
        queue: short_string(queue),
        consumer_tag: short_string(""),
        no_local: false,
        no_ack,
        exclusive: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    let consume = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
    client.call(CHANNEL, consume)?;
    Ok(())
}
