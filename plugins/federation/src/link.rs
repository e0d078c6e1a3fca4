//! What one link is to do, read from its task; and what both kinds of link have in common.

use serde_json::{Map, Value, json};
use warren_service_sdk::amqp::{Connection, Error, Opening};
use warren_service_sdk::{Table, Task, Value as Field, broker, host, shown};

pub struct Link {
    pub vhost: String,
    pub upstream: String,
    pub kind: Kind,
    pub uris: Vec<String>,
    pub prefetch: u16,
    /// Milliseconds.
    pub reconnect_delay: u64,
    pub ack_mode: AckMode,
    pub max_hops: i64,
    pub expires: Option<i64>,
    pub message_ttl: Option<i64>,
    pub trust_user_id: bool,
    pub cleans_up: bool,
    pub queue_type: Option<String>,
    pub consumer_tag: String,
}

/// What is federated, on both brokers.
pub enum Kind {
    Exchange(Local),
    Queue(Local),
}

pub struct Local {
    pub name: String,
    /// Its name upstream.
    pub theirs: String,
    pub type_name: String,
    pub durable: bool,
    pub auto_delete: bool,
    /// A field table.
    pub arguments: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    NoAck,
    OnPublish,
    OnConfirm,
}

impl Link {
    pub fn parse(task: &Task) -> Result<Link, String> {
        let settings: Value = serde_json::from_str(&task.settings).map_err(|e| e.to_string())?;
        let definition = settings["definition"].as_object().ok_or("no definition")?;
        let text = |key: &str| {
            definition
                .get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let number = |key: &str| definition.get(key).and_then(Value::as_i64);
        let upstream = settings["upstream"].as_str().unwrap_or_default().to_owned();
        let is_queue = settings["kind"] == "queue";
        let local = local(&settings, text(if is_queue { "queue" } else { "exchange" }));
        let delay = definition.get("reconnect-delay").and_then(Value::as_f64);
        let consumer_tag = text("consumer-tag");
        Ok(Link {
            vhost: task.vhost.clone(),
            kind: match is_queue {
                true => Kind::Queue(local),
                false => Kind::Exchange(local),
            },
            uris: uris(definition),
            prefetch: number("prefetch-count")
                .map_or(1000, |count| u16::try_from(count).unwrap_or(u16::MAX)),
            reconnect_delay: (delay.unwrap_or(5.0).max(0.1) * 1000.0) as u64,
            ack_mode: match text("ack-mode").as_deref() {
                Some("no-ack") => AckMode::NoAck,
                Some("on-publish") => AckMode::OnPublish,
                _ => AckMode::OnConfirm,
            },
            max_hops: number("max-hops").unwrap_or(1),
            expires: number("expires"),
            message_ttl: number("message-ttl"),
            trust_user_id: definition
                .get("trust-user-id")
                .is_some_and(|trust| trust == true),
            cleans_up: text("resource-cleanup-mode").as_deref() != Some("never"),
            queue_type: text("queue-type"),
            consumer_tag: consumer_tag.unwrap_or_else(|| format!("federation-link-{upstream}")),
            upstream,
        })
    }

    fn local(&self) -> &Local {
        match &self.kind {
            Kind::Exchange(local) | Kind::Queue(local) => local,
        }
    }

    /// What operators see, named as RabbitMQ names it.
    pub fn facts(&self, uri: usize) -> String {
        let local = self.local();
        let kind = match &self.kind {
            Kind::Exchange(_) => "exchange",
            Kind::Queue(_) => "queue",
        };
        let uri = self.uris.get(uri).map_or("", String::as_str);
        let mut facts = json!({
            "type": kind,
            "upstream": self.upstream,
            "id": self.id(kind),
            "uri": shown::uri(uri),
        });
        facts[kind] = json!(local.name);
        facts[format!("upstream_{kind}")] = json!(local.theirs);
        if let Kind::Queue(_) = &self.kind {
            facts["consumer_tag"] = json!(self.consumer_tag);
        }
        facts.to_string()
    }

    /// Eight digits that stay the same over restarts (FNV-1a).
    fn id(&self, kind: &str) -> String {
        let local = self.local();
        let parts = [
            kind,
            &self.vhost,
            &local.name,
            &self.upstream,
            &local.theirs,
        ];
        let octets = parts.iter().flat_map(|part| part.bytes().chain([0]));
        let hash = octets.fold(0x811c_9dc5_u32, |hash, octet| {
            (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)
        });
        format!("{hash:08x}")
    }

    /// One of the addresses, at random, and the connection there.
    pub fn connect(&self) -> Result<(Connection, usize), Error> {
        let place = host::random() as usize % self.uris.len().max(1);
        let uri = self
            .uris
            .get(place)
            .ok_or_else(|| Error::Invalid("no URI".to_owned()))?;
        let connection = Connection::open(&Opening {
            uri: uri.clone(),
            name: format!("Federation link (upstream: {})", self.upstream),
            confirms: false,
        })?;
        host::show(&self.facts(place));
        Ok((connection, place))
    }

    /// To this broker.
    pub fn connect_here(&self) -> Result<Connection, Error> {
        let vhost: String = self
            .vhost
            .bytes()
            .map(|octet| format!("%{octet:02x}"))
            .collect();
        Connection::open(&Opening {
            uri: format!("amqp:///{vhost}"),
            name: format!("Federation link (upstream: {})", self.upstream),
            confirms: self.ack_mode == AckMode::OnConfirm,
        })
    }
}

fn uris(definition: &Map<String, Value>) -> Vec<String> {
    match definition.get("uri") {
        Some(Value::String(uri)) => vec![uri.clone()],
        Some(Value::Array(uris)) => {
            let uris = uris.iter().filter_map(Value::as_str);
            uris.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn local(settings: &Value, theirs: Option<String>) -> Local {
    let name = settings["name"].as_str().unwrap_or_default().to_owned();
    let arguments = settings["arguments"].as_array().into_iter().flatten();
    let arguments = arguments.filter_map(|octet| u8::try_from(octet.as_u64()?).ok());
    Local {
        theirs: theirs
            .filter(|theirs| !theirs.is_empty())
            .unwrap_or_else(|| name.clone()),
        name,
        type_name: settings["type"].as_str().unwrap_or_default().to_owned(),
        durable: settings["durable"] == true,
        auto_delete: settings["auto_delete"] == true,
        arguments: arguments.collect(),
    }
}

/// The name by which the upstream recognises itself.
pub fn cluster_name(upstream: &Connection) -> String {
    let properties = upstream.server_properties();
    let name = Table(&properties).get("cluster_name");
    let name = name.and_then(|name| name.as_str().map(str::to_owned));
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// The virtual host of an address.
pub fn vhost_of(uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    match rest.split_once('/') {
        None | Some((_, "")) => "/".to_owned(),
        Some((_, path)) => decoded(path),
    }
}

fn decoded(path: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        let digits = rest
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (octet, value) {
            (b'%', Some(value)) => {
                octets.push(value);
                rest = rest.get(2..).unwrap_or_default();
            }
            (octet, _) => octets.push(*octet),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// Whether a message may come here: it has not been here, and not been at too many places.
pub fn may_come(received_from: Option<&Field<'_>>, link: &Link, cluster: &str) -> bool {
    let Some(Field::Array(been)) = received_from else {
        return true;
    };
    let mut hops = 0;
    let mut seen = false;
    for station in been.items() {
        hops += 1;
        if let Field::Table(station) = station {
            let is = |name: &str, wanted: &str| {
                let value = station.get(name);
                value.is_some_and(|value| value.as_str() == Some(wanted))
            };
            seen |= is("cluster-name", cluster) && is("vhost", &link.vhost);
        }
    }
    hops < link.max_hops && !seen
}

pub fn own_cluster() -> String {
    broker::cluster_name()
}
