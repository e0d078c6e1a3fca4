//! What two brokers have shown of one script: the same, deliberately not the same, or a difference.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::deliberate::{DELIBERATE, Rule};
use crate::observation::{ENDED, Event, Seen};
use crate::player::Observation;
use crate::script::{Action, Script, Step};

#[derive(Debug)]
pub enum Verdict {
    Same,
    /// From here on the brokers are in different states, for a reason that the list names.
    Parted(&'static str),
    Different(Difference),
}

#[derive(Clone, Debug)]
pub struct Difference {
    /// None: a player could not go on.
    pub step: Option<usize>,
    pub left: Vec<String>,
    pub right: Vec<String>,
    /// What differences have in common that differ only in names and numbers.
    pub signature: String,
}

type Channels = BTreeMap<(usize, u16), Vec<Event>>;

fn channels(seen: &[Seen], sorted: bool) -> Channels {
    let mut channels = Channels::new();
    // Its channels end in any order, and what one gives back another may still be given.
    let ending: Vec<usize> = seen
        .iter()
        .filter(|one| ends(&one.event))
        .map(|one| one.connection)
        .collect();
    for one in seen {
        let place = (one.connection, one.channel);
        channels.entry(place).or_default().push(one.event.clone());
    }
    for (place, events) in &mut channels {
        let (connection, _) = place;
        if ending.contains(connection) {
            events.retain(|event| event.name != "basic.deliver");
        }
        match sorted {
            true => events.sort_by_key(Event::to_string),
            false => notices_last(events),
        }
    }
    channels
}

fn ends(event: &Event) -> bool {
    matches!(
        event.name,
        "connection.close" | "connection.close-ok" | ENDED
    )
}

/// A channel of RabbitMQ hears of the end of a queue by itself, before or after the answer to what
/// has ended it; several ends have no order.
fn notices_last(events: &mut [Event]) {
    events.sort_by_cached_key(|event| match event.name {
        "basic.cancel" => event.to_string(),
        _ => String::new(),
    });
}

pub fn compare(
    script: &Script,
    left: &Result<Observation>,
    right: &Result<Observation>,
) -> Verdict {
    let (left, right) = match (left, right) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => return Verdict::Different(broken(left, right)),
    };
    for (place, step) in script.steps.iter().enumerate() {
        let none = Vec::new();
        let left = left.get(place).unwrap_or(&none);
        let right = right.get(place).unwrap_or(&none);
        let (one, other) = (
            channels(left, step.concurrent),
            channels(right, step.concurrent),
        );
        if same(&one, &other) {
            continue;
        }
        let parts = DELIBERATE.iter().find(|entry| match entry.rule {
            Rule::Parts(parts) => parts(step, left, right),
            Rule::Alike(_) => false,
        });
        if let Some(entry) = parts {
            return Verdict::Parted(entry.name);
        }
        if !same(&alike(one), &alike(other)) {
            return Verdict::Different(differing(place, step, left, right));
        }
    }
    Verdict::Same
}

/// Not a number is itself here, so events are compared as they are shown.
fn same(left: &Channels, right: &Channels) -> bool {
    let shown = |channels: &Channels| {
        let events = channels.iter().flat_map(|(place, events)| {
            let events = events.iter();
            events.map(move |event| format!("{place:?} {event}"))
        });
        events.collect::<Vec<_>>()
    };
    left == right || shown(left) == shown(right)
}

fn alike(mut channels: Channels) -> Channels {
    for entry in &DELIBERATE {
        if let Rule::Alike(alike) = entry.rule {
            channels.values_mut().flatten().for_each(alike);
        }
    }
    channels
}

fn shown(result: &Result<Observation>) -> Vec<String> {
    match result {
        Ok(_) => vec!["(played to its end)".to_owned()],
        Err(error) => vec![format!("{error:#}")],
    }
}

fn broken(left: &Result<Observation>, right: &Result<Observation>) -> Difference {
    let (left, right) = (shown(left), shown(right));
    let signature = format!("broken: {} / {}", left.concat(), right.concat());
    Difference {
        step: None,
        signature: without_names(&signature),
        left,
        right,
    }
}

fn differing(place: usize, step: &Step, left: &[Seen], right: &[Seen]) -> Difference {
    let lines = |seen: &[Seen]| seen.iter().map(Seen::to_string).collect::<Vec<_>>();
    let names = |seen: &[Seen]| {
        let names = seen.iter().map(|one| match one.event.name {
            "channel.close" | "connection.close" => without_names(&one.event.to_string()),
            name => name.to_owned(),
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        names.join(" + ")
    };
    let action = match &step.action {
        Action::Call { method, .. } => method.name,
        Action::Frame { .. } => "frame",
        Action::Octets(_) => "octets",
        Action::Drop => "drop",
        Action::Drain(_) => "drain",
        Action::Sleep(_) => "sleep",
    };
    let signature = format!("{action}: {} / {}", names(left), names(right));
    Difference {
        step: Some(place),
        left: lines(left),
        right: lines(right),
        signature,
    }
}

/// Without digits and without what stands in quotes.
fn without_names(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for character in text.chars() {
        match character {
            '\'' => inside = !inside,
            '0'..='9' => {}
            _ if inside => {}
            other => kept.push(other),
        }
    }
    kept.chars().take(400).collect()
}
