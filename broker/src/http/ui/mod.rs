//! The pages for people: drawn here, filled by the API and changed through it, in this process and
//! as the user who looks. Not a second way to anything: a page is what the API says, a form is a
//! call of it.

mod actions;
mod admin;
mod chart;
mod connections;
mod cookie;
mod exchanges;
mod explain;
mod form;
mod graph;
mod host;
mod login;
mod overview;
mod page;
mod picture;
mod plugins;
mod policies;
mod queues;
mod services;
mod session;
mod show;
mod table;
mod topology;
mod tracing_page;
mod visit;

use std::sync::Arc;

use maud::html;
use serde_json::json;

use super::Management;
use super::answer::{Answer, Body, Failure};
use super::request::{Method, Request};
use actions::Done;
use form::Form;
use page::Page;
pub(super) use session::Sessions;
use visit::{Failed, Visit};

const HTML: &str = "text/html; charset=utf-8";

/// Nothing from elsewhere, and nothing in the page itself: what somebody has named `<script>` could
/// not run even if it were not escaped.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

pub(super) async fn answer(house: &Arc<Management>, request: Request) -> Answer {
    let host = request.header("host").unwrap_or_default();
    let answer = match host::is_ours(host, &house.node.hosts()) {
        true => at_our_name(house, request).await,
        false => {
            let text = "This broker is not known by that name. Ask by its address, or add the name \
                        to management.hosts.\n";
            Answer::some(421, "text/plain; charset=utf-8", text.as_bytes().to_vec())
        }
    };
    answer
        .with("content-security-policy", POLICY)
        .with("x-content-type-options", "nosniff")
        .with("x-frame-options", "DENY")
        .with("referrer-policy", "same-origin")
        .with("cross-origin-opener-policy", "same-origin")
}

async fn at_our_name(house: &Arc<Management>, request: Request) -> Answer {
    match (request.method, request.path.as_str()) {
        (Method::Get | Method::Head, path) => {
            if let Some(asset) = asset(path) {
                return asset;
            }
        }
        (Method::Post, "/login") => return login::begin(house, &request),
        (Method::Post, _) => {}
        (Method::Put | Method::Delete | Method::Options | Method::Other, _) => {
            return Answer::empty(405).with("allow", "HEAD, GET, POST");
        }
    }
    let now = house.node.now();
    let Some(entry) = house.sessions.find(&request, &house.users, now) else {
        // Whoever looks whether anything answers here is content with the form.
        let status = match request.path.as_str() {
            "/" | "/login" => 200,
            _ => 401,
        };
        return login::form(house, &request, status, "");
    };
    let posted = request.method == Method::Post;
    let mut visit = Visit {
        house: Arc::clone(house),
        user: entry.user,
        form_token: entry.form_token,
        request,
        notice: None,
    };
    if posted {
        return take(&visit).await;
    }
    if visit.request.path == "/login" {
        return redirect("/");
    }
    visit.notice = house.sessions.take_notice(&visit.request);
    answered(&visit, drawn(&visit).await)
}

fn asset(path: &str) -> Option<Answer> {
    let (kind, text) = match path {
        "/ui/style.css" => ("text/css; charset=utf-8", include_str!("style.css")),
        "/ui/script.js" => ("text/javascript; charset=utf-8", include_str!("script.js")),
        "/ui/icon.svg" | "/favicon.ico" => ("image/svg+xml", include_str!("icon.svg")),
        _ => return None,
    };
    Some(Answer::some(200, kind, text.as_bytes().to_vec()))
}

async fn drawn(visit: &Visit) -> Result<Page, Failed> {
    let parts: Vec<&str> = visit.request.parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [""] => overview::show(visit).await,
        ["connections"] => connections::list_connections(visit).await,
        ["connections", name] => connections::show_connection(visit, name).await,
        ["channels"] => connections::list_channels(visit).await,
        ["channels", name] => connections::show_channel(visit, name).await,
        ["exchanges"] => exchanges::show_all(visit).await,
        ["exchanges", vhost, name] => exchanges::show_one(visit, vhost, name).await,
        ["queues"] => queues::show_all(visit).await,
        ["queues", vhost, name] => queues::show_one(visit, vhost, name).await,
        ["topology"] => topology::show(visit).await,
        ["plugins"] => plugins::show_all(visit).await,
        ["plugins", name] => plugins::show_one(visit, name).await,
        ["services"] => services::show(visit).await,
        ["explain"] => explain::show(visit).await,
        ["admin"] if visit.user.is_administrator() => admin::users(visit).await,
        ["admin"] | ["admin", "vhosts"] => admin::vhosts(visit).await,
        ["admin", "users"] => admin::users(visit).await,
        ["admin", "users", name] => admin::user(visit, name).await,
        ["admin", "policies"] => policies::show(visit, None).await,
        ["admin", "tracing"] => tracing_page::show(visit).await,
        ["admin", "limits"] => admin::limits(visit).await,
        ["admin", "definitions"] => admin::definitions(visit),
        _ => Err(Failed::not_found()),
    }
}

fn answered(visit: &Visit, drawn: Result<Page, Failed>) -> Answer {
    let (status, page) = match drawn {
        Ok(page) => (200, page),
        Err(failed) => (failed.status, wrong(visit, &failed)),
    };
    document(status, page::whole(visit, &page))
}

/// Pages are their reader's own: nothing on the way keeps them.
fn document(status: u16, page: String) -> Answer {
    Answer {
        status,
        headers: vec![("cache-control", "no-store".to_owned())],
        body: Body::Some {
            kind: HTML,
            octets: page.into_bytes(),
        },
    }
}

fn wrong(visit: &Visit, failed: &Failed) -> Page {
    let title = match failed.status {
        401 | 403 => "Not allowed",
        404 => "Not found",
        _ => "That did not work",
    };
    let form = Form::read(&visit.request);
    let back = local(form.text("back"));
    let body = html! {
        p.alert { (failed.reason) }
        p { a href=(back) { "Back" } }
    };
    Page {
        title: title.to_owned(),
        section: "",
        body,
    }
}

/// A form was sent.
async fn take(visit: &Visit) -> Answer {
    let form = Form::read(&visit.request);
    if !session::same(form.text("token"), &visit.form_token) {
        let reason = "The form is not one of this session: please load the page again.";
        let failed = Failed {
            status: 403,
            reason: reason.to_owned(),
        };
        return refused(visit, failed);
    }
    let parts: Vec<&str> = visit.request.parts.iter().map(String::as_str).collect();
    let done = match parts.as_slice() {
        ["logout"] => {
            visit.house.sessions.end(&visit.request);
            let ended = cookie::SESSION.end(&visit.request);
            return redirect("/").with("set-cookie", ended);
        }
        ["do", action] => actions::run(visit, action, &form).await,
        _ => Err(Failed::not_found()),
    };
    match done {
        Ok(Done::Page(page)) => answered(visit, Ok(page)),
        Ok(Done::To(to, said)) => {
            visit.house.sessions.put_notice(&visit.request, said);
            match is_script(visit) {
                true => Answer::json(&json!({"to": local(&to)})),
                false => redirect(&to),
            }
        }
        Err(failed) => refused(visit, failed),
    }
}

/// The page's script sends forms so that a refusal does not lose what was written into them.
fn is_script(visit: &Visit) -> bool {
    visit.request.header("accept") == Some("application/json")
}

fn refused(visit: &Visit, failed: Failed) -> Answer {
    match is_script(visit) {
        true => Failure::Other(failed.status, json!({"reason": failed.reason})).answer(),
        false => answered(visit, Err(failed)),
    }
}

fn redirect(to: &str) -> Answer {
    Answer::empty(303).with("location", local(to))
}

/// Only to one of our pages: `//host` and `/\host` are elsewhere for a browser.
fn local(to: &str) -> &str {
    let mut characters = to.chars();
    let first = characters.next();
    let second = characters.next();
    match (first, second) {
        (Some('/'), Some('/' | '\\')) => "/",
        (Some('/'), _) if !to.contains(char::is_control) => to,
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for to in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/\t/evil.example",
        ] {
            assert_eq!(local(to), "/", "{to:?}");
        }
        assert_eq!(local("/queues?page=2"), "/queues?page=2");
    }
}
