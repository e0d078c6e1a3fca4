//! What stands behind a tracer's imports: the bodies of the events that it is told of, and what the
//! running call wants to have done. Nothing of that is done here (see `watching`).

use std::sync::Arc;

use super::bindings::warren::tracer::{body, exchanges, files, uploads};
use crate::message::Message;
use crate::plugin::state::HostState;
use crate::trace::{Happening, Traced};

/// A call is told of fewer events than this, and has little more to say than once for each.
const MOST_OUTPUTS: usize = 8192;

/// Of what one call may hand over, copied bodies too.
const MOST_BYTES: usize = 64 << 20;

/// Of the running call. Empty in anything but a tracer.
#[derive(Default)]
pub(in crate::plugin) struct Observing {
    events: Vec<Arc<Traced>>,
    outputs: Vec<Output>,
    bytes: usize,
    refused: u64,
}

/// What a call wants to have done.
pub(super) enum Output {
    Declare {
        vhost: String,
        name: String,
        exchange_type: String,
    },
    Publish {
        vhost: String,
        exchange: String,
        routing_key: String,
        properties: Vec<u8>,
        body: Body,
    },
    Append {
        name: String,
        octets: Vec<u8>,
    },
    Post {
        url: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
}

pub(super) enum Body {
    OfEvent(Arc<Traced>),
    Octets(Vec<u8>),
}

impl Body {
    pub fn octets(&self) -> &[u8] {
        match self {
            Body::OfEvent(event) => message(event).map_or(&[], Message::body),
            Body::Octets(octets) => octets,
        }
    }
}

fn message(event: &Traced) -> Option<&Message> {
    match &event.happening {
        Happening::Published { message, .. } | Happening::Delivered { message, .. } => {
            Some(message)
        }
        Happening::News { .. } => None,
    }
}

impl Observing {
    pub(super) fn begin(&mut self, events: Vec<Arc<Traced>>) {
        *self = Observing {
            events,
            ..Observing::default()
        };
    }

    /// After the call: what it wants, and how much of it was too much.
    pub(super) fn end(&mut self) -> (Vec<Output>, u64) {
        let ended = std::mem::take(self);
        (ended.outputs, ended.refused)
    }

    fn want(&mut self, bytes: usize, output: Output) {
        let sum = self.bytes.saturating_add(bytes);
        if self.outputs.len() >= MOST_OUTPUTS || sum > MOST_BYTES {
            self.refused += 1;
            return;
        }
        self.bytes = sum;
        self.outputs.push(output);
    }

    fn event(&self, index: u32) -> Option<&Arc<Traced>> {
        self.events.get(usize::try_from(index).ok()?)
    }
}

impl body::Host for HostState {
    fn read(&mut self, event: u32, offset: u64, length: u32) -> Vec<u8> {
        let event = self.observing.event(event);
        let body = event.and_then(|event| message(event)).map(Message::body);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = body.and_then(|body| body.get(start..)).unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        rest.get(..length).unwrap_or(rest).to_vec()
    }
}

impl exchanges::Host for HostState {
    fn declare(&mut self, vhost: String, name: String, exchange_type: String) {
        let output = Output::Declare {
            vhost,
            name,
            exchange_type,
        };
        self.observing.want(0, output);
    }

    fn publish(&mut self, outgoing: exchanges::Outgoing) {
        let exchanges::Outgoing {
            vhost,
            exchange,
            routing_key,
            properties,
            payload,
        } = outgoing;
        let body = match payload {
            exchanges::Payload::Octets(octets) => Body::Octets(octets),
            exchanges::Payload::OfEvent(index) => match self.observing.event(index) {
                Some(event) => Body::OfEvent(Arc::clone(event)),
                None => Body::Octets(Vec::new()),
            },
        };
        let copied = match &body {
            Body::Octets(octets) => octets.len(),
            Body::OfEvent(_) => 0,
        };
        let bytes = properties.len() + copied;
        let output = Output::Publish {
            vhost,
            exchange,
            routing_key,
            properties,
            body,
        };
        self.observing.want(bytes, output);
    }
}

impl files::Host for HostState {
    fn append(&mut self, name: String, octets: Vec<u8>) {
        self.observing
            .want(octets.len(), Output::Append { name, octets });
    }
}

impl uploads::Host for HostState {
    fn post(&mut self, url: String, headers: Vec<uploads::Header>, body: Vec<u8>) {
        let headers = headers.into_iter();
        let headers: Vec<_> = headers.map(|header| (header.name, header.value)).collect();
        let lengths = headers.iter().map(|(name, value)| name.len() + value.len());
        let bytes = url.len() + body.len() + lengths.sum::<usize>();
        self.observing
            .want(bytes, Output::Post { url, headers, body });
    }
}
