//! What load to put on the broker.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::batch::KEY_HEADER;
use super::publisher::STAMP;

/// Where a broker is, unless told otherwise.
pub const DEFAULT_URI: &str = "amqp://guest:guest@127.0.0.1:5672/%2F";

#[derive(clap::Args, Clone, Debug, PartialEq)]
pub struct Options {
    /// The broker
    #[arg(long, default_value = DEFAULT_URI)]
    pub uri: String,
    /// Publishing connections
    #[arg(short = 'x', long, default_value_t = 1, value_name = "N")]
    pub publishers: usize,
    /// Consuming connections
    #[arg(short = 'y', long, default_value_t = 1, value_name = "N")]
    pub consumers: usize,
    /// Consumers on each consuming connection
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub consumers_each: usize,
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
    /// Declare queues and exchange durable
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
    /// The key of every message; by default the queue's name
    #[arg(short = 'k', long, value_name = "KEY")]
    pub routing_key: Option<String>,
    /// So many distinct keys in turn: KEY.0, KEY.1 ... with zeros in front
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub keys: u64,
    /// So many headers in every message, h0 = v0 and so on; with --keys one more, the key
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub headers: usize,
    /// So many bindings; one of them matches
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub bindings: u64,
    /// The key of the binding that matches; by default what the exchange's type needs
    #[arg(long, value_name = "KEY")]
    pub binding_key: Option<String>,
    /// So many queues (NAME.0, NAME.1 ...), publishers and consumers spread over them; with as many
    /// --keys and no --exchange every publisher goes round all of them
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub queues: usize,
    #[arg(short, long, default_value = "warren-perf", value_name = "NAME")]
    pub queue: String,
    /// Leave queues and exchange behind
    #[arg(long)]
    pub keep: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// A line a second to stderr (also when that is a terminal)
    #[arg(long)]
    pub progress: bool,
    /// The broker's process, may be given several times; by default who listens on the port here
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            uri: DEFAULT_URI.into(),
            publishers: 1,
            consumers: 1,
            consumers_each: 1,
            size: 1024,
            confirms: 0,
            ack: 0,
            prefetch: 0,
            persistent: false,
            durable: false,
            rate: 0,
            duration: None,
            messages: None,
            exchange: None,
            routing_key: None,
            keys: 1,
            headers: 0,
            bindings: 1,
            binding_key: None,
            queues: 1,
            queue: "warren-perf".into(),
            keep: false,
            json: false,
            progress: false,
            pid: Vec::new(),
        }
    }
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
        ensure!(self.keys > 0, "--keys 0 leaves no key to publish with");
        ensure!(
            self.bindings > 0,
            "--bindings 0 leaves no binding that matches"
        );
        ensure!(self.queues > 0, "--queues 0 leaves no queue");
        ensure!(
            self.consumers_each > 0,
            "--consumers-each 0 consumes nothing"
        );
        ensure!(
            self.keys == 1 || self.exchange.is_some() || self.has_key_per_queue(),
            "--keys without an --exchange needs as many --queues"
        );
        Ok(())
    }

    pub fn queue_name(&self, place: usize) -> String {
        match self.queues {
            1 => self.queue.clone(),
            queues if self.has_key_per_queue() => {
                self.numbered(&self.queue, (place % queues) as u64)
            }
            queues => format!("{}.{}", self.queue, place % queues),
        }
    }

    /// Every publisher goes round all queues, through the default exchange.
    pub fn has_key_per_queue(&self) -> bool {
        self.exchange.is_none() && self.queues > 1 && self.keys == self.queues as u64
    }

    /// The queues that the consuming connection of this place has a consumer on.
    pub fn consumed_queues(&self, place: usize) -> Vec<String> {
        match self.has_key_per_queue() {
            true => (place..self.queues)
                .step_by(self.consumers.max(1))
                .map(|place| self.queue_name(place))
                .collect(),
            false => vec![self.queue_name(place); self.consumers_each],
        }
    }

    /// The key that the publisher of this place uses, without its number.
    pub fn routing_key(&self, place: usize) -> String {
        match &self.routing_key {
            Some(key) => key.clone(),
            None if self.has_key_per_queue() => self.queue.clone(),
            None => self.queue_name(place),
        }
    }

    /// Digits of the key's number; none with one key.
    pub fn key_width(&self) -> usize {
        match self.keys {
            0 | 1 => 0,
            keys => (keys - 1).ilog10() as usize + 1,
        }
    }

    pub fn numbered(&self, key: &str, number: u64) -> String {
        match self.key_width() {
            0 => key.to_owned(),
            width => format!("{key}.{number:0width$}"),
        }
    }

    /// The default exchange has no name.
    pub fn exchange_name(&self) -> String {
        match &self.exchange {
            Some(kind) => format!("{}.{kind}", self.queue),
            None => String::new(),
        }
    }

    pub fn is_of_type(&self, kind: &str) -> bool {
        self.exchange.as_deref() == Some(kind)
    }

    /// Those of every message, and the one that changes with the key.
    pub fn message_headers(&self, key: &str) -> Vec<(String, String)> {
        let mut headers = self.binding_headers();
        if !headers.is_empty() && self.keys > 1 {
            headers.push((KEY_HEADER.to_owned(), key.to_owned()));
        }
        headers
    }

    /// A headers exchange needs one at least.
    pub fn binding_headers(&self) -> Vec<(String, String)> {
        let least = usize::from(self.is_of_type("headers"));
        (0..self.headers.max(least))
            .map(|place| (format!("h{place}"), format!("v{place}")))
            .collect()
    }

    /// Into how many queues a message goes.
    pub fn copies(&self) -> u64 {
        match self.is_of_type("fanout") {
            true => self.queues as u64,
            false => 1,
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
            publishers => Some(
                messages
                    .saturating_mul(publishers)
                    .saturating_mul(self.copies()),
            ),
        }
    }

    pub fn measures_latency(&self) -> bool {
        self.size >= STAMP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn no_flags_are_the_defaults() {
        let line = Line::try_parse_from(["perf"]).expect("no flags");
        assert_eq!(line.options, Options::default());
    }

    #[test]
    fn keys_are_as_wide_as_the_last_of_them() {
        let keys = |keys| Options {
            keys,
            ..Options::default()
        };
        assert_eq!(keys(1).numbered("k", 0), "k");
        assert_eq!(keys(10).numbered("k", 9), "k.9");
        assert_eq!(keys(11).numbered("k", 9), "k.09");
        assert_eq!(keys(1_000_000).numbered("k", 42), "k.000042");
    }

    #[test]
    fn with_a_key_for_each_queue_consumers_share_all_queues() {
        let options = Options {
            queues: 11,
            keys: 11,
            consumers: 4,
            queue: "q".into(),
            ..Options::default()
        };
        assert_eq!(options.consumed_queues(2), ["q.02", "q.06", "q.10"]);
        assert_eq!(options.numbered(&options.routing_key(0), 10), "q.10");
    }

    #[test]
    fn a_fanout_multiplies_what_is_expected() {
        let options = Options {
            exchange: Some("fanout".into()),
            queues: 3,
            messages: Some(10),
            publishers: 2,
            ..Options::default()
        };
        assert_eq!(options.expected(), Some(60));
    }
}
