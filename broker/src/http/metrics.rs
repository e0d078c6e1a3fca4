//! Metrics for Prometheus under RabbitMQ's names, so that its dashboards and alerts work as they
//! are; besides them what only Warren has: plugins. Nothing is counted for this that is not counted
//! anyway.

use std::sync::Arc;

use super::answer::{Answer, Failure};
use super::exposition::{Kind, Page};
use super::node::{Alarms, Resources};
use super::request::{Method, Request};
use super::{Management, VERSION, objects};
use crate::plugin::PluginStatus;
use crate::plugin::service::{Doing, TaskStatus};
use crate::queue::QueueType;
use crate::tally::{Messages, SIZE_STEPS};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All types with RabbitMQ's names for them.
pub(super) const QUEUE_TYPES: [(QueueType, &str); 3] = [
    (QueueType::Classic, "rabbit_classic_queue"),
    (QueueType::Quorum, "rabbit_quorum_queue"),
    (QueueType::Stream, "rabbit_stream_queue"),
];

impl Management {
    /// Without a login, as RabbitMQ's.
    pub(super) fn metrics(self: &Arc<Self>, request: &Request) -> Answer {
        match request.method {
            Method::Get | Method::Head => {}
            Method::Put | Method::Post | Method::Delete | Method::Options | Method::Other => {
                return Answer::empty(405).with("allow", "HEAD, GET, OPTIONS");
            }
        }
        let mut page = Page::default();
        let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["metrics"] => {
                self.node_page(&mut page, "aggregated");
                objects::summed(self, &mut page);
                self.plugin_page(&mut page);
            }
            ["metrics", "per-object"] => {
                self.node_page(&mut page, "per-object");
                objects::each(self, &mut page, "rabbitmq_", &objects::Wanted::everything());
                self.plugin_page(&mut page);
            }
            ["metrics", "detailed"] => {
                let wanted = objects::Wanted::of(request);
                self.identity(&mut page, "detailed");
                objects::each(self, &mut page, "rabbitmq_detailed_", &wanted);
                objects::cluster(self, &mut page, &wanted);
            }
            _ => return Failure::NotFound.answer(),
        }
        Answer::some(200, TEXT, page.into_octets())
    }

    fn node_page(&self, page: &mut Page, endpoint: &str) {
        self.build(page);
        self.identity(page, endpoint);
        self.resources(page);
        self.churn_page(page);
        self.totals(page);
        self.global(page);
        self.sizes(page);
    }

    fn build(&self, page: &mut Page) {
        let name = "rabbitmq_build_info";
        page.family(name, Kind::Untyped, "RabbitMQ & Erlang/OTP version info");
        let labels = [
            ("rabbitmq_version", VERSION),
            ("prometheus_plugin_version", VERSION),
            ("prometheus_client_version", "none"),
            ("erlang_version", "none"),
            ("warren_version", env!("CARGO_PKG_VERSION")),
        ];
        page.sample(name, &labels, 1.0);
    }

    /// Which page this is, too: RabbitMQ's dashboards choose one by it.
    fn identity(&self, page: &mut Page, endpoint: &str) {
        let name = "rabbitmq_identity_info";
        page.family(name, Kind::Untyped, "RabbitMQ node & cluster identity info");
        let cluster = self.cluster_name();
        let labels = [
            ("rabbitmq_node", self.node.name()),
            ("rabbitmq_cluster", &cluster),
            ("rabbitmq_cluster_permanent_id", &cluster),
            ("rabbitmq_endpoint", endpoint),
        ];
        page.sample(name, &labels, 1.0);
    }

    fn resources(&self, page: &mut Page) {
        let now = Now {
            resources: self.node.resources(),
            alarms: self.node.alarms(),
            sockets: self.broker.connections().count() as u64,
        };
        for (name, kind, help, pick) in OF_THE_PROCESS {
            page.one(name, kind, help, pick(&now) as f64);
        }
        let started = self.node.started_at() as f64 / 1000.0;
        let help = "Start time since the epoch";
        page.one("process_start_time_seconds", Kind::Gauge, help, started);
        let uptime = self.node.now().saturating_sub(self.node.started_at()) as f64 / 1000.0;
        let help = "Node uptime";
        page.one("rabbitmq_erlang_uptime_seconds", Kind::Gauge, help, uptime);
        let cpu = now.resources.cpu_milliseconds as f64 / 1000.0;
        let help = "Processor time of all threads";
        page.one("process_cpu_seconds_total", Kind::Counter, help, cpu);
    }

    fn churn_page(&self, page: &mut Page) {
        let names = [
            (
                "rabbitmq_connections_opened_total",
                "Total number of connections opened",
            ),
            (
                "rabbitmq_connections_closed_total",
                "Total number of connections closed or terminated",
            ),
            (
                "rabbitmq_channels_opened_total",
                "Total number of channels opened",
            ),
            (
                "rabbitmq_channels_closed_total",
                "Total number of channels closed",
            ),
            (
                "rabbitmq_queues_declared_total",
                "Total number of queues declared",
            ),
            (
                "rabbitmq_queues_created_total",
                "Total number of queues created",
            ),
            (
                "rabbitmq_queues_deleted_total",
                "Total number of queues deleted",
            ),
        ];
        for ((name, help), value) in names.into_iter().zip(self.churn()) {
            page.one(name, Kind::Counter, help, value as f64);
        }
        let attempts = self.attempts.counts();
        let all = attempts.succeeded + attempts.failed;
        let names = [
            (
                "rabbitmq_auth_attempts_total",
                "Total number of authorization attempts",
                all,
            ),
            (
                "rabbitmq_auth_attempts_succeeded_total",
                "Successful authentication attempts",
                attempts.succeeded,
            ),
            (
                "rabbitmq_auth_attempts_failed_total",
                "Failed authentication attempts",
                attempts.failed,
            ),
        ];
        for (name, help, value) in names {
            page.one(name, Kind::Counter, help, value as f64);
        }
    }

    fn totals(&self, page: &mut Page) {
        let connections = self.broker.connections().list();
        let channels: usize = connections.iter().map(|one| one.channels().len()).sum();
        let mut queues = 0;
        let mut consumers = 0;
        for vhost in self.broker.vhosts() {
            for queue in vhost.queues() {
                queues += 1;
                consumers += u64::from(queue.counts().consumers);
            }
        }
        let totals = [
            (
                "rabbitmq_connections",
                "Connections currently open",
                connections.len() as u64,
            ),
            (
                "rabbitmq_channels",
                "Channels currently open",
                channels as u64,
            ),
            (
                "rabbitmq_consumers",
                "Consumers currently connected",
                consumers,
            ),
            ("rabbitmq_queues", "Queues available", queues),
        ];
        for (name, help, value) in totals {
            page.one(name, Kind::Gauge, help, value as f64);
        }
    }

    /// By protocol, and what queues count by their type too.
    fn global(&self, page: &mut Page) {
        let connections = self.broker.connections();
        let counted = connections.counted();
        let protocol = ("protocol", "amqp091");
        for (name, help, pick) in BY_PROTOCOL {
            page.family(name, Kind::Counter, help);
            page.sample(name, &[protocol], pick(&counted) as f64);
        }
        let channels = connections.list();
        let channels = channels.iter().flat_map(|one| one.channels());
        let publishing = channels.filter(|one| one.requests.published.get() > 0);
        let name = "rabbitmq_global_publishers";
        page.family(name, Kind::Gauge, "Publishers currently connected");
        page.sample(name, &[protocol], publishing.count() as f64);
        let by_type = QUEUE_TYPES.map(|(queue_type, name)| (name, self.by_type(queue_type)));
        let name = "rabbitmq_global_consumers";
        page.family(name, Kind::Gauge, "Consumers currently connected");
        let consumers: u64 = by_type.iter().map(|(_, (_, consumers))| consumers).sum();
        page.sample(name, &[protocol], consumers as f64);
        for (name, help, pick) in BY_TYPE {
            page.family(name, Kind::Counter, help);
            for (type_name, (counted, _)) in &by_type {
                let labels = [protocol, ("queue_type", type_name)];
                page.sample(name, &labels, pick(counted) as f64);
            }
        }
    }

    fn sizes(&self, page: &mut Page) {
        let sizes = self.broker.connections().sizes();
        let name = "rabbitmq_message_size_bytes";
        let help = "Size of messages received from publishers";
        page.family(name, Kind::Histogram, help);
        let protocol = ("protocol", "amqp091");
        let bucket = format!("{name}_bucket");
        let mut sum = 0;
        for (step, count) in SIZE_LABELS.iter().zip(sizes.counts) {
            sum += count;
            page.sample(&bucket, &[protocol, ("le", step)], sum as f64);
        }
        page.sample(&format!("{name}_count"), &[protocol], sum as f64);
        page.sample(&format!("{name}_sum"), &[protocol], sizes.octets as f64);
    }

    /// What queues of this type have counted since the start, and their consumers now.
    fn by_type(&self, queue_type: QueueType) -> (Messages, u64) {
        let mut counted = self.broker.connections().gone_queues(queue_type);
        let mut consumers = 0;
        for vhost in self.broker.vhosts() {
            for queue in vhost.queues() {
                if queue.attributes.queue_type == queue_type {
                    let look = queue.look();
                    counted += look.counted;
                    consumers += u64::from(look.counts.consumers);
                }
            }
        }
        (counted, consumers)
    }

    fn plugin_page(&self, page: &mut Page) {
        let plugins = self.plugins.list();
        for (name, kind, help, pick) in OF_PLUGINS {
            page.family(name, kind, help);
            for plugin in &plugins {
                page.sample(name, &[("plugin", &plugin.name)], pick(plugin));
            }
        }
        let name = "warren_plugin_faults_total";
        page.family(
            name,
            Kind::Counter,
            "Calls that trapped, took too long or used too much",
        );
        for plugin in &plugins {
            for (kind, count) in &plugin.faults {
                let kind = format!("{kind:?}").to_lowercase();
                let labels = [("plugin", plugin.name.as_str()), ("kind", kind.as_str())];
                page.sample(name, &labels, *count as f64);
            }
        }
        self.service_page(page);
    }

    fn service_page(&self, page: &mut Page) {
        let tasks = self.plugins.services().list();
        let name = "warren_service_running";
        page.family(
            name,
            Kind::Gauge,
            "1 while the task does what it is there for",
        );
        for task in &tasks {
            let running = f64::from(u8::from(task.doing == Doing::Running));
            page.sample(name, &of_task(task), running);
        }
        let name = "warren_service_count_total";
        page.family(name, Kind::Counter, "What services count");
        for task in &tasks {
            let [plugin, vhost, of] = of_task(task);
            for (counter, count) in &task.counters {
                let labels = [plugin, vhost, of, ("name", counter.as_str())];
                page.sample(name, &labels, *count as f64);
            }
        }
    }
}

fn of_task(task: &TaskStatus) -> [(&str, &str); 3] {
    [
        ("plugin", &task.plugin),
        ("vhost", &task.vhost),
        ("task", &task.name),
    ]
}

/// `tally::SIZE_STEPS` as OpenMetrics writes numbers, which is how the dashboard asks for them, whatever
/// Prometheus makes of other spellings.
const SIZE_LABELS: [&str; SIZE_STEPS.len() + 1] = [
    "100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf",
];

struct Now {
    resources: Resources,
    alarms: Alarms,
    sockets: u64,
}

type OfProcess = (&'static str, Kind, &'static str, fn(&Now) -> u64);

#[rustfmt::skip]
const OF_THE_PROCESS: [OfProcess; 17] = [
    ("rabbitmq_process_open_fds", Kind::Gauge, "Open file descriptors", |now| now.resources.descriptors),
    ("rabbitmq_process_max_fds", Kind::Gauge, "Open file descriptors limit", |now| now.resources.descriptors_limit),
    ("rabbitmq_process_open_tcp_sockets", Kind::Gauge, "Open TCP sockets", |now| now.sockets),
    ("rabbitmq_process_max_tcp_sockets", Kind::Gauge, "Open TCP sockets limit", |now| now.resources.descriptors_limit),
    ("rabbitmq_process_resident_memory_bytes", Kind::Gauge, "Memory used in bytes", |now| now.resources.memory),
    ("rabbitmq_resident_memory_limit_bytes", Kind::Gauge, "Memory high watermark in bytes", |now| now.resources.memory_limit),
    ("rabbitmq_disk_space_available_bytes", Kind::Gauge, "Disk space available in bytes", |now| now.resources.disk_free),
    ("rabbitmq_disk_space_available_limit_bytes", Kind::Gauge, "Free disk space low watermark in bytes", |now| now.resources.disk_limit),
    ("rabbitmq_alarms_memory_used_watermark", Kind::Gauge, "1 while the memory alarm is raised", |now| now.alarms.memory.into()),
    ("rabbitmq_alarms_free_disk_space_watermark", Kind::Gauge, "1 while the disk alarm is raised", |now| now.alarms.disk.into()),
    ("rabbitmq_alarms_file_descriptor_limit", Kind::Gauge, "1 while descriptors run out: there is no such alarm", |_| 0),
    ("rabbitmq_node_mem_used", Kind::Gauge, "Memory used in bytes, as some guides call it", |now| now.resources.memory),
    ("rabbitmq_node_disk_free", Kind::Gauge, "Disk space available in bytes, as some guides call it", |now| now.resources.disk_free),
    ("process_resident_memory_bytes", Kind::Gauge, "Memory used in bytes", |now| now.resources.memory),
    ("process_threads", Kind::Gauge, "Threads", |now| now.resources.threads),
    ("rabbitmq_io_read_bytes_total", Kind::Counter, "Total number of I/O bytes read", |now| now.resources.read_bytes),
    ("rabbitmq_io_write_bytes_total", Kind::Counter, "Total number of I/O bytes written", |now| now.resources.written_bytes),
];

type OfMessages = (&'static str, &'static str, fn(&Messages) -> u64);

fn unroutable(counted: &Messages) -> u64 {
    counted.returned + counted.dropped
}

#[rustfmt::skip]
const BY_PROTOCOL: [OfMessages; 6] = [
    ("rabbitmq_global_messages_received_total", "Messages received from publishers", |m| m.published),
    ("rabbitmq_global_messages_received_confirm_total", "Messages received from publishers that use confirms, once confirmed", |m| m.out.confirmed),
    ("rabbitmq_global_messages_routed_total", "Messages routed to queues or streams", |m| m.published.saturating_sub(unroutable(m))),
    ("rabbitmq_global_messages_confirmed_total", "Messages confirmed to publishers", |m| m.out.confirmed),
    ("rabbitmq_global_messages_unroutable_returned_total", "Messages published as mandatory and returned as unroutable", |m| m.returned),
    ("rabbitmq_global_messages_unroutable_dropped_total", "Messages published as non-mandatory and dropped as unroutable", |m| m.dropped),
];

#[rustfmt::skip]
const BY_TYPE: [OfMessages; 8] = [
    ("rabbitmq_global_messages_delivered_total", "Messages delivered to consumers", |m| m.out.delivered + m.out.delivered_no_ack + m.out.got + m.out.got_no_ack),
    ("rabbitmq_global_messages_delivered_consume_manual_ack_total", "Messages delivered to consumers with manual acknowledgements", |m| m.out.delivered),
    ("rabbitmq_global_messages_delivered_consume_auto_ack_total", "Messages delivered to consumers with automatic acknowledgements", |m| m.out.delivered_no_ack),
    ("rabbitmq_global_messages_delivered_get_manual_ack_total", "Messages delivered with basic.get and manual acknowledgements", |m| m.out.got),
    ("rabbitmq_global_messages_delivered_get_auto_ack_total", "Messages delivered with basic.get and automatic acknowledgements", |m| m.out.got_no_ack),
    ("rabbitmq_global_messages_get_empty_total", "Times basic.get found no message", |m| m.get_empty),
    ("rabbitmq_global_messages_redelivered_total", "Messages redelivered to consumers", |m| m.out.redelivered),
    ("rabbitmq_global_messages_acknowledged_total", "Messages acknowledged by consumers", |m| m.acked),
];

type OfPlugin = (&'static str, Kind, &'static str, fn(&PluginStatus) -> f64);

#[rustfmt::skip]
const OF_PLUGINS: [OfPlugin; 16] = [
    ("warren_plugin_calls_total", Kind::Counter, "Calls of a plugin", |one| one.calls as f64),
    ("warren_plugin_rejected_total", Kind::Counter, "Messages that a plugin has refused", |one| one.rejected as f64),
    ("warren_plugin_seconds_total", Kind::Counter, "Time spent in a plugin", |one| one.time.as_secs_f64()),
    ("warren_plugin_longest_call_seconds", Kind::Gauge, "The longest call of a plugin", |one| one.longest_call.as_secs_f64()),
    ("warren_plugin_rebuilds_total", Kind::Counter, "Instances that were built again after a fault", |one| one.rebuilds as f64),
    ("warren_plugin_open_breakers", Kind::Gauge, "Exchanges whose breaker is open", |one| one.open_breakers as f64),
    ("warren_plugin_live_instances", Kind::Gauge, "Instances in memory", |one| one.live_instances as f64),
    ("warren_plugin_evictions_total", Kind::Counter, "Instances dropped because there were too many", |one| one.evictions as f64),
    ("warren_plugin_log_lines_dropped_total", Kind::Counter, "Log lines over a plugin's limit", |one| one.log_lines_dropped as f64),
    ("warren_plugin_exchanges", Kind::Gauge, "Exchanges of a plugin's types", |one| one.exchanges as f64),
    ("warren_plugin_exchanges_limit", Kind::Gauge, "How many there may be", |one| one.limits.max_exchanges as f64),
    ("warren_plugin_bindings", Kind::Gauge, "Bindings of a plugin's exchanges", |one| one.bindings as f64),
    ("warren_plugin_bindings_limit", Kind::Gauge, "How many there may be", |one| one.limits.max_bindings as f64),
    ("warren_plugin_state_keys", Kind::Gauge, "Keys that a plugin keeps", |one| one.state_keys as f64),
    ("warren_plugin_state_bytes", Kind::Gauge, "Bytes that a plugin keeps", |one| one.state_bytes as f64),
    ("warren_plugin_state_refused_total", Kind::Counter, "What a plugin wanted to keep over its limits", |one| one.state_refused as f64),
];
