//! Connections, channels, queues and bindings that come and go: how many pairs a second, and how
//! long a pair takes. No messages.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::client::{CHANNEL, Client};
use super::process::{self, CpuTime};
use super::report::{latency_json, new_histogram, percentile_text};
use super::target::Target;
use crate::amqp::{AMQPClass, FieldTable, channel, queue, short_string};

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Churn {
    /// Connect, log in, open a channel, close
    Connection,
    /// Open a channel and close it
    Channel,
    /// Declare a queue and delete it
    Queue,
    /// Bind a queue to amq.topic and unbind it
    Binding,
}

pub struct Churned {
    pairs: Histogram<u64>,
    seconds: f64,
    cpu: Option<f64>,
    resident: Option<u64>,
}

const OTHER_CHANNEL: u16 = CHANNEL + 1;

/// Pairs from so many connections at once until the time is over.
pub fn run(
    target: &Target,
    what: Churn,
    connections: usize,
    duration: Duration,
    name: &str,
) -> Result<Churned> {
    let before = CpuTime::of(&target.pids)?;
    let start = Instant::now();
    let pairs = thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|place| {
                let queue = format!("{name}.{place}");
                scope.spawn(move || one(&target.uri, what, &queue, start + duration))
            })
            .collect();
        let mut all = new_histogram();
        for thread in threads {
            let one = thread.join();
            all.add(one.unwrap_or_else(|_| Err(anyhow!("a thread panicked")))?)?;
        }
        anyhow::Ok(all)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = CpuTime::of(&target.pids)?.since(before).total();
    let each = cpu * 1e6 / pairs.len().max(1) as f64;
    Ok(Churned {
        pairs,
        seconds,
        cpu: (!target.pids.is_empty()).then_some(each),
        resident: process::resident_memory(&target.pids)
            .ok()
            .filter(|octets| *octets > 0),
    })
}

fn one(uri: &str, what: Churn, queue: &str, end: Instant) -> Result<Histogram<u64>> {
    let mut pairs = new_histogram();
    let mut client = Client::connect(uri)?;
    if what == Churn::Binding {
        client.call(CHANNEL, declare(queue))?;
    }
    while Instant::now() < end {
        let start = Instant::now();
        match what {
            Churn::Connection => Client::connect(uri)?.close(),
            Churn::Channel => {
                let open = channel::AMQPMethod::Open(channel::Open {});
                client.call(OTHER_CHANNEL, AMQPClass::Channel(open))?;
                let close = channel::AMQPMethod::Close(channel::Close {
                    reply_code: 200,
                    reply_text: short_string("bye"),
                    class_id: 0,
                    method_id: 0,
                });
                client.call(OTHER_CHANNEL, AMQPClass::Channel(close))?;
            }
            Churn::Queue => {
                client.call(CHANNEL, declare(queue))?;
                let delete = queue::AMQPMethod::Delete(queue::Delete {
                    queue: short_string(queue),
                    if_unused: false,
                    if_empty: false,
                    nowait: false,
                });
                client.call(CHANNEL, AMQPClass::Queue(delete))?;
            }
            Churn::Binding => bind_and_unbind(&mut client, queue)?,
        }
        pairs.saturating_record(start.elapsed().as_micros() as u64);
    }
    client.close();
    Ok(pairs)
}

/// Exclusive: it goes with its connection.
fn declare(name: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
        queue: short_string(name),
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    }))
}

fn bind_and_unbind(client: &mut Client, queue: &str) -> Result<()> {
    let bind = queue::AMQPMethod::Bind(queue::Bind {
        queue: short_string(queue),
        exchange: short_string("amq.topic"),
        routing_key: short_string(queue),
        nowait: false,
        arguments: FieldTable::default(),
    });
    client.call(CHANNEL, AMQPClass::Queue(bind))?;
    let unbind = queue::AMQPMethod::Unbind(queue::Unbind {
        queue: short_string(queue),
        exchange: short_string("amq.topic"),
        routing_key: short_string(queue),
        arguments: FieldTable::default(),
    });
    client.call(CHANNEL, AMQPClass::Queue(unbind))?;
    Ok(())
}

impl Churned {
    fn rate(&self) -> f64 {
        self.pairs.len() as f64 / self.seconds
    }

    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{:.0} pairs a second\neach        {}\n",
            self.rate(),
            percentile_text(&self.pairs)
        );
        if let Some(cpu) = self.cpu {
            out.push_str(&format!("broker CPU  {cpu:.1} us a pair\n"));
        }
        if let Some(resident) = self.resident {
            out.push_str(&format!("broker RSS  {} MiB at the end\n", resident >> 20));
        }
        out
    }

    pub fn to_json(&self) -> Value {
        json!({
            "rate": self.rate(),
            "pairs": self.pairs.len(),
            "latency_us": latency_json(&self.pairs),
            "cpu_us_per_pair": self.cpu,
            "resident_bytes": self.resident,
        })
    }
}
