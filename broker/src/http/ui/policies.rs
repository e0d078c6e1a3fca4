//! Policies and operator policies, and what a policy would be for before it is set.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::super::request::Method;
use super::admin::tabs;
use super::form::Form;
use super::page::{self, Page, careful};
use super::show::{at, count, list, map, number, path, table as key_values, text};
use super::table::{self, Column, numeric};
use super::visit::{Failed, Visit};

const APPLY_TO: [(&str, &str); 6] = [
    ("all", "exchanges and queues"),
    ("queues", "queues"),
    ("classic_queues", "classic queues"),
    ("quorum_queues", "quorum queues"),
    ("streams", "streams"),
    ("exchanges", "exchanges"),
];

const COLUMNS: [Column; 7] = [
    table::text("Name", ""),
    table::text("Virtual host", ""),
    table::text("Pattern", ""),
    table::text("For", ""),
    table::text("Definition", ""),
    numeric("Priority", ""),
    table::text("Action", ""),
];

/// A form that has been filled in, and what was found out about it.
pub(super) struct Draft<'a> {
    form: &'a Form,
    preview: Value,
}

pub(super) async fn show(visit: &Visit, draft: Option<Draft<'_>>) -> Result<Page, Failed> {
    let own = visit.get("/policies").await?;
    let operator = visit.get("/operator-policies").await?;
    let body = html! {
        (tabs(visit, "policies"))
        (table::plain("Policies", &COLUMNS, &rows(visit, list(&own), "user")))
        (table::plain("Operator policies, which bound what policies and arguments ask for", &COLUMNS,
            &rows(visit, list(&operator), "operator")))
        @if visit.user.is_policymaker() { (set(visit, draft.as_ref())) }
    };
    Ok(Page {
        title: "Policies".to_owned(),
        section: "/admin",
        body,
    })
}

fn rows(visit: &Visit, rows: &[Value], origin: &str) -> Vec<Vec<Markup>> {
    let may = match origin {
        "operator" => visit.user.is_administrator(),
        _ => visit.user.is_policymaker(),
    };
    let rows = rows.iter().map(|row| {
        let fields = [
            ("origin", origin),
            ("vhost", text(row, "vhost")),
            ("name", text(row, "name")),
        ];
        vec![
            html! { (text(row, "name")) },
            html! { (text(row, "vhost")) },
            html! { code { (text(row, "pattern")) } },
            html! { (text(row, "apply-to")) },
            key_values(&map(at(row, "definition"))),
            html! { (at(row, "priority").as_i64().unwrap_or(0)) },
            html! { @if may { (careful(visit, "clear-policy", "Clear", &fields)) } },
        ]
    });
    rows.collect()
}

/// Fields keep what was written into them: a preview comes back to the same form.
fn set(visit: &Visit, draft: Option<&Draft<'_>>) -> Markup {
    let had = |name: &str| draft.map_or("", |draft| draft.form.text(name)).to_owned();
    let line = |name: &str, label: &str| page::input(&format!("policy-{name}"), label, &had(name));
    let vhosts = visit.vhosts();
    let names = vhosts.iter().map(|name| (name.as_str(), name.as_str()));
    let origins = [("user", "a policy"), ("operator", "an operator policy")];
    let offered = if visit.user.is_administrator() { 2 } else { 1 };
    html! {
        h2 #set { "Set a policy" }
        form.grid method="post" action="/do/set-policy" {
            (page::token(visit))
            input type="hidden" name="back" value="/admin/policies";
            (page::select("policy-origin", "It is", origins.into_iter().take(offered), &had("origin")))
            (page::select("policy-vhost", "Virtual host", names, &had("vhost")))
            (line("name", "Name"))
            (line("pattern", "Pattern: names as a regular expression"))
            (page::select("policy-apply_to", "For", APPLY_TO, &had("apply_to")))
            (line("priority", "Priority: of several that match, the highest counts"))
            p.field { label for="policy-definition" { "Definition" }
                textarea id="policy-definition" name="definition" rows="3" spellcheck="false" { (had("definition")) }
                small { "max-length, message-ttl, dead-letter-exchange, …: one key = value a line, or a JSON object." } }
            p { button type="submit" formaction="/do/preview-policy" data-plain { "Preview" } " "
                button.main type="submit" { "Set" } }
        }
        @if let Some(draft) = draft { (preview(draft)) }
    }
}

fn preview(draft: &Draft<'_>) -> Markup {
    let vhost = draft.form.text("vhost");
    let matched = |field: &str, kind: &str| {
        let names = list(at(&draft.preview, field));
        let all = number(&draft.preview, &format!("{field}_count"));
        html! {
            h3 { (count(all)) " " (if all == 1 { kind } else { field }) }
            ul.names { @for one in names {
                li { a href=(path(&[field, vhost, text(one, "name")])) { (text(one, "name")) }
                    @match at(one, "policy").as_str() {
                        Some(policy) => { span.dim { ", now under " (policy) } }
                        None => {}
                    } }
            } }
            @if all > names.len() as u64 { p.dim { "The first " (names.len()) "." } }
        }
    };
    html! {
        section aria-labelledby="preview" {
            h2 #preview tabindex="-1" { "What it would match now" }
            (matched("queues", "queue"))
            (matched("exchanges", "exchange"))
        }
    }
}

pub(super) async fn draft<'a>(visit: &Visit, form: &'a Form) -> Result<Draft<'a>, Failed> {
    let policy = body(form)?;
    let to = path(&["warren", "policies", form.required("vhost")?]);
    let preview = visit.ask(Method::Post, &to, Some(&policy)).await?;
    Ok(Draft { form, preview })
}

/// As the API takes it.
pub(super) fn body(form: &Form) -> Result<Value, Failed> {
    Ok(json!({
        "pattern": form.text("pattern"),
        "apply-to": form.text("apply_to"),
        "priority": form.number("priority")?.unwrap_or(0),
        "definition": form.table("definition")?,
    }))
}
