//! The form that begins a session, and its end. A password is checked where the API checks it.

use std::sync::Arc;

use maud::{Markup, html};

use super::super::Management;
use super::super::answer::Answer;
use super::super::request::{Method, Request};
use super::cookie::{LOGIN, SESSION};
use super::form::Form;
use super::page::bare;
use super::session::{hex, same};
use super::{document, redirect};

pub(super) fn form(house: &Management, request: &Request, status: u16, said: &str) -> Answer {
    let known = LOGIN.of(request).filter(|value| value.len() == 64);
    let token = known.map_or_else(|| hex(&house.node.secret()), str::to_owned);
    let to = match request.method {
        Method::Get if request.path != "/login" && request.path != "/logout" => request.target(),
        Method::Post if request.path == "/login" => Form::read(request).text("back").to_owned(),
        _ => "/".to_owned(),
    };
    let body = fields(&token, &to, said);
    let kept = LOGIN.set(request, &token);
    document(status, bare("Log in to Warren", &body)).with("set-cookie", kept)
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
    let held = LOGIN.of(request).unwrap_or_default();
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
    let checked = house.attempts.check(
        request.peer.address,
        (name, password.as_bytes()),
        &house.users,
        now,
    );
    let user = match checked {
        Ok(user) if user.is_management() => user,
        Ok(_) => return self::form(house, request, 401, "Not management user"),
        Err(denied) => return self::form(house, request, 401, denied.text()),
    };
    tracing::info!(target: "warren::audit", user = user.name, peer = %request.peer, "logged in");
    let secrets = [house.node.secret(), house.node.secret()];
    let session = house.sessions.begin(&user.name, &house.users, secrets, now);
    redirect(form.text("back")).with("set-cookie", SESSION.set(request, &session))
}
