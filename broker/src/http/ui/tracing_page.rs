//! Tracing: which virtual hosts are traced, the traces that write files, and those files.

use maud::{Markup, html};
use serde_json::Value;

use super::admin::tabs;
use super::page::{self, Page, button, careful, input, select};
use super::show::{at, bytes, count, is, list, number, path, text};
use super::table::{self, Column, numeric};
use super::visit::{Failed, Visit};

const VHOSTS: [Column; 3] = [
    table::text("Virtual host", ""),
    table::text("Tracing", ""),
    table::text("Action", ""),
];

const TRACES: [Column; 6] = [
    table::text("Virtual host", ""),
    table::text("Name", ""),
    table::text("Pattern", ""),
    table::text("Format", ""),
    table::text("Payload at most", ""),
    table::text("Action", ""),
];

const FILES: [Column; 3] = [
    table::text("File", ""),
    numeric("Size", ""),
    table::text("Action", ""),
];

pub(super) async fn show(visit: &Visit) -> Result<Page, Failed> {
    let traces = visit.get("/traces").await?;
    let files = visit.get("/trace-files").await?;
    let vhosts = visit.get("/vhosts").await?;
    let plugin = visit.get("/warren/plugins/tracing").await.ok();
    let body = html! {
        (tabs(visit, "tracing"))
        p { "A traced virtual host copies every message that is published or delivered to its \
            exchange " code { "amq.rabbitmq.trace" } ". It ends when the broker stops." }
        @if let Some(plugin) = &plugin { (told(plugin)) }
        (table::plain("Virtual hosts", &VHOSTS, &vhost_rows(visit, list(&vhosts))))
        (table::plain("Traces", &TRACES, &trace_rows(visit, list(&traces))))
        (page::form(visit, "add-trace", "Add a trace", "Add", &fields(visit)))
        (table::plain("Files", &FILES, &file_rows(visit, list(&files))))
    };
    Ok(Page {
        title: "Tracing".to_owned(),
        section: "/admin",
        body,
    })
}

fn told(plugin: &Value) -> Markup {
    let dropped = number(plugin, "events_dropped");
    html! {
        p { (count(number(plugin, "events"))) " messages traced since the start, "
            @if dropped > 0 { strong { (count(dropped)) " dropped" } } @else { "none dropped" } "." }
    }
}

fn vhost_rows(visit: &Visit, vhosts: &[Value]) -> Vec<Vec<Markup>> {
    let rows = vhosts.iter().map(|vhost| {
        let name = text(vhost, "name");
        let (shown, action, label) = match is(vhost, "tracing") {
            true => ("on", "trace-off", "Switch off"),
            false => ("off", "trace-on", "Switch on"),
        };
        vec![
            html! { (name) },
            html! { (shown) },
            button(visit, action, label, &[("vhost", name)]),
        ]
    });
    rows.collect()
}

fn trace_rows(visit: &Visit, traces: &[Value]) -> Vec<Vec<Markup>> {
    let rows = traces.iter().map(|trace| {
        let (vhost, name) = (text(trace, "vhost"), text(trace, "name"));
        let most = at(trace, "max_payload_bytes").as_u64();
        vec![
            html! { (vhost) },
            html! { (name) },
            html! { code { (text(trace, "pattern")) } },
            html! { (text(trace, "format")) },
            html! { (most.map_or_else(|| "all of it".to_owned(), bytes)) },
            careful(
                visit,
                "delete-trace",
                "Stop",
                &[("vhost", vhost), ("name", name)],
            ),
        ]
    });
    rows.collect()
}

fn file_rows(visit: &Visit, files: &[Value]) -> Vec<Vec<Markup>> {
    let rows = files.iter().map(|file| {
        let name = text(file, "name");
        let link = format!("/api{}", path(&["trace-files", name]));
        vec![
            html! { a href=(link) { (name) } },
            html! { (bytes(number(file, "size"))) },
            careful(visit, "delete-trace-file", "Delete", &[("file", name)]),
        ]
    });
    rows.collect()
}

fn fields(visit: &Visit) -> Markup {
    let vhosts = visit.vhosts();
    let names = vhosts.iter().map(|name| (name.as_str(), name.as_str()));
    html! {
        (select("trace-vhost", "Virtual host", names, ""))
        (input("trace-name", "Name, and name of the file", ""))
        (select("trace-format", "Format", [("text", "text"), ("json", "JSON, one object a line")], "text"))
        (input("trace-pattern", "Pattern: publish.EXCHANGE or deliver.QUEUE, with * and #", "#"))
        (input("trace-max_payload_bytes", "Bytes of a payload at most (empty: all)", ""))
    }
}
