//! A span for each publish and each delivery, posted to an OpenTelemetry collector (OTLP over HTTP, as
//! JSON). What belongs together is told by the W3C header `traceparent` of the messages.

mod context;
mod settings;
mod span;

#[cfg(test)]
mod tests;

use warren_plugin_sdk::Named;
use warren_plugin_sdk::tracer::{Desk, Event, Happening, Messages, Tracer, TracerOpening};

use context::Context;
use settings::Settings;
use span::Span;

pub struct OpenTelemetry {
    settings: Settings,
    node: String,
    desk: Desk,
    /// Deliveries so far: a message may be delivered twice within a millisecond.
    deliveries: u64,
}

impl Tracer for OpenTelemetry {
    const SUMMARY: &'static str = "Spans of publishes and deliveries, for OpenTelemetry collectors";
    const CONFIGURATION: &'static [Named] = settings::KEYS;
    const MESSAGES: Messages = Messages::All;

    fn open(opening: &TracerOpening) -> Result<Self, String> {
        Ok(OpenTelemetry {
            settings: Settings::parse(opening.configuration)?,
            node: opening.node.to_owned(),
            desk: opening.desk.clone(),
            deliveries: 0,
        })
    }

    fn observe(&mut self, events: &[Event]) {
        let mut spans = Vec::new();
        for (index, event) in (0..).zip(events) {
            spans.extend(self.span(index, event));
        }
        if spans.is_empty() {
            return;
        }
        let Settings {
            endpoint, headers, ..
        } = &self.settings;
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers.iter().map(|(name, value)| (&**name, &**value)));
        let request = span::request(&self.settings.service_name, &self.node, &spans);
        self.desk.post(endpoint, &all, request.as_bytes());
    }
}

impl OpenTelemetry {
    fn span<'a>(&mut self, index: u32, event: &'a Event) -> Option<Span<'a>> {
        let message = match &event.happening {
            Happening::Published(published) => &published.message,
            Happening::Delivered(delivered) => &delivered.message,
            Happening::News(_) => return None,
        };
        if !self.settings.wants_vhost(&event.vhost) {
            return None;
        }
        let context = Context::of(&event.vhost, message)?;
        if !context.is_sampled(self.settings.sample_ratio) {
            return None;
        }
        let start = self.desk.body(index, 0, context::MOST_OF_BODY);
        let published = context.publish_span(message, &start);
        if let Happening::Delivered(_) = &event.happening {
            self.deliveries += 1;
        }
        Some(Span {
            event,
            message,
            context,
            published,
            deliveries: self.deliveries,
        })
    }
}

warren_plugin_sdk::export_tracer!(OpenTelemetry);
