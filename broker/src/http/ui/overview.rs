//! The first page: rates and totals of the broker, and what it is.

use maud::{Markup, html};
use serde_json::Value;

use super::chart;
use super::page::{Page, live, ticking};
use super::show::{at, bytes, count, decimal, duration, facts, is, list, number, per_second, text};
use super::table;
use super::visit::{Failed, Visit};

const SERIES: &str = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5";

/// Of a tick: what the rate is called, its field, and its name.
const RATES: [(&str, &str, &str); 6] = [
    ("rates.publish", "publish", "Published"),
    ("rates.confirm", "confirm", "Confirmed"),
    ("rates.deliver_get", "deliver_get", "Delivered"),
    ("rates.ack", "ack", "Acknowledged"),
    ("rates.redeliver", "redeliver", "Redelivered"),
    (
        "rates.drop_unroutable",
        "drop_unroutable",
        "Dropped, no route",
    ),
];

pub(super) async fn show(visit: &Visit) -> Result<Page, Failed> {
    let overview = visit.get(&format!("/overview?{SERIES}")).await?;
    let nodes = match visit.user.is_monitoring() {
        true => Some(visit.get("/nodes").await?),
        false => None,
    };
    let node = nodes.as_ref().and_then(|nodes| list(nodes).first());
    let body = html! {
        section aria-labelledby="totals" {
            h2 #totals { "Messages" }
            (totals(&overview))
            (live("charts", &charts(&overview)))
        }
        section aria-labelledby="objects" {
            h2 #objects { "What there is" }
            (objects(&overview))
        }
        @if let Some(node) = node {
            section aria-labelledby="node" {
                h2 #node { "Node" }
                (live("node-facts", &node_facts(&overview, node)))
            }
            section aria-labelledby="listeners" {
                h2 #listeners { "Listeners" }
                (listeners(&overview))
            }
        }
        section aria-labelledby="events" {
            h2 #events { "What happens" }
            p.dim { "Connections, channels, queues, exchanges, bindings, policies, plugins and alarms \
                as they come and go, while this page is open." }
            ol #event-log.log aria-live="off" {}
        }
    };
    Ok(Page {
        title: "Overview".to_owned(),
        section: "/",
        body,
    })
}

fn big(key: &str, name: &str, shown: &str) -> Markup {
    html! { div { dt { (name) } dd { (ticking(key, shown)) } } }
}

fn totals(overview: &Value) -> Markup {
    let depth = at(overview, "queue_totals");
    let stats = at(overview, "message_stats");
    html! {
        dl.numbers {
            (big("messages_ready", "Ready", &count(number(depth, "messages_ready"))))
            (big("messages_unacknowledged", "Unacknowledged", &count(number(depth, "messages_unacknowledged"))))
            (big("messages", "Total", &count(number(depth, "messages"))))
            @for (key, field, name) in RATES {
                (big(key, name, &per_second(decimal(stats, &format!("{field}_details.rate")))))
            }
        }
    }
}

fn charts(overview: &Value) -> Markup {
    let rates = [
        ("Published", "publish"),
        ("Confirmed", "confirm"),
        ("Delivered", "deliver_get"),
        ("Acknowledged", "ack"),
    ];
    let (depths, stats) = (at(overview, "queue_totals"), at(overview, "message_stats"));
    chart::messages(depths, stats, rates)
}

fn objects(overview: &Value) -> Markup {
    let totals = at(overview, "object_totals");
    html! {
        dl.numbers {
            @for (key, name) in [
                ("connections", "Connections"),
                ("channels", "Channels"),
                ("exchanges", "Exchanges"),
                ("queues", "Queues"),
                ("consumers", "Consumers"),
            ] {
                (big(key, name, &count(number(totals, key))))
            }
        }
    }
}

fn used(part: u64, limit: u64, alarm: bool) -> Markup {
    html! {
        (bytes(part)) " of " (bytes(limit)) " "
        meter min="0" max=(limit.max(1)) value=(part.min(limit)) aria-hidden="true" {}
        @if alarm { " " strong.bad { "alarm: publishers are stopped" } }
    }
}

fn node_facts(overview: &Value, node: &Value) -> Markup {
    facts(&[
        ("Node", html! { (text(node, "name")) }),
        (
            "Version",
            html! { (text(overview, "product_name")) " " (text(overview, "product_version"))
            span.dim { ", like RabbitMQ " (text(overview, "rabbitmq_version")) } },
        ),
        ("Up for", html! { (duration(number(node, "uptime"))) }),
        (
            "Memory",
            used(
                number(node, "mem_used"),
                number(node, "mem_limit"),
                is(node, "mem_alarm"),
            ),
        ),
        (
            "Disk free",
            html! {
                (bytes(number(node, "disk_free"))) span.dim { ", at least " (bytes(number(node, "disk_free_limit"))) }
                @if is(node, "disk_free_alarm") { " " strong.bad { "alarm: publishers are stopped" } }
            },
        ),
        (
            "File descriptors",
            html! { (count(number(node, "fd_used"))) " of " (count(number(node, "fd_total"))) },
        ),
        ("Threads", html! { (count(number(node, "proc_used"))) }),
        ("Processors", html! { (count(number(node, "processors"))) }),
        ("Data", html! { code { (text(node, "db_dir")) } }),
    ])
}

const LISTENERS: [table::Column; 3] = [
    table::text("Protocol", ""),
    table::text("Address", ""),
    table::numeric("Port", ""),
];

fn listeners(overview: &Value) -> Markup {
    let rows = list(at(overview, "listeners")).iter().map(|listener| {
        vec![
            html! { (text(listener, "protocol")) @if is(listener, "tls") { " (TLS)" } },
            html! { (text(listener, "ip_address")) },
            html! { (number(listener, "port")) },
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    table::plain("Listeners", &LISTENERS, &rows)
}
