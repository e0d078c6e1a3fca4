//! Connections and channels: lists of them, and one of each.

use maud::{Markup, html};
use serde_json::Value;

use super::page::{Page, careful, live};
use super::show::{
    at, bytes, channel_link, connection_link, count, decimal, facts, is, list, map, moment, number,
    path, per_second, queue_link, table as key_values, text,
};
use super::table::{self, Column, numeric};
use super::visit::{Failed, Visit};

const CONNECTIONS: [Column; 8] = [
    table::text("Name", "name"),
    table::text("Virtual host", "vhost"),
    table::text("User", "user"),
    table::text("State", "state"),
    numeric("Channels", "channels"),
    numeric("From client", "recv_oct_details.rate"),
    numeric("To client", "send_oct_details.rate"),
    table::text("Action", ""),
];

pub(super) async fn list_connections(visit: &Visit) -> Result<Page, Failed> {
    let vhosts = visit.vhosts();
    let listing = table::fetch(visit, "connections").await?;
    let rows = |row: &Value| {
        let name = text(row, "name");
        vec![
            html! { (connection_link(name))
            @if !text(row, "user_provided_name").is_empty() { br; (text(row, "user_provided_name")) } },
            html! { (text(row, "vhost")) },
            html! { (text(row, "user")) },
            html! { (state(text(row, "state"))) },
            html! { (count(number(row, "channels"))) },
            html! { (per_second_of_bytes(row, "recv_oct_details.rate")) },
            html! { (per_second_of_bytes(row, "send_oct_details.rate")) },
            careful(visit, "close-connection", "Close", &[("connection", name)]),
        ]
    };
    let found = table::sorted(visit, "Connections", &CONNECTIONS, &listing, rows);
    let body = html! { (table::filter(visit, &vhosts)) (live("list", &found)) };
    Ok(Page {
        title: "Connections".to_owned(),
        section: "/connections",
        body,
    })
}

fn state(state: &str) -> Markup {
    html! { span.state.bad[state == "blocked"] { (state) } }
}

fn per_second_of_bytes(row: &Value, field: &str) -> String {
    format!("{}/s", bytes(decimal(row, field).max(0.0) as u64))
}

pub(super) async fn show_connection(visit: &Visit, name: &str) -> Result<Page, Failed> {
    let row = visit.get(&path(&["connections", name])).await?;
    let channels = visit.get(&path(&["connections", name, "channels"])).await?;
    let found = html! {
        (connection_facts(&row))
        h2 { "Channels" }
        (channel_table(list(&channels)))
    };
    let body = html! {
        (live("connection", &found))
        h2 { "What the client says of itself" }
        (key_values(&map(at(&row, "client_properties"))))
        h2 { "Close" }
        form method="post" action="/do/close-connection" data-ask="Close this connection?" {
            (super::page::token(visit))
            input type="hidden" name="back" value="/connections";
            input type="hidden" name="connection" value=(name);
            (super::page::input("close-reason", "Reason, told to the client", ""))
            p { button type="submit" { "Close the connection" } }
        }
    };
    Ok(Page {
        title: format!("Connection {name}"),
        section: "/connections",
        body,
    })
}

fn connection_facts(row: &Value) -> Markup {
    facts(&[
        (
            "User",
            html! { (text(row, "user")) " by " (text(row, "auth_mechanism")) },
        ),
        ("Virtual host", html! { (text(row, "vhost")) }),
        ("State", state(text(row, "state"))),
        (
            "Protocol",
            html! { (text(row, "protocol")) @if is(row, "ssl") { " over TLS" } },
        ),
        ("Since", html! { (moment(number(row, "connected_at"))) }),
        ("Heartbeat", html! { (number(row, "timeout")) " s" }),
        ("Frame max", html! { (bytes(number(row, "frame_max"))) }),
        ("Channel max", html! { (count(number(row, "channel_max"))) }),
        (
            "From client",
            html! { (bytes(number(row, "recv_oct"))) ", " (per_second_of_bytes(row, "recv_oct_details.rate")) },
        ),
        (
            "To client",
            html! { (bytes(number(row, "send_oct"))) ", " (per_second_of_bytes(row, "send_oct_details.rate")) },
        ),
        (
            "Waiting to be sent",
            html! { (bytes(number(row, "send_pend"))) },
        ),
    ])
}

const CHANNELS: [Column; 10] = [
    table::text("Channel", "name"),
    table::text("Virtual host", "vhost"),
    table::text("User", "user"),
    table::text("Mode", ""),
    numeric("Consumers", "consumer_count"),
    numeric("Prefetch", "prefetch_count"),
    numeric("Unacked", "messages_unacknowledged"),
    numeric("Unconfirmed", "messages_unconfirmed"),
    numeric("Publish", "message_stats.publish_details.rate"),
    numeric("Deliver", "message_stats.deliver_get_details.rate"),
];

fn channel_row(row: &Value) -> Vec<Markup> {
    let mode = match (is(row, "confirm"), is(row, "transactional")) {
        (true, _) => "confirm",
        (_, true) => "transaction",
        (false, false) => "",
    };
    vec![
        channel_link(text(row, "name")),
        html! { (text(row, "vhost")) },
        html! { (text(row, "user")) },
        html! { (mode) },
        html! { (count(number(row, "consumer_count"))) },
        html! { (prefetch(row)) },
        html! { (count(number(row, "messages_unacknowledged"))) },
        html! { (count(number(row, "messages_unconfirmed"))) },
        html! { (per_second(decimal(row, "message_stats.publish_details.rate"))) },
        html! { (per_second(decimal(row, "message_stats.deliver_get_details.rate"))) },
    ]
}

fn prefetch(row: &Value) -> String {
    let own = number(row, "prefetch_count");
    match number(row, "global_prefetch_count") {
        0 => count(own),
        global => format!("{own}, all {global}"),
    }
}

fn channel_table(rows: &[Value]) -> Markup {
    let rows: Vec<Vec<Markup>> = rows.iter().map(channel_row).collect();
    table::plain("Channels of this connection", &CHANNELS, &rows)
}

pub(super) async fn list_channels(visit: &Visit) -> Result<Page, Failed> {
    let vhosts = visit.vhosts();
    let listing = match visit.query("vhost") {
        "" => table::fetch(visit, "channels").await?,
        vhost => table::fetch_from(visit, &path(&["vhosts", vhost, "channels"])).await?,
    };
    let found = table::sorted(visit, "Channels", &CHANNELS, &listing, channel_row);
    let body = html! { (table::filter(visit, &vhosts)) (live("list", &found)) };
    Ok(Page {
        title: "Channels".to_owned(),
        section: "/channels",
        body,
    })
}

pub(super) async fn show_channel(visit: &Visit, name: &str) -> Result<Page, Failed> {
    let row = visit.get(&path(&["channels", name])).await?;
    let stats = map(at(&row, "message_stats"));
    let counted = stats.iter().filter(|(_, value)| value.is_u64());
    let counted: Vec<Vec<Markup>> = counted
        .map(|(field, total)| {
            let rate = decimal(&row, &format!("message_stats.{field}_details.rate"));
            vec![
                html! { (field) },
                html! { (count(total.as_u64().unwrap_or(0))) },
                html! { (per_second(rate)) },
            ]
        })
        .collect();
    let columns = [
        table::text("What", ""),
        numeric("So far", ""),
        numeric("Now", ""),
    ];
    let found = html! {
        (facts(&[
            ("Connection", connection_link(text(&row, "connection_details.name"))),
            ("User", html! { (text(&row, "user")) }),
            ("Virtual host", html! { (text(&row, "vhost")) }),
            ("Prefetch", html! { (prefetch(&row)) }),
            ("Unacknowledged", html! { (count(number(&row, "messages_unacknowledged"))) }),
            ("Unconfirmed", html! { (count(number(&row, "messages_unconfirmed"))) }),
            ("Uncommitted", html! { (count(number(&row, "messages_uncommitted"))) }),
        ]))
        h2 { "Messages" }
        (table::plain("Messages of this channel", &columns, &counted))
        h2 { "Consumers" }
        (consumers(list(at(&row, "consumer_details"))))
    };
    let body = live("channel", &found);
    Ok(Page {
        title: format!("Channel {name}"),
        section: "/channels",
        body,
    })
}

pub(super) fn consumers(rows: &[Value]) -> Markup {
    let columns = [
        table::text("Consumer tag", ""),
        table::text("Queue", ""),
        table::text("Channel", ""),
        table::text("Acknowledges", ""),
        table::text("Exclusive", ""),
        table::text("Active", ""),
        numeric("Prefetch", ""),
    ];
    let yes = |row: &Value, field: &str| if is(row, field) { "yes" } else { "no" };
    let rows = rows.iter().map(|row| {
        vec![
            html! { (text(row, "consumer_tag")) },
            queue_link(text(row, "queue.vhost"), text(row, "queue.name")),
            channel_link(text(row, "channel_details.name")),
            html! { (yes(row, "ack_required")) },
            html! { (yes(row, "exclusive")) },
            html! { (yes(row, "active")) },
            html! { (count(number(row, "prefetch_count"))) },
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    table::plain("Consumers", &columns, &rows)
}
