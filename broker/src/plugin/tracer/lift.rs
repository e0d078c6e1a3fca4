//! Events as a component is told of them. Bodies stay here.

use std::sync::Arc;

use super::bindings::exports::warren::tracer::tracer as wire;
use crate::message::Message;
use crate::trace::{Happening, Party, Traced};
use crate::vhost::{Trace, TraceFormat, carbon_copies};

pub(super) fn events(events: &[Arc<Traced>]) -> Vec<wire::Event> {
    events.iter().map(|event| told(event)).collect()
}

fn told(event: &Traced) -> wire::Event {
    let happening = match &event.happening {
        Happening::Published {
            by,
            channel,
            message,
            further_keys,
            routed,
        } => wire::Happening::Published(wire::Published {
            message: of(message, further_keys.iter().cloned()),
            by: party(by, *channel),
            queues: routed.iter().map(|name| name.to_string()).collect(),
        }),
        Happening::Delivered {
            to,
            channel,
            message,
            queue,
            redelivered,
        } => wire::Happening::Delivered(wire::Delivered {
            message: of(message, carbon_copies(message.properties()).into_iter()),
            to: party(to, *channel),
            queue: queue.to_string(),
            redelivered: *redelivered,
        }),
        Happening::News { name, facts } => wire::Happening::News(wire::News {
            name: (*name).to_owned(),
            facts: facts.clone(),
        }),
    };
    wire::Event {
        at: event.at,
        vhost: event.vhost.to_string(),
        happening,
    }
}

fn of(message: &Message, further_keys: impl Iterator<Item = String>) -> wire::Message {
    let own = std::iter::once(message.routing_key().to_owned());
    wire::Message {
        exchange: message.exchange().to_string(),
        routing_keys: own.chain(further_keys).collect(),
        properties: message.properties().to_vec(),
        body_length: message.body().len() as u64,
    }
}

fn party(party: &Party, channel: u16) -> wire::Party {
    wire::Party {
        connection: party.connection.to_string(),
        channel,
        user: party.user.to_string(),
    }
}

pub(super) fn traces(traces: &[Trace]) -> Vec<wire::Trace> {
    let traces = traces.iter().map(|trace| wire::Trace {
        vhost: trace.vhost.clone(),
        name: trace.name.clone(),
        format: match trace.format {
            TraceFormat::Text => wire::Format::Text,
            TraceFormat::Json => wire::Format::Json,
        },
        pattern: trace.pattern.clone(),
        max_payload_bytes: trace.max_payload_bytes,
    });
    traces.collect()
}
