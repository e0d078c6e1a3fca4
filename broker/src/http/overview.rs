//! The broker in numbers: what a tool asks first.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::about::object;
use super::call::{Call, Handled};
use super::listing::one;
use super::node::{Listener, Protocol};
use super::samples::Subject;
use super::stats::{Shown, Sums};
use super::{Management, VERSION};

/// What a user who may not see everything gets: the vhosts that he may enter, added up.
pub(super) fn show(call: &Call) -> Handled {
    let house = &call.house;
    let mut sums = Sums::default();
    let vhosts = call.visible_vhosts();
    for vhost in &vhosts {
        let of_vhost = house.sums(vhost);
        sums.messages += of_vhost.messages;
        sums.depth.add(of_vhost.depth);
        sums.consumers += of_vhost.consumers;
        sums.queues += of_vhost.queues;
        sums.exchanges += of_vhost.exchanges;
    }
    let subject = match vhosts.as_slice() {
        [only] if !call.user.is_monitoring() => Subject::Vhost(Arc::clone(&only.name)),
        _ => Subject::Broker,
    };
    let shown = Shown {
        house,
        request: &call.request,
        subject,
    };
    let mut totals = Map::new();
    shown.put_depth(&mut totals, sums.depth);
    let connections = house.broker.connections().list();
    let connections: Vec<_> = connections
        .iter()
        .filter(|connection| call.sees_connection(connection))
        .collect();
    let channels: usize = connections
        .iter()
        .map(|connection| connection.channels().len())
        .sum();
    let mut map = about(house);
    map.extend(object([
        ("churn_rates", churn(call)),
        ("queue_totals", Value::Object(totals)),
        (
            "object_totals",
            json!({
                "channels": channels,
                "connections": connections.len(),
                "consumers": sums.consumers,
                "exchanges": sums.exchanges,
                "queues": sums.queues,
            }),
        ),
        ("statistics_db_event_queue", json!(0)),
        ("node", json!(house.node.name())),
    ]));
    let stats = shown.message_stats(&sums.messages, true);
    map.insert(
        "message_stats".to_owned(),
        stats.unwrap_or_else(|| json!({})),
    );
    if call.user.is_monitoring() {
        map.insert("listeners".to_owned(), house.listeners());
        map.insert("contexts".to_owned(), house.contexts());
    }
    one(call, Value::Object(map))
}

/// What it is and how it counts.
fn about(house: &Management) -> Map<String, Value> {
    object([
        ("management_version", json!(VERSION)),
        ("rates_mode", json!("basic")),
        (
            "sample_retention_policies",
            json!({"global": [600], "basic": [60], "detailed": [60]}),
        ),
        ("exchange_types", house.exchange_types()),
        ("product_version", json!(env!("CARGO_PKG_VERSION"))),
        ("product_name", json!("Warren")),
        ("rabbitmq_version", json!(VERSION)),
        ("cluster_name", json!(house.cluster_name())),
        ("cluster_tags", json!([])),
        ("node_tags", json!([])),
        ("default_queue_type", json!("classic")),
        ("erlang_version", json!("none")),
        (
            "erlang_full_version",
            json!("none: Warren is written in Rust"),
        ),
        ("release_series_support_status", json!("supported")),
        ("disable_stats", json!(false)),
        ("is_op_policy_updating_enabled", json!(true)),
        ("enable_queue_totals", json!(false)),
    ])
}

/// Where these numbers stand among those of the node.
pub(super) const CHURN: [&str; 7] = [
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_declared",
    "queue_created",
    "queue_deleted",
];

fn churn(call: &Call) -> Value {
    let shown = Shown {
        house: &call.house,
        request: &call.request,
        subject: Subject::Node,
    };
    let mut map = Map::new();
    for (index, value) in call.house.churn().into_iter().enumerate() {
        let name = CHURN.get(index).copied().unwrap_or_default();
        shown.put(&mut map, name, value, (index, "msg_rates"));
    }
    Value::Object(map)
}

impl Management {
    /// In the order of `CHURN`.
    pub(super) fn churn(&self) -> [u64; 7] {
        let churn = self.broker.connections().churn();
        [
            churn.connections_opened.get(),
            churn.connections_closed.get(),
            churn.channels_opened.get(),
            churn.channels_closed.get(),
            churn.queues_declared.get(),
            churn.queues_created.get(),
            churn.queues_deleted.get(),
        ]
    }

    pub(super) fn exchange_types(&self) -> Value {
        let types = self.plugins.types();
        let types = types.iter().map(|(name, plugin)| {
            json!({
                "name": name,
                "description": format!("from the plugin {plugin}"),
                "enabled": true,
            })
        });
        Value::Array(types.collect())
    }

    fn listeners(&self) -> Value {
        let node = self.node.name();
        let listeners = self.node.listeners();
        let listeners = listeners.iter().map(|listener| {
            json!({
                "node": node,
                "protocol": listener.protocol_name(),
                "ip_address": listener.address.ip().to_string(),
                "port": listener.address.port(),
                "tls": listener.identity.is_some(),
                "socket_opts": {"nodelay": true},
            })
        });
        Value::Array(listeners.collect())
    }

    pub(super) fn contexts(&self) -> Value {
        let node = self.node.name();
        let listeners = self.node.listeners();
        let contexts = listeners.iter().filter_map(|listener| {
            let description = match listener.protocol {
                Protocol::Amqp => return None,
                Protocol::Http => "RabbitMQ Management",
                Protocol::Prometheus => "RabbitMQ Prometheus",
            };
            Some(json!({
                "ssl_opts": ssl_options(listener),
                "node": node,
                "description": description,
                "path": "/",
                "ip": listener.address.ip().to_string(),
                "port": listener.address.port().to_string(),
                "protocol": listener.protocol_name(),
            }))
        });
        Value::Array(contexts.collect())
    }
}

/// The files that the certificates came from.
fn ssl_options(listener: &Listener) -> Value {
    let Some(identity) = &listener.identity else {
        return json!([]);
    };
    let current = identity.current();
    json!({
        "certfile": current.certificate_file.display().to_string(),
        "keyfile": current.key_file.display().to_string(),
        "cacertfile": current.ca_file.display().to_string(),
        "verify": if current.verifies { "verify_peer" } else { "verify_none" },
    })
}
