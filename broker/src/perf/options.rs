//! What load to put on the broker.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::publisher::STAMP;

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The broker
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672/%2F")]
    pub uri: String,
    /// Publishing connections
    #[arg(short = 'x', long, default_value_t = 1, value_name = "N")]
    pub publishers: usize,
    /// Consuming connections, all on the one queue
    #[arg(short = 'y', long, default_value_t = 1, value_name = "N")]
    pub consumers: usize,
    /// Body size; from 16 on latency is measured
    #[arg(short, long, default_value_t = 1024, value_name = "BYTES")]
    pub size: usize,
    /// How many publishes may wait for their confirm; 0 is no confirms
    #[arg(short, long, default_value_t = 0, value_name = "WINDOW")]
    pub confirms: u64,
    /// Ack every so many deliveries at once; 0 is no acknowledgements
    #[arg(short, long, default_value_t = 0, value_name = "BATCH")]
    pub ack: u64,
    /// How many deliveries may wait for their ack; 0 is no limit
    #[arg(short, long, default_value_t = 0, value_name = "N")]
    pub prefetch: u16,
    /// Publish with delivery mode 2
    #[arg(long)]
    pub persistent: bool,
    /// Declare queue and exchange durable
    #[arg(long)]
    pub durable: bool,
    /// Messages a second that each publisher sends; 0 is as fast as it can
    #[arg(short, long, default_value_t = 0, value_name = "R")]
    pub rate: u64,
    /// How long; 10s unless --messages says how many
    #[arg(short, long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// How many messages each publisher sends (without publishers: how many are consumed)
    #[arg(short, long, value_name = "N")]
    pub messages: Option<u64>,
    /// Publish to an exchange of this type instead of the default exchange
    #[arg(short, long, value_name = "TYPE")]
    pub exchange: Option<String>,
    /// The key of the binding and of every message; by default the queue's name
    #[arg(short = 'k', long, value_name = "KEY")]
    pub routing_key: Option<String>,
    #[arg(short, long, default_value = "warren-perf", value_name = "NAME")]
    pub queue: String,
    /// Leave queue and exchange behind
    #[arg(long)]
    pub keep: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The broker's process (may be given several times): CPU time a message is measured too
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
}

impl Options {
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.publishers + self.consumers > 0,
            "neither publishers nor consumers"
        );
        ensure!(
            self.prefetch == 0 || self.ack <= u64::from(self.prefetch),
            "--ack {} would wait for more than --prefetch {} lets through",
            self.ack,
            self.prefetch
        );
        Ok(())
    }

    pub fn routing_key(&self) -> &str {
        self.routing_key.as_deref().unwrap_or(&self.queue)
    }

    /// The default exchange has no name.
    pub fn exchange_name(&self) -> String {
        match &self.exchange {
            Some(kind) => format!("warren-perf.{kind}"),
            None => String::new(),
        }
    }

    /// The end of the load by the clock, if it has one.
    pub fn time_limit(&self) -> Option<Duration> {
        match (self.duration, self.messages) {
            (Some(duration), _) => Some(duration),
            (None, Some(_)) => None,
            (None, None) => Some(Duration::from_secs(10)),
        }
    }

    /// How many messages the consumers are to see, if that is known.
    pub fn expected(&self) -> Option<u64> {
        let messages = self.messages?;
        match self.publishers as u64 {
            0 => Some(messages),
            publishers => Some(messages.saturating_mul(publishers)),
        }
    }

    pub fn measures_latency(&self) -> bool {
        self.size >= STAMP
    }
}
