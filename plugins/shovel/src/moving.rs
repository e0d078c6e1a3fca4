//! One connection at each end, and messages from the one to the other until something ends it.

use std::collections::VecDeque;

use warren_service_sdk::amqp::{
    BindOptions, Changes, Connection, Consuming, Error, Header, Opening, QueueOptions, wait,
};
use warren_service_sdk::{FieldValue, Value as Field, broker, host};

use crate::posting;
use crate::settings::{AckMode, DeleteAfter, From, Settings, To};

pub enum End {
    /// All that was to be moved is.
    Finished,
    Stopping,
    Failed(String),
}

/// So many messages go on at once.
pub const BATCH: u32 = 512;

/// With so many on their way it does not hurry for fewer: the peers would get every few confirms, and
/// every few messages, in a packet of their own. Somewhat later they come together.
const PLENTY: u64 = 256;
const FEW: u32 = 64;
const TOGETHER: u64 = 2;

/// How often it looks around when nothing happens.
pub const IDLE: u64 = 10_000;

/// Messages that were published together and are not confirmed yet.
struct Waiting {
    first_number: u64,
    last_number: u64,
    first_tag: u64,
    last_tag: u64,
}

struct Shovelling<'a> {
    settings: &'a Settings,
    source: Connection,
    destination: Connection,
    changes: Changes,
    unconfirmed: VecDeque<Waiting>,
    /// How many are still to be taken from the source; none is no end.
    remaining: Option<u64>,
}

pub fn run(settings: &Settings) -> End {
    let moved = match &settings.destination.to {
        To::Web => posting::run(settings),
        To::Queue(_) | To::Exchange { .. } | To::Same { .. } => {
            begin(settings).and_then(Shovelling::go)
        }
    };
    match moved {
        Ok(()) => End::Finished,
        Err(Error::Stopping) => End::Stopping,
        Err(Error::Refused(refusal)) => End::Failed(refusal.text),
        Err(Error::Lost(text) | Error::Denied(text) | Error::Invalid(text)) => End::Failed(text),
    }
}

/// One of several, at random.
pub fn pick(uris: &[String]) -> Result<&str, Error> {
    let place = host::random() as usize % uris.len().max(1);
    let uri = uris.get(place).map(String::as_str);
    uri.ok_or_else(|| Error::Invalid("no URI".to_owned()))
}

pub fn open(settings: &Settings, uri: &str, confirms: bool) -> Result<Connection, Error> {
    Connection::open(&Opening {
        uri: uri.to_owned(),
        name: format!("Shovel {}", settings.name),
        confirms,
    })
}

fn begin(settings: &Settings) -> Result<Shovelling<'_>, Error> {
    let source_uri = pick(&settings.source.uris)?;
    let destination_uri = pick(&settings.destination.uris)?;
    let source = open(settings, source_uri, false)?;
    let confirms = settings.ack_mode == AckMode::OnConfirm;
    let destination = open(settings, destination_uri, confirms)?;
    if let To::Queue(name) = &settings.destination.to {
        let arguments = &settings.destination.queue_arguments;
        ensure_queue(
            &destination,
            name,
            arguments,
            settings.destination.predeclared,
        )?;
    }
    let remaining = consume(settings, &source)?;
    host::show(&settings.facts(source_uri, destination_uri).to_string());
    host::running();
    Ok(Shovelling {
        changes: changes(settings, source_uri, destination_uri),
        settings,
        source,
        destination,
        unconfirmed: VecDeque::new(),
        remaining,
    })
}

/// How many there are to be taken; none is no end.
pub fn consume(settings: &Settings, source: &Connection) -> Result<Option<u64>, Error> {
    let queue = source_queue(settings, source)?;
    let remaining = match settings.source.delete_after {
        DeleteAfter::Never => None,
        DeleteAfter::Messages(count) => Some(count),
        DeleteAfter::QueueLength => {
            let facts = source.declare_queue(&passive(&queue))?;
            Some(facts.messages.into())
        }
    };
    if remaining != Some(0) {
        let no_ack = settings.ack_mode == AckMode::NoAck;
        source.consume(&Consuming {
            queue,
            consumer_tag: settings.source.consumer_tag.clone(),
            no_ack,
            exclusive: false,
            arguments: settings.source.consumer_arguments.clone(),
            prefetch: if no_ack { 0 } else { settings.source.prefetch },
        })?;
    }
    Ok(remaining)
}

fn passive(name: &str) -> QueueOptions {
    QueueOptions {
        name: name.to_owned(),
        passive: true,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: Vec::new(),
    }
}

/// Made where it is missing; one that is there may have any arguments.
fn ensure_queue(
    connection: &Connection,
    name: &str,
    arguments: &[u8],
    predeclared: bool,
) -> Result<(), Error> {
    match connection.declare_queue(&passive(name)) {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) if refusal.code == 404 && !predeclared => {
            let declared = connection.declare_queue(&QueueOptions {
                passive: false,
                arguments: arguments.to_vec(),
                ..passive(name)
            });
            declared.map(|_| ())
        }
        Err(error) => Err(error),
    }
}

fn source_queue(settings: &Settings, source: &Connection) -> Result<String, Error> {
    match &settings.source.from {
        From::Queue(name) => {
            let arguments = &settings.source.queue_arguments;
            ensure_queue(source, name, arguments, settings.source.predeclared)?;
            Ok(name.clone())
        }
        From::Exchange { name, routing_key } => {
            let queue = source.declare_queue(&QueueOptions {
                name: String::new(),
                passive: false,
                durable: false,
                exclusive: true,
                auto_delete: false,
                arguments: Vec::new(),
            })?;
            source.bind(&BindOptions {
                is_exchange: false,
                destination: queue.name.clone(),
                source: name.clone(),
                routing_key: routing_key.clone(),
                arguments: Vec::new(),
            })?;
            Ok(queue.name)
        }
    }
}

fn changes(settings: &Settings, source_uri: &str, destination_uri: &str) -> Changes {
    let (exchange, routing_key) = match &settings.destination.to {
        To::Queue(name) => (Some(String::new()), Some(name.clone())),
        To::Exchange { name, routing_key } => (Some(name.clone()), routing_key.clone()),
        To::Same { routing_key } => (None, routing_key.clone()),
        // Nothing is published there.
        To::Web => (None, None),
    };
    let mut prepend_headers = Vec::new();
    if settings.destination.forward_headers {
        let cluster = broker::cluster_name();
        prepend_headers.push(Header {
            name: "x-shovelled".to_owned(),
            value: settings.shovelled(&cluster, source_uri, destination_uri),
        });
    }
    Changes {
        exchange,
        routing_key,
        properties: None,
        set_properties: settings.destination.properties.clone(),
        set_headers: Vec::new(),
        prepend_headers,
    }
}

impl Shovelling<'_> {
    fn go(mut self) -> Result<(), Error> {
        loop {
            self.settle()?;
            let moved = self.move_some()?;
            if (1..FEW).contains(&moved) && self.on_their_way() >= PLENTY {
                host::sleep(TOGETHER);
            }
            if self.remaining == Some(0) && self.unconfirmed.is_empty() {
                self.source.close();
                self.destination.close();
                return Ok(());
            }
            if moved == 0 {
                wait(&[&self.source, &self.destination], IDLE)?;
            }
        }
    }

    /// Published and not confirmed.
    fn on_their_way(&self) -> u64 {
        match (self.unconfirmed.front(), self.unconfirmed.back()) {
            (Some(first), Some(last)) => last.last_number - first.first_number + 1,
            (_, _) => 0,
        }
    }

    /// How many there were.
    fn move_some(&mut self) -> Result<u32, Error> {
        let most = self
            .remaining
            .map_or(BATCH, |left| left.min(BATCH.into()) as u32);
        let Some(batch) = self.source.receive(most)? else {
            return Ok(0);
        };
        let count = batch.length();
        if self.settings.destination.timestamp_header {
            let seconds = (host::now() / 1000) as i64;
            self.changes.set_headers = vec![Header {
                name: "x-shovelled-timestamp".to_owned(),
                value: FieldValue::from(Field::Int64(seconds)).into_bytes(),
            }];
        }
        let last_number = self.destination.forward(&batch, 0, count, &self.changes)?;
        let last_tag = batch.last_tag();
        let others = u64::from(count.saturating_sub(1));
        match self.settings.ack_mode {
            AckMode::NoAck => {}
            AckMode::OnPublish => self.source.ack(last_tag, true)?,
            // Deliveries and publishes are each counted one by one.
            AckMode::OnConfirm => self.unconfirmed.push_back(Waiting {
                first_number: last_number.saturating_sub(others),
                last_number,
                first_tag: last_tag.saturating_sub(others),
                last_tag,
            }),
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(count.into());
        }
        host::count("forwarded", count.into());
        Ok(count)
    }

    /// Acknowledges what the destination has.
    fn settle(&mut self) -> Result<(), Error> {
        let confirms = self.destination.confirmed()?;
        for number in &confirms.failed {
            let waiting = self
                .unconfirmed
                .iter()
                .find(|waiting| (waiting.first_number..=waiting.last_number).contains(number));
            if let Some(waiting) = waiting {
                let tag = waiting.first_tag + (number - waiting.first_number);
                self.source.nack(tag, false, true)?;
                host::count("returned to the source", 1);
            }
        }
        let mut upto = None;
        while let Some(first) = self.unconfirmed.front_mut() {
            if first.first_number > confirms.upto {
                break;
            }
            if first.last_number <= confirms.upto {
                upto = Some(first.last_tag);
                self.unconfirmed.pop_front();
                continue;
            }
            let settled = confirms.upto - first.first_number + 1;
            first.first_number += settled;
            first.first_tag += settled;
            upto = Some(first.first_tag - 1);
        }
        match upto {
            Some(tag) => self.source.ack(tag, true),
            None => Ok(()),
        }
    }
}
