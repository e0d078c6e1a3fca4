//! The one list of deliberate differences between Warren and the RabbitMQ it is compared with (3.10),
//! each with its reason, each matched as narrowly as it can be.

use crate::codec::{Field, number, octets};
use crate::observation::{ENDED, Event, Seen};
use crate::script::{Action, Part, Step};

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

pub const DELIBERATE: [Deliberate; 6] = [
    Deliberate {
        name: "last death",
        reason: "RabbitMQ 4 adds x-last-death-queue, -reason and -exchange, and so do we; 3.10 does not",
        rule: Rule::Alike(without_last_death),
    },
    Deliberate {
        name: "unknown exchange type",
        reason: "RabbitMQ 3.13 and later close the channel with 406; 3.10 closes the connection with 503, \
                 and says 'invalid' of names that its runtime happens to know for something else",
        rule: Rule::Parts(unknown_exchange_type),
    },
    Deliberate {
        name: "delivery mode",
        reason: "RabbitMQ 4 takes whatever is not 2 for transient, and so do we; 3.10 refuses it",
        rule: Rule::Parts(delivery_mode),
    },
    Deliberate {
        name: "unknown method",
        reason: "RabbitMQ's reader crashes over a class that it does not know and ends the socket; we \
                 close the connection with 540",
        rule: Rule::Parts(unknown_method),
    },
    Deliberate {
        name: "long body",
        reason: "RabbitMQ does not notice that a body is longer than announced, and waits for what \
                 cannot come; we say so",
        rule: Rule::Parts(long_body),
    },
    Deliberate {
        name: "malformed text",
        reason: "both close the connection with 501 over a name that is not UTF-8; ours shows the octets",
        rule: Rule::Parts(malformed_text),
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
    let type_named = |begin| {
        let name = "exchange type";
        closes(left, "connection.close", 503, &format!("{begin} {name}"))
    };
    is_call(step, "exchange.declare")
        && (type_named("unknown") || type_named("invalid"))
        && closes(right, "channel.close", 406, "unknown exchange type")
}

fn delivery_mode(step: &Step, left: &[Seen], right: &[Seen]) -> bool {
    let refused = |seen| closes(seen, "channel.close", 406, "{delivery_mode_unknown,");
    is_call(step, "basic.publish") && refused(left) && !refused(right)
}

fn unknown_method(step: &Step, left: &[Seen], right: &[Seen]) -> bool {
    let is_frame = matches!(step.action, Action::Frame { kind: 1, .. });
    let ended = matches!(left, [only] if only.event.name == ENDED);
    is_frame && ended && closes(right, "connection.close", 540, "unknown method")
}

fn long_body(step: &Step, _left: &[Seen], right: &[Seen]) -> bool {
    let is_long = match &step.action {
        Action::Call { content, .. } => content
            .as_ref()
            .is_some_and(|content| content.part == Part::LongBody),
        Action::Frame { .. }
        | Action::Octets(_)
        | Action::Drop
        | Action::Drain(_)
        | Action::Sleep(_) => false,
    };
    is_long && closes(right, "connection.close", 501, "content body is longer")
}

fn malformed_text(_step: &Step, left: &[Seen], right: &[Seen]) -> bool {
    closes(left, "connection.close", 501, "Malformed UTF-8 in shortstr")
        && closes(right, "connection.close", 501, "cannot decode")
}
