//! What a rule is asked about: a step, the script up to it, and what both sides have shown. No rules.

use std::collections::BTreeSet;

use crate::codec::{Field, Fields, get, number, octets};
use crate::observation::Seen;
use crate::script::{Action, Body, Part, Script, Step};
use crate::value::Value;

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
    pub fn past(&self) -> &[Step] {
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

    pub fn is_call(&self, name: &str) -> bool {
        self.past().last().is_some_and(|step| is_call(step, name))
    }
}

pub(super) fn is_call(step: &Step, name: &str) -> bool {
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
pub(super) fn closes(seen: &[Seen], name: &str, code: u64, text: &str) -> bool {
    let closes: Vec<&Seen> = seen.iter().filter(|one| one.event.name == name).collect();
    let [close] = closes[..] else {
        return false;
    };
    let fields = &close.event.fields;
    let said = String::from_utf8_lossy(octets(fields, "reply-text"));
    number(fields, "reply-code") == code && said.contains(text)
}

pub(super) fn is_quorum(fields: &Fields) -> bool {
    match get(fields, "arguments") {
        Some(Field::Table(arguments)) => arguments.iter().any(|(key, value)| {
            key == b"x-queue-type" && matches!(value, Value::Text(_, name) if name == b"quorum")
        }),
        Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
    }
}

pub(super) fn has_argument(declared: &Fields, name: &[u8]) -> bool {
    match get(declared, "arguments") {
        Some(Field::Table(arguments)) => arguments.iter().any(|(key, _)| key == name),
        Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
    }
}

/// What was published with a header of that name.
pub(super) fn bodies_with(case: &Case<'_>, header: &[u8]) -> BTreeSet<Vec<u8>> {
    let published = case.past().iter().filter_map(published);
    published
        .filter(|(properties, ..)| match get(properties, "headers") {
            Some(Field::Table(headers)) => headers.iter().any(|(key, _)| key == header),
            Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
        })
        .map(|(_, body, _)| body.octets())
        .collect()
}

pub(super) fn is_dead_letter(properties: &Fields) -> bool {
    match get(properties, "headers") {
        Some(Field::Table(headers)) => headers
            .iter()
            .any(|(key, value)| key == b"x-death" && matches!(value, Value::Array(_))),
        Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
    }
}

pub(super) fn fields(step: &Step) -> Option<&Fields> {
    match &step.action {
        Action::Call { fields, .. } => Some(fields),
        Action::Frame { .. }
        | Action::Octets(_)
        | Action::Drop
        | Action::Drain(_)
        | Action::Sleep(_) => None,
    }
}

pub(super) fn published(step: &Step) -> Option<(&Fields, Body, Part)> {
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
