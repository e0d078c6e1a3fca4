//! One queue and one upstream: while somebody consumes here and nothing is left, messages are
//! fetched from there. They are moved, not copied.

use std::collections::BTreeMap;

use warren_service_sdk::amqp::{
    Changes, Connection, Consuming, Delivery, Error, Header, QueueOptions, wait,
};
use warren_service_sdk::{FieldValue, TableBuf, Value as Field, broker, host, shown};

use crate::exchange::{settle, text};
use crate::link::{AckMode, Link, Local};
use crate::properties;

const RECEIVED_FROM: &str = "x-received-from";
const BATCH: u32 = 256;

/// How often it looks whether messages are wanted here.
const LOOK: u64 = 100;

struct Running<'a> {
    link: &'a Link,
    local: &'a Local,
    upstream: Connection,
    here: Connection,
    uri: String,
    /// Messages are being fetched.
    fetching: bool,
    unconfirmed: BTreeMap<u64, u64>,
}

pub fn run(link: &Link, local: &Local) -> Result<(), Error> {
    let (upstream, place) = link.connect()?;
    let here = link.connect_here()?;
    let uri = link.uris.get(place).map_or("", String::as_str);
    let declare = |passive| QueueOptions {
        name: local.theirs.clone(),
        passive,
        durable: local.durable,
        exclusive: false,
        auto_delete: local.auto_delete,
        arguments: local.arguments.clone(),
    };
    match upstream.declare_queue(&declare(true)) {
        Err(Error::Refused(refusal)) if refusal.code == 404 => {
            upstream.declare_queue(&declare(false))?;
        }
        other => drop(other?),
    }
    host::running();
    let mut running = Running {
        link,
        local,
        upstream,
        here,
        uri: shown::uri(uri),
        fetching: false,
        unconfirmed: BTreeMap::new(),
    };
    let ended = running.go();
    running.upstream.close();
    running.here.close();
    ended
}

impl Running<'_> {
    fn go(&mut self) -> Result<(), Error> {
        loop {
            settle(&self.upstream, &self.here, &mut self.unconfirmed)?;
            self.look()?;
            if !self.move_some()? {
                wait(&[&self.upstream, &self.here], LOOK)?;
            }
        }
    }

    /// Begins and ends to fetch, as messages are wanted here.
    fn look(&mut self) -> Result<(), Error> {
        let Some(depth) = broker::depth(&self.link.vhost, &self.local.name) else {
            return Ok(());
        };
        let wanted = depth.consumers > 0 && depth.messages == 0;
        if wanted && !self.fetching {
            let no_ack = self.link.ack_mode == AckMode::NoAck;
            self.upstream.consume(&Consuming {
                queue: self.local.theirs.clone(),
                consumer_tag: self.link.consumer_tag.clone(),
                no_ack,
                exclusive: false,
                // Consumers there come first.
                arguments: TableBuf::new()
                    .with("x-priority", Field::Int32(-1))
                    .into_bytes(),
                prefetch: if no_ack { 0 } else { self.link.prefetch },
            })?;
            self.fetching = true;
        }
        if self.fetching && (depth.consumers == 0 || depth.messages > self.link.prefetch.into()) {
            self.upstream.cancel(&self.link.consumer_tag)?;
            self.fetching = false;
        }
        Ok(())
    }

    fn move_some(&mut self) -> Result<bool, Error> {
        let Some(batch) = self.upstream.receive(BATCH)? else {
            return Ok(false);
        };
        for index in 0..batch.length() {
            let Some(delivery) = batch.delivery(index) else {
                break;
            };
            let changes = self.changes(&delivery);
            let number = self.here.forward(&batch, index, 1, &changes)?;
            match self.link.ack_mode {
                AckMode::NoAck => {}
                AckMode::OnPublish => self.upstream.ack(delivery.tag, false)?,
                AckMode::OnConfirm => drop(self.unconfirmed.insert(number, delivery.tag)),
            }
        }
        host::count("received", batch.length().into());
        Ok(true)
    }

    fn changes(&self, delivery: &Delivery) -> Changes {
        let given = delivery.properties.as_slice();
        let station = TableBuf::new()
            .with("uri", text(&self.uri))
            .with("queue", text(&self.local.theirs))
            .with("redelivered", Field::Bool(delivery.redelivered))
            .with("visit-count", Field::Int64(self.visits(given) + 1));
        Changes {
            exchange: Some(String::new()),
            routing_key: Some(self.local.name.clone()),
            properties: match self.link.trust_user_id {
                true => None,
                false => properties::without_user_id(given),
            },
            set_properties: Vec::new(),
            set_headers: origin(delivery),
            prepend_headers: vec![Header {
                name: RECEIVED_FROM.to_owned(),
                value: FieldValue::from(Field::Table(station.as_table())).into_bytes(),
            }],
        }
    }

    /// How often the message has come from there before.
    fn visits(&self, given: &[u8]) -> i64 {
        let Some(Field::Array(been)) = properties::header(given, RECEIVED_FROM) else {
            return 0;
        };
        let here = been.items().filter(|station| match station {
            Field::Table(station) => {
                let is = |name: &str, wanted: &str| {
                    let value = station.get(name);
                    value.is_some_and(|value| value.as_str() == Some(wanted))
                };
                is("uri", &self.uri) && is("queue", &self.local.theirs)
            }
            _ => false,
        });
        i64::try_from(here.count()).unwrap_or(i64::MAX)
    }
}

/// Where a message was published first: it is lost otherwise, for here it comes through the default
/// exchange. What an earlier hop has said stays.
fn origin(delivery: &Delivery) -> Vec<Header> {
    let both = [
        ("x-original-exchange", &delivery.exchange),
        ("x-original-routing-key", &delivery.routing_key),
    ];
    let is_new = |name| properties::header(&delivery.properties, name).is_none();
    let new = both.into_iter().filter(|(name, _)| is_new(name));
    new.map(|(name, value)| Header {
        name: name.to_owned(),
        value: FieldValue::from(text(value)).into_bytes(),
    })
    .collect()
}
