//! Users, virtual hosts, limits and definitions. Not policies (see `policies.rs`).

use maud::{Markup, html};
use serde_json::Value;

use super::exchanges::or_none;
use super::page::{self, Page, button, careful, input, select};
use super::show::{at, count, is, list, map, number, path, text, value};
use super::table::{self, Column, numeric};
use super::visit::{Failed, Visit};

const TAGS: [(&str, &str); 4] = [
    ("administrator", "administrator: everything"),
    ("monitoring", "monitoring: sees everything"),
    (
        "policymaker",
        "policymaker: sets policies where it has permissions",
    ),
    ("management", "management: its own virtual hosts"),
];

/// Links between these pages.
pub(super) fn tabs(visit: &Visit, here: &str) -> Markup {
    let administrator = visit.user.is_administrator();
    let tabs = [
        ("users", "Users", administrator),
        ("vhosts", "Virtual hosts", true),
        ("policies", "Policies", true),
        ("limits", "Limits", true),
        ("tracing", "Tracing", administrator),
        ("definitions", "Definitions", administrator),
    ];
    html! {
        nav.tabs aria-label="Administration" { ul {
            @for (name, shown, _) in tabs.iter().filter(|(_, _, may)| *may) {
                li { a href=(path(&["admin", name])) aria-current=[(*name == here).then_some("page")] { (shown) } }
            }
        } }
    }
}

fn page(title: &str, body: Markup) -> Page {
    Page {
        title: title.to_owned(),
        section: "/admin",
        body,
    }
}

pub(super) async fn users(visit: &Visit) -> Result<Page, Failed> {
    let users = visit.get("/users").await?;
    let permissions = visit.get("/permissions").await?;
    let columns = [
        table::text("Name", ""),
        table::text("Tags", ""),
        table::text("Virtual hosts", ""),
        table::text("Password", ""),
        table::text("Action", ""),
    ];
    let rows = list(&users).iter().map(|user| {
        let name = text(user, "name");
        let of_user = list(&permissions)
            .iter()
            .filter(|row| text(row, "user") == name);
        let vhosts: Vec<&str> = of_user.map(|row| text(row, "vhost")).collect();
        let tags: Vec<String> = list(at(user, "tags")).iter().map(value).collect();
        vec![
            html! { a href=(path(&["admin", "users", name])) { (name) } },
            html! { (tags.join(", ")) },
            or_none(&vhosts.join(", ")),
            html! { (if text(user, "password_hash").is_empty() { "none" } else { "set" }) },
            careful(visit, "delete-user", "Delete", &[("user", name)]),
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    let fields = html! {
        (input("user-user", "Name", ""))
        (password_and_tags("user", &[]))
    };
    let body = html! {
        (tabs(visit, "users"))
        (table::plain("Users", &columns, &rows))
        (page::form(visit, "set-user", "Add a user", "Add", &fields))
    };
    Ok(page("Users", body))
}

fn password_and_tags(form: &str, tags: &[String]) -> Markup {
    let id = format!("{form}-password");
    html! {
        p.field { label for=(id) { "Password (empty: it stays as it is)" }
            input type="password" id=(id) name="password" autocomplete="new-password"; }
        fieldset { legend { "Tags" }
            @for (tag, shown) in TAGS {
                p.field.tick { label {
                    input type="checkbox" name="tag" value=(tag) checked[tags.iter().any(|had| had == tag)];
                    " " (shown) } }
            }
        }
    }
}

pub(super) async fn user(visit: &Visit, name: &str) -> Result<Page, Failed> {
    let api = path(&["users", name]);
    let user = visit.get(&api).await?;
    let permissions = visit.get(&format!("{api}/permissions")).await?;
    let topics = visit.get(&format!("{api}/topic-permissions")).await?;
    let vhosts = visit.vhosts();
    let tags: Vec<String> = list(at(&user, "tags")).iter().map(value).collect();
    let body = html! {
        (tabs(visit, "users"))
        h2 { "Permissions" }
        (permission_table(visit, list(&permissions), name))
        (page::form(visit, "set-permissions", "Set permissions", "Set", &permission_fields(name, &vhosts)))
        h2 { "Topic permissions" }
        (topic_table(visit, list(&topics), name))
        (page::form(visit, "set-topic-permissions", "Set topic permissions", "Set", &topic_fields(name, &vhosts)))
        h2 { "Password and tags" }
        (page::form(visit, "set-user", "Change", "Change", &html! {
            input type="hidden" name="user" value=(name);
            (password_and_tags("user", &tags))
        }))
    };
    Ok(page(&format!("User {name}"), body))
}

fn permission_table(visit: &Visit, rows: &[Value], user: &str) -> Markup {
    let columns = ["Virtual host", "Configure", "Write", "Read", "Action"]
        .map(|title| table::text(title, ""));
    let rows = rows.iter().map(|row| {
        let vhost = text(row, "vhost");
        vec![
            html! { (vhost) },
            html! { code { (text(row, "configure")) } },
            html! { code { (text(row, "write")) } },
            html! { code { (text(row, "read")) } },
            careful(
                visit,
                "clear-permissions",
                "Clear",
                &[("user", user), ("vhost", vhost)],
            ),
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    table::plain("Permissions", &columns, &rows)
}

fn permission_fields(user: &str, vhosts: &[String]) -> Markup {
    html! {
        input type="hidden" name="user" value=(user);
        (vhost_choice("permissions-vhost", vhosts))
        (input("permissions-configure", "Configure: names as a regular expression", ".*"))
        (input("permissions-write", "Write", ".*"))
        (input("permissions-read", "Read", ".*"))
    }
}

fn vhost_choice(id: &str, vhosts: &[String]) -> Markup {
    let names = vhosts.iter().map(|name| (name.as_str(), name.as_str()));
    select(id, "Virtual host", names, "")
}

fn topic_table(visit: &Visit, rows: &[Value], user: &str) -> Markup {
    let columns =
        ["Virtual host", "Exchange", "Write", "Read", "Action"].map(|title| table::text(title, ""));
    let rows = rows.iter().map(|row| {
        let fields = [
            ("user", user),
            ("vhost", text(row, "vhost")),
            ("exchange", text(row, "exchange")),
        ];
        vec![
            html! { (text(row, "vhost")) },
            html! { (text(row, "exchange")) },
            html! { code { (text(row, "write")) } },
            html! { code { (text(row, "read")) } },
            careful(visit, "clear-topic-permissions", "Clear", &fields),
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    table::plain("Topic permissions", &columns, &rows)
}

fn topic_fields(user: &str, vhosts: &[String]) -> Markup {
    html! {
        input type="hidden" name="user" value=(user);
        (vhost_choice("topics-vhost", vhosts))
        (input("topics-exchange", "Topic exchange", "amq.topic"))
        (input("topics-write", "Write: routing keys as a regular expression", ".*"))
        (input("topics-read", "Read", ".*"))
    }
}

const VHOSTS: [Column; 7] = [
    table::text("Name", "name"),
    table::text("Description", ""),
    table::text("Tags", ""),
    numeric("Ready", "messages_ready"),
    numeric("Unacked", "messages_unacknowledged"),
    numeric("Total", "messages"),
    table::text("Action", ""),
];

pub(super) async fn vhosts(visit: &Visit) -> Result<Page, Failed> {
    let listing = table::fetch_from(visit, "/vhosts").await?;
    let administrator = visit.user.is_administrator();
    let row = |row: &Value| {
        let name = text(row, "name");
        let tags: Vec<String> = list(at(row, "tags")).iter().map(value).collect();
        let protected = is(row, "protected_from_deletion");
        let (action, label) = match protected {
            true => ("unprotect-vhost", "Allow deletion"),
            false => ("protect-vhost", "Protect"),
        };
        vec![
            html! { a href=(format!("/queues?vhost={}", super::super::request::encoded(name))) { (name) } },
            html! { (text(row, "description")) },
            html! { (tags.join(", ")) },
            html! { (count(number(row, "messages_ready"))) },
            html! { (count(number(row, "messages_unacknowledged"))) },
            html! { (count(number(row, "messages"))) },
            html! { @if administrator {
                (button(visit, action, label, &[("vhost", name)])) " "
                @if !protected { (careful(visit, "delete-vhost", "Delete", &[("vhost", name)])) }
            } },
        ]
    };
    let fields = html! {
        (input("vhost-vhost", "Name", ""))
        (input("vhost-description", "Description", ""))
        (input("vhost-tags", "Tags, with commas between them", ""))
        (select("vhost-default_queue_type", "Queues are, unless they say otherwise",
            [("classic", "classic"), ("quorum", "quorum"), ("stream", "stream")], "classic"))
    };
    let body = html! {
        (tabs(visit, "vhosts"))
        (table::sorted(visit, "Virtual hosts", &VHOSTS, &listing, row))
        @if administrator { (page::form(visit, "set-vhost", "Add a virtual host", "Add", &fields)) }
    };
    Ok(page("Virtual hosts", body))
}

pub(super) async fn limits(visit: &Visit) -> Result<Page, Failed> {
    let of_vhosts = visit.get("/vhost-limits").await?;
    let of_users = visit.get("/user-limits").await?;
    let vhosts = visit.vhosts();
    let administrator = visit.user.is_administrator();
    let vhost_fields = html! {
        (vhost_choice("vhost-limit-of", &vhosts))
        (select("vhost-limit-limit", "What", [("max-connections", "connections"), ("max-queues", "queues")], ""))
        (input("vhost-limit-value", "At most; below nought is no limit", ""))
    };
    let user_fields = html! {
        (input("user-limit-of", "User", ""))
        (select("user-limit-limit", "What", [("max-connections", "connections"), ("max-channels", "channels")], ""))
        (input("user-limit-value", "At most; below nought is no limit", ""))
    };
    let body = html! {
        (tabs(visit, "limits"))
        h2 { "Of virtual hosts" }
        (limit_table(visit, ("Limits of virtual hosts", "vhost", "clear-vhost-limit"), list(&of_vhosts)))
        @if administrator { (page::form(visit, "set-vhost-limit", "Limit a virtual host", "Set", &vhost_fields)) }
        h2 { "Of users" }
        (limit_table(visit, ("Limits of users", "user", "clear-user-limit"), list(&of_users)))
        @if administrator { (page::form(visit, "set-user-limit", "Limit a user", "Set", &user_fields)) }
    };
    Ok(page("Limits", body))
}

fn limit_table(visit: &Visit, (caption, of, action): (&str, &str, &str), rows: &[Value]) -> Markup {
    let columns = [
        table::text("Of", ""),
        table::text("What", ""),
        numeric("At most", ""),
        table::text("Action", ""),
    ];
    let mut cells = Vec::new();
    for row in rows {
        for (limit, most) in &map(at(row, "value")) {
            cells.push(vec![
                html! { (text(row, of)) },
                html! { (limit) },
                html! { (value(most)) },
                html! { @if visit.user.is_administrator() {
                    (careful(visit, action, "Clear", &[("of", text(row, of)), ("limit", limit)]))
                } },
            ]);
        }
    }
    table::plain(caption, &columns, &cells)
}

pub(super) fn definitions(visit: &Visit) -> Result<Page, Failed> {
    if !visit.user.is_administrator() {
        return Err(Failed {
            status: 401,
            reason: "Not administrator user".to_owned(),
        });
    }
    let fields = html! {
        p.field { label for="import-file" { "A file" }
            input type="file" id="import-file" accept="application/json,.json" data-into="import-definitions"; }
        p.field { label for="import-definitions" { "Or its contents" }
            textarea id="import-definitions" name="definitions" rows="8" spellcheck="false" {} }
        p.dim { "Files of RabbitMQ 3.8 to 4 and of LavinMQ. What is there already stays; twice is once." }
    };
    let body = html! {
        (tabs(visit, "definitions"))
        h2 { "Export" }
        p { a href="/api/definitions" download="definitions.json" { "Everything" } }
        ul { @for vhost in visit.vhosts() {
            li { a href=(format!("/api{}", path(&["definitions", &vhost]))) download="definitions.json" {
                "Virtual host " (vhost) } }
        } }
        h2 { "Import" }
        (page::form(visit, "import", "Import definitions", "Import", &fields))
    };
    Ok(page("Definitions", body))
}
