//! The form that begins a session, and its end. A password is checked where the API checks it.

use std::sync::Arc;

use maud::{Markup, html};

use super::super::Management;
use super::super::answer::Answer;
use super::super::request::{Method, Request};
use super::form::Form;
use super::page::bare;
use super::session::{cookie, hex, same};
use super::{document, redirect};

/// Until somebody is logged in, this stands in for the session: a form from elsewhere does not know
/// what the browser holds here.
const COOKIE: &str = "warren_login";

pub(super) fn form(house: &Management, request: &Request, status: u16, said: &str) -> Answer {
    let known = cookie(request, COOKIE).filter(|value| value.len() == 64);
    let token = known.map_or_else(|| hex(&house.node.secret()), str::to_owned);
    let to = match request.method {
        Method::Get if request.path != "/login" && request.path != "/logout" => request.target(),
        Method::Post if request.path == "/login" => Form::read(request).text("back").to_owned(),
        _ => "/".to_owned(),
    };
    let body = fields(&token, &to, said);
    document(status, bare("Log in to Warren", &body)).with(
        "set-cookie",
        format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"),
    )
}

fn fields(token: &str, to: &str, said: &str) -> Markup {
    html! {
        form method="post" action="/login" {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="back" value=(to);
            p.alert role="alert" { (said) }
            p.field { label for="user" { "User" }
                input type="text" id="user" name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus; }
            p.field { label for="password" { "Password" }
                input type="password" id="password" name="password" autocomplete="current-password"; }
            p { button.main type="submit" { "Log in" } }
        }
    }
}

pub(super) fn begin(house: &Arc<Management>, request: &Request) -> Answer {
    let form = Form::read(request);
    let held = cookie(request, COOKIE).unwrap_or_default();
    if held.is_empty() || !same(held, form.text("token")) {
        return self::form(
            house,
            request,
            403,
            "The form was too old: please try again.",
        );
    }
    let now = house.node.now();
    let (name, password) = (form.text("user"), form.text("password"));
    let checked =
        house
            .attempts
            .check(request.peer, (name, password.as_bytes()), &house.users, now);
    let user = match checked {
        Ok(user) if user.is_management() => user,
        Ok(_) => return self::form(house, request, 401, "Not management user"),
        Err(denied) => return self::form(house, request, 401, denied.text()),
    };
    tracing::info!(target: "warren::audit", user = user.name, peer = %request.peer, "logged in");
    let secrets = [house.node.secret(), house.node.secret()];
    let session = house.sessions.begin(&user.name, &house.users, secrets, now);
    redirect(form.text("back")).with("set-cookie", session)
}
