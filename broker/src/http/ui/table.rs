//! A list as the API gives it, as a table: filtered, sorted and cut into pages by the API, with
//! links that ask it for another order or page.

use maud::{Markup, html};
use serde_json::Value;

use super::super::request::encoded;
use super::show::{count, list, number, path};
use super::visit::{Failed, Visit};

pub(super) struct Column {
    pub title: &'static str,
    /// The API's field that it can be sorted by; none where it cannot.
    pub sort: &'static str,
    pub numeric: bool,
}

pub(super) const fn text(title: &'static str, sort: &'static str) -> Column {
    Column {
        title,
        sort,
        numeric: false,
    }
}

pub(super) const fn numeric(title: &'static str, sort: &'static str) -> Column {
    Column {
        title,
        sort,
        numeric: true,
    }
}

const SIZES: [(&str, &str); 4] = [("50", "50"), ("100", "100"), ("250", "250"), ("500", "500")];
const USUAL_SIZE: &str = "50";

/// One page of a list.
pub(super) struct Listing {
    pub rows: Vec<Value>,
    page: u64,
    pages: u64,
    filtered: u64,
    total: u64,
}

/// Which page of `/api/{what}` the request asks for; with `vhost` in the query, of that vhost.
pub(super) async fn fetch(visit: &Visit, what: &str) -> Result<Listing, Failed> {
    let vhost = visit.query("vhost");
    let mut api = path(&[what]);
    if !vhost.is_empty() {
        api.push_str(&path(&[vhost]));
    }
    fetch_from(visit, &api).await
}

pub(super) async fn fetch_from(visit: &Visit, api: &str) -> Result<Listing, Failed> {
    let asked = |page: &str| {
        let size = or_usual(visit.query("page_size"));
        let mut query = format!("{api}?page={}&page_size={}", encoded(page), encoded(size));
        for name in ["name", "use_regex", "sort", "sort_reverse"] {
            let value = visit.query(name);
            if !value.is_empty() {
                query.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        query
    };
    let wanted = match visit.query("page") {
        "" => "1",
        page => page,
    };
    let answer = match visit.get(&asked(wanted)).await {
        // Rows have gone meanwhile, and the last page with them.
        Err(failed) if failed.reason.starts_with("Page out of range") => {
            visit.get(&asked("1")).await?
        }
        other => other?,
    };
    Ok(Listing {
        rows: list(super::show::at(&answer, "items")).to_vec(),
        page: number(&answer, "page"),
        pages: number(&answer, "page_count"),
        filtered: number(&answer, "filtered_count"),
        total: number(&answer, "total_count"),
    })
}

fn or_usual(size: &str) -> &str {
    if size.is_empty() { USUAL_SIZE } else { size }
}

/// This page with other parameters.
fn href(visit: &Visit, changes: &[(&str, &str)]) -> String {
    let mut query = Vec::new();
    for name in [
        "vhost",
        "name",
        "use_regex",
        "sort",
        "sort_reverse",
        "page_size",
        "page",
    ] {
        let change = changes.iter().find(|(changed, _)| *changed == name);
        let value = change.map_or_else(|| visit.query(name), |(_, value)| *value);
        if !value.is_empty() {
            query.push(format!("{name}={}", encoded(value)));
        }
    }
    format!("?{}", query.join("&"))
}

/// What is to be listed: a form without a token, since it changes nothing.
pub(super) fn filter(visit: &Visit, vhosts: &[String]) -> Markup {
    let chosen = visit.query("vhost");
    html! {
        form.filter method="get" role="search" {
            @if vhosts.len() > 1 {
                p.field { label for="filter-vhost" { "Virtual host" }
                    select id="filter-vhost" name="vhost" {
                        option value="" { "all" }
                        @for vhost in vhosts {
                            option value=(vhost) selected[vhost == chosen] { (vhost) }
                        }
                    } }
            }
            p.field { label for="filter-name" { "Name contains" }
                input type="search" id="filter-name" name="name" value=(visit.query("name")) autocomplete="off"; }
            p.field.tick { label { input type="checkbox" name="use_regex" value="true"
                checked[visit.request.says("use_regex")]; " regular expression" } }
            p.field { label for="filter-size" { "Rows" }
                select id="filter-size" name="page_size" {
                    @for (value, shown) in SIZES {
                        option value=(value) selected[value == or_usual(visit.query("page_size"))] { (shown) }
                    }
                } }
            @for name in ["sort", "sort_reverse"] {
                @if !visit.query(name).is_empty() {
                    input type="hidden" name=(name) value=(visit.query(name));
                }
            }
            p { button type="submit" { "Show" } }
        }
    }
}

fn heading(visit: &Visit, column: &Column) -> Markup {
    let sorted = !column.sort.is_empty() && visit.query("sort") == column.sort;
    let reverse = visit.request.says("sort_reverse");
    // The largest numbers first, names from the beginning.
    let next = match (sorted, reverse, column.numeric) {
        (true, true, _) | (false, _, false) => "",
        (true, false, _) | (false, _, true) => "true",
    };
    let order = match (sorted, reverse) {
        (false, _) => None,
        (true, false) => Some("ascending"),
        (true, true) => Some("descending"),
    };
    let changes = [("sort", column.sort), ("sort_reverse", next), ("page", "")];
    html! {
        th scope="col" aria-sort=[order] .n[column.numeric] {
            @if column.sort.is_empty() { (column.title) } @else {
                a href=(href(visit, &changes)) {
                    (column.title)
                    @if let Some(order) = order {
                        span aria-hidden="true" { (if order == "ascending" { " ▲" } else { " ▼" }) }
                    }
                }
            }
        }
    }
}

/// The first cell of a row is its heading.
pub(super) fn plain(caption: &str, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    let heads = columns.iter().map(|column| {
        html! { th scope="col" .n[column.numeric] { (column.title) } }
    });
    let heads: Vec<Markup> = heads.collect();
    body(caption, columns, &heads, rows)
}

fn body(caption: &str, columns: &[Column], heads: &[Markup], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for head in heads { (head) } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (index, cell) in row.iter().enumerate() {
                                @if index == 0 { th scope="row" { (cell) } } @else {
                                    td .n[columns.get(index).is_some_and(|column| column.numeric)] { (cell) }
                                }
                            }
                        }
                    }
                    @if rows.is_empty() {
                        tr { td.dim colspan=(columns.len()) { "Nothing to show." } }
                    }
                }
            }
        }
    }
}

pub(super) fn sorted(
    visit: &Visit,
    caption: &str,
    columns: &[Column],
    listing: &Listing,
    row: impl Fn(&Value) -> Vec<Markup>,
) -> Markup {
    let heads: Vec<Markup> = columns
        .iter()
        .map(|column| heading(visit, column))
        .collect();
    let rows: Vec<Vec<Markup>> = listing.rows.iter().map(row).collect();
    html! {
        (body(caption, columns, &heads, &rows))
        (pager(visit, listing))
    }
}

fn pager(visit: &Visit, listing: &Listing) -> Markup {
    let Listing {
        page,
        pages,
        filtered,
        total,
        ..
    } = *listing;
    let link = |to: u64, shown: &str| {
        let to = to.to_string();
        html! { a href=(href(visit, &[("page", &to)])) { (shown) } }
    };
    html! {
        nav.pager aria-label="Pages of this list" {
            span {
                (count(filtered))
                @if filtered != total { " of " (count(total)) }
                (if filtered == 1 { " row" } else { " rows" })
                @if pages > 1 { ", page " (page) " of " (pages) }
            }
            @if page > 1 { (link(1, "First")) (link(page - 1, "Previous")) }
            @if page < pages { (link(page + 1, "Next")) (link(pages, "Last")) }
        }
    }
}
