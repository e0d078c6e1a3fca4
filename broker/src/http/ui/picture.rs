//! A graph as SVG: exchanges in columns by how far they are from where messages come in, queues in
//! the last one, each beside what it is connected with. Knows nothing of the broker.

use maud::{Markup, html};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NodeKind {
    Exchange,
    Queue,
}

pub(super) struct Node {
    pub kind: NodeKind,
    pub name: String,
    pub href: String,
    pub note: String,
    /// Out of an exchange, into a queue.
    pub rate: f64,
    /// Published to an exchange, into a queue.
    pub into: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EdgeKind {
    Binding,
    DeadLetters,
}

/// Messages a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Flow {
    Unknown,
    Exactly(f64),
    AtMost(f64),
}

pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    pub kind: EdgeKind,
    pub keys: Vec<String>,
    pub flow: Flow,
}

const BOX_WIDTH: f64 = 200.0;
const BOX_HEIGHT: f64 = 40.0;
const COLUMN: f64 = 380.0;
const ROW: f64 = 56.0;
const MARGIN: f64 = 20.0;

/// Longer chains of exchanges share the last column; so do circles.
const MAX_DEPTH: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    x: f64,
    y: f64,
}

/// Where each node stands, and how large the picture is.
fn places(nodes: &[Node], edges: &[Edge]) -> (Vec<Place>, f64, f64) {
    let bindings: Vec<&Edge> = edges
        .iter()
        .filter(|edge| edge.kind == EdgeKind::Binding)
        .collect();
    let mut depth = vec![0usize; nodes.len()];
    for _ in 0..MAX_DEPTH {
        for edge in &bindings {
            let next = depth
                .get(edge.from)
                .map_or(0, |depth| depth + 1)
                .min(MAX_DEPTH);
            if let Some(depth) = depth.get_mut(edge.to) {
                *depth = (*depth).max(next);
            }
        }
    }
    let exchanges = nodes
        .iter()
        .zip(&depth)
        .filter(|(node, _)| node.kind == NodeKind::Exchange);
    let last = exchanges.map(|(_, depth)| *depth + 1).max().unwrap_or(0);
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
    for (index, node) in nodes.iter().enumerate() {
        let column = match node.kind {
            NodeKind::Queue => last,
            NodeKind::Exchange => depth.get(index).copied().unwrap_or(0),
        };
        if let Some(column) = columns.get_mut(column) {
            column.push(index);
        }
    }
    let mut rows = vec![0.0; nodes.len()];
    let mut tallest = 0;
    for column in &mut columns {
        order(column, &bindings, &mut rows);
        tallest = tallest.max(column.len());
    }
    let mut found = vec![Place { x: 0.0, y: 0.0 }; nodes.len()];
    for (number, column) in columns.iter().enumerate() {
        // A short column stands in the middle of the tall ones.
        let top = (tallest - column.len()) as f64 * ROW / 2.0;
        for (row, index) in column.iter().enumerate() {
            if let Some(place) = found.get_mut(*index) {
                place.x = MARGIN + number as f64 * COLUMN;
                place.y = MARGIN + top + row as f64 * ROW;
            }
        }
    }
    let width = MARGIN * 2.0 + last as f64 * COLUMN + BOX_WIDTH;
    (found, width, MARGIN * 2.0 + tallest as f64 * ROW)
}

/// By the middle of what leads to each, so that edges cross less; what is alike stays as it came.
fn order(column: &mut [usize], edges: &[&Edge], rows: &mut [f64]) {
    let middle = |index: usize, rows: &[f64]| {
        let before = edges.iter().filter(|edge| edge.to == index);
        let before: Vec<f64> = before
            .filter_map(|edge| rows.get(edge.from).copied())
            .collect();
        match before.len() {
            0 => f64::MAX,
            count => before.iter().sum::<f64>() / count as f64,
        }
    };
    let middles: Vec<(usize, f64)> = column
        .iter()
        .map(|index| (*index, middle(*index, rows)))
        .collect();
    let of = |index: &usize| {
        let found = middles.iter().find(|(known, _)| known == index);
        found.map_or(f64::MAX, |(_, middle)| *middle)
    };
    column.sort_by(|a, b| of(a).total_cmp(&of(b)));
    for (row, index) in column.iter().enumerate() {
        if let Some(place) = rows.get_mut(*index) {
            *place = row as f64;
        }
    }
}

pub(super) fn draw(nodes: &[Node], edges: &[Edge], shown: impl Fn(Flow) -> String) -> Markup {
    let (places, width, height) = places(nodes, edges);
    let at = |index: usize| {
        places
            .get(index)
            .copied()
            .unwrap_or(Place { x: 0.0, y: 0.0 })
    };
    html! {
        div.wide.picture tabindex="0" role="region" aria-label="Topology: exchanges, bindings and queues" {
            svg role="group" width=(width) height=(height) viewBox=(format!("0 0 {width} {height}"))
                aria-label=(format!("{} nodes, {} edges; the table below says the same", nodes.len(), edges.len())) {
                @for edge in edges {
                    (line(edge, at(edge.from), at(edge.to)))
                }
                @for (index, node) in nodes.iter().enumerate() { (one(node, at(index))) }
                // Over everything: edges pass behind boxes.
                @for (number, edge) in edges.iter().enumerate() {
                    (label(edge, at(edge.from), at(edge.to), number, &shown))
                }
            }
        }
    }
}

/// Where an edge begins and ends: at the sides that face each other.
fn ends(from: Place, to: Place) -> (Place, Place) {
    let (left, right) = match to.x <= from.x {
        false => (from.x + BOX_WIDTH, to.x),
        true => (from.x, to.x + BOX_WIDTH),
    };
    let middle = |place: Place, x| Place {
        x,
        y: place.y + BOX_HEIGHT / 2.0,
    };
    (middle(from, left), middle(to, right))
}

fn is_busy(edge: &Edge) -> bool {
    match edge.flow {
        Flow::Exactly(rate) | Flow::AtMost(rate) => rate > 0.0,
        Flow::Unknown => false,
    }
}

fn line(edge: &Edge, from: Place, to: Place) -> Markup {
    let bend = if to.x <= from.x { -60.0 } else { 80.0 };
    let (Place { x: x1, y: y1 }, Place { x: x2, y: y2 }) = ends(from, to);
    let curve = format!(
        "M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}",
        x1 + bend,
        x2 - bend
    );
    let class = match (edge.kind, is_busy(edge)) {
        (EdgeKind::DeadLetters, _) => "edge dead",
        (EdgeKind::Binding, true) => "edge busy",
        (EdgeKind::Binding, false) => "edge",
    };
    html! { path class=(class) d=(curve) { title { (edge.keys.join(", ")) } } }
}

fn label(
    edge: &Edge,
    from: Place,
    to: Place,
    number: usize,
    shown: &impl Fn(Flow) -> String,
) -> Markup {
    let (start, end) = ends(from, to);
    // Labels of neighbouring edges would lie on each other in the middle.
    let along = 0.6 + 0.08 * (number % 4) as f64;
    let x = start.x + (end.x - start.x) * along;
    let y = start.y + (end.y - start.y) * along - 3.0;
    html! {
        @if is_busy(edge) { text.rate x=(x) y=(y) text-anchor="middle" { (shown(edge.flow)) } }
    }
}

/// A box holds this much of a name.
const NAME: usize = 26;

fn one(node: &Node, place: Place) -> Markup {
    let short: String = match node.name.chars().count() > NAME {
        true => node.name.chars().take(NAME - 1).chain(['…']).collect(),
        false => node.name.clone(),
    };
    let (class, kind, round) = match node.kind {
        NodeKind::Exchange => ("box exchange", "exchange", 18),
        NodeKind::Queue => ("box queue", "queue", 3),
    };
    html! {
        a href=(node.href) aria-label=(format!("{kind} {}, {}", node.name, node.note)) {
            rect class=(class) x=(place.x) y=(place.y) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx=(round) {
                title { (node.name) }
            }
            text.name x=(place.x + 12.0) y=(place.y + 17.0) { (short) }
            text.note x=(place.x + 12.0) y=(place.y + 32.0) { (node.note) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: NodeKind) -> Node {
        Node {
            kind,
            name: String::new(),
            href: String::new(),
            note: String::new(),
            rate: 0.0,
            into: 0.0,
        }
    }

    fn edge(from: usize, to: usize) -> Edge {
        Edge {
            from,
            to,
            kind: EdgeKind::Binding,
            keys: Vec::new(),
            flow: Flow::Unknown,
        }
    }

    #[test]
    fn exchanges_stand_behind_those_that_lead_to_them_and_queues_behind_all() {
        use NodeKind::{Exchange, Queue};
        let nodes = [Exchange, Exchange, Queue, Queue].map(node);
        let (places, width, height) = places(&nodes, &[edge(0, 1), edge(1, 2), edge(0, 3)]);
        let columns: Vec<f64> = places
            .iter()
            .map(|place| (place.x - MARGIN) / COLUMN)
            .collect();
        assert_eq!(columns, [0.0, 1.0, 2.0, 2.0]);
        assert!(places[2].y != places[3].y);
        assert!(
            places
                .iter()
                .all(|place| place.x + BOX_WIDTH <= width && place.y + BOX_HEIGHT <= height)
        );
    }

    #[test]
    fn a_circle_of_exchanges_has_an_end() {
        let nodes = [NodeKind::Exchange, NodeKind::Exchange].map(node);
        let (places, width, _) = places(&nodes, &[edge(0, 1), edge(1, 0)]);
        assert_eq!(places.len(), 2);
        assert!(width < COLUMN * (MAX_DEPTH as f64 + 3.0));
    }
}
