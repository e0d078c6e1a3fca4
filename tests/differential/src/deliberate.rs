//! The one list of deliberate differences between Warren and the RabbitMQ it is compared with (3.10),
//! each with its reason, each matched as narrowly as it can be.

use crate::codec::{Field, number, octets};
use crate::observation::{Event, Seen};
use crate::script::{Action, Step};

pub struct Deliberate {
    pub name: &'static str,
    pub reason: &'static str,
    pub rule: Rule,
}

pub enum Rule {
    /// Both sides' events become alike.
    Alike(fn(&mut Event)),
    /// RabbitMQ (left) and Warren (right) go different ways here, and the rest of the session says
    /// nothing.
    Parts(fn(&Step, &[Seen], &[Seen]) -> bool),
}

pub const DELIBERATE: [Deliberate; 2] = [
    Deliberate {
        name: "last death",
        reason: "RabbitMQ 4 adds x-last-death-queue, -reason and -exchange, and so do we; 3.10 does not",
        rule: Rule::Alike(without_last_death),
    },
    Deliberate {
        name: "unknown exchange type",
        reason: "RabbitMQ 3.13 and later close the channel with 406; 3.10 closes the connection with 503",
        rule: Rule::Parts(unknown_exchange_type),
    },
];

fn without_last_death(event: &mut Event) {
    let Some((properties, _)) = &mut event.content else {
        return;
    };
    for (name, field) in properties {
        if let ("headers", Field::Table(headers)) = (*name, field) {
            headers.retain(|(key, _)| !key.starts_with(b"x-last-death-"));
        }
    }
}

fn is_call(step: &Step, name: &str) -> bool {
    match &step.action {
        Action::Call { method, .. } => method.name == name,
        Action::Frame { .. }
        | Action::Octets(_)
        | Action::Drop
        | Action::Drain(_)
        | Action::Sleep(_) => false,
    }
}

/// Whether the only thing seen is this close.
fn closes(seen: &[Seen], name: &str, code: u64, text: &str) -> bool {
    let closes: Vec<&Seen> = seen.iter().filter(|one| one.event.name == name).collect();
    let [close] = closes[..] else {
        return false;
    };
    let fields = &close.event.fields;
    let said = String::from_utf8_lossy(octets(fields, "reply-text"));
    number(fields, "reply-code") == code && said.contains(text)
}

fn unknown_exchange_type(step: &Step, left: &[Seen], right: &[Seen]) -> bool {
    let text = "unknown exchange type";
    is_call(step, "exchange.declare")
        && closes(left, "connection.close", 503, text)
        && closes(right, "channel.close", 406, text)
}
