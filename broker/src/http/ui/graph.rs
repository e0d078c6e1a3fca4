//! Exchanges, queues and the edges between them as a graph, and how much goes along each edge. Not
//! where it is read from (see `topology.rs`) nor how it is drawn (see `picture.rs`).

use std::collections::BTreeMap;

use super::picture::{Edge, EdgeKind, Flow, Node, NodeKind};
use super::show::{exchange_in_path, path};

/// A picture with more than this is none any more.
const EDGES: usize = 300;

#[derive(Default)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub places: BTreeMap<(NodeKind, String), usize>,
    pub edges: Vec<Edge>,
}

impl Graph {
    pub fn node(&mut self, kind: NodeKind, name: &str, vhost: &str) -> usize {
        let key = (kind, name.to_owned());
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = self.nodes.len();
        let (href, shown) = match kind {
            NodeKind::Exchange => {
                let in_path = exchange_in_path(name);
                let shown = if name.is_empty() { "(default)" } else { name };
                (path(&["exchanges", vhost, in_path]), shown)
            }
            NodeKind::Queue => (path(&["queues", vhost, name]), name),
        };
        self.nodes.push(Node {
            kind,
            name: shown.to_owned(),
            href,
            note: String::new(),
            rate: 0.0,
            into: 0.0,
        });
        self.places.insert(key, place);
        place
    }

    pub fn of(&self, kind: NodeKind) -> usize {
        self.nodes.iter().filter(|node| node.kind == kind).count()
    }

    pub fn has(&self, kind: NodeKind, name: &str) -> bool {
        self.places.contains_key(&(kind, name.to_owned()))
    }

    /// Several bindings between the same two are one edge.
    pub fn edge(&mut self, from: usize, to: usize, kind: EdgeKind, key: &str) {
        let same = |edge: &&mut Edge| edge.from == from && edge.to == to && edge.kind == kind;
        if let Some(edge) = self.edges.iter_mut().find(same) {
            edge.keys.push(key.to_owned());
        } else if self.edges.len() < EDGES {
            let keys = vec![key.to_owned()];
            self.edges.push(Edge {
                from,
                to,
                kind,
                keys,
                flow: Flow::Unknown,
            });
        }
    }
}

/// Nobody counts by binding. What comes into a queue is known, and what goes out of an exchange that
/// clients publish to: if only one exchange that leads to a queue is in use, all of it has come along
/// that edge.
pub(super) fn flows(graph: &mut Graph) {
    let in_use = in_use(graph);
    let Graph { nodes, edges, .. } = graph;
    let rate = |index: usize| nodes.get(index).map_or(0.0, |node| node.rate);
    let uses = |index: usize| in_use.get(index).is_some_and(|used| *used);
    let is_queue = |index: usize| {
        let node = nodes.get(index);
        node.is_some_and(|node| node.kind == NodeKind::Queue)
    };
    let binds = |edge: &Edge| edge.kind == EdgeKind::Binding;
    let leads = |from: usize| edges.iter().any(|edge| binds(edge) && edge.to == from);
    let known = edges.iter().map(|edge| {
        if !binds(edge) {
            return Flow::Unknown;
        }
        if !is_queue(edge.to) {
            return into_exchange(nodes.get(edge.from), leads(edge.from), uses(edge.from));
        }
        let rivals = edges
            .iter()
            .filter(|other| other.to == edge.to && binds(other) && uses(other.from));
        match (rivals.count(), uses(edge.from)) {
            (_, false) => Flow::Exactly(0.0),
            (1, true) => Flow::Exactly(rate(edge.to)),
            // What comes from another exchange is not counted at this one.
            (_, true) if leads(edge.from) => Flow::AtMost(rate(edge.to)),
            (_, true) => Flow::AtMost(rate(edge.to).min(rate(edge.from))),
        }
    });
    let known: Vec<Flow> = known.collect();
    for (edge, flow) in edges.iter_mut().zip(known) {
        edge.flow = flow;
    }
}

/// What goes from one exchange to another is not counted; it is no more than what was published to the
/// first, unless another one leads there.
fn into_exchange(from: Option<&Node>, leads_there: bool, in_use: bool) -> Flow {
    match (from, in_use) {
        (_, false) => Flow::Exactly(0.0),
        (Some(from), true) if !leads_there => Flow::AtMost(from.into),
        (_, true) => Flow::Unknown,
    }
}

/// Exchanges that messages go through: clients publish to them, or they are bound to one of those.
fn in_use(graph: &Graph) -> Vec<bool> {
    let is_exchange = |node: &Node| node.kind == NodeKind::Exchange;
    let nodes = graph.nodes.iter();
    let mut in_use: Vec<bool> = nodes
        .map(|node| is_exchange(node) && node.rate > 0.0)
        .collect();
    // A chain is no longer than there are exchanges.
    for _ in 0..graph.of(NodeKind::Exchange) {
        for edge in &graph.edges {
            let to_exchange = graph.nodes.get(edge.to).is_some_and(is_exchange);
            let used = in_use.get(edge.from).is_some_and(|used| *used);
            if edge.kind == EdgeKind::Binding
                && to_exchange
                && used
                && let Some(reached) = in_use.get_mut(edge.to)
            {
                *reached = true;
            }
        }
    }
    in_use
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_along_an_edge_is_told_where_it_is_known() {
        let mut graph = Graph::default();
        let busy = graph.node(NodeKind::Exchange, "busy", "/");
        let idle = graph.node(NodeKind::Exchange, "idle", "/");
        let other = graph.node(NodeKind::Exchange, "other", "/");
        let alone = graph.node(NodeKind::Queue, "alone", "/");
        let shared = graph.node(NodeKind::Queue, "shared", "/");
        for (place, rate) in [(busy, 30.0), (other, 5.0), (alone, 20.0), (shared, 12.0)] {
            graph.nodes[place].rate = rate;
        }
        graph.edge(busy, alone, EdgeKind::Binding, "a");
        graph.edge(idle, alone, EdgeKind::Binding, "b");
        graph.edge(busy, shared, EdgeKind::Binding, "c");
        graph.edge(other, shared, EdgeKind::Binding, "d");
        flows(&mut graph);
        let flows: Vec<Flow> = graph.edges.iter().map(|edge| edge.flow).collect();
        let expected = [
            Flow::Exactly(20.0),
            Flow::Exactly(0.0),
            Flow::AtMost(12.0),
            Flow::AtMost(5.0),
        ];
        assert_eq!(flows, expected);
    }

    #[test]
    fn an_exchange_behind_another_is_in_use_with_it() {
        let mut graph = Graph::default();
        let first = graph.node(NodeKind::Exchange, "first", "/");
        let second = graph.node(NodeKind::Exchange, "second", "/");
        let queue = graph.node(NodeKind::Queue, "queue", "/");
        let third = graph.node(NodeKind::Exchange, "third", "/");
        let idle = graph.node(NodeKind::Exchange, "idle", "/");
        for (place, rate) in [(first, 9.0), (queue, 4.0)] {
            graph.nodes[place].rate = rate;
        }
        graph.nodes[first].into = 6.0;
        graph.edge(first, second, EdgeKind::Binding, "#");
        graph.edge(second, queue, EdgeKind::Binding, "k");
        graph.edge(second, third, EdgeKind::Binding, "k");
        graph.edge(idle, third, EdgeKind::Binding, "k");
        flows(&mut graph);
        let flows: Vec<Flow> = graph.edges.iter().map(|edge| edge.flow).collect();
        let expected = [
            Flow::AtMost(6.0),
            Flow::Exactly(4.0),
            Flow::Unknown,
            Flow::Exactly(0.0),
        ];
        assert_eq!(flows, expected);
    }
}
