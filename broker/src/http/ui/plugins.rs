//! Plugins: the list, and one with its times, limits, grants and log.

use maud::{Markup, html};
use serde_json::Value;

use super::chart;
use super::exchanges::or_none;
use super::page::{Page, button, careful, live};
use super::show::{
    at, bytes, count, decimal, facts, is, list, map, moment, number, path, short_time, text, value,
};
use super::table::{self, Column, numeric};
use super::visit::{Failed, Visit};

const COLUMNS: [Column; 9] = [
    table::text("Name", "name"),
    table::text("State", "state"),
    table::text("Exchange types", ""),
    numeric("Calls", "calls"),
    numeric("From memory", ""),
    numeric("Time a call", ""),
    numeric("Longest", "longest_call_seconds"),
    numeric("Faults", ""),
    table::text("Action", ""),
];

pub(super) async fn show_all(visit: &Visit) -> Result<Page, Failed> {
    let listing = table::fetch_from(visit, "/warren/plugins").await?;
    let row = |row: &Value| {
        let name = text(row, "name");
        vec![
            html! { a href=(path(&["plugins", name])) { (name) } },
            state(row),
            html! { (types(row)) },
            html! { (count(number(row, "calls"))) },
            html! { (memo_share(row)) },
            html! { (time_a_call(row)) },
            html! { (short_time(decimal(row, "longest_call_seconds"))) },
            html! { (count(faults(row))) },
            actions(visit, row),
        ]
    };
    let found = table::sorted(visit, "Plugins", &COLUMNS, &listing, row);
    let body = live("list", &found);
    Ok(Page {
        title: "Plugins".to_owned(),
        section: "/plugins",
        body,
    })
}

fn state(row: &Value) -> Markup {
    let state = text(row, "state");
    let bad = matches!(state, "degraded" | "tripped" | "refused");
    html! { span.state.bad[bad] { (state) } }
}

/// Of what has none: what it is instead.
fn types(row: &Value) -> String {
    let types = list(at(row, "types")).iter().filter_map(Value::as_str);
    let types: Vec<&str> = types.collect();
    match (types.is_empty(), text(row, "kind")) {
        (false, _) | (true, "exchange") => types.join(", "),
        (true, kind) => format!("({kind})"),
    }
}

fn faults(row: &Value) -> u64 {
    map(at(row, "faults"))
        .values()
        .filter_map(Value::as_u64)
        .sum()
}

/// Of the publishes whose answer could have been a remembered one.
fn memo_share(row: &Value) -> String {
    let (hits, misses) = (number(row, "memo_hits"), number(row, "memo_misses"));
    match hits + misses {
        0 => "-".to_owned(),
        all => format!("{:.1} %", hits as f64 * 100.0 / all as f64),
    }
}

fn time_a_call(row: &Value) -> String {
    match number(row, "calls") {
        0 => "-".to_owned(),
        calls => short_time(decimal(row, "seconds") / calls as f64),
    }
}

fn actions(visit: &Visit, row: &Value) -> Markup {
    let fields = [("plugin", text(row, "name"))];
    html! {
        @if visit.user.is_administrator() {
            @if text(row, "state") == "disabled" { (button(visit, "enable-plugin", "Enable", &fields)) }
            @else {
                (careful(visit, "disable-plugin", "Disable", &fields)) " "
                (button(visit, "reload-plugin", "Reload", &fields))
            }
        }
    }
}

pub(super) async fn show_one(visit: &Visit, name: &str) -> Result<Page, Failed> {
    let api = path(&["warren", "plugins", name]);
    let row = visit.get(&api).await?;
    let lines = visit.get(&format!("{api}/log")).await?;
    let found = html! {
        (plugin_facts(&row))
        div.charts { (histogram(&row)) }
        h2 { "Limits" }
        (limits(&row))
        h2 { "Log" }
        (log(list(&lines)))
    };
    let body = html! { p { (actions(visit, &row)) } (live("plugin", &found)) };
    Ok(Page {
        title: format!("Plugin {name}"),
        section: "/plugins",
        body,
    })
}

fn plugin_facts(row: &Value) -> Markup {
    let grants: Vec<String> = list(at(row, "grants")).iter().map(value).collect();
    let asked = list(at(row, "asked")).iter().map(|asked| {
        let answer = if is(asked, "granted") {
            "granted"
        } else {
            "not granted"
        };
        format!("{} ({answer})", text(asked, "import"))
    });
    let asked: Vec<String> = asked.collect();
    let fault_kinds = map(at(row, "faults"));
    let happened = fault_kinds
        .iter()
        .filter(|(_, count)| count.as_u64() != Some(0));
    let happened: Vec<String> = happened
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    facts(&[
        ("What it is", html! { (text(row, "summary")) }),
        (
            "State",
            html! { (state(row)) " since " (moment(number(row, "since")))
            @if !text(row, "reason").is_empty() { ": " (text(row, "reason")) } },
        ),
        (
            "Comes",
            html! { (if is(row, "builtin") { "with the broker" } else { "from the plugin folder" }) },
        ),
        ("Interface", or_none(text(row, "version"))),
        ("Exchange types", html! { (types(row)) }),
        ("Exchanges", html! { (count(number(row, "exchanges"))) }),
        ("Asks for", or_none(&asked.join(", "))),
        ("Grants", or_none(&grants.join(", "))),
        (
            "Calls",
            html! { (count(number(row, "calls"))) ", " (time_a_call(row)) " each, longest "
            (short_time(decimal(row, "longest_call_seconds"))) },
        ),
        (
            "Answered from memory",
            html! { (memo_share(row)) span.dim { ", "
            (count(number(row, "memo_hits"))) " of "
            (count(number(row, "memo_hits") + number(row, "memo_misses"))) } },
        ),
        ("Faults", or_none(&happened.join(", "))),
        (
            "Open breakers",
            html! { (count(number(row, "open_breakers"))) },
        ),
        (
            "Instances",
            html! { (count(number(row, "live_instances"))) " live, "
            (count(number(row, "rebuilds"))) " rebuilt, " (count(number(row, "evictions"))) " evicted" },
        ),
        ("Memory", html! { (bytes(number(row, "memory"))) }),
        (
            "Replaced",
            html! { (count(number(row, "replacements"))) " times"
            @if !at(row, "rolled_back").is_null() { "; rolled back: " (text(row, "rolled_back.reason")) } },
        ),
    ])
}

fn histogram(row: &Value) -> Markup {
    let bars = list(at(row, "call_times")).iter().map(|bucket| {
        let name = match at(bucket, "up_to_seconds").as_f64() {
            Some(bound) => format!("up to {}", short_time(bound)),
            None => "longer".to_owned(),
        };
        (name, number(bucket, "calls"))
    });
    let bars: Vec<(String, u64)> = bars.collect();
    let columns = [table::text("Time of a call", ""), numeric("Calls", "")];
    let rows = bars.iter().filter(|(_, calls)| *calls > 0);
    let rows: Vec<Vec<Markup>> = rows
        .map(|(name, calls)| vec![html! { (name) }, html! { (count(*calls)) }])
        .collect();
    html! {
        (chart::bars("Calls by how long they took, each bar twice the time of the one before", &bars))
        (table::plain("Calls by how long they took", &columns, &rows))
    }
}

fn limits(row: &Value) -> Markup {
    let limits = at(row, "limits");
    facts(&[
        ("Memory", html! { (bytes(number(limits, "memory"))) }),
        (
            "Time to route",
            html! { (short_time(decimal(limits, "route_timeout_seconds"))) },
        ),
        (
            "Time to bind",
            html! { (short_time(decimal(limits, "bind_timeout_seconds"))) },
        ),
        ("Answer", html! { (bytes(number(limits, "result_bytes"))) }),
        ("Stack", html! { (bytes(number(limits, "stack"))) }),
        (
            "Live instances",
            html! { (count(number(limits, "max_instances"))) },
        ),
    ])
}

fn log(lines: &[Value]) -> Markup {
    let columns = [
        table::text("When", ""),
        table::text("Level", ""),
        table::text("Exchange", ""),
        table::text("Line", ""),
    ];
    let rows = lines.iter().map(|line| {
        vec![
            html! { (moment(number(line, "at"))) },
            html! { (text(line, "level")) },
            html! { (text(line, "exchange")) },
            html! { code { (text(line, "line")) } },
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    table::plain(
        "Its last lines in the log, the newest first",
        &columns,
        &rows,
    )
}
