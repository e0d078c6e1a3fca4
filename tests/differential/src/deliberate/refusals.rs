//! Where one broker refuses what the other takes, or refuses it otherwise: the rules of the list.

use super::case::{Case, closes, published};
use crate::codec::Fields;
use crate::observation::ENDED;
use crate::script::{Action, Body, Part};

pub(super) fn get_beside_single_active(case: &Case<'_>) -> bool {
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

pub(super) fn unknown_exchange_type(case: &Case<'_>) -> bool {
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

pub(super) fn delivery_mode(case: &Case<'_>) -> bool {
    let refused = |seen| closes(seen, "channel.close", 406, "{delivery_mode_unknown,");
    case.is_call("basic.publish") && refused(case.left) && !refused(case.right)
}

pub(super) fn unknown_method(case: &Case<'_>) -> bool {
    let step = case.past().last();
    let is_frame = step.is_some_and(|step| matches!(step.action, Action::Frame { kind: 1, .. }));
    let ended = case.left.iter().any(|seen| seen.event.name == ENDED);
    is_frame && ended && closes(case.right, "connection.close", 540, "unknown method")
}

pub(super) fn long_body(case: &Case<'_>) -> bool {
    let is_long = |(_, _, part): (&Fields, Body, Part)| part == Part::LongBody;
    let published = case.past().last().and_then(published);
    let text = "content body is longer";
    published.is_some_and(is_long) && closes(case.right, "connection.close", 501, text)
}

pub(super) fn malformed_text(case: &Case<'_>) -> bool {
    let text = "cannot decode";
    case.is_call("basic.publish") && closes(case.right, "connection.close", 501, text)
}
