//! What two brokers have shown of one script: the same, deliberately not the same, or a difference.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::codec::octets;
use crate::deliberate::{Case, DELIBERATE, Rule};
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
        // RabbitMQ tells consumers in the order of their tags, which here are made up by chance.
        let by_chance = |event: &Event| {
            let tag = octets(&event.fields, "consumer-tag");
            event.name == "basic.cancel" && tag.starts_with(b"<ctag")
        };
        if events.iter().any(by_chance) {
            events.sort_by_cached_key(|event| match event.name {
                "basic.cancel" => Some(event.to_string()),
                _ => None,
            });
        }
        match sorted {
            true => events.sort_by_key(Event::to_string),
            false => {
                if events.iter().any(|event| event.name == "tx.commit-ok") {
                    // A queue delivers what was committed before or after the channel has said so.
                    events.sort_by_key(is_delivery);
                }
            }
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

pub fn compare(
    script: &Script,
    left: &Result<Observation>,
    right: &Result<Observation>,
) -> Verdict {
    let (left, right) = match (left, right) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => return Verdict::Different(broken(left, right)),
    };
    let mut ended = BTreeSet::new();
    let mut place = 0;
    while let Some(step) = script.steps.get(place) {
        // What a step sets going may be seen in the pause after it.
        let pauses = script.steps.iter().skip(place + 1);
        let pauses = pauses.take_while(|step| matches!(step.action, Action::Sleep(_)));
        let next = place + 1 + pauses.count();
        let of = |side: &Observation| side.get(place..next).unwrap_or_default().concat();
        let (left, right) = (of(left), of(right));
        let case = Case {
            script,
            place,
            ended: &ended,
            left: &left,
            right: &right,
        };
        if let Some(verdict) = compare_step(&case, step) {
            return verdict;
        }
        if matches!(step.action, Action::Drop | Action::Octets(_)) {
            ended.insert(step.connection);
        }
        let over = left.iter().filter(|seen| ends(&seen.event));
        ended.extend(over.map(|seen| seen.connection));
        place = next;
    }
    Verdict::Same
}

/// None: the same, and on with the next.
fn compare_step(case: &Case<'_>, step: &Step) -> Option<Verdict> {
    let one = channels(case.left, step.concurrent);
    let other = channels(case.right, step.concurrent);
    if same(&one, &other) {
        return None;
    }
    let (one, other) = (alike(one), alike(other));
    if same(&one, &other) {
        return None;
    }
    let parts = DELIBERATE.iter().find(|entry| match entry.rule {
        Rule::Parts(parts) => parts(case),
        Rule::Alike(_) | Rule::LeftOut => false,
    });
    Some(match parts {
        Some(entry) => Verdict::Parted(entry.name),
        None if same(&by_queue(case, &one), &by_queue(case, &other)) => {
            Verdict::Parted(SEVERAL_QUEUES)
        }
        None => Verdict::Different(differing(case.place, step, case.left, case.right)),
    })
}

/// Every queue of RabbitMQ is a process: what several of them deliver to one channel has no order,
/// and what comes after depends on it.
pub const SEVERAL_QUEUES: &str = "deliveries of several queues";

/// The deliveries of each queue in their order, without the tags that tell the order of all.
fn by_queue(case: &Case<'_>, channels: &Channels) -> Channels {
    let mut channels = channels.clone();
    for (place, events) in &mut channels {
        for event in events.iter_mut().filter(|event| is_delivery(event)) {
            event.fields.retain(|(name, _)| *name != "delivery-tag");
        }
        events.sort_by_cached_key(|event| match is_delivery(event) {
            true => Some(case.queue_of(*place, octets(&event.fields, "consumer-tag"))),
            false => None,
        });
    }
    channels
}

fn is_delivery(event: &Event) -> bool {
    event.name == "basic.deliver"
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
        match entry.rule {
            Rule::Alike(alike) => channels.values_mut().flatten().for_each(alike),
            Rule::Parts(_) | Rule::LeftOut => {}
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
