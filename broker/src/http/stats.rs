//! What is counted, as numbers in a fixed order for samples, and as the fields that RabbitMQ shows.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Management;
use super::request::Request;
use super::samples::Subject;
use crate::clock::Millis;
use crate::queue::QueueLook;
use crate::tally::{Messages, Octets};
use crate::vhost::{ExchangeCounts, Vhost};

/// In the order of the samples.
pub(super) const MESSAGE_FIELDS: [&str; 12] = [
    "publish",
    "confirm",
    "return_unroutable",
    "drop_unroutable",
    "deliver",
    "deliver_no_ack",
    "deliver_get",
    "get",
    "get_no_ack",
    "get_empty",
    "redeliver",
    "ack",
];

/// What only channels know about: passed over where queues are shown.
const OF_CHANNELS: [&str; 3] = ["confirm", "return_unroutable", "drop_unroutable"];

/// Behind those: how many there are.
pub(super) const READY: usize = MESSAGE_FIELDS.len();
pub(super) const UNACKED: usize = READY + 1;
pub(super) const MESSAGES: usize = READY + 2;

/// Behind those, of a vhost: what went through its connections' sockets.
const RECEIVED: usize = READY + 3;
const SENT: usize = READY + 4;

pub(super) fn numbers(messages: &Messages) -> Vec<u64> {
    let Messages {
        published,
        returned,
        dropped,
        acked,
        get_empty,
        out,
    } = *messages;
    let handed_out = out.delivered + out.delivered_no_ack + out.got + out.got_no_ack;
    vec![
        published,
        out.confirmed,
        returned,
        dropped,
        out.delivered,
        out.delivered_no_ack,
        handed_out,
        out.got,
        out.got_no_ack,
        get_empty,
        out.redelivered,
        acked,
    ]
}

/// How many messages wait and are out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Depth {
    pub ready: u64,
    pub unacked: u64,
}

impl Depth {
    pub fn of(look: &QueueLook) -> Depth {
        Depth {
            ready: look.counts.ready,
            unacked: look.counts.unacked,
        }
    }

    pub fn add(&mut self, other: Depth) {
        self.ready += other.ready;
        self.unacked += other.unacked;
    }

    pub fn numbers(self) -> [u64; 3] {
        [self.ready, self.unacked, self.ready + self.unacked]
    }
}

/// All about one vhost, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub messages: Messages,
    pub depth: Depth,
    pub octets: Octets,
    pub consumers: u64,
    pub queues: u64,
    pub exchanges: u64,
}

impl Management {
    pub(super) fn sums(&self, vhost: &Vhost) -> Sums {
        let connections = self.broker.connections();
        let mut by_channels = connections.counted_before(&vhost.name);
        for connection in connections.list() {
            if *connection.vhost == *vhost.name {
                for channel in connection.channels() {
                    by_channels += connection.messages(&channel);
                }
            }
        }
        let mut sums = Sums {
            messages: vhost.counted_by_queues_before(),
            exchanges: vhost.exchange_count() as u64 + 1,
            octets: connections.octets(&vhost.name),
            ..Sums::default()
        };
        for queue in vhost.queues() {
            let look = queue.look();
            sums.messages += look.counted;
            sums.depth.add(Depth::of(&look));
            sums.consumers += u64::from(look.counts.consumers);
            sums.queues += 1;
        }
        // A message that went to two queues was published once.
        sums.messages.published = by_channels.published;
        sums.messages.returned = by_channels.returned;
        sums.messages.dropped = by_channels.dropped;
        sums.messages.out.confirmed = by_channels.out.confirmed;
        sums
    }

    /// One moment of everything, for the samples.
    pub(super) fn take_sample(&self, now: Millis) {
        let mut all = Vec::new();
        let mut broker = Sums::default();
        for vhost in self.broker.vhosts() {
            let sums = self.sums(&vhost);
            broker.messages += sums.messages;
            broker.depth.add(sums.depth);
            let mut counted = numbers(&sums.messages);
            counted.extend(sums.depth.numbers());
            counted.extend([sums.octets.received, sums.octets.sent]);
            all.push((Subject::Vhost(Arc::clone(&vhost.name)), counted));
            for queue in vhost.queues() {
                let look = queue.look();
                let depth = Depth::of(&look).numbers().to_vec();
                all.push((
                    Subject::Queue(queue.id),
                    [numbers(&look.counted), depth].concat(),
                ));
            }
            for exchange in vhost.exchanges() {
                let counted = exchange_numbers(exchange.counted());
                all.push((Subject::Exchange(exchange.id), counted));
            }
            all.push((
                Subject::DefaultExchange(Arc::clone(&vhost.name)),
                exchange_numbers(vhost.counted_by_default_exchange()),
            ));
        }
        for connection in self.broker.connections().list() {
            let Octets { received, sent } = connection.traffic.octets();
            all.push((Subject::Connection(connection.id), vec![received, sent]));
            for channel in connection.channels() {
                let messages = connection.messages(&channel);
                all.push((
                    Subject::Channel(connection.id, channel.number, channel.incarnation),
                    numbers(&messages),
                ));
            }
        }
        let depth = broker.depth.numbers().to_vec();
        all.push((Subject::Broker, [numbers(&broker.messages), depth].concat()));
        all.push((Subject::Node, self.node_numbers()));
        self.samples.take(now, all);
    }
}

pub(super) fn exchange_numbers(counts: &ExchangeCounts) -> Vec<u64> {
    vec![counts.published_in.get(), counts.published_out.get()]
}

/// Shows numbers with their rates, and with their series where the request asks for one.
pub(super) struct Shown<'a> {
    pub house: &'a Management,
    pub request: &'a Request,
    pub subject: Subject,
}

impl Shown<'_> {
    /// `prefix` of the request's parameters: lengths, msg_rates, data_rates, node_stats.
    pub fn details(&self, index: usize, prefix: &str) -> Value {
        let rate = self.house.samples.rate(&self.subject, index);
        let number = |name: &str| {
            let value = self.request.query(&format!("{prefix}_{name}"));
            value.and_then(|value| value.parse::<u64>().ok())
        };
        let (Some(age), Some(step)) = (number("age"), number("incr")) else {
            return json!({"rate": rate});
        };
        let span = (
            self.house.node.now(),
            age.saturating_mul(1000),
            step.saturating_mul(1000),
        );
        let series = self.house.samples.series(&self.subject, index, span);
        let count = series.len().max(1) as f64;
        let average = series.iter().map(|(_, value)| *value as f64).sum::<f64>() / count;
        let ends = (series.first(), series.last());
        let over = match ends {
            (Some((newest, after)), Some((oldest, before))) if newest > oldest => {
                (*after as f64 - *before as f64) * 1000.0 / (newest - oldest) as f64
            }
            (_, _) => 0.0,
        };
        let samples: Vec<Value> = series
            .iter()
            .map(|(at, value)| json!({"sample": value, "timestamp": at}))
            .collect();
        json!({"rate": rate, "avg": average, "avg_rate": over, "samples": samples})
    }

    pub fn put(&self, map: &mut Map<String, Value>, name: &str, value: u64, at: (usize, &str)) {
        let (index, prefix) = at;
        map.insert(name.to_owned(), json!(value));
        map.insert(format!("{name}_details"), self.details(index, prefix));
    }

    pub fn put_depth(&self, map: &mut Map<String, Value>, depth: Depth) {
        let [ready, unacked, messages] = depth.numbers();
        self.put(map, "messages", messages, (MESSAGES, "lengths"));
        self.put(map, "messages_ready", ready, (READY, "lengths"));
        self.put(
            map,
            "messages_unacknowledged",
            unacked,
            (UNACKED, "lengths"),
        );
    }

    /// Not while nothing has happened: RabbitMQ leaves the keys out then.
    pub fn put_octets(&self, map: &mut Map<String, Value>, octets: Octets) {
        if octets != Octets::default() {
            self.put(map, "recv_oct", octets.received, (RECEIVED, "data_rates"));
            self.put(map, "send_oct", octets.sent, (SENT, "data_rates"));
        }
    }

    /// None while nothing has happened: RabbitMQ leaves the key out then.
    pub fn message_stats(&self, messages: &Messages, with_channels: bool) -> Option<Value> {
        if *messages == Messages::default() {
            return None;
        }
        let mut map = Map::new();
        for (index, value) in numbers(messages).into_iter().enumerate() {
            let name = MESSAGE_FIELDS.get(index).copied().unwrap_or_default();
            if with_channels || !OF_CHANNELS.contains(&name) {
                self.put(&mut map, name, value, (index, "msg_rates"));
            }
        }
        Some(Value::Object(map))
    }

    pub fn exchange_stats(&self, counts: &ExchangeCounts) -> Option<Value> {
        let counted = exchange_numbers(counts);
        if counted.iter().all(|number| *number == 0) {
            return None;
        }
        let mut map = Map::new();
        for (index, value) in counted.into_iter().enumerate() {
            let name = if index == 0 {
                "publish_in"
            } else {
                "publish_out"
            };
            self.put(&mut map, name, value, (index, "msg_rates"));
        }
        Some(Value::Object(map))
    }
}
