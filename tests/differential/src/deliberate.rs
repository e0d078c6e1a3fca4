//! The one list of deliberate differences between Warren and the RabbitMQ it is compared with (3.10),
//! each with its reason, each matched as narrowly as it can be.

use std::collections::BTreeSet;

use crate::codec::{Field, Fields, get, number, octets};
use crate::compare::SEVERAL_QUEUES;
use crate::observation::{ENDED, Event, Seen};
use crate::script::{Action, Body, Part, Script, Step};
use crate::value::Value;

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
    Parts(fn(&Case<'_>) -> bool),
    /// The generator makes no session that would show it, because it would show only later.
    LeftOut,
}

/// A step with what both sides have shown of it.
pub struct Case<'a> {
    pub script: &'a Script,
    pub place: usize,
    /// Connections that have ended so far, however that came about.
    pub ended: &'a BTreeSet<usize>,
    pub left: &'a [Seen],
    pub right: &'a [Seen],
}

impl Case<'_> {
    /// The steps up to this one, and this one.
    fn past(&self) -> &[Step] {
        self.script.steps.get(..=self.place).unwrap_or_default()
    }

    /// The queue that a consumer consumes; the tag itself, when it does not stand in the script.
    pub fn queue_of(&self, place: (usize, u16), tag: &[u8]) -> Vec<u8> {
        let mut past = self.past().iter().rev();
        let queue = past.find_map(|step| {
            let fields = fields(step).filter(|_| is_call(step, "basic.consume"))?;
            let here = (step.connection, step.channel) == place;
            let known = here && octets(fields, "consumer-tag") == tag;
            known.then(|| octets(fields, "queue").to_vec())
        });
        queue.unwrap_or_else(|| tag.to_vec())
    }

    fn is_call(&self, name: &str) -> bool {
        self.past().last().is_some_and(|step| is_call(step, name))
    }
}

pub const DELIBERATE: [Deliberate; 20] = [
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
        name: "get beside a single active consumer",
        reason: "RabbitMQ 4 refuses it with 405, on classic queues too, and so do we; 3.10 only on \
                 quorum queues",
        rule: Rule::Parts(get_beside_single_active),
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
        reason: "our exchanges and routing keys are text, so a publish with others is refused with 501; \
                 RabbitMQ takes any octets there, and in no other name",
        rule: Rule::Parts(malformed_text),
    },
    Deliberate {
        name: "get and channel prefetch",
        reason: "RabbitMQ counts what basic.get has brought towards a prefetch of the channel that is \
                 set later, and does not take it off when it is acknowledged",
        rule: Rule::Parts(get_and_prefetch),
    },
    Deliberate {
        name: "dead letter of a blind copy",
        reason: "RabbitMQ routes a dead letter by the keys of its BCC too, which no message shows any \
                 more; we forget them when the message is routed",
        rule: Rule::Parts(blind_copy),
    },
    Deliberate {
        name: "whole floats in headers",
        reason: "a headers exchange of RabbitMQ 4 tells 5.0 from 5, and so do we; that of 3.10 does not",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: "expiry of quorum queues",
        reason: "RabbitMQ looks only every few seconds whether a quorum queue is unused; we do at once",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: "returns to quorum queues",
        reason: "RabbitMQ's quorum queues serve what came back in an order of their own, keep a \
                 cancelled consumer until it has settled everything, and do not know of a prefetch of \
                 a channel that is set after consuming; ours work as classic queues do",
        rule: Rule::Parts(quorum_returns),
    },
    Deliberate {
        name: "x-death of a client",
        reason: "RabbitMQ 4 takes no account of an x-death that a client has made up, and neither do \
                 we; 3.10 does not set x-first-death-* when there is one, and its queue crashes over an \
                 entry that is not a table (of which the generator makes none)",
        rule: Rule::Parts(made_up_death),
    },
    Deliberate {
        name: "expiry in priority queues",
        reason: "RabbitMQ does not look at what a new message of a higher priority has brought to the \
                 front, and counts it although its time is over; we do not count it",
        rule: Rule::Parts(expired_priority),
    },
    Deliberate {
        name: "order of returns and dead letters",
        reason: "a channel of RabbitMQ gives back what each consumer had by itself, and dead letters of \
                 several queues arrive as they come; ours come back in the order of their publishing",
        rule: Rule::Parts(other_order),
    },
    Deliberate {
        name: "channels of an ending connection",
        reason: "RabbitMQ ends the channels of a connection one after the other, and its queues learn of \
                 it later: what comes back or dies then may still be delivered there, and is lost when \
                 nobody acknowledges; ours end together",
        rule: Rule::Parts(lost_with_connection),
    },
    Deliberate {
        name: "credit of a channel",
        reason: "RabbitMQ's limiter tells the queues that waited for a channel's prefetch in a random \
                 order (rand:uniform in rabbit_limiter:notify_queues); ours take turns",
        rule: Rule::Parts(channel_credit),
    },
    Deliberate {
        name: "original expiration in lazy queues",
        reason: "RabbitMQ forgets the expiration of a message that it reads back from disk when it dead-\
                 letters it; we tell x-death's original-expiration always",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: "full quorum queues",
        reason: "a quorum queue of RabbitMQ refuses messages some time after it was full; ours is \
                 exact",
        rule: Rule::LeftOut,
    },
    Deliberate {
        name: SEVERAL_QUEUES,
        reason: "RabbitMQ's queues are processes: what several of them deliver to one channel has no \
                 order (matched in compare.rs: the same deliveries of every queue in the same order)",
        rule: Rule::LeftOut,
    },
];

/// Whether the entry of that name is about an order, in which a busy machine has a hand too.
pub fn is_of_order(name: &str) -> bool {
    let ordered = [
        "get and channel prefetch",
        "returns to quorum queues",
        "expiry in priority queues",
        "order of returns and dead letters",
        "credit of a channel",
        "channels of an ending connection",
        SEVERAL_QUEUES,
    ];
    ordered.contains(&name)
}

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

fn get_beside_single_active(case: &Case<'_>) -> bool {
    let text = "not supported by classic queues with single active consumer";
    let gets = match case.past().last().map(|step| &step.action) {
        Some(Action::Drain(_)) => true,
        Some(
            Action::Call { .. }
            | Action::Frame { .. }
            | Action::Octets(_)
            | Action::Drop
            | Action::Sleep(_),
        )
        | None => false,
    };
    (gets || case.is_call("basic.get"))
        && closes(case.right, "channel.close", 405, text)
        && !closes(case.left, "channel.close", 405, text)
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

fn unknown_exchange_type(case: &Case<'_>) -> bool {
    let type_named = |begin| {
        let name = "exchange type";
        closes(
            case.left,
            "connection.close",
            503,
            &format!("{begin} {name}"),
        )
    };
    case.is_call("exchange.declare")
        && (type_named("unknown") || type_named("invalid"))
        && closes(case.right, "channel.close", 406, "unknown exchange type")
}

fn delivery_mode(case: &Case<'_>) -> bool {
    let refused = |seen| closes(seen, "channel.close", 406, "{delivery_mode_unknown,");
    case.is_call("basic.publish") && refused(case.left) && !refused(case.right)
}

fn unknown_method(case: &Case<'_>) -> bool {
    let step = case.past().last();
    let is_frame = step.is_some_and(|step| matches!(step.action, Action::Frame { kind: 1, .. }));
    let ended = case.left.iter().any(|seen| seen.event.name == ENDED);
    is_frame && ended && closes(case.right, "connection.close", 540, "unknown method")
}

fn long_body(case: &Case<'_>) -> bool {
    let is_long = |(_, _, part): (&Fields, Body, Part)| part == Part::LongBody;
    let published = case.past().last().and_then(published);
    let text = "content body is longer";
    published.is_some_and(is_long) && closes(case.right, "connection.close", 501, text)
}

fn malformed_text(case: &Case<'_>) -> bool {
    let text = "cannot decode";
    case.is_call("basic.publish") && closes(case.right, "connection.close", 501, text)
}

/// On a channel that has both, one side delivers something that the other does not.
fn get_and_prefetch(case: &Case<'_>) -> bool {
    let has = |connection: usize, channel: u16, wanted: fn(&Step, &Fields) -> bool| {
        let here = case
            .past()
            .iter()
            .filter(|step| step.connection == connection);
        let here = here.filter(|step| step.channel == channel);
        here.filter_map(|step| Some((step, fields(step)?)))
            .any(|(step, fields)| wanted(step, fields))
    };
    let is_get =
        |step: &Step, fields: &Fields| is_call(step, "basic.get") && number(fields, "no-ack") == 0;
    let is_limit =
        |step: &Step, fields: &Fields| is_call(step, "basic.qos") && number(fields, "global") == 1;
    let odd = |one: &[Seen], other: &[Seen]| {
        let mut deliveries = one.iter().filter(|seen| seen.event.name == "basic.deliver");
        deliveries.any(|seen| {
            let place = (seen.connection, seen.channel);
            let missing = !other
                .iter()
                .any(|other| other.event.content == seen.event.content);
            missing && has(place.0, place.1, is_get) && has(place.0, place.1, is_limit)
        })
    };
    odd(case.left, case.right) || odd(case.right, case.left)
}

/// A connection that consumed has ended, and RabbitMQ has fewer messages left in a queue from which
/// it consumed without acknowledging; or the same, of which some were delivered to it once more.
fn lost_with_connection(case: &Case<'_>) -> bool {
    let Some(queue) = asked_after(case) else {
        return dies_with_connection(case);
    };
    let consumes = |without_ack: bool| {
        case.past().iter().any(|step| {
            let fields = fields(step).filter(|_| is_call(step, "basic.consume"));
            case.ended.contains(&step.connection)
                && fields.is_some_and(|fields| {
                    octets(fields, "queue") == queue
                        && (number(fields, "no-ack") == 1) == without_ack
                })
        })
    };
    let left_over = |seen: &[Seen]| -> u64 {
        let counts = seen.iter().map(|seen| match seen.event.name {
            "basic.get-ok" => 1 + number(&seen.event.fields, "message-count"),
            _ => number(&seen.event.fields, "message-count"),
        });
        counts.max().unwrap_or(0)
    };
    let twice = || {
        case.left.len() == case.right.len()
            && case.left.iter().zip(case.right).all(|(left, right)| {
                let (mut once, mut other) = (left.clone(), right.clone());
                without_last_death(&mut other.event);
                let same = once == other;
                for (name, field) in &mut once.event.fields {
                    if *name == "redelivered" {
                        *field = Field::Number(0);
                    }
                }
                same || once == other
            })
    };
    (consumes(true) && left_over(case.left) < left_over(case.right)) || (consumes(false) && twice())
}

/// A connection ends here, and dead letters that come of it reach a consumer of another connection
/// only with us: with RabbitMQ the ending one still got them.
fn dies_with_connection(case: &Case<'_>) -> bool {
    let ends = case.past().last().is_some_and(|step| {
        matches!(step.action, Action::Drop | Action::Octets(_)) || is_call(step, "connection.close")
    });
    let of = |seen: &[Seen], dead: bool| -> Vec<String> {
        let chosen = seen.iter().filter(|seen| {
            let content = seen.event.content.as_ref();
            dead == content.is_some_and(|(properties, _)| is_dead_letter(properties))
        });
        chosen.map(Seen::to_string).collect()
    };
    let fewer = of(case.left, true).len() < of(case.right, true).len();
    ends && fewer && of(case.left, false) == of(case.right, false)
}

/// The queue whose messages this step counts.
fn asked_after<'a>(case: &'a Case<'_>) -> Option<&'a [u8]> {
    match &case.past().last()?.action {
        Action::Call { method, fields, .. } => match method.name {
            "queue.declare" | "queue.delete" | "queue.purge" | "basic.get" => {
                Some(octets(fields, "queue"))
            }
            _ => None,
        },
        Action::Drain(queue) => Some(queue),
        Action::Frame { .. } | Action::Octets(_) | Action::Drop | Action::Sleep(_) => None,
    }
}

/// As many deliveries on a channel with a prefetch of its own and several consumers, but not to the
/// same of them; everything else is the same.
fn channel_credit(case: &Case<'_>) -> bool {
    let shares = |seen: &Seen| {
        let here = case
            .past()
            .iter()
            .filter(|step| (step.connection, step.channel) == (seen.connection, seen.channel));
        let here: Vec<(&Step, &Fields)> = here
            .filter_map(|step| Some((step, fields(step)?)))
            .collect();
        let limited = here.iter().any(|(step, fields)| {
            is_call(step, "basic.qos")
                && number(fields, "global") == 1
                && number(fields, "prefetch-count") > 0
        });
        let consumes = here
            .iter()
            .filter(|(step, _)| is_call(step, "basic.consume"));
        let queues: BTreeSet<&[u8]> = consumes
            .map(|(_, fields)| octets(fields, "queue"))
            .collect();
        limited && queues.len() > 1
    };
    let is_free = |seen: &&Seen| seen.event.name == "basic.deliver" && shares(seen);
    let place = |seen: &Seen| (seen.connection, seen.channel);
    let of = |seen: &[Seen]| {
        let mut free: Vec<_> = seen.iter().filter(is_free).map(place).collect();
        free.sort_unstable();
        let mut other: Vec<String> = seen
            .iter()
            .filter(|seen| !is_free(seen))
            .map(Seen::to_string)
            .collect();
        other.sort_unstable();
        (free, other)
    };
    let ((left, left_other), (right, right_other)) = (of(case.left), of(case.right));
    // Who does not acknowledge uses no credit, so that more may get through by one way than by the
    // other.
    let no_ack = case.past().iter().any(|step| {
        let fields = fields(step).filter(|_| is_call(step, "basic.consume"));
        fields.is_some_and(|fields| number(fields, "no-ack") == 1)
    });
    let free = !left.is_empty() && !right.is_empty() && (no_ack || left == right);
    free && left_other == right_other
}

/// Deliveries and counts of quorum queues.
fn quorum_returns(case: &Case<'_>) -> bool {
    let past = case.past();
    let quorum: Vec<&[u8]> = past
        .iter()
        .filter(|step| is_call(step, "queue.declare"))
        .filter_map(fields)
        .filter(|fields| is_quorum(fields))
        .map(|fields| octets(fields, "queue"))
        .collect();
    if quorum.is_empty() {
        return false;
    }
    let limited = past.iter().any(|step| {
        let global = fields(step).is_some_and(|fields| number(fields, "global") == 1);
        global && is_call(step, "basic.qos")
    });
    let concerned = |seen: &Seen| match seen.event.name {
        "basic.deliver" | "basic.get-ok" => {
            let content = seen.event.content.as_ref();
            let headers = content.and_then(|(properties, _)| get(properties, "headers"));
            let counted = match headers {
                Some(Field::Table(headers)) => {
                    headers.iter().any(|(key, _)| key == b"x-delivery-count")
                }
                Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
            };
            counted || limited
        }
        "queue.declare-ok" | "queue.delete-ok" | "queue.purge-ok" | "basic.get-empty" => {
            let here = match past.last().map(|step| &step.action) {
                Some(Action::Call { fields, .. }) => octets(fields, "queue"),
                Some(Action::Drain(queue)) => queue,
                _ => &[],
            };
            quorum.contains(&here)
        }
        _ => false,
    };
    let odd = |one: &[Seen], other: &[Seen]| {
        let mut odd = one.iter().filter(|seen| !other.contains(seen)).peekable();
        odd.peek().is_none() || odd.any(concerned)
    };
    odd(case.left, case.right) && odd(case.right, case.left)
}

fn is_quorum(fields: &Fields) -> bool {
    match get(fields, "arguments") {
        Some(Field::Table(arguments)) => arguments.iter().any(|(key, value)| {
            key == b"x-queue-type" && matches!(value, Value::Text(_, name) if name == b"quorum")
        }),
        Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
    }
}

/// The same messages, of which only those in another order that were delivered before or are dead
/// letters.
fn other_order(case: &Case<'_>) -> bool {
    if returned_by_batches(case) {
        return true;
    }
    let of = |seen: &[Seen]| -> Vec<(Vec<u8>, bool)> {
        let messages = seen.iter().filter_map(|seen| {
            let (properties, body) = seen.event.content.as_ref()?;
            let returned = number(&seen.event.fields, "redelivered") == 1;
            Some((body.clone(), returned || is_dead_letter(properties)))
        });
        messages.collect()
    };
    let (left, right) = (of(case.left), of(case.right));
    let sorted = |messages: &[(Vec<u8>, bool)]| {
        let mut messages = messages.to_vec();
        messages.sort();
        messages
    };
    let free = left
        .iter()
        .zip(&right)
        .all(|(one, other)| one == other || (one.1 && other.1));
    left != right && free && sorted(&left) == sorted(&right)
}

/// What comes back to a queue of bounded length, batch by batch or at once: of each batch it keeps what
/// it may.
fn returned_by_batches(case: &Case<'_>) -> bool {
    let bounded = case.past().iter().any(|step| {
        let declared = fields(step).filter(|_| is_call(step, "queue.declare"));
        declared.is_some_and(|declared| {
            has_argument(declared, b"x-max-length") || has_argument(declared, b"x-max-length-bytes")
        })
    });
    let gives_back = [
        "basic.recover",
        "basic.recover-async",
        "basic.nack",
        "channel.close",
    ];
    let gives_back = gives_back.iter().any(|name| case.is_call(name));
    let returned = |seen: &Seen| {
        seen.event.name != "basic.deliver" || number(&seen.event.fields, "redelivered") == 1
    };
    let all = case.left.iter().chain(case.right).all(returned);
    bounded && gives_back && all && case.left.len() > case.right.len()
}

/// A dead letter that was published with an x-death.
fn made_up_death(case: &Case<'_>) -> bool {
    let made_up = bodies_with(case, b"x-death");
    let odd = |one: &[Seen], other: &[Seen]| {
        let mut odd = one.iter().filter(|seen| !other.contains(seen));
        odd.any(|seen| match &seen.event.content {
            Some((properties, body)) => made_up.contains(body) && is_dead_letter(properties),
            None => false,
        })
    };
    odd(case.left, case.right) && odd(case.right, case.left)
}

/// Only the counts of a priority queue differ, and RabbitMQ's is the higher.
fn expired_priority(case: &Case<'_>) -> bool {
    let Some(step) = case.past().last() else {
        return false;
    };
    if expired_letter(case) {
        return true;
    }
    let queue = match &step.action {
        Action::Call { fields, .. } => octets(fields, "queue"),
        Action::Drain(queue) => queue,
        Action::Frame { .. } | Action::Octets(_) | Action::Drop | Action::Sleep(_) => return false,
    };
    let has_levels = case.past().iter().any(|step| {
        let declared = fields(step).filter(|_| is_call(step, "queue.declare"));
        declared.is_some_and(|declared| {
            let name = octets(declared, "queue");
            let named = name == queue || (name.is_empty() && queue.starts_with(b"<gen"));
            named && has_argument(declared, b"x-max-priority")
        })
    });
    let published = case.past().iter().filter_map(published);
    let expires = |(properties, ..): (&Fields, Body, Part)| get(properties, "expiration").is_some();
    let pairs = || case.left.iter().zip(case.right);
    let more = pairs().all(|(left, right)| {
        let count = |seen: &Seen| number(&seen.event.fields, "message-count");
        left.event.name == right.event.name && count(left) >= count(right)
    });
    has_levels && more && published.into_iter().any(expires) && case.left.len() == case.right.len()
}

/// The same, and seen by where it goes: what is only seen with us are dead letters that have expired
/// in a priority queue.
fn expired_letter(case: &Case<'_>) -> bool {
    let levels = case
        .past()
        .iter()
        .filter(|step| is_call(step, "queue.declare"));
    let levels = levels.filter_map(fields);
    let levels = levels.filter(|declared| has_argument(declared, b"x-max-priority"));
    let levels: BTreeSet<&[u8]> = levels.map(|declared| octets(declared, "queue")).collect();
    let died_there = |seen: &Seen| {
        let content = seen.event.content.as_ref();
        let headers = content.and_then(|(properties, _)| get(properties, "headers"));
        let Some(Field::Table(headers)) = headers else {
            return false;
        };
        let is = |name: &[u8], wanted: &dyn Fn(&[u8]) -> bool| {
            headers.iter().any(|(key, value)| {
                key == name && matches!(value, Value::Text(_, text) if wanted(text))
            })
        };
        is(b"x-last-death-reason", &|reason| reason == b"expired")
            && is(b"x-last-death-queue", &|queue| levels.contains(queue))
    };
    let more: Vec<&Seen> = case.right.iter().filter(|seen| died_there(seen)).collect();
    let rest = case.right.iter().filter(|seen| !died_there(seen));
    let shown = |seen: &Seen| seen.to_string();
    !more.is_empty() && case.left.iter().map(shown).eq(rest.map(shown))
}

fn has_argument(declared: &Fields, name: &[u8]) -> bool {
    match get(declared, "arguments") {
        Some(Field::Table(arguments)) => arguments.iter().any(|(key, _)| key == name),
        Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
    }
}

/// What was published with a header of that name.
fn bodies_with(case: &Case<'_>, header: &[u8]) -> BTreeSet<Vec<u8>> {
    let published = case.past().iter().filter_map(published);
    published
        .filter(|(properties, ..)| match get(properties, "headers") {
            Some(Field::Table(headers)) => headers.iter().any(|(key, _)| key == header),
            Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
        })
        .map(|(_, body, _)| body.octets())
        .collect()
}

fn blind_copy(case: &Case<'_>) -> bool {
    let copied = bodies_with(case, b"BCC");
    let dead = |seen: &&Seen| {
        let Some((properties, body)) = &seen.event.content else {
            return false;
        };
        copied.contains(body) && is_dead_letter(properties)
    };
    let count = |seen: &[Seen]| seen.iter().filter(dead).count();
    count(case.left) > count(case.right)
}

fn is_dead_letter(properties: &Fields) -> bool {
    match get(properties, "headers") {
        Some(Field::Table(headers)) => headers
            .iter()
            .any(|(key, value)| key == b"x-death" && matches!(value, Value::Array(_))),
        Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
    }
}

fn fields(step: &Step) -> Option<&Fields> {
    match &step.action {
        Action::Call { fields, .. } => Some(fields),
        Action::Frame { .. }
        | Action::Octets(_)
        | Action::Drop
        | Action::Drain(_)
        | Action::Sleep(_) => None,
    }
}

fn published(step: &Step) -> Option<(&Fields, Body, Part)> {
    match &step.action {
        Action::Call { content, .. } => {
            let content = content.as_ref()?;
            Some((&content.properties, content.body, content.part))
        }
        Action::Frame { .. }
        | Action::Octets(_)
        | Action::Drop
        | Action::Drain(_)
        | Action::Sleep(_) => None,
    }
}
