//! Dead letters and expiry: the rules of the list.

use std::collections::BTreeSet;

use super::case::{Case, bodies_with, fields, has_argument, is_call, is_dead_letter, published};
use crate::codec::{Field, Fields, get, number, octets};
use crate::observation::{Event, Seen};
use crate::script::{Action, Body, Part};
use crate::value::Value;

pub(super) fn without_last_death(event: &mut Event) {
    let Some((properties, _)) = &mut event.content else {
        return;
    };
    for (name, field) in properties {
        if let ("headers", Field::Table(headers)) = (*name, field) {
            headers.retain(|(key, _)| !key.starts_with(b"x-last-death-"));
        }
    }
}

/// A dead letter that was published with an x-death.
pub(super) fn made_up_death(case: &Case<'_>) -> bool {
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

pub(super) fn blind_copy(case: &Case<'_>) -> bool {
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

/// Only the counts of a priority queue differ, and RabbitMQ's is the higher.
pub(super) fn expired_priority(case: &Case<'_>) -> bool {
    let Some(step) = case.past().last() else {
        return false;
    };
    if expired_letter(case) || expired_delivery(case) {
        return true;
    }
    let queue = match &step.action {
        Action::Call { fields, .. } => octets(fields, "queue"),
        Action::Drain(queue) => queue,
        Action::Frame { .. } | Action::Octets(_) | Action::Drop | Action::Sleep(_) => return false,
    };
    let has_levels = has_priorities(case, queue);
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
pub(super) fn expired_letter(case: &Case<'_>) -> bool {
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
            && is(b"x-last-death-queue", &|queue| has_priorities(case, queue))
    };
    let more: Vec<&Seen> = case.right.iter().filter(|seen| died_there(seen)).collect();
    let rest = case.right.iter().filter(|seen| !died_there(seen));
    let shown = |seen: &Seen| seen.to_string();
    !more.is_empty() && case.left.iter().map(shown).eq(rest.map(shown))
}

/// The same, and RabbitMQ delivers it: besides such messages both sides deliver the same, and for each
/// of them we may be one further.
fn expired_delivery(case: &Case<'_>) -> bool {
    let from_levels = |seen: &Seen| match seen.event.name {
        "basic.deliver" => {
            let tag = octets(&seen.event.fields, "consumer-tag");
            let place = (seen.connection, seen.channel);
            has_priorities(case, &case.queue_of(place, tag))
        }
        "basic.get-ok" => true,
        _ => false,
    };
    let untold = |seen: &Seen| {
        let mut seen = seen.clone();
        let told = |name: &str| name != "delivery-tag" && name != "message-count";
        seen.event.fields.retain(|(name, _)| told(name));
        seen.to_string()
    };
    let known: BTreeSet<String> = case.right.iter().map(untold).collect();
    let expires = |seen: &Seen| {
        let content = seen.event.content.as_ref();
        content.is_some_and(|(properties, _)| get(properties, "expiration").is_some())
    };
    let is_late =
        |seen: &&Seen| from_levels(seen) && expires(seen) && !known.contains(&untold(seen));
    let late = case.left.iter().filter(is_late).count();
    let rest: Vec<String> = case
        .left
        .iter()
        .filter(|seen| !is_late(seen))
        .map(untold)
        .collect();
    let right: Vec<String> = case.right.iter().map(untold).collect();
    let further = right.len().checked_sub(rest.len());
    late > 0 && further.is_some_and(|further| further <= late) && right.starts_with(&rest)
}

/// Whether it was declared with priorities, by that name or without one.
fn has_priorities(case: &Case<'_>, queue: &[u8]) -> bool {
    case.past().iter().any(|step| {
        let declared = fields(step).filter(|_| is_call(step, "queue.declare"));
        declared.is_some_and(|declared| {
            let name = octets(declared, "queue");
            let named = name == queue || (name.is_empty() && queue.starts_with(b"<gen"));
            named && has_argument(declared, b"x-max-priority")
        })
    })
}
