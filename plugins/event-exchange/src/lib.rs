//! What comes, goes and changes, as messages of the exchange `amq.rabbitmq.event`: with the routing
//! keys and headers of RabbitMQ's event exchange.

#[cfg(test)]
mod tests;

use warren_plugin_sdk::erlang::{Term, latin1};
use warren_plugin_sdk::tracer::{
    Desk, Event, Happening, Messages, News, Outgoing, Payload, Tracer, TracerOpening,
};
use warren_plugin_sdk::{ArrayBuf, Named, PropertiesBuf, Table, TableBuf, Value};

const EXCHANGE: &str = "amq.rabbitmq.event";

/// Told with the broker's name, as in RabbitMQ.
const WITH_NODE: [&str; 2] = ["connection.created", "connection.closed"];

pub struct EventExchange {
    vhost: String,
    node: String,
    desk: Desk,
}

impl Tracer for EventExchange {
    const SUMMARY: &'static str = "Publishes what comes, goes and changes to amq.rabbitmq.event";
    const CONFIGURATION: &'static [Named] = &[Named {
        name: "vhost",
        summary: "The virtual host of amq.rabbitmq.event",
    }];
    const MESSAGES: Messages = Messages::None;
    const NEWS: bool = true;

    fn open(opening: &TracerOpening) -> Result<Self, String> {
        let configuration: serde_json::Value =
            serde_json::from_str(opening.configuration).map_err(|error| error.to_string())?;
        let vhost = configuration.get("vhost").and_then(|vhost| vhost.as_str());
        let vhost = vhost.unwrap_or("/").to_owned();
        opening.desk.declare(&vhost, EXCHANGE, "topic");
        Ok(EventExchange {
            vhost,
            node: opening.node.to_owned(),
            desk: opening.desk.clone(),
        })
    }

    fn observe(&mut self, events: &[Event]) {
        for event in events {
            match &event.happening {
                Happening::News(news) => self.desk.publish(self.message(event.at, news)),
                Happening::Published(_) | Happening::Delivered(_) => {}
            }
        }
    }
}

impl EventExchange {
    fn message(&self, at: u64, news: &News) -> Outgoing {
        let facts = Table(&news.facts).fields();
        let mut headers = facts.fold(TableBuf::new(), |headers, (name, value)| {
            told(headers, name, value)
        });
        if WITH_NODE.contains(&news.name.as_str()) {
            headers = headers.with("node", self.node.as_str());
        }
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let properties = PropertiesBuf {
            headers: headers.with("timestamp_in_ms", at),
            persistent: true,
            timestamp: Some(u64::try_from(at / 1000).unwrap_or_default()),
        };
        Outgoing {
            vhost: self.vhost.clone(),
            exchange: EXCHANGE.to_owned(),
            routing_key: news.name.clone(),
            properties: properties.into_bytes(),
            payload: Payload::Octets(Vec::new()),
        }
    }
}

/// RabbitMQ prints the entries of AMQP tables as Erlang terms, and the reason of a failed login as the
/// numbers of its characters.
fn told(headers: TableBuf, name: &str, value: Value<'_>) -> TableBuf {
    match (name, value) {
        ("arguments" | "client_properties", Value::Table(table)) => {
            let fields = table
                .fields()
                .map(|(name, value)| Term::field(name, value).flat());
            let printed = fields.fold(ArrayBuf::new(), |array, field| {
                array.with(Value::LongString(&latin1(&field)))
            });
            headers.with(name, printed.as_array())
        }
        ("error", Value::LongString(text)) => {
            let characters = text.iter().map(|octet| i64::from(*octet));
            let characters = characters.fold(ArrayBuf::new(), ArrayBuf::with);
            headers.with(name, characters.as_array())
        }
        (name, value) => headers.with(name, value),
    }
}

warren_plugin_sdk::export_tracer!(EventExchange);
