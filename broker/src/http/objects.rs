//! Metrics of queues, channels, connections and exchanges: added up, or one sample for each.

use std::sync::Arc;

use super::Management;
use super::channels;
use super::exposition::{Kind, Page};
use super::request::Request;
use crate::queue::QueueLook;
use crate::tally::Messages;
use crate::vhost::ConnectionFacts;

/// A family: in which group of RabbitMQ's it is, its name, what it is, how it comes from `T`.
type Family<T> = (
    &'static str,
    &'static str,
    Kind,
    &'static str,
    fn(&T) -> u64,
);

/// Which groups and vhosts a scraper wants.
pub(super) struct Wanted {
    /// None is all of them.
    families: Option<Vec<String>>,
    vhosts: Vec<String>,
}

impl Wanted {
    pub fn everything() -> Wanted {
        Wanted {
            families: None,
            vhosts: Vec::new(),
        }
    }

    pub fn of(request: &Request) -> Wanted {
        Wanted {
            families: Some(request.queries("family").map(str::to_owned).collect()),
            vhosts: request.queries("vhost").map(str::to_owned).collect(),
        }
    }

    fn family(&self, group: &str) -> bool {
        let families = self.families.as_ref();
        families.is_none_or(|families| families.iter().any(|family| family == group))
    }

    fn vhost(&self, name: &str) -> bool {
        self.vhosts.is_empty() || self.vhosts.iter().any(|vhost| vhost == name)
    }
}

const QUEUES: [Family<QueueLook>; 9] = [
    (
        "queue_coarse_metrics",
        "queue_messages_ready",
        Kind::Gauge,
        "Messages ready to be delivered to consumers",
        |look| look.counts.ready,
    ),
    (
        "queue_coarse_metrics",
        "queue_messages_unacked",
        Kind::Gauge,
        "Messages delivered to consumers but not yet acknowledged",
        |look| look.counts.unacked,
    ),
    (
        "queue_coarse_metrics",
        "queue_messages",
        Kind::Gauge,
        "Sum of ready and unacknowledged messages - total queue depth",
        |look| look.counts.ready + look.counts.unacked,
    ),
    (
        "queue_consumer_count",
        "queue_consumers",
        Kind::Gauge,
        "Consumers on a queue",
        |look| look.counts.consumers.into(),
    ),
    (
        "queue_metrics",
        "queue_consumer_capacity",
        Kind::Gauge,
        "Consumer capacity",
        |look| u64::from(look.counts.consumers > 0),
    ),
    (
        "queue_metrics",
        "queue_messages_bytes",
        Kind::Gauge,
        "Size in bytes of ready and unacknowledged messages",
        |look| look.ready_bytes + look.unacked_bytes,
    ),
    (
        "queue_metrics",
        "queue_messages_ready_bytes",
        Kind::Gauge,
        "Size in bytes of ready messages",
        |look| look.ready_bytes,
    ),
    (
        "queue_metrics",
        "queue_messages_unacked_bytes",
        Kind::Gauge,
        "Size in bytes of all unacknowledged messages",
        |look| look.unacked_bytes,
    ),
    (
        "queue_metrics",
        "queue_messages_published_total",
        Kind::Counter,
        "Total number of messages published to queues",
        |look| look.counted.published,
    ),
];

struct ChannelNow {
    consumers_prefetch: u64,
    prefetch: u64,
    unacked: u64,
    unconfirmed: u64,
    uncommitted: u64,
    acks_uncommitted: u64,
    counted: Messages,
}

const CHANNELS: [Family<ChannelNow>; 16] = [
    (
        "channel_metrics",
        "channel_messages_unacked",
        Kind::Gauge,
        "Delivered but not yet acknowledged messages",
        |one| one.unacked,
    ),
    (
        "channel_metrics",
        "channel_messages_unconfirmed",
        Kind::Gauge,
        "Published but not yet confirmed messages",
        |one| one.unconfirmed,
    ),
    (
        "channel_metrics",
        "channel_messages_uncommitted",
        Kind::Gauge,
        "Messages received in a transaction but not yet committed",
        |one| one.uncommitted,
    ),
    (
        "channel_metrics",
        "channel_acks_uncommitted",
        Kind::Gauge,
        "Message acknowledgements in a transaction not yet committed",
        |one| one.acks_uncommitted,
    ),
    (
        "channel_metrics",
        "consumer_prefetch",
        Kind::Gauge,
        "Limit of unacknowledged messages for each consumer",
        |one| one.consumers_prefetch,
    ),
    (
        "channel_metrics",
        "channel_prefetch",
        Kind::Gauge,
        "Total limit of unacknowledged messages for all consumers on a channel",
        |one| one.prefetch,
    ),
    (
        "channel_exchange_metrics",
        "channel_messages_published_total",
        Kind::Counter,
        "Total number of messages published into an exchange on a channel",
        |one| one.counted.published,
    ),
    (
        "channel_exchange_metrics",
        "channel_messages_confirmed_total",
        Kind::Counter,
        "Total number of messages published into an exchange and confirmed on the channel",
        |one| one.counted.out.confirmed,
    ),
    (
        "channel_exchange_metrics",
        "channel_messages_unroutable_returned_total",
        Kind::Counter,
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        |one| one.counted.returned,
    ),
    (
        "channel_exchange_metrics",
        "channel_messages_unroutable_dropped_total",
        Kind::Counter,
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        |one| one.counted.dropped,
    ),
    (
        "channel_queue_metrics",
        "channel_get_ack_total",
        Kind::Counter,
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        |one| one.counted.out.got,
    ),
    (
        "channel_queue_metrics",
        "channel_get_total",
        Kind::Counter,
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        |one| one.counted.out.got_no_ack,
    ),
    (
        "channel_queue_metrics",
        "channel_messages_delivered_ack_total",
        Kind::Counter,
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        |one| one.counted.out.delivered,
    ),
    (
        "channel_queue_metrics",
        "channel_messages_delivered_total",
        Kind::Counter,
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        |one| one.counted.out.delivered_no_ack,
    ),
    (
        "channel_queue_metrics",
        "channel_messages_redelivered_total",
        Kind::Counter,
        "Total number of messages redelivered to consumers",
        |one| one.counted.out.redelivered,
    ),
    (
        "channel_queue_metrics",
        "channel_messages_acked_total",
        Kind::Counter,
        "Total number of messages acknowledged by consumers",
        |one| one.counted.acked,
    ),
];

const CONNECTIONS: [Family<Arc<ConnectionFacts>>; 6] = [
    (
        "connection_coarse_metrics",
        "connection_incoming_bytes_total",
        Kind::Counter,
        "Total number of bytes received on a connection",
        |one| one.traffic.received.get(),
    ),
    (
        "connection_coarse_metrics",
        "connection_outgoing_bytes_total",
        Kind::Counter,
        "Total number of bytes sent on a connection",
        |one| one.traffic.sent.get(),
    ),
    (
        "connection_metrics",
        "connection_incoming_packets_total",
        Kind::Counter,
        "Total number of packets received on a connection",
        |one| one.traffic.reads.get(),
    ),
    (
        "connection_metrics",
        "connection_outgoing_packets_total",
        Kind::Counter,
        "Total number of packets sent on a connection",
        |one| one.traffic.writes.get(),
    ),
    (
        "connection_metrics",
        "connection_pending_packets",
        Kind::Gauge,
        "Number of packets waiting to be sent on a connection",
        |one| u64::from(!one.outbox.is_empty()),
    ),
    (
        "connection_metrics",
        "connection_channels",
        Kind::Gauge,
        "Channels on a connection",
        |one| one.channels().len() as u64,
    ),
];

/// Queues with their vhost and name.
fn queues(house: &Management, wanted: &Wanted) -> Vec<(Vec<String>, QueueLook)> {
    let mut all = Vec::new();
    for vhost in house.broker.vhosts() {
        if wanted.vhost(&vhost.name) {
            let queues = vhost.queues().into_iter();
            all.extend(queues.map(|queue| {
                (
                    vec![vhost.name.to_string(), queue.name.to_string()],
                    queue.look(),
                )
            }));
        }
    }
    all
}

fn channels(house: &Management, wanted: &Wanted) -> Vec<(Vec<String>, ChannelNow)> {
    let mut all = Vec::new();
    for connection in house.broker.connections().list() {
        if !wanted.vhost(&connection.vhost) {
            continue;
        }
        for channel in connection.channels() {
            let look = connection
                .outbox
                .look_at(channel.number, channel.incarnation);
            let look = look.unwrap_or_default();
            let name = channels::name(&connection, channel.number);
            let now = ChannelNow {
                consumers_prefetch: channel.prefetch().into(),
                prefetch: look.prefetch.into(),
                unacked: look.unacked as u64,
                unconfirmed: look.unconfirmed as u64,
                uncommitted: channel.uncommitted_messages.get(),
                acks_uncommitted: channel.uncommitted_acks.get(),
                counted: Messages::of(&channel.requests, look.deliveries),
            };
            all.push((vec![name], now));
        }
    }
    all
}

fn connections(house: &Management, wanted: &Wanted) -> Vec<(Vec<String>, Arc<ConnectionFacts>)> {
    let connections = house.broker.connections().list().into_iter();
    let connections = connections.filter(|one| wanted.vhost(&one.vhost));
    connections.map(|one| (vec![one.name()], one)).collect()
}

/// What makes one large number of many is what a dashboard wants, whatever their number.
pub(super) fn summed(house: &Management, page: &mut Page) {
    let wanted = Wanted::everything();
    sum(page, &QUEUES, &queues(house, &wanted));
    sum(page, &CHANNELS, &channels(house, &wanted));
    sum(page, &CONNECTIONS, &connections(house, &wanted));
}

fn sum<T>(page: &mut Page, families: &[Family<T>], objects: &[(Vec<String>, T)]) {
    for (_, name, kind, help, pick) in families {
        let sum: u64 = objects.iter().map(|(_, object)| pick(object)).sum();
        page.one(&format!("rabbitmq_{name}"), *kind, help, sum as f64);
    }
}

pub(super) fn each(house: &Management, page: &mut Page, prefix: &str, wanted: &Wanted) {
    let of_queues = (prefix, ["vhost", "queue"].as_slice(), wanted);
    show(page, &QUEUES, of_queues, || queues(house, wanted));
    let of_channels = (prefix, ["channel"].as_slice(), wanted);
    show(page, &CHANNELS, of_channels, || channels(house, wanted));
    let of_connections = (prefix, ["connection"].as_slice(), wanted);
    show(page, &CONNECTIONS, of_connections, || {
        connections(house, wanted)
    });
}

fn show<T>(
    page: &mut Page,
    families: &[Family<T>],
    (prefix, labels, wanted): (&str, &[&str], &Wanted),
    objects: impl FnOnce() -> Vec<(Vec<String>, T)>,
) {
    let shown: Vec<&Family<T>> = families
        .iter()
        .filter(|family| wanted.family(family.0))
        .collect();
    if shown.is_empty() {
        return;
    }
    let objects = objects();
    for (_, name, kind, help, pick) in shown {
        let name = format!("{prefix}{name}");
        page.family(&name, *kind, help);
        for (values, object) in &objects {
            let pairs = labels
                .iter()
                .copied()
                .zip(values.iter().map(String::as_str));
            let pairs: Vec<(&str, &str)> = pairs.collect();
            page.sample(&name, &pairs, pick(object) as f64);
        }
    }
}

/// What has no counters of its own, in detail only.
pub(super) fn cluster(house: &Management, page: &mut Page, wanted: &Wanted) {
    let vhosts = house.broker.vhosts();
    let vhosts: Vec<_> = vhosts
        .iter()
        .filter(|vhost| wanted.vhost(&vhost.name))
        .collect();
    if wanted.family("vhost_status") {
        let name = "rabbitmq_cluster_vhost_status";
        page.family(name, Kind::Gauge, "Whether a given vhost is running");
        for vhost in &vhosts {
            page.sample(name, &[("vhost", &vhost.name)], 1.0);
        }
    }
    if wanted.family("exchange_bindings") {
        let name = "rabbitmq_cluster_exchange_bindings";
        page.family(name, Kind::Gauge, "Number of bindings for an exchange");
        for vhost in &vhosts {
            for exchange in vhost.exchanges() {
                let labels = [
                    ("vhost", &*vhost.name),
                    ("exchange", &*exchange.name),
                    ("type", exchange.definition.type_name.as_str()),
                ];
                page.sample(name, &labels, exchange.bindings().len() as f64);
            }
        }
    }
}
