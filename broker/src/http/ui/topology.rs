//! The topology of one virtual host: which exchanges, bindings and queues the picture shows, and how
//! many messages go along each edge. Not where they stand in it (see `picture.rs`).

use maud::{Markup, html};
use serde_json::Value;

use super::super::request::encoded;
use super::graph::{Graph, flows};
use super::page::{Page, live};
use super::picture::{self, EdgeKind, Flow, NodeKind};
use super::show::{at, count, decimal, list, number, path, per_second, text};
use super::table::{self, numeric};
use super::visit::{Failed, Visit};

/// A picture with more than this is none any more.
const EXCHANGES: usize = 40;
const QUEUES: usize = 80;
const BINDINGS_OF_ONE: usize = 100;

pub(super) async fn show(visit: &Visit) -> Result<Page, Failed> {
    let vhosts = visit.vhosts();
    let vhost = match visit.query("vhost") {
        "" => vhosts.first().cloned().unwrap_or_default(),
        vhost => vhost.to_owned(),
    };
    let picture = match vhost.as_str() {
        "" => html! { p { "You may enter no virtual host." } },
        vhost => drawn(visit, vhost).await?,
    };
    let body = html! {
        form.filter method="get" role="search" {
            (super::page::vhost("topology-vhost", visit, &vhosts))
            p.field { label for="topology-name" { "Names contain" }
                input type="search" id="topology-name" name="name" value=(visit.query("name")) autocomplete="off"; }
            p { button type="submit" { "Show" } }
        }
        (live("picture", &picture))
    };
    Ok(Page {
        title: "Topology".to_owned(),
        section: "/topology",
        body,
    })
}

async fn drawn(visit: &Visit, vhost: &str) -> Result<Markup, Failed> {
    let (graph, more) = gather(visit, vhost).await?;
    let columns = [
        table::text("From", ""),
        table::text("To", ""),
        table::text("Routing keys", ""),
        numeric("Messages", ""),
    ];
    let name = |index: usize| graph.nodes.get(index).map_or("", |node| node.name.as_str());
    let rows = graph.edges.iter().map(|edge| {
        vec![
            html! { (name(edge.from)) },
            html! { (name(edge.to)) },
            html! { @match edge.kind { EdgeKind::DeadLetters => { "dead letters" }, EdgeKind::Binding => { code { (edge.keys.join(", ")) } } } },
            html! { (flow(edge.flow)) },
        ]
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    Ok(html! {
        @if more { p.dim { "Not everything is shown: narrow it down by name." } }
        @if graph.nodes.is_empty() { p { "Nothing to show: no exchange here has bindings, and there are no queues." } }
        @else {
            (picture::draw(&graph.nodes, &graph.edges, flow))
            p.dim { "Numbers on the edges are messages a second. ≤ stands before what several edges share." }
            details.fold { summary { "The same as a table" } (table::plain("Edges", &columns, &rows)) }
        }
    })
}

fn flow(flow: Flow) -> String {
    match flow {
        Flow::Unknown => String::new(),
        Flow::Exactly(rate) => per_second(rate),
        Flow::AtMost(rate) => format!("≤ {}", per_second(rate)),
    }
}

/// The graph, and whether something was left out.
async fn gather(visit: &Visit, vhost: &str) -> Result<(Graph, bool), Failed> {
    let name = encoded(visit.query("name"));
    let of = |what: &str, size: usize| {
        format!(
            "{}?page=1&page_size={size}&name={name}",
            path(&[what, vhost])
        )
    };
    let exchanges = visit.get(&of("exchanges", EXCHANGES)).await?;
    let queues = visit.get(&of("queues", QUEUES / 2)).await?;
    let cut = |page: &Value| number(page, "filtered_count") > number(page, "item_count");
    let mut more = cut(&exchanges) || cut(&queues);
    let mut graph = Graph::default();
    for exchange in list(at(&exchanges, "items")) {
        let name = text(exchange, "name");
        if !name.is_empty() {
            more |= bindings_from(visit, vhost, name, &mut graph).await?;
        }
    }
    for queue in list(at(&queues, "items")) {
        if graph.of(NodeKind::Queue) < QUEUES {
            graph.node(NodeKind::Queue, text(queue, "name"), vhost);
        }
        more |= bindings_to(visit, vhost, text(queue, "name"), &mut graph).await?;
    }
    fill(visit, vhost, &mut graph).await?;
    Ok((graph, more))
}

async fn bindings_from(
    visit: &Visit,
    vhost: &str,
    name: &str,
    graph: &mut Graph,
) -> Result<bool, Failed> {
    let api = path(&["exchanges", vhost, name, "bindings", "source"]);
    let bound = visit
        .get(&format!("{api}?page=1&page_size={BINDINGS_OF_ONE}"))
        .await?;
    // Every virtual host has some exchanges that nobody uses.
    if !name.starts_with("amq.") {
        graph.node(NodeKind::Exchange, name, vhost);
    }
    Ok(add(vhost, &bound, graph))
}

async fn bindings_to(
    visit: &Visit,
    vhost: &str,
    name: &str,
    graph: &mut Graph,
) -> Result<bool, Failed> {
    let api = path(&["queues", vhost, name, "bindings"]);
    let bound = visit
        .get(&format!("{api}?page=1&page_size={BINDINGS_OF_ONE}"))
        .await?;
    Ok(add(vhost, &bound, graph))
}

/// True when it was too much.
fn add(vhost: &str, bound: &Value, graph: &mut Graph) -> bool {
    let mut more = number(bound, "filtered_count") > number(bound, "item_count");
    for binding in list(at(bound, "items")) {
        let source = text(binding, "source");
        let destination = text(binding, "destination");
        // By its name every queue is bound to the default exchange: `fill` shows those in use.
        if source.is_empty() {
            continue;
        }
        let kind = match text(binding, "destination_type") {
            "queue" => NodeKind::Queue,
            _ => NodeKind::Exchange,
        };
        let fits = |kind: NodeKind, name: &str, graph: &Graph| {
            let most = if kind == NodeKind::Queue {
                QUEUES
            } else {
                EXCHANGES
            };
            graph.has(kind, name) || graph.of(kind) < most
        };
        if !fits(NodeKind::Exchange, source, graph) || !fits(kind, destination, graph) {
            more = true;
            continue;
        }
        let from = graph.node(NodeKind::Exchange, source, vhost);
        let to = graph.node(kind, destination, vhost);
        let key = text(binding, "routing_key");
        let known = graph.edges.iter().any(|edge| {
            edge.from == from && edge.to == to && edge.keys.iter().any(|known| known == key)
        });
        if !known {
            graph.edge(from, to, EdgeKind::Binding, key);
        }
    }
    more
}

/// Rates, what is in the queues, where dead letters go, and what goes along the edges.
async fn fill(visit: &Visit, vhost: &str, graph: &mut Graph) -> Result<(), Failed> {
    let default = visit
        .get(&path(&["exchanges", vhost, "amq.default"]))
        .await?;
    let by_name = decimal(&default, "message_stats.publish_out_details.rate");
    let places: Vec<(NodeKind, String, usize)> = graph
        .places
        .iter()
        .map(|((kind, name), place)| (*kind, name.clone(), *place))
        .collect();
    for (kind, name, place) in places {
        let what = if kind == NodeKind::Queue {
            "queues"
        } else {
            "exchanges"
        };
        // It may have gone meanwhile.
        let Ok(row) = visit.get(&path(&[what, vhost, &name])).await else {
            continue;
        };
        let (rate, into, note) = match kind {
            NodeKind::Exchange => {
                let rate = decimal(&row, "message_stats.publish_out_details.rate");
                let into = decimal(&row, "message_stats.publish_in_details.rate");
                let note = format!("{}, in {}", text(&row, "type"), per_second(into));
                (rate, into, note)
            }
            NodeKind::Queue => {
                let rate = decimal(&row, "message_stats.publish_details.rate");
                let out = decimal(&row, "message_stats.deliver_get_details.rate");
                let messages = count(number(&row, "messages"));
                let note = format!("{messages} messages, out {}", per_second(out));
                (rate, rate, note)
            }
        };
        if let Some(node) = graph.nodes.get_mut(place) {
            node.rate = rate;
            node.into = into;
            node.note = note;
        }
        if kind == NodeKind::Queue {
            if by_name > 0.0 && rate > 0.0 {
                let from = graph.node(NodeKind::Exchange, "", vhost);
                if let Some(node) = graph.nodes.get_mut(from) {
                    node.rate = by_name;
                    node.note = format!("by queue name, {}", per_second(by_name));
                }
                graph.edge(from, place, EdgeKind::Binding, &name);
            }
            dead_letters(vhost, &row, place, graph);
        }
    }
    flows(graph);
    Ok(())
}

fn dead_letters(vhost: &str, row: &Value, place: usize, graph: &mut Graph) {
    let own = at(row, "arguments").get("x-dead-letter-exchange");
    let by_policy = at(row, "effective_policy_definition").get("dead-letter-exchange");
    if let Some(to) = own.or(by_policy).and_then(Value::as_str) {
        let to = graph.node(NodeKind::Exchange, to, vhost);
        graph.edge(place, to, EdgeKind::DeadLetters, "");
    }
}
