//! Shovels, federation links and the tasks of other services: what each does, and the doors to start
//! it anew, to pause it and to set a new one.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::page::{self, Page, button, careful};
use super::show::{at, count, list, map, text};
use super::table::{self, Column};
use super::visit::{Failed, Visit};

const SHOVELS: [Column; 7] = [
    table::text("Name", ""),
    table::text("Virtual host", ""),
    table::text("From", ""),
    table::text("To", ""),
    table::text("State", ""),
    table::text("Since", ""),
    table::text("Action", ""),
];

const LINKS: [Column; 7] = [
    table::text("Of", ""),
    table::text("Virtual host", ""),
    table::text("Upstream", ""),
    table::text("There", ""),
    table::text("State", ""),
    table::text("Since", ""),
    table::text("Action", ""),
];

const OTHERS: [Column; 5] = [
    table::text("Plugin", ""),
    table::text("Virtual host", ""),
    table::text("Task", ""),
    table::text("State", ""),
    table::text("Counted", ""),
];

pub(super) async fn show(visit: &Visit) -> Result<Page, Failed> {
    let shovels = visit.get("/shovels").await?;
    let links = visit.get("/federation-links").await?;
    let tasks = visit.get("/warren/services").await?;
    let body = html! {
        (table::plain("Shovels", &SHOVELS, &shovel_rows(visit, list(&shovels))))
        (table::plain("Federation links", &LINKS, &link_rows(visit, list(&links))))
        (table::plain("Tasks of all services", &OTHERS, &task_rows(list(&tasks))))
        @if visit.user.is_policymaker() { (set_shovel(visit)) (set_upstream(visit)) }
    };
    Ok(Page {
        title: "Services".to_owned(),
        section: "/services",
        body,
    })
}

fn state(row: &Value, field: &str) -> Markup {
    let why = ["reason", "error", "blocked_reason"]
        .into_iter()
        .map(|name| text(row, name))
        .find(|why| !why.is_empty());
    html! { (text(row, field)) @if let Some(why) = why { br; small { (why) } } }
}

/// One end of a shovel: where, and which queue or exchange there.
fn end(row: &Value, side: &str) -> Markup {
    let of = |name: &str| text(row, &format!("{side}_{name}")).to_owned();
    let (queue, exchange, key) = (of("queue"), of("exchange"), of("exchange_key"));
    html! {
        code { (of("uri")) } br;
        @if !queue.is_empty() { "queue " (queue) }
        @if !exchange.is_empty() { "exchange " (exchange) @if !key.is_empty() { " with key " (key) } }
    }
}

fn shovel_rows(visit: &Visit, rows: &[Value]) -> Vec<Vec<Markup>> {
    let rows = rows.iter().map(|row| {
        let fields = [("vhost", text(row, "vhost")), ("name", text(row, "name"))];
        let paused = text(row, "state") == "paused";
        let may = visit.user.is_policymaker() && !text(row, "vhost").is_empty();
        vec![
            html! { (text(row, "name")) },
            html! { (text(row, "vhost")) },
            end(row, "src"),
            end(row, "dest"),
            state(row, "state"),
            html! { (text(row, "timestamp")) },
            html! { @if may {
                (button(visit, "restart-shovel", "Restart", &fields)) " "
                @if paused { (button(visit, "resume-shovel", "Resume", &fields)) }
                @else { (button(visit, "pause-shovel", "Pause", &fields)) } " "
                (careful(visit, "delete-shovel", "Delete", &fields))
            } },
        ]
    });
    rows.collect()
}

fn link_rows(visit: &Visit, rows: &[Value]) -> Vec<Vec<Markup>> {
    let rows = rows.iter().map(|row| {
        let kind = text(row, "type");
        let fields = [("vhost", text(row, "vhost")), ("id", text(row, "id"))];
        vec![
            html! { (kind) " " (text(row, kind)) },
            html! { (text(row, "vhost")) },
            html! { (text(row, "upstream")) br; code { (text(row, "uri")) } },
            html! { (text(row, &format!("upstream_{kind}"))) },
            state(row, "status"),
            html! { (text(row, "timestamp")) },
            html! { @if visit.user.is_policymaker() {
                (button(visit, "restart-link", "Restart", &fields))
            } },
        ]
    });
    rows.collect()
}

fn task_rows(rows: &[Value]) -> Vec<Vec<Markup>> {
    let rows = rows.iter().map(|row| {
        let counters = map(at(row, "counters"));
        vec![
            html! { (text(row, "plugin")) },
            html! { (text(row, "vhost")) },
            html! { (text(row, "name")) },
            state(row, "state"),
            html! { @for (name, number) in &counters {
                (name) ": " (count(number.as_u64().unwrap_or(0))) br;
            } },
        ]
    });
    rows.collect()
}

fn set_shovel(visit: &Visit) -> Markup {
    let line =
        |name: &str, label: &str, had: &str| page::input(&format!("shovel-{name}"), label, had);
    let vhosts = visit.vhosts();
    html! {
        h2 #shovel { "Set a shovel" }
        form.grid method="post" action="/do/set-shovel" {
            (page::token(visit))
            input type="hidden" name="back" value="/services";
            (page::vhost("shovel-vhost", visit, &vhosts))
            (line("name", "Name", ""))
            (line("src_uri", "From: URI (without a host: this broker)", "amqp://"))
            (line("src_queue", "From: queue", ""))
            (line("src_exchange", "or from: exchange", ""))
            (line("dest_uri", "To: URI", "amqp://"))
            (line("dest_queue", "To: queue", ""))
            (line("dest_exchange", "or to: exchange", ""))
            (page::area("shovel-more", "More",
                "src-prefetch-count, ack-mode, src-delete-after, …: one key = value a line, or a JSON object."))
            p { button.main type="submit" { "Set" } }
        }
    }
}

fn set_upstream(visit: &Visit) -> Markup {
    let vhosts = visit.vhosts();
    html! {
        h2 #upstream { "Set a federation upstream" }
        form.grid method="post" action="/do/set-upstream" {
            (page::token(visit))
            input type="hidden" name="back" value="/services";
            (page::vhost("upstream-vhost", visit, &vhosts))
            (page::input("upstream-name", "Name", ""))
            (page::input("upstream-uri", "URI", ""))
            (page::area("upstream-more", "More",
                "max-hops, prefetch-count, ack-mode, …: one key = value a line, or a JSON object."))
            p { button.main type="submit" { "Set" } }
        }
        p.dim { "A policy with federation-upstream or federation-upstream-set says for what." }
    }
}

/// As the API takes them.
pub(super) fn shovel(form: &Form) -> Result<Value, Failed> {
    let mut value = form.table("more")?;
    for name in [
        "src_uri",
        "src_queue",
        "src_exchange",
        "dest_uri",
        "dest_queue",
        "dest_exchange",
    ] {
        let given = form.text(name);
        if !given.is_empty() {
            value.insert(name.replace('_', "-"), json!(given));
        }
    }
    Ok(json!({"value": value}))
}

pub(super) fn upstream(form: &Form) -> Result<Value, Failed> {
    let mut value = form.table("more")?;
    value.insert("uri".to_owned(), json!(form.text("uri")));
    Ok(json!({"value": value}))
}
