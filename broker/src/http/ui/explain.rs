//! What would become of a message: a form over the API's `explain`, which sends nothing.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::request::Method;
use super::exchanges::LINES;
use super::form::table as read_table;
use super::page::Page;
use super::show::{
    at, count, duration, exchange_link, is, list, map, number, path, queue_link,
    table as key_values, text, value,
};
use super::table::{self, numeric};
use super::visit::{Failed, Visit};

pub(super) async fn show(visit: &Visit) -> Result<Page, Failed> {
    let vhosts = visit.vhosts();
    let asked = visit.request.query("exchange").is_some();
    let answer = match asked {
        true => Some(ask(visit).await),
        false => None,
    };
    let body = html! {
        p { "What would become of a message: every exchange that would be asked, every binding that \
            matches, every queue that would get it. Nothing is sent." }
        (question(visit, &vhosts))
        @match &answer {
            None => {}
            Some(Ok(answer)) => { section aria-labelledby="answer" { h2 #answer { "Answer" } (shown(visit, answer)) } }
            Some(Err(failed)) => { p.alert role="alert" { (failed.reason) } }
        }
    };
    Ok(Page {
        title: "Explain".to_owned(),
        section: "/explain",
        body,
    })
}

fn vhost_asked(visit: &Visit) -> String {
    match visit.query("vhost") {
        "" => visit.vhosts().into_iter().next().unwrap_or_default(),
        vhost => vhost.to_owned(),
    }
}

async fn ask(visit: &Visit) -> Result<Value, Failed> {
    let read = |name: &str| {
        read_table(visit.query(name)).map_err(|text| Failed::wrong(format!("{name}: {text}")))
    };
    let mut properties = read("properties")?;
    let headers = read("headers")?;
    if !headers.is_empty() {
        properties.insert("headers".to_owned(), Value::Object(headers));
    }
    let question = json!({
        "exchange": visit.query("exchange"),
        "routing_key": visit.query("routing_key"),
        "properties": properties,
        "payload": visit.query("payload"),
    });
    let vhost = vhost_asked(visit);
    let to = path(&["warren", "explain", &vhost]);
    visit.ask(Method::Post, &to, Some(&question)).await
}

fn question(visit: &Visit, vhosts: &[String]) -> Markup {
    let line = |name: &str, label: &str| {
        let id = format!("explain-{name}");
        html! {
            p.field { label for=(id) { (label) }
                input type="text" id=(id) name=(name) value=(visit.query(name)) autocomplete="off" spellcheck="false"; }
        }
    };
    let lines = |name: &str, label: &str| {
        let id = format!("explain-{name}");
        html! {
            p.field { label for=(id) { (label) }
                textarea id=(id) name=(name) rows="2" spellcheck="false" { (visit.query(name)) }
                small { (LINES) } }
        }
    };
    html! {
        form.grid method="get" {
            (super::page::vhost("explain-vhost", visit, vhosts))
            (line("exchange", "Exchange (empty is the default one)"))
            (line("routing_key", "Routing key"))
            (lines("headers", "Headers"))
            (lines("properties", "Properties"))
            (line("payload", "Payload"))
            p { button.main type="submit" { "Explain" } }
        }
    }
}

fn shown(visit: &Visit, answer: &Value) -> Markup {
    let vhost = vhost_asked(visit);
    let queues = list(at(answer, "queues"));
    html! {
        p { @if is(answer, "routed") { strong { "It would be routed" } ", to " (count(queues.len() as u64))
                (if queues.len() == 1 { " queue." } else { " queues." }) }
            @else { strong.bad { "It would not be routed." } } }
        ol.steps {
            @for step in list(at(answer, "exchanges")) {
                li {
                    p { (exchange_link(&vhost, text(step, "exchange"))) " (" (text(step, "type")) "), key "
                        code { (text(step, "routing_key")) } ": " strong { (text(step, "decision")) } ", " (text(step, "why")) }
                    @let bindings = list(at(step, "bindings"));
                    @if !bindings.is_empty() { ul {
                        @for binding in bindings {
                            li { "binding " code { (text(binding, "routing_key")) } " to the "
                                (text(binding, "destination_type")) " " (text(binding, "destination"))
                                @let arguments = map(at(binding, "arguments"));
                                @if !arguments.is_empty() { (key_values(&arguments)) } }
                        }
                    } }
                }
            }
        }
        @if !queues.is_empty() { (fates(&vhost, queues)) }
    }
}

fn fates(vhost: &str, queues: &[Value]) -> Markup {
    let columns = [
        table::text("Queue", ""),
        table::text("Type", ""),
        numeric("Ready", ""),
        numeric("Consumers", ""),
        table::text("Survives a restart", ""),
        table::text("Expires after", ""),
        table::text("Dead letters to", ""),
        table::text("Limit", ""),
    ];
    let rows = queues.iter().map(|queue| {
        let expires = at(queue, "expires_after").as_u64();
        vec![
            queue_link(vhost, text(queue, "name")),
            html! { (text(queue, "type")) },
            html! { (count(number(queue, "messages_ready"))) },
            html! { (count(number(queue, "consumers"))) },
            html! { (if is(queue, "survives_a_restart") { "yes" } else { "no" }) },
            html! { @match expires { Some(after) => (duration(after)), None => "never" } },
            html! { @if at(queue, "dead_letter").is_null() { "nowhere" } @else {
                (exchange_link(vhost, text(queue, "dead_letter.exchange"))) " "
                code { (value(at(queue, "dead_letter.routing_key"))) } } },
            html! { @match at(queue, "limit").as_str() { Some(limit) => (limit), None => "room for it" } },
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    table::plain("Queues that would get it", &columns, &rows)
}
