//! Spans as OTLP's JSON has them, with the attributes of OpenTelemetry's conventions for messaging
//! (semantic conventions 1.30 and later, RabbitMQ). Not which message is in which trace.

use serde_json::{Value as Json, json};
use warren_plugin_sdk::tracer::{Event, Happening, Message, Party};
use warren_plugin_sdk::{Properties, Value};

use std::hash::Hash as _;

use crate::context::{Context, Parent, hashed};

/// Of OTLP.
const PRODUCER: u8 = 4;
const CONSUMER: u8 = 5;

/// The name that the conventions have for the default exchange.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// What was a dead letter was published here once more, of which nobody was told.
const DEAD_LETTER: &str = "x-death";

pub struct Span<'a> {
    pub event: &'a Event,
    pub message: &'a Message,
    pub context: Context,
    /// Of the message's publish.
    pub published: u64,
    pub deliveries: u64,
}

/// The body of a request to a collector.
pub fn request(service: &str, node: &str, spans: &[Span<'_>]) -> String {
    let spans: Vec<Json> = spans.iter().map(Span::json).collect();
    let resource = [
        text("service.name", service),
        text("service.instance.id", node),
    ];
    let scope = json!({"name": "warren", "version": env!("CARGO_PKG_VERSION")});
    json!({
        "resourceSpans": [{
            "resource": {"attributes": resource},
            "scopeSpans": [{"scope": scope, "spans": spans}],
        }],
    })
    .to_string()
}

fn text(key: &str, value: &str) -> Json {
    json!({"key": key, "value": {"stringValue": value}})
}

/// 64-bit numbers are texts in OTLP's JSON.
fn number(key: &str, value: u64) -> Json {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn flag(key: &str, value: bool) -> Json {
    json!({"key": key, "value": {"boolValue": value}})
}

impl Span<'_> {
    fn json(&self) -> Json {
        let trace = format!("{:032x}", self.context.trace);
        let parent = match (&self.event.happening, self.context.parent) {
            (_, Parent::Span(span)) => Some(span),
            (Happening::Delivered(_), Parent::None) => Some(self.published),
            (Happening::Published(_) | Happening::News(_), Parent::None) => None,
        };
        let at = format!("{}000000", self.event.at);
        let mut span = json!({
            "traceId": trace,
            "spanId": format!("{:016x}", self.id()),
            "name": self.name(),
            "kind": self.kind(),
            "startTimeUnixNano": at,
            "endTimeUnixNano": at,
            "attributes": self.attributes(),
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = json!(format!("{parent:016x}"));
        }
        if let Some(state) = &self.context.state {
            span["traceState"] = json!(state);
        }
        if self.is_linked() {
            let published = format!("{:016x}", self.published);
            span["links"] = json!([{"traceId": trace, "spanId": published}]);
        }
        span
    }

    fn kind(&self) -> u8 {
        match &self.event.happening {
            Happening::Published(_) | Happening::News(_) => PRODUCER,
            Happening::Delivered(_) => CONSUMER,
        }
    }

    fn id(&self) -> u64 {
        match &self.event.happening {
            Happening::Published(_) | Happening::News(_) => self.published,
            Happening::Delivered(delivered) => hashed(|hasher| {
                (self.published, &delivered.queue, &delivered.to.connection).hash(hasher);
                (delivered.to.channel, self.event.at, self.deliveries).hash(hasher);
            }),
        }
    }

    /// A delivery to its publish, where it is no child of it.
    fn is_linked(&self) -> bool {
        let headers = Properties(&self.message.properties).headers();
        let delivered = matches!(self.event.happening, Happening::Delivered(_));
        delivered && self.context.parent != Parent::None && headers.get(DEAD_LETTER).is_none()
    }

    fn exchange(&self) -> &str {
        match self.message.exchange.as_str() {
            "" => DEFAULT_EXCHANGE,
            name => name,
        }
    }

    /// Few different ones, as the conventions ask for: without routing keys.
    fn name(&self) -> String {
        match &self.event.happening {
            Happening::Published(_) | Happening::News(_) => format!("publish {}", self.exchange()),
            Happening::Delivered(delivered) => format!("deliver {}", delivered.queue),
        }
    }

    fn routing_key(&self) -> &str {
        self.message.routing_keys.first().map_or("", String::as_str)
    }

    /// `exchange:routing key` or `exchange:routing key:queue`, without what is empty or stands there
    /// already.
    fn destination(&self) -> String {
        let mut parts = vec![self.message.exchange.as_str(), self.routing_key()];
        if let Happening::Delivered(delivered) = &self.event.happening
            && delivered.queue != self.routing_key()
        {
            parts.push(&delivered.queue);
        }
        parts.retain(|part| !part.is_empty());
        match parts.is_empty() {
            true => DEFAULT_EXCHANGE.to_owned(),
            false => parts.join(":"),
        }
    }

    fn attributes(&self) -> Vec<Json> {
        let mut attributes = vec![
            text("messaging.system", "rabbitmq"),
            text("messaging.destination.name", &self.destination()),
            number("messaging.message.body.size", self.message.body_length),
            text("warren.vhost", &self.event.vhost),
        ];
        match &self.event.happening {
            Happening::Published(published) => {
                attributes.push(text("messaging.operation.name", "publish"));
                attributes.push(text("messaging.operation.type", "send"));
                attributes.push(number("warren.queues", published.queues.len() as u64));
                attributes.extend(peer(&published.by));
            }
            Happening::Delivered(delivered) => {
                attributes.push(text("messaging.operation.name", "deliver"));
                attributes.push(flag("warren.redelivered", delivered.redelivered));
                attributes.extend(peer(&delivered.to));
            }
            Happening::News(_) => {}
        }
        if !self.routing_key().is_empty() {
            let key = "messaging.rabbitmq.destination.routing_key";
            attributes.push(text(key, self.routing_key()));
        }
        let properties = Properties(&self.message.properties);
        for (property, key) in [
            ("message_id", "messaging.message.id"),
            ("correlation_id", "messaging.message.conversation_id"),
        ] {
            if let Some(Value::LongString(value)) = properties.get(property) {
                attributes.push(text(key, &String::from_utf8_lossy(value)));
            }
        }
        attributes
    }
}

/// The client, as its connection's name tells it: `127.0.0.1:40000 -> 127.0.0.1:5672`.
fn peer(party: &Party) -> Vec<Json> {
    let client = party.connection.split_once(" -> ");
    let address = client.and_then(|(client, _)| client.rsplit_once(':'));
    let mut attributes = vec![text("user.name", &party.user)];
    if let Some((host, port)) = address {
        attributes.push(text("network.peer.address", host));
        attributes.extend(
            port.parse()
                .ok()
                .map(|port| number("network.peer.port", port)),
        );
    }
    attributes
}
