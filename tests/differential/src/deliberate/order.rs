//! Whose turn it is and what comes first: the rules of the list.

use std::collections::BTreeSet;

use super::case::{Case, fields, has_argument, is_call, is_dead_letter, is_quorum};
use crate::codec::{Field, Fields, get, number, octets};
use crate::observation::Seen;
use crate::script::{Action, Step};

/// On a channel that has both, one side delivers something that the other does not.
pub(super) fn get_and_prefetch(case: &Case<'_>) -> bool {
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

/// As many deliveries on a channel with a prefetch of its own and several consumers, but not to the
/// same of them; everything else is the same.
pub(super) fn channel_credit(case: &Case<'_>) -> bool {
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
pub(super) fn quorum_returns(case: &Case<'_>) -> bool {
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
    let on_channel = |seen: &Seen, wanted: &dyn Fn(&Step, &Fields) -> bool| {
        past.iter().any(|step| {
            let here = (step.connection, step.channel) == (seen.connection, seen.channel);
            here && fields(step).is_some_and(|fields| wanted(step, fields))
        })
    };
    let limited = |seen: &Seen| {
        on_channel(seen, &|step, fields| {
            is_call(step, "basic.qos") && number(fields, "global") == 1
        }) && on_channel(seen, &|step, fields| {
            is_call(step, "basic.consume") && quorum.contains(&octets(fields, "queue"))
        })
    };
    let asked = match past.last().map(|step| &step.action) {
        Some(Action::Call { fields, .. }) => octets(fields, "queue"),
        Some(Action::Drain(queue)) => queue,
        Some(Action::Frame { .. } | Action::Octets(_) | Action::Drop | Action::Sleep(_)) | None => {
            &[]
        }
    };
    let content = |seen: &Seen| {
        seen.event
            .content
            .as_ref()
            .map(|(properties, _)| properties.clone())
    };
    let concerned = |seen: &Seen| match seen.event.name {
        "basic.deliver" => {
            let tag = octets(&seen.event.fields, "consumer-tag");
            let queue = case.queue_of((seen.connection, seen.channel), tag);
            // What they let through takes the room of others on a channel with a prefetch.
            limited(seen)
                || quorum.contains(&&queue[..])
                || content(seen).is_some_and(|one| is_dead_letter(&one))
        }
        "basic.get-ok" | "queue.declare-ok" | "queue.delete-ok" | "queue.purge-ok"
        | "basic.get-empty" => quorum.contains(&asked),
        _ => false,
    };
    let returned = |seen: &Seen| match content(seen).as_ref().map(|one| get(one, "headers")) {
        Some(Some(Field::Table(headers))) => {
            headers.iter().any(|(key, _)| key == b"x-delivery-count")
        }
        Some(Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None) | None => {
            seen.event.content.is_none()
        }
    };
    let only_left = case.left.iter().filter(|seen| !case.right.contains(seen));
    let only_right = case.right.iter().filter(|seen| !case.left.contains(seen));
    let odd: Vec<&Seen> = only_left.chain(only_right).collect();
    odd.iter().all(|seen| concerned(seen)) && odd.iter().any(|seen| limited(seen) || returned(seen))
}

/// The same messages, of which only those in another order that were delivered before or are dead
/// letters.
pub(super) fn other_order(case: &Case<'_>) -> bool {
    if returned_by_batches(case) || returned_by_consumers(case) || returned_by_commit(case) {
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
pub(super) fn returned_by_batches(case: &Case<'_>) -> bool {
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

/// A channel that has consumed or got from a queue in several ways gives back what each of them had:
/// only which of it is delivered first differs.
fn returned_by_consumers(case: &Case<'_>) -> bool {
    let gives_back = ["basic.recover", "basic.recover-async", "basic.nack"];
    let Some(last) = case.past().last() else {
        return false;
    };
    let takes = case.past().iter().filter(|step| {
        let here = (step.connection, step.channel) == (last.connection, last.channel);
        here && (is_call(step, "basic.consume") || is_call(step, "basic.get"))
    });
    let only_left = case.left.iter().filter(|seen| !case.right.contains(seen));
    let only_right = case.right.iter().filter(|seen| !case.left.contains(seen));
    let (only_left, only_right): (Vec<_>, Vec<_>) = (only_left.collect(), only_right.collect());
    let returned = |seen: &&Seen| {
        seen.event.name == "basic.deliver" && number(&seen.event.fields, "redelivered") == 1
    };
    let odd = only_left.len() == only_right.len() && !only_left.is_empty();
    let all = only_left.iter().chain(&only_right).all(returned);
    gives_back.iter().any(|name| case.is_call(name)) && takes.count() > 1 && odd && all
}

/// A commit that publishes and returns: ours returns at once, and shows what it publishes when that is
/// on the disk.
fn returned_by_commit(case: &Case<'_>) -> bool {
    let of = |seen: &[Seen], returned: bool| -> Vec<Vec<u8>> {
        let deliveries = seen
            .iter()
            .filter(|seen| seen.event.name == "basic.deliver");
        let chosen =
            deliveries.filter(|seen| (number(&seen.event.fields, "redelivered") == 1) == returned);
        let bodies = chosen.filter_map(|seen| seen.event.content.as_ref());
        bodies.map(|(_, body)| body.clone()).collect()
    };
    case.is_call("tx.commit")
        && case.left.len() == case.right.len()
        && !of(case.left, true).is_empty()
        && of(case.left, true) == of(case.right, true)
        && of(case.left, false) == of(case.right, false)
}
