//! What a shovel is to do, read from its parameter. What stands here has passed `validate`; what is
//! missing has RabbitMQ's default.

use serde_json::{Map, Value, json};
use warren_service_sdk::shown::uri as shown;
use warren_service_sdk::{ArrayBuf, FieldValue, TableBuf, Task, Value as Field};

pub struct Settings {
    pub name: String,
    pub vhost: String,
    pub is_dynamic: bool,
    pub source: Source,
    pub destination: Destination,
    pub ack_mode: AckMode,
    /// Milliseconds. None: it does not try again by itself.
    pub reconnect_delay: Option<u64>,
}

pub struct Source {
    pub uris: Vec<String>,
    pub from: From,
    pub predeclared: bool,
    /// Field tables.
    pub queue_arguments: Vec<u8>,
    pub consumer_arguments: Vec<u8>,
    pub consumer_tag: String,
    pub prefetch: u16,
    pub delete_after: DeleteAfter,
}

pub enum From {
    Queue(String),
    /// A queue of its own is bound to it.
    Exchange {
        name: String,
        routing_key: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DeleteAfter {
    Never,
    /// As many as there are when it begins.
    QueueLength,
    Messages(u64),
}

pub struct Destination {
    pub uris: Vec<String>,
    pub to: To,
    pub predeclared: bool,
    pub queue_arguments: Vec<u8>,
    pub forward_headers: bool,
    pub timestamp_header: bool,
    /// Flags and list.
    pub properties: Vec<u8>,
}

pub enum To {
    /// Each message is posted to a web server.
    Web,
    Queue(String),
    Exchange {
        name: String,
        routing_key: Option<String>,
    },
    /// Exchange and routing key as they were.
    Same {
        routing_key: Option<String>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    NoAck,
    OnPublish,
    OnConfirm,
}

/// Whether an address is that of a web server.
pub fn is_web(uri: &str) -> bool {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        ["http", "https"]
            .iter()
            .any(|web| scheme.eq_ignore_ascii_case(web))
    })
}

struct Given<'a>(&'a Map<String, Value>);

impl Given<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    /// Under its name of today or an older one.
    fn either(&self, key: &str, old: &str) -> Option<&Value> {
        self.0.get(key).or_else(|| self.0.get(old))
    }

    fn flag(&self, key: &str, old: &str) -> bool {
        self.either(key, old)
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    fn uris(&self, key: &str) -> Vec<String> {
        match self.0.get(key) {
            Some(Value::String(uri)) => vec![uri.clone()],
            Some(Value::Array(uris)) => {
                let uris = uris.iter().filter_map(Value::as_str);
                uris.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    fn table(&self, key: &str) -> Vec<u8> {
        let fields = self.0.get(key).and_then(Value::as_object);
        fields.map_or_else(Vec::new, |fields| table(fields).into_bytes())
    }
}

impl Settings {
    pub fn parse(value: &Value, task: &Task, is_dynamic: bool) -> Result<Settings, String> {
        let given = Given(value.as_object().ok_or("a shovel is a table")?);
        let ack_mode = match given.text("ack-mode").as_deref() {
            Some("no-ack") => AckMode::NoAck,
            Some("on-publish") => AckMode::OnPublish,
            _ => AckMode::OnConfirm,
        };
        let delay = given.0.get("reconnect-delay").and_then(Value::as_f64);
        let delay = (delay.unwrap_or(5.0).max(0.0) * 1000.0) as u64;
        Ok(Settings {
            name: task.name.clone(),
            vhost: task.vhost.clone(),
            is_dynamic,
            source: source(&given),
            destination: destination(&given),
            ack_mode,
            reconnect_delay: (delay > 0).then_some(delay),
        })
    }

    /// What operators see, named as RabbitMQ names it.
    pub fn facts(&self, source_uri: &str, destination_uri: &str) -> Value {
        let mut facts = json!({
            "type": if self.is_dynamic { "dynamic" } else { "static" },
            "src_uri": shown(source_uri),
            "src_protocol": "amqp091",
            "dest_protocol": if is_web(destination_uri) { "http" } else { "amqp091" },
            "dest_uri": shown(destination_uri),
        });
        for (key, text) in self.ends() {
            facts[key.replace('-', "_")] = json!(text);
        }
        facts
    }

    /// Both ends by the names of their keys.
    fn ends(&self) -> Vec<(&'static str, &str)> {
        let mut ends = Vec::new();
        match &self.source.from {
            From::Queue(name) => ends.push(("src-queue", name.as_str())),
            From::Exchange { name, routing_key } => {
                ends.push(("src-exchange", name));
                ends.push(("src-exchange-key", routing_key));
            }
        }
        match &self.destination.to {
            To::Web => {}
            To::Queue(name) => ends.push(("dest-queue", name)),
            To::Exchange { name, routing_key } => {
                ends.push(("dest-exchange", name));
                ends.extend(routing_key.as_deref().map(|key| ("dest-exchange-key", key)));
            }
            To::Same { routing_key } => {
                ends.extend(routing_key.as_deref().map(|key| ("dest-exchange-key", key)));
            }
        }
        ends
    }

    /// The value of `x-shovelled` for a message that passes here.
    pub fn shovelled(&self, cluster: &str, source_uri: &str, destination_uri: &str) -> Vec<u8> {
        let text = |text: &'static str| Field::LongString(text.as_bytes());
        let kind = text(if self.is_dynamic { "dynamic" } else { "static" });
        let mut table = TableBuf::new()
            .with("shovelled-by", Field::LongString(cluster.as_bytes()))
            .with("shovel-type", kind)
            .with("shovel-name", Field::LongString(self.name.as_bytes()));
        if self.is_dynamic {
            table = table.with("shovel-vhost", Field::LongString(self.vhost.as_bytes()));
        }
        let (source_uri, destination_uri) = (shown(source_uri), shown(destination_uri));
        table = table
            .with("src-uri", Field::LongString(source_uri.as_bytes()))
            .with("dest-uri", Field::LongString(destination_uri.as_bytes()));
        for (key, text) in self.ends() {
            table = table.with(key, Field::LongString(text.as_bytes()));
        }
        FieldValue::from(Field::Table(table.as_table())).into_bytes()
    }
}

fn source(given: &Given<'_>) -> Source {
    let from = match given.text("src-queue") {
        Some(queue) => From::Queue(queue),
        None => From::Exchange {
            name: given.text("src-exchange").unwrap_or_default(),
            routing_key: given.text("src-exchange-key").unwrap_or_default(),
        },
    };
    let prefetch = given.either("src-prefetch-count", "prefetch-count");
    let delete_after = match given.either("src-delete-after", "delete-after") {
        Some(Value::String(text)) if text == "queue-length" => DeleteAfter::QueueLength,
        Some(Value::Number(number)) => DeleteAfter::Messages(number.as_u64().unwrap_or(0)),
        _ => DeleteAfter::Never,
    };
    Source {
        uris: given.uris("src-uri"),
        from,
        predeclared: given.flag("src-predeclared", ""),
        queue_arguments: given.table("src-queue-args"),
        consumer_arguments: given.table("src-consumer-args"),
        consumer_tag: given.text("src-consumer-name").unwrap_or_default(),
        prefetch: prefetch
            .and_then(Value::as_u64)
            .map_or(1000, |count| u16::try_from(count).unwrap_or(u16::MAX)),
        delete_after,
    }
}

fn destination(given: &Given<'_>) -> Destination {
    let routing_key = given.text("dest-exchange-key");
    let uris = given.uris("dest-uri");
    let is_web = uris.iter().any(|uri| is_web(uri));
    let to = match (given.text("dest-queue"), given.text("dest-exchange")) {
        (_, _) if is_web => To::Web,
        (Some(queue), _) => To::Queue(queue),
        (None, Some(name)) => To::Exchange { name, routing_key },
        (None, None) => To::Same { routing_key },
    };
    let properties = given.either("dest-publish-properties", "publish-properties");
    let properties = properties.and_then(Value::as_object);
    Destination {
        uris,
        to,
        predeclared: given.flag("dest-predeclared", ""),
        queue_arguments: given.table("dest-queue-args"),
        forward_headers: given.flag("dest-add-forward-headers", "add-forward-headers"),
        timestamp_header: given.flag("dest-add-timestamp-header", "add-timestamp-header"),
        properties: properties.map_or_else(Vec::new, property_list),
    }
}

pub fn table(fields: &Map<String, Value>) -> TableBuf {
    let mut encoded = TableBuf::new();
    for (name, value) in fields {
        encoded = with_field(encoded, name, value);
    }
    encoded
}

fn with_field(encoded: TableBuf, name: &str, value: &Value) -> TableBuf {
    match value {
        Value::Null => encoded.with(name, Field::Void),
        Value::Bool(flag) => encoded.with(name, Field::Bool(*flag)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => encoded.with(name, Field::Int64(whole)),
            None => encoded.with(name, Field::Double(number.as_f64().unwrap_or(0.0))),
        },
        Value::String(text) => encoded.with(name, Field::LongString(text.as_bytes())),
        Value::Array(values) => {
            // An array of what a table of the same values would hold.
            let mut array = ArrayBuf::new();
            for value in values {
                let one = with_field(TableBuf::new(), "", value).into_bytes();
                let field = FieldValue::from_bytes(one.get(1..).unwrap_or_default().to_vec());
                if let Some(field) = field {
                    array = array.with(field.value());
                }
            }
            encoded.with(name, Field::Array(array.as_array()))
        }
        Value::Object(fields) => encoded.with(name, Field::Table(table(fields).as_table())),
    }
}

/// In the order of the flags, highest bit first.
const PROPERTIES: [&str; 14] = [
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
];

/// Property flags and property list.
pub fn property_list(fields: &Map<String, Value>) -> Vec<u8> {
    let mut flags = 0_u16;
    let mut list = Vec::new();
    for (place, name) in PROPERTIES.iter().enumerate() {
        let before = list.len();
        match (*name, fields.get(*name)) {
            ("headers", Some(Value::Object(headers))) => {
                let headers = table(headers).into_bytes();
                list.extend((headers.len() as u32).to_be_bytes());
                list.extend(headers);
            }
            ("delivery_mode" | "priority", Some(Value::Number(number))) => {
                list.push(u8::try_from(number.as_u64().unwrap_or(0)).unwrap_or(u8::MAX));
            }
            ("timestamp", Some(Value::Number(number))) => {
                list.extend(number.as_u64().unwrap_or(0).to_be_bytes());
            }
            (_, Some(Value::String(text))) => {
                let text = &text.as_bytes()[..text.floor_char_boundary(255)];
                list.push(text.len() as u8);
                list.extend_from_slice(text);
            }
            _ => {}
        }
        if list.len() > before {
            flags |= 0x8000 >> place;
        }
    }
    [&flags.to_be_bytes()[..], &list].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_written_in_the_order_of_their_flags() {
        let fields = json!({"delivery_mode": 2, "content_type": "a/b", "app_id": "x"});
        let list = property_list(fields.as_object().expect("a table"));
        assert_eq!(list, b"\x90\x08\x03a/b\x02\x01x");
    }

    #[test]
    fn what_is_missing_has_rabbitmqs_default() {
        let task = Task {
            vhost: "/".into(),
            name: "s".into(),
            settings: String::new(),
        };
        let value = json!({"src-uri": "amqp://", "src-queue": "q", "dest-uri": ["a", "b"]});
        let settings = Settings::parse(&value, &task, true).expect("parses");
        assert_eq!(settings.source.prefetch, 1000);
        assert!(settings.ack_mode == AckMode::OnConfirm);
        assert_eq!(settings.reconnect_delay, Some(5_000));
        assert_eq!(settings.destination.uris, ["a", "b"]);
        assert!(matches!(
            settings.destination.to,
            To::Same { routing_key: None }
        ));
    }
}
