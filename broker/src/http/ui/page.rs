//! What all pages have in common: head, navigation, notices, and the places where the script of the
//! page puts what is new. Not their contents.

use maud::{DOCTYPE, Markup, html};

use super::show::path;
use super::visit::Visit;

pub(super) struct Page {
    pub title: String,
    /// Which of the navigation's links leads here.
    pub section: &'static str,
    pub body: Markup,
}

struct Section {
    href: &'static str,
    name: &'static str,
    needs: Needs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Monitoring,
}

const SECTIONS: [Section; 10] = [
    Section {
        href: "/",
        name: "Overview",
        needs: Needs::Nothing,
    },
    Section {
        href: "/connections",
        name: "Connections",
        needs: Needs::Nothing,
    },
    Section {
        href: "/channels",
        name: "Channels",
        needs: Needs::Nothing,
    },
    Section {
        href: "/exchanges",
        name: "Exchanges",
        needs: Needs::Nothing,
    },
    Section {
        href: "/queues",
        name: "Queues",
        needs: Needs::Nothing,
    },
    Section {
        href: "/topology",
        name: "Topology",
        needs: Needs::Nothing,
    },
    Section {
        href: "/plugins",
        name: "Plugins",
        needs: Needs::Monitoring,
    },
    Section {
        href: "/services",
        name: "Services",
        needs: Needs::Monitoring,
    },
    Section {
        href: "/explain",
        name: "Explain",
        needs: Needs::Nothing,
    },
    Section {
        href: "/admin",
        name: "Admin",
        needs: Needs::Nothing,
    },
];

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) " · Warren" }
        link rel="icon" href="/ui/icon.svg" type="image/svg+xml";
        link rel="stylesheet" href="/ui/style.css";
    }
}

pub(super) fn whole(visit: &Visit, page: &Page) -> String {
    let cluster = visit.house.cluster_name();
    let shown = |section: &&Section| match section.needs {
        Needs::Nothing => true,
        Needs::Monitoring => visit.user.is_monitoring(),
    };
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(&page.title))
                script src="/ui/script.js" defer {}
            }
            body data-live="/api/warren/events" {
                a.skip href="#main" { "Skip to the contents" }
                header {
                    p.brand { a href="/" { "Warren" } " " span.dim { (cluster) } }
                    p.live hidden { "Updates: " output #live { "waiting" } " "
                        button #pause type="button" aria-pressed="false" { "Pause" } }
                    form.inline method="post" action="/logout" {
                        (token(visit))
                        span { (visit.user.name) " " span.dim { (visit.user.tags.join(", ")) } } " "
                        button type="submit" { "Log out" }
                    }
                }
                nav aria-label="Pages" { ul {
                    @for section in SECTIONS.iter().filter(shown) {
                        li { a href=(section.href)
                            aria-current=[(section.href == page.section).then_some("page")]
                            { (section.name) } }
                    }
                } }
                main #main tabindex="-1" {
                    h1 { (page.title) }
                    p #notice.notice role="status" aria-live="polite" {
                        @if let Some(notice) = &visit.notice { (notice) }
                    }
                    p #alert.alert role="alert" {}
                    (page.body)
                }
                footer.dim { "Warren " (env!("CARGO_PKG_VERSION")) " · "
                    a href="/api/overview" { "HTTP API" } }
            }
        }
    };
    markup.into_string()
}

/// A page for whom nobody knows yet.
pub(super) fn bare(title: &str, body: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body.bare { main #main { h1 { (title) } (body) } }
        }
    };
    markup.into_string()
}

pub(super) fn token(visit: &Visit) -> Markup {
    html! { input type="hidden" name="token" value=(visit.form_token); }
}

/// What one action needs: hidden fields and a button. `action` is a name in `actions.rs`.
pub(super) fn button(visit: &Visit, action: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    one_button(visit, (action, label), fields, None)
}

/// The same, asked about first where a script runs.
pub(super) fn careful(visit: &Visit, action: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    let name = fields.last().map_or("", |(_, value)| *value);
    let question = format!("{label}: {name}?");
    one_button(visit, (action, label), fields, Some(&question))
}

fn one_button(
    visit: &Visit,
    (action, label): (&str, &str),
    fields: &[(&str, &str)],
    question: Option<&str>,
) -> Markup {
    let name = fields.last().map_or("", |(_, value)| *value);
    html! {
        form.inline method="post" action=(path(&["do", action])) data-ask=[question] {
            (token(visit))
            (back(visit))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button type="submit" aria-label=(format!("{label} {name}")) { (label) }
        }
    }
}

/// Where the form is, to come back to.
pub(super) fn back(visit: &Visit) -> Markup {
    html! { input type="hidden" name="back" value=(visit.request.target()); }
}

/// A form in a fold. `fields` are its labels and inputs.
pub(super) fn form(
    visit: &Visit,
    action: &str,
    title: &str,
    label: &str,
    fields: &Markup,
) -> Markup {
    html! {
        details.fold {
            summary { (title) }
            form method="post" action=(path(&["do", action])) {
                (token(visit))
                (back(visit))
                (fields)
                p { button.main type="submit" { (label) } }
            }
        }
    }
}

/// A line of text with its label. The id is the name: no two forms of a page share one.
pub(super) fn input(id: &str, label: &str, value: &str) -> Markup {
    let name = id.rsplit_once('-').map_or(id, |(_, name)| name);
    html! {
        p.field { label for=(id) { (label) }
            input type="text" id=(id) name=(name) value=(value) autocomplete="off" spellcheck="false"; }
    }
}

pub(super) fn area(id: &str, label: &str, hint: &str) -> Markup {
    let name = id.rsplit_once('-').map_or(id, |(_, name)| name);
    let hint_id = format!("{id}-hint");
    html! {
        p.field { label for=(id) { (label) }
            textarea id=(id) name=(name) rows="3" spellcheck="false" aria-describedby=(hint_id) {}
            small #(hint_id) { (hint) } }
    }
}

pub(super) fn tick(id: &str, label: &str, ticked: bool) -> Markup {
    let name = id.rsplit_once('-').map_or(id, |(_, name)| name);
    html! {
        p.field.tick { label { input type="checkbox" id=(id) name=(name) value="true" checked[ticked]; " " (label) } }
    }
}

pub(super) fn select<'a>(
    id: &str,
    label: &str,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
    chosen: &str,
) -> Markup {
    let name = id.rsplit_once('-').map_or(id, |(_, name)| name);
    html! {
        p.field { label for=(id) { (label) }
            select id=(id) name=(name) {
                @for (value, text) in options {
                    option value=(value) selected[value == chosen] { (text) }
                }
            } }
    }
}

/// Which virtual host a form is for: the one that the list is cut down to, or the first.
pub(super) fn vhost(id: &str, visit: &Visit, vhosts: &[String]) -> Markup {
    let names = vhosts.iter().map(|name| (name.as_str(), name.as_str()));
    select(id, "Virtual host", names, visit.query("vhost"))
}

/// A part of the page that the script asks for again and puts in place.
pub(super) fn live(id: &str, body: &Markup) -> Markup {
    html! { div id=(id) data-part { (body) } }
}

/// A number of the whole broker that the script sets by the second. `key` is in the events' ticks.
pub(super) fn ticking(key: &str, shown: &str) -> Markup {
    html! { span data-number=(key) { (shown) } }
}
