//! What comes when a channel or a connection ends: the rules of the list.

use std::collections::BTreeSet;

use super::case::{Case, fields, is_call, is_dead_letter};
use super::deaths::without_last_death;
use crate::codec::{Field, number, octets};
use crate::observation::Seen;
use crate::script::Action;

/// A connection that consumed has ended, and RabbitMQ has fewer messages left in a queue from which
/// it consumed without acknowledging; or the same, of which some were delivered to it once more.
pub(super) fn lost_with_connection(case: &Case<'_>) -> bool {
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
pub(super) fn dies_with_connection(case: &Case<'_>) -> bool {
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
pub(super) fn asked_after<'a>(case: &'a Case<'_>) -> Option<&'a [u8]> {
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

/// A channel ends on both sides, and only RabbitMQ still delivers something to it. With us that stays
/// in its queue, or others get it.
pub(super) fn delivers_to_ending_channel(case: &Case<'_>) -> bool {
    let ended = |seen: &[Seen]| -> BTreeSet<(usize, u16)> {
        let closed = seen
            .iter()
            .filter(|seen| matches!(seen.event.name, "channel.close" | "channel.close-ok"));
        closed.map(|seen| (seen.connection, seen.channel)).collect()
    };
    let ended = &ended(case.left) & &ended(case.right);
    let to_ended = |seen: &Seen| {
        seen.event.name == "basic.deliver" && ended.contains(&(seen.connection, seen.channel))
    };
    let (last, left): (Vec<&Seen>, Vec<&Seen>) = case.left.iter().partition(|seen| to_ended(seen));
    let body = |seen: &Seen| seen.event.content.as_ref().map(|(_, body)| body.clone());
    let bodies: BTreeSet<_> = last.iter().map(|seen| body(seen)).collect();
    let went_elsewhere =
        |seen: &&Seen| seen.event.name == "basic.deliver" && bodies.contains(&body(seen));
    let right = case.right.iter().filter(|seen| !went_elsewhere(seen));
    let shown = |seen: Vec<&Seen>| {
        let mut shown: Vec<String> = seen.into_iter().map(Seen::to_string).collect();
        shown.sort_unstable();
        shown
    };
    !last.is_empty() && !case.right.iter().any(to_ended) && shown(left) == shown(right.collect())
}
