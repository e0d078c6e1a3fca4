//! What a message says about the queues that did not keep it: x-death and its kin. Pure. Not where
//! the message goes (see `dead_letter.rs`).

use super::carbon_copies;
use crate::amqp::properties::{Properties, with_headers, without_expiration, without_headers};
use crate::amqp::table::{Table, Value, elements};
use crate::clock::Millis;
use crate::message::{Message, MessageView};
use crate::queue::{DeadLetterTo, Reason};

const X_DEATH: &str = "x-death";

/// One more death, as it stands in the headers.
pub(super) struct Death<'a> {
    pub queue: &'a str,
    pub reason: Reason,
    pub to: &'a DeadLetterTo,
    pub now: Millis,
}

impl Death<'_> {
    /// The message as it goes on to the dead letter exchange.
    pub fn write(&self, message: &Message) -> Message {
        let history = history(message);
        let old = history.iter().map(|death| Table::new(death));
        let (same, others): (Vec<Table<'_>>, Vec<Table<'_>>) =
            old.partition(|death| self.is_same(*death));
        let newest = match same.first() {
            Some(before) => counted_again(*before),
            None => self.entry(message),
        };
        let deaths = std::iter::once(newest).chain(others.iter().map(|death| death.raw().to_vec()));
        let mut array = Vec::new();
        deaths.for_each(|death| array.extend(Value::Table(Table::new(&death)).encoded()));

        let mut set = vec![(X_DEATH.to_owned(), Value::Array(&array).encoded())];
        let names = [("queue", self.queue), ("reason", self.reason.name())];
        let exchange = ("exchange", &**message.exchange());
        let headers = Properties::new(message.properties()).headers();
        let knows_first = message.is_dead_lettered()
            && headers.is_some_and(|headers| headers.get("x-first-death-reason").is_some());
        for (name, value) in names.into_iter().chain([exchange]) {
            let value = Value::Str(value.as_bytes()).encoded();
            if !knows_first {
                set.push((format!("x-first-death-{name}"), value.clone()));
            }
            set.push((format!("x-last-death-{name}"), value));
        }
        let mut properties = without_expiration(message.properties());
        if self.to.routing_key.is_some() {
            properties = without_headers(&properties, &["CC"]);
        }
        let routing_key = self.to.routing_key.as_deref();
        MessageView {
            exchange: &self.to.exchange,
            routing_key: routing_key.unwrap_or(message.routing_key()),
            properties: &with_headers(&properties, &set),
            body: message.body(),
            dead_lettered: true,
        }
        .to_message()
    }

    fn is_same(&self, death: Table<'_>) -> bool {
        is(death, "queue", self.queue) && is(death, "reason", self.reason.name())
    }

    fn entry(&self, message: &Message) -> Vec<u8> {
        let mut keys = Value::Str(message.routing_key().as_bytes()).encoded();
        for key in carbon_copies(message.properties()) {
            keys.extend(Value::Str(key.as_bytes()).encoded());
        }
        let mut entry = Vec::new();
        push(&mut entry, "count", &Value::I64(1));
        push(&mut entry, "reason", &text(self.reason.name()));
        push(&mut entry, "queue", &text(self.queue));
        push(&mut entry, "time", &Value::Timestamp(self.now / 1000));
        push(&mut entry, "exchange", &text(message.exchange()));
        push(&mut entry, "routing-keys", &Value::Array(&keys));
        if let Some(expiration) = Properties::new(message.properties()).expiration() {
            push(&mut entry, "original-expiration", &text(expiration));
        }
        entry
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Str(text.as_bytes())
}

fn push(table: &mut Vec<u8>, name: &str, value: &Value<'_>) {
    // All names here are short.
    table.push(name.len() as u8);
    table.extend_from_slice(name.as_bytes());
    table.extend(value.encoded());
}

fn is(death: Table<'_>, name: &str, value: &str) -> bool {
    death
        .get(name)
        .is_some_and(|found| found.as_str() == Some(value))
}

/// Deaths before this one, the newest first. A client's own x-death is no history.
fn history(message: &Message) -> Vec<Vec<u8>> {
    if !message.is_dead_lettered() {
        return Vec::new();
    }
    let headers = Properties::new(message.properties()).headers();
    let Some(Value::Array(deaths)) = headers.and_then(|headers| headers.get(X_DEATH)) else {
        return Vec::new();
    };
    elements(deaths)
        .filter_map(|death| match death {
            Value::Table(death) => Some(death.raw().to_vec()),
            _ => None,
        })
        .collect()
}

fn counted_again(before: Table<'_>) -> Vec<u8> {
    let count = before.get("count").and_then(|count| count.as_integer());
    let mut entry = Vec::new();
    push(&mut entry, "count", &Value::I64(count.unwrap_or(0) + 1));
    for (name, value) in before.iter() {
        if name != "count" {
            push(&mut entry, name, &value);
        }
    }
    entry
}

/// The message would come back to a queue that it has left before, and nobody has rejected it since:
/// it would go round for ever.
pub(super) fn is_cycle(message: &Message, queue: &str) -> bool {
    let history = history(message);
    let deaths: Vec<Table<'_>> = history.iter().map(|death| Table::new(death)).collect();
    let Some(index) = deaths.iter().position(|death| is(*death, "queue", queue)) else {
        return false;
    };
    !deaths
        .iter()
        .take(index + 1)
        .any(|death| is(*death, "reason", Reason::Rejected.name()))
}

#[cfg(test)]
#[path = "x_death_tests.rs"]
mod tests;
