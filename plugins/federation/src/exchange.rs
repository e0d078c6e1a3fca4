//! One exchange and one upstream: a queue there collects what the bindings here want, and what comes
//! out of it is published here.

use std::collections::{BTreeMap, BTreeSet};

use warren_service_sdk::amqp::{
    BindOptions, Changes, Connection, Consuming, Error, ExchangeOptions, Header, QueueOptions, wait,
};
use warren_service_sdk::host::Reason;
use warren_service_sdk::{
    ArrayBuf, FieldValue, Table, TableBuf, Value as Field, broker, host, shown, state,
};

use crate::link::{AckMode, Link, Local, cluster_name, may_come, own_cluster, vhost_of};
use crate::{names, properties};

const BOUND_FROM: &str = "x-bound-from";
const RECEIVED_FROM: &str = "x-received-from";
const SUFFIX: &str = "suffix";

/// There is no federation upstream.
const PLAIN: &str = "plain";

/// RabbitMQ's words for an exchange type that it does not know.
const UNKNOWN_TYPE: &str = "COMMAND_INVALID - unknown exchange type";

const BATCH: u32 = 256;
const IDLE: u64 = 10_000;

struct Running<'a> {
    link: &'a Link,
    local: &'a Local,
    upstream: Connection,
    here: Connection,
    queue: String,
    /// In front of the queue.
    exchange: String,
    cluster: String,
    upstream_cluster: String,
    upstream_vhost: String,
    uri: String,
    /// Routing key and arguments of the bindings that are made upstream.
    bound: BTreeSet<(String, Vec<u8>)>,
    unconfirmed: BTreeMap<u64, u64>,
}

pub fn run(link: &Link, local: &Local) -> Result<(), Error> {
    let (upstream, place) = link.connect()?;
    let here = link.connect_here()?;
    let uri = link.uris.get(place).cloned().unwrap_or_default();
    let cluster = own_cluster();
    let upstream_vhost = vhost_of(&uri);
    let queue = names::queue(
        &local.theirs,
        &upstream_vhost,
        &cluster,
        &link.vhost,
        &local.name,
    );
    let mut running = Running {
        link,
        local,
        upstream_cluster: cluster_name(&upstream),
        upstream,
        here,
        exchange: String::new(),
        queue,
        cluster,
        upstream_vhost,
        uri: shown::uri(&uri),
        bound: BTreeSet::new(),
        unconfirmed: BTreeMap::new(),
    };
    running.set_up()?;
    host::running();
    let ended = running.go();
    running.clean_up();
    ended
}

impl Running<'_> {
    fn set_up(&mut self) -> Result<(), Error> {
        self.ensure_upstream_exchange()?;
        let mut arguments = TableBuf::new().with("x-internal-purpose", text("federation"));
        if let Some(expires) = self.link.expires {
            arguments = arguments.with("x-expires", Field::Int64(expires));
        }
        if let Some(ttl) = self.link.message_ttl {
            arguments = arguments.with("x-message-ttl", Field::Int64(ttl));
        }
        if let Some(queue_type) = &self.link.queue_type {
            arguments = arguments.with("x-queue-type", text(queue_type));
        }
        self.upstream.declare_queue(&QueueOptions {
            name: self.queue.clone(),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: arguments.into_bytes(),
        })?;
        let kept = state::get(SUFFIX).and_then(|kept| String::from_utf8(kept).ok());
        let before = kept.unwrap_or_else(|| "A".to_owned());
        let letter = names::other(&before);
        self.exchange = names::exchange(&self.queue, letter);
        // What a run left that ended in between.
        self.upstream.delete_exchange(&self.exchange)?;
        self.declare_exchange()?;
        self.follow_bindings()?;
        self.upstream.bind(&BindOptions {
            is_exchange: false,
            destination: self.queue.clone(),
            source: self.exchange.clone(),
            routing_key: String::new(),
            arguments: Vec::new(),
        })?;
        self.upstream
            .delete_exchange(&names::exchange(&self.queue, &before))?;
        // Not kept: the next run finds its exchange in its way, and takes it away first.
        let _ = state::put(SUFFIX, letter.as_bytes());
        let no_ack = self.link.ack_mode == AckMode::NoAck;
        self.upstream.consume(&Consuming {
            queue: self.queue.clone(),
            consumer_tag: String::new(),
            no_ack,
            exclusive: false,
            arguments: Vec::new(),
            prefetch: if no_ack { 0 } else { self.link.prefetch },
        })?;
        Ok(())
    }

    fn ensure_upstream_exchange(&self) -> Result<(), Error> {
        let declare = |passive| {
            self.upstream.declare_exchange(&ExchangeOptions {
                name: self.local.theirs.clone(),
                type_name: self.local.type_name.clone(),
                passive,
                durable: self.local.durable,
                auto_delete: self.local.auto_delete,
                internal: false,
                arguments: self.local.arguments.clone(),
            })
        };
        match declare(true) {
            Err(Error::Refused(refusal)) if refusal.code == 404 => declare(false),
            other => other,
        }
    }

    fn declare_exchange(&self) -> Result<(), Error> {
        let arguments = TableBuf::new()
            .with("x-max-hops", Field::Int64(self.link.max_hops))
            .with("x-downstream-name", text(&self.cluster))
            .with("x-downstream-vhost", text(&self.link.vhost))
            .with("x-internal-purpose", text("federation"));
        let declare = |type_name: &str| {
            self.upstream.declare_exchange(&ExchangeOptions {
                name: self.exchange.clone(),
                type_name: type_name.to_owned(),
                passive: false,
                durable: true,
                auto_delete: true,
                internal: true,
                arguments: arguments.as_table().0.to_vec(),
            })
        };
        if state::get(PLAIN).is_some() {
            return declare("fanout");
        }
        match declare("x-federation-upstream") {
            // A broker without federation: what has been there is then found out here. It has closed
            // the connection.
            Err(Error::Lost(text)) if text.starts_with(UNKNOWN_TYPE) => {
                let _ = state::put(PLAIN, &[]);
                Err(Error::Lost(text))
            }
            other => other,
        }
    }

    /// Makes and takes away upstream what has come and gone here.
    fn follow_bindings(&mut self) -> Result<(), Error> {
        let Some(bindings) = broker::bindings(&self.link.vhost, &self.local.name) else {
            return Ok(());
        };
        let wanted: BTreeSet<(String, Vec<u8>)> = bindings
            .into_iter()
            .filter_map(|binding| Some((binding.routing_key, self.passed_on(&binding.arguments)?)))
            .collect();
        let options = |(routing_key, arguments): &(String, Vec<u8>)| BindOptions {
            is_exchange: true,
            destination: self.exchange.clone(),
            source: self.local.theirs.clone(),
            routing_key: routing_key.clone(),
            arguments: arguments.clone(),
        };
        for new in wanted.difference(&self.bound) {
            self.upstream.bind(&options(new))?;
        }
        for old in self.bound.difference(&wanted) {
            self.upstream.unbind(&options(old))?;
        }
        self.bound = wanted;
        Ok(())
    }

    /// A binding's arguments upstream, with how it came there. None: it goes no further.
    fn passed_on(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        let before = match Table(arguments).get(BOUND_FROM) {
            Some(Field::Array(before)) => Some(before),
            _ => None,
        };
        let mut hops = self.link.max_hops;
        for (place, station) in before.into_iter().flat_map(|all| all.items()).enumerate() {
            let Field::Table(station) = station else {
                continue;
            };
            let is = |name: &str, wanted: &str| {
                let value = station.get(name);
                value.is_some_and(|value| value.as_str() == Some(wanted))
            };
            if is("cluster-name", &self.upstream_cluster) && is("vhost", &self.upstream_vhost) {
                return None;
            }
            if place == 0 {
                let left = station
                    .get("hops")
                    .and_then(|hops| hops.as_int())
                    .unwrap_or(0);
                hops = hops.min(left - 1);
            }
        }
        if hops <= 0 {
            return None;
        }
        let letter = self.exchange.rsplit(' ').next().unwrap_or_default();
        let exchange = format!("{}:{} {letter}", self.link.vhost, self.local.name);
        let station = TableBuf::new()
            .with("cluster-name", text(&self.cluster))
            .with("vhost", text(&self.link.vhost))
            .with("exchange", text(&exchange))
            .with(
                "hops",
                Field::Int16(i16::try_from(hops).unwrap_or(i16::MAX)),
            );
        let mut all = ArrayBuf::new().with(Field::Table(station.as_table()));
        for station in before.into_iter().flat_map(|all| all.items()) {
            all = all.with(station);
        }
        let mut passed = TableBuf::new().with(BOUND_FROM, Field::Array(all.as_array()));
        for (name, value) in Table(arguments).fields() {
            if name != BOUND_FROM {
                passed = passed.with(name, value);
            }
        }
        Some(passed.into_bytes())
    }

    fn go(&mut self) -> Result<(), Error> {
        loop {
            self.settle()?;
            if !self.move_some()? {
                wait(&[&self.upstream, &self.here], IDLE)?;
                self.follow_bindings()?;
            }
        }
    }

    fn move_some(&mut self) -> Result<bool, Error> {
        let Some(batch) = self.upstream.receive(BATCH)? else {
            return Ok(false);
        };
        for index in 0..batch.length() {
            let Some(delivery) = batch.delivery(index) else {
                break;
            };
            let been = properties::header(&delivery.properties, RECEIVED_FROM);
            if !may_come(been.as_ref(), self.link, &self.cluster) {
                if self.link.ack_mode != AckMode::NoAck {
                    self.upstream.ack(delivery.tag, false)?;
                }
                continue;
            }
            let changes = self.changes(delivery.redelivered, &delivery.properties);
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

    fn changes(&self, redelivered: bool, given: &[u8]) -> Changes {
        let station = TableBuf::new()
            .with("uri", text(&self.uri))
            .with("exchange", text(&self.local.theirs))
            .with("redelivered", Field::Bool(redelivered))
            .with("cluster-name", text(&self.upstream_cluster))
            .with("vhost", text(&self.upstream_vhost));
        Changes {
            exchange: Some(self.local.name.clone()),
            routing_key: None,
            properties: match self.link.trust_user_id {
                true => None,
                false => properties::without_user_id(given),
            },
            set_properties: Vec::new(),
            set_headers: Vec::new(),
            prepend_headers: vec![Header {
                name: RECEIVED_FROM.to_owned(),
                value: FieldValue::from(Field::Table(station.as_table())).into_bytes(),
            }],
        }
    }

    fn settle(&mut self) -> Result<(), Error> {
        settle(&self.upstream, &self.here, &mut self.unconfirmed)
    }

    /// Where the link is not wanted any more.
    fn clean_up(&self) {
        let removed = host::stopping() == Some(Reason::Removed);
        if removed && self.link.cleans_up {
            // What cannot be taken away now stays, as in RabbitMQ.
            let _ = self.upstream.delete_queue(&self.queue);
            let _ = self.upstream.delete_exchange(&self.exchange);
        }
        self.upstream.close();
        self.here.close();
    }
}

/// Acknowledges upstream what is stored here, and hands back what is not.
pub fn settle(
    upstream: &Connection,
    here: &Connection,
    unconfirmed: &mut BTreeMap<u64, u64>,
) -> Result<(), Error> {
    let confirms = here.confirmed()?;
    for number in &confirms.failed {
        if let Some(tag) = unconfirmed.remove(number) {
            upstream.nack(tag, false, true)?;
        }
    }
    let open = unconfirmed.split_off(&(confirms.upto + 1));
    let stored = std::mem::replace(unconfirmed, open);
    // All before the last one are settled too: in their order they came and went.
    match stored.values().next_back() {
        Some(tag) => upstream.ack(*tag, true),
        None => Ok(()),
    }
}

pub fn text(text: &str) -> Field<'_> {
    Field::LongString(text.as_bytes())
}
