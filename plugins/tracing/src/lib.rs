//! Tracing as in RabbitMQ: every message of a traced virtual host goes once more to its exchange
//! `amq.rabbitmq.trace` (the firehose), and into the files of the traces that fit.

mod firehose;
mod json;
mod pattern;
mod record;
mod text;

#[cfg(test)]
mod tests;

use warren_plugin_sdk::tracer::{Desk, Event, Format, Messages, Trace, Tracer, TracerOpening};

use record::Record;

pub struct Tracing {
    node: String,
    desk: Desk,
    traces: Vec<Trace>,
}

impl Tracer for Tracing {
    const SUMMARY: &'static str = "The firehose (amq.rabbitmq.trace), and traces into files";
    const MESSAGES: Messages = Messages::Traced;

    fn open(opening: &TracerOpening) -> Result<Self, String> {
        Ok(Tracing {
            node: opening.node.to_owned(),
            desk: opening.desk.clone(),
            traces: Vec::new(),
        })
    }

    /// A file is there from the beginning, as RabbitMQ's.
    fn traces(&mut self, traces: Vec<Trace>) {
        for trace in &traces {
            self.desk.append(&file(trace), &[]);
        }
        self.traces = traces;
    }

    fn observe(&mut self, events: &[Event]) {
        // One write for each file.
        let mut written: Vec<Vec<u8>> = self.traces.iter().map(|_| Vec::new()).collect();
        for (index, event) in (0..).zip(events) {
            let Some(record) = Record::of(event) else {
                continue;
            };
            let key = record.routing_key();
            for (trace, octets) in self.traces.iter().zip(&mut written) {
                if trace.vhost == event.vhost && pattern::matches(&trace.pattern, &key) {
                    let payload = self.payload(index, &record, trace.max_payload_bytes);
                    match trace.format {
                        Format::Text => text::write(octets, &self.node, &record, &payload),
                        Format::Json => json::write(octets, &self.node, &record, &payload),
                    }
                }
            }
            self.desk
                .publish(firehose::message(&self.node, index, &record, key));
        }
        for (trace, octets) in self.traces.iter().zip(&written) {
            if !octets.is_empty() {
                self.desk.append(&file(trace), octets);
            }
        }
    }
}

fn file(trace: &Trace) -> String {
    format!("{}.log", trace.name)
}

impl Tracing {
    fn payload(&self, event: u32, record: &Record, most: Option<u64>) -> Vec<u8> {
        let length = record.message.body_length;
        let length = most.map_or(length, |most| most.min(length));
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.desk.body(event, 0, length)
    }
}

warren_plugin_sdk::export_tracer!(Tracing);
