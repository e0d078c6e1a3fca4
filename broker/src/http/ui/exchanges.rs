//! Exchanges: the list, and one with its bindings and the forms to bind and publish.

use maud::{Markup, html};
use serde_json::Value;

use super::page::{self, Page, area, button, careful, input, live, select, tick};
use super::show::{
    at, count, decimal, exchange_in_path, exchange_link, facts, is, list, map, number, path,
    per_second, queue_link, table as key_values, text,
};
use super::table::{self, Column, numeric};
use super::visit::{Failed, Visit};

const COLUMNS: [Column; 7] = [
    table::text("Name", "name"),
    table::text("Virtual host", "vhost"),
    table::text("Type", "type"),
    table::text("Features", ""),
    table::text("Policy", "policy"),
    numeric("In", "message_stats.publish_in_details.rate"),
    numeric("Out", "message_stats.publish_out_details.rate"),
];

pub(super) const LINES: &str = "One key = value a line, or a JSON object.";

pub(super) async fn show_all(visit: &Visit) -> Result<Page, Failed> {
    let vhosts = visit.vhosts();
    let listing = table::fetch(visit, "exchanges").await?;
    let types = visit.exchange_types();
    let row = |row: &Value| {
        vec![
            exchange_link(text(row, "vhost"), text(row, "name")),
            html! { (text(row, "vhost")) },
            html! { (text(row, "type")) },
            features(row),
            html! { (text(row, "policy")) },
            html! { (per_second(decimal(row, "message_stats.publish_in_details.rate"))) },
            html! { (per_second(decimal(row, "message_stats.publish_out_details.rate"))) },
        ]
    };
    let found = table::sorted(visit, "Exchanges", &COLUMNS, &listing, row);
    let fields = html! {
        (page::vhost("declare-vhost", visit, &vhosts))
        (input("declare-name", "Name", ""))
        (select("declare-type", "Type", types.iter().map(|name| (name.as_str(), name.as_str())), "direct"))
        (tick("declare-durable", "Durable", true))
        (tick("declare-auto_delete", "Auto-delete: goes with its last binding", false))
        (tick("declare-internal", "Internal: clients cannot publish to it", false))
        (input("declare-alternate", "Alternate exchange, for what matches nothing", ""))
        (area("declare-arguments", "Further arguments", LINES))
    };
    let body = html! {
        (table::filter(visit, &vhosts))
        (live("list", &found))
        (page::form(visit, "declare-exchange", "Add an exchange", "Declare", &fields))
    };
    Ok(Page {
        title: "Exchanges".to_owned(),
        section: "/exchanges",
        body,
    })
}

pub(super) fn features(row: &Value) -> Markup {
    let arguments = map(at(row, "arguments"));
    html! {
        @if is(row, "durable") { abbr.tag title="durable" { "D" } }
        @if is(row, "auto_delete") { abbr.tag title="auto-delete" { "AD" } }
        @if is(row, "exclusive") { abbr.tag title="exclusive" { "Excl" } }
        @if is(row, "internal") { abbr.tag title="internal" { "I" } }
        @for (key, value) in &arguments {
            @if key != "x-queue-type" {
                abbr.tag title=(format!("{key} = {}", super::show::value(value))) { (key.trim_start_matches("x-")) }
            }
        }
    }
}

pub(super) async fn show_one(visit: &Visit, vhost: &str, name: &str) -> Result<Page, Failed> {
    let api = path(&["exchanges", vhost, name]);
    let row = visit.get(&api).await?;
    let real = text(&row, "name");
    let is_default = real.is_empty();
    let from = visit.get(&format!("{api}/bindings/source")).await?;
    let to = visit.get(&format!("{api}/bindings/destination")).await?;
    let mut facts_shown = vec![
        ("Virtual host", html! { (vhost) }),
        ("Type", html! { (text(&row, "type")) }),
        ("Features", features(&row)),
        ("Policy", html! { (or_none(text(&row, "policy"))) }),
        ("Arguments", key_values(&map(at(&row, "arguments")))),
    ];
    for (term, field) in [
        ("Published in", "publish_in"),
        ("Routed out", "publish_out"),
    ] {
        let total = count(number(&row, &format!("message_stats.{field}")));
        let rate = per_second(decimal(
            &row,
            &format!("message_stats.{field}_details.rate"),
        ));
        facts_shown.push((term, html! { (total) ", " (rate) }));
    }
    let body = html! {
        (live("exchange", &facts(&facts_shown)))
        h2 { "Bindings from here" }
        @if is_default {
            p { "Every queue is bound to the default exchange by its name." }
        } @else {
            (live("from", &bindings(visit, "Bindings from this exchange", list(&from))))
            h2 { "Bindings to here" }
            (live("to", &bindings(visit, "Bindings to this exchange", list(&to))))
            (page::form(visit, "bind", "Bind", "Bind", &bind_fields(vhost, real)))
        }
        (page::form(visit, "publish", "Publish a message", "Publish", &publish_fields(vhost, real, None)))
        @if !is_default && !real.starts_with("amq.") {
            h2 { "Delete" }
            (careful(visit, "delete-exchange", "Delete exchange", &[("vhost", vhost), ("name", real)]))
        }
    };
    let shown = if is_default { "(default)" } else { real };
    Ok(Page {
        title: format!("Exchange {shown}"),
        section: "/exchanges",
        body,
    })
}

pub(super) fn or_none(text: &str) -> Markup {
    html! { @if text.is_empty() { span.dim { "none" } } @else { (text) } }
}

fn bind_fields(vhost: &str, source: &str) -> Markup {
    html! {
        input type="hidden" name="vhost" value=(vhost);
        input type="hidden" name="source" value=(source);
        (select("bind-kind", "To a", [("q", "queue"), ("e", "exchange")], "q"))
        (input("bind-destination", "Its name", ""))
        (input("bind-routing_key", "Routing key", ""))
        (area("bind-arguments", "Arguments", LINES))
    }
}

/// `routing_key` is None where it is to be asked for.
pub(super) fn publish_fields(vhost: &str, exchange: &str, routing_key: Option<&str>) -> Markup {
    html! {
        input type="hidden" name="vhost" value=(vhost);
        input type="hidden" name="exchange" value=(exchange_in_path(exchange));
        @match routing_key {
            Some(key) => { input type="hidden" name="routing_key" value=(key); }
            None => { (input("publish-routing_key", "Routing key", "")) }
        }
        (tick("publish-persistent", "Persistent", true))
        (area("publish-headers", "Headers", LINES))
        (area("publish-properties", "Properties", "content_type, priority, expiration, message_id, …: one key = value a line."))
        p.field { label for="publish-payload" { "Payload" }
            textarea id="publish-payload" name="payload" rows="4" {} }
        (select("publish-encoding", "Payload is", [("string", "text"), ("base64", "base64")], "string"))
    }
}

const BINDINGS: [Column; 5] = [
    table::text("From", ""),
    table::text("To", ""),
    table::text("Routing key", ""),
    table::text("Arguments", ""),
    table::text("Action", ""),
];

/// More are not shown: they are in the API.
const MOST_BINDINGS: usize = 500;

pub(super) fn bindings(visit: &Visit, caption: &str, rows: &[Value]) -> Markup {
    let shown = rows.iter().take(MOST_BINDINGS);
    let cells: Vec<Vec<Markup>> = shown.map(|row| binding(visit, row)).collect();
    html! {
        (table::plain(caption, &BINDINGS, &cells))
        @if rows.len() > MOST_BINDINGS {
            p.dim { "The first " (MOST_BINDINGS) " of " (count(rows.len() as u64)) "." }
        }
    }
}

fn binding(visit: &Visit, row: &Value) -> Vec<Markup> {
    let (vhost, source) = (text(row, "vhost"), text(row, "source"));
    let destination = text(row, "destination");
    let to_queue = text(row, "destination_type") == "queue";
    let fields = [
        ("vhost", vhost),
        ("source", source),
        ("kind", if to_queue { "q" } else { "e" }),
        ("props", text(row, "properties_key")),
        ("destination", destination),
    ];
    vec![
        exchange_link(vhost, source),
        if to_queue {
            queue_link(vhost, destination)
        } else {
            exchange_link(vhost, destination)
        },
        html! { code { (text(row, "routing_key")) } },
        key_values(&map(at(row, "arguments"))),
        html! { @if !source.is_empty() { (button(visit, "unbind", "Unbind", &fields)) } },
    ]
}
