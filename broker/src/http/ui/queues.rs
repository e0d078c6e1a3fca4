//! Queues: the list, and one with its charts, bindings, consumers and messages.

use maud::{Markup, html};
use serde_json::Value;

use super::chart;
use super::connections::consumers;
use super::exchanges::{LINES, bindings, features, or_none, publish_fields};
use super::page::{self, Page, area, careful, input, live, select, tick};
use super::show::{
    at, bytes, count, decimal, facts, list, map, number, path, per_second, queue_link,
    table as key_values, text, value,
};
use super::table::{self, Column, numeric};
use super::visit::{Failed, Visit};

const COLUMNS: [Column; 11] = [
    table::text("Name", "name"),
    table::text("Virtual host", "vhost"),
    table::text("Type", "type"),
    table::text("Features", ""),
    table::text("Policy", "policy"),
    numeric("Ready", "messages_ready"),
    numeric("Unacked", "messages_unacknowledged"),
    numeric("Total", "messages"),
    numeric("Consumers", "consumers"),
    numeric("In", "message_stats.publish_details.rate"),
    numeric("Out", "message_stats.deliver_get_details.rate"),
];

pub(super) async fn show_all(visit: &Visit) -> Result<Page, Failed> {
    let vhosts = visit.vhosts();
    let listing = table::fetch(visit, "queues").await?;
    let row = |row: &Value| {
        vec![
            queue_link(text(row, "vhost"), text(row, "name")),
            html! { (text(row, "vhost")) },
            html! { (text(row, "type")) },
            features(row),
            html! { (text(row, "policy")) },
            html! { (count(number(row, "messages_ready"))) },
            html! { (count(number(row, "messages_unacknowledged"))) },
            html! { (count(number(row, "messages"))) },
            html! { (count(number(row, "consumers"))) },
            html! { (per_second(decimal(row, "message_stats.publish_details.rate"))) },
            html! { (per_second(decimal(row, "message_stats.deliver_get_details.rate"))) },
        ]
    };
    let found = table::sorted(visit, "Queues", &COLUMNS, &listing, row);
    let body = html! {
        (table::filter(visit, &vhosts))
        (live("list", &found))
        (page::form(visit, "declare-queue", "Add a queue", "Declare", &declare_fields(visit, &vhosts)))
    };
    Ok(Page {
        title: "Queues".to_owned(),
        section: "/queues",
        body,
    })
}

fn declare_fields(visit: &Visit, vhosts: &[String]) -> Markup {
    html! {
        (page::vhost("declare-vhost", visit, vhosts))
        (input("declare-name", "Name", ""))
        (select("declare-type", "Type",
            [("", "the virtual host's default"), ("classic", "classic"), ("quorum", "quorum"), ("stream", "stream")], ""))
        (tick("declare-durable", "Durable", true))
        (tick("declare-auto_delete", "Auto-delete: goes with its last consumer", false))
        (input("declare-ttl", "Messages expire after, in ms (x-message-ttl)", ""))
        (input("declare-max_length", "At most so many messages (x-max-length)", ""))
        (input("declare-dead_letter", "Dead letter exchange (x-dead-letter-exchange)", ""))
        (area("declare-arguments", "Further arguments", LINES))
    }
}

const SERIES: &str = "lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5";

pub(super) async fn show_one(visit: &Visit, vhost: &str, name: &str) -> Result<Page, Failed> {
    let api = path(&["queues", vhost, name]);
    let row = visit.get(&format!("{api}?{SERIES}")).await?;
    let bound = visit.get(&format!("{api}/bindings")).await?;
    let body = html! {
        (live("queue", &html! { (queue_facts(&row)) (charts(&row)) }))
        h2 { "Bindings" }
        (live("bindings", &bindings(visit, "Bindings to this queue", list(&bound))))
        h2 { "Consumers" }
        (live("consumers", &consumers(list(at(&row, "consumer_details")))))
        h2 { "Messages" }
        (page::form(visit, "get", "Get messages", "Get", &get_fields(vhost, name)))
        (page::form(visit, "publish", "Publish to this queue", "Publish", &publish_fields(vhost, "", Some(name))))
        (page::form(visit, "move", "Move messages", "Move", &move_fields(vhost, name)))
        (page::form(visit, "bind", "Bind an exchange to this queue", "Bind", &bind_fields(vhost, name)))
        h2 { "Purge and delete" }
        p { (careful(visit, "purge", "Purge queue", &[("vhost", vhost), ("name", name)])) " "
            (careful(visit, "delete-queue", "Delete queue", &[("vhost", vhost), ("name", name)])) }
    };
    Ok(Page {
        title: format!("Queue {name}"),
        section: "/queues",
        body,
    })
}

fn queue_facts(row: &Value) -> Markup {
    let messages = |field: &str| {
        let (number_of, size) = (
            number(row, field),
            match field {
                "messages_ready" => number(row, "message_bytes_ready"),
                "messages_unacknowledged" => number(row, "message_bytes_unacknowledged"),
                _ => number(row, "message_bytes"),
            },
        );
        html! { (count(number_of)) span.dim { ", " (bytes(size)) } }
    };
    facts(&[
        ("Virtual host", html! { (text(row, "vhost")) }),
        ("Type", html! { (text(row, "type")) }),
        ("State", html! { span.state { (text(row, "state")) } }),
        ("Features", features(row)),
        ("Arguments", key_values(&map(at(row, "arguments")))),
        ("Policy", or_none(text(row, "policy"))),
        ("Operator policy", or_none(text(row, "operator_policy"))),
        (
            "Policies come to",
            key_values(&map(at(row, "effective_policy_definition"))),
        ),
        ("Ready", messages("messages_ready")),
        ("Unacknowledged", messages("messages_unacknowledged")),
        ("Total", messages("messages")),
        ("Consumers", html! { (count(number(row, "consumers"))) }),
        ("Idle since", or_none(text(row, "idle_since"))),
    ])
}

fn charts(row: &Value) -> Markup {
    let rates = [
        ("Published", "publish"),
        ("Delivered", "deliver_get"),
        ("Acknowledged", "ack"),
        ("Redelivered", "redeliver"),
    ];
    chart::messages(row, at(row, "message_stats"), rates)
}

/// Of the form, the values of RabbitMQ's API.
const ACK_MODES: [(&str, &str); 4] = [
    (
        "ack_requeue_true",
        "put back, not counted as redelivered by the limit",
    ),
    ("reject_requeue_true", "reject and put back"),
    ("ack_requeue_false", "take out"),
    ("reject_requeue_false", "reject and take out (dead-letter)"),
];

fn get_fields(vhost: &str, name: &str) -> Markup {
    html! {
        input type="hidden" name="vhost" value=(vhost);
        input type="hidden" name="name" value=(name);
        (input("get-count", "How many", "1"))
        (select("get-ackmode", "And then", ACK_MODES, "ack_requeue_true"))
        (select("get-encoding", "Payload", [("auto", "as text where it is"), ("base64", "base64")], "auto"))
    }
}

fn move_fields(vhost: &str, name: &str) -> Markup {
    html! {
        input type="hidden" name="vhost" value=(vhost);
        input type="hidden" name="name" value=(name);
        (input("move-to", "To the queue", ""))
        (input("move-count", "At most so many; empty is all that are ready now", ""))
        p.dim { "Each message leaves this queue once the other one has it safely." }
    }
}

fn bind_fields(vhost: &str, name: &str) -> Markup {
    html! {
        input type="hidden" name="vhost" value=(vhost);
        input type="hidden" name="kind" value="q";
        input type="hidden" name="destination" value=(name);
        (input("bind-source", "From the exchange", ""))
        (input("bind-routing_key", "Routing key", ""))
        (area("bind-arguments", "Arguments", LINES))
    }
}

/// What a form has got out of a queue.
pub(super) fn got(vhost: &str, name: &str, messages: &[Value]) -> Page {
    let shown = messages.iter().map(|message| {
        let redelivered = if super::show::is(message, "redelivered") {
            ", redelivered"
        } else {
            ""
        };
        html! {
            article.message {
                (facts(&[
                    ("Exchange", html! { (text(message, "exchange")) }),
                    ("Routing key", html! { code { (text(message, "routing_key")) } }),
                    ("Properties", key_values(&map(at(message, "properties")))),
                    ("Payload", html! { (bytes(number(message, "payload_bytes"))) ", "
                        (text(message, "payload_encoding")) (redelivered) }),
                ]))
                pre tabindex="0" aria-label="Payload" { (value(at(message, "payload"))) }
            }
        }
    });
    let shown: Vec<Markup> = shown.collect();
    let body = html! {
        p { (count(messages.len() as u64)) (if messages.len() == 1 { " message. " } else { " messages. " })
            (queue_link(vhost, name)) }
        @for message in &shown { (message) }
    };
    Page {
        title: format!("Messages of queue {name}"),
        section: "/queues",
        body,
    }
}
