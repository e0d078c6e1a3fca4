//! What a load needs declared, and how it is taken away again. Blocking calls on one connection.

use anyhow::{Result, bail};

use super::client::{CHANNEL, Client};
use super::options::Options;
use crate::amqp::{AMQPClass, AMQPValue, FieldTable, exchange, queue, short_string};

pub fn declare(control: &mut Client, options: &Options) -> Result<()> {
    let queues = (0..options.queues).map(|place| options.queue_name(place));
    let queues = queues.map(|name| declaration(&name, options.durable, false));
    control.pipeline(queues)?;
    let Some(kind) = &options.exchange else {
        return Ok(());
    };
    let declare = exchange::Declare {
        exchange: short_string(&options.exchange_name()),
        kind: short_string(kind),
        passive: false,
        durable: options.durable,
        auto_delete: false,
        internal: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    control.call(
        CHANNEL,
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)),
    )?;
    bind(control, options)
}

/// A queue.declare that is not answered.
pub fn declaration(name: &str, durable: bool, exclusive: bool) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
        queue: short_string(name),
        passive: false,
        durable,
        exclusive,
        auto_delete: false,
        nowait: true,
        arguments: FieldTable::default(),
    }))
}

/// How many messages are ready in all queues of a load.
pub fn ready(control: &mut Client, options: &Options) -> Result<u64> {
    let mut sum = 0;
    for place in 0..options.queues {
        let declare = queue::Declare {
            queue: short_string(&options.queue_name(place)),
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        };
        let declare = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        let answer = control.call(CHANNEL, declare)?;
        let AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) = answer else {
            bail!("expected queue.declare-ok, got {answer:?}");
        };
        sum += u64::from(ok.message_count);
    }
    Ok(sum)
}

/// Every queue once with what matches; the bindings that do not match all lead to the first queue.
fn bind(control: &mut Client, options: &Options) -> Result<()> {
    let matching = (0..options.queues).flat_map(|place| matching(options, place));
    let others = (1..options.bindings).map(|number| other(options, number));
    let bindings = others.chain(matching);
    control.pipeline(bindings.map(|bind| AMQPClass::Queue(queue::AMQPMethod::Bind(bind))))
}

fn matching(options: &Options, place: usize) -> Vec<queue::Bind> {
    let key = options.routing_key(place);
    let mut arguments = FieldTable::default();
    if options.is_of_type("headers") {
        arguments = all_of(options.binding_headers());
    }
    let keys: Vec<String> = match (&options.binding_key, options.exchange.as_deref()) {
        (Some(key), _) => vec![key.clone()],
        (None, Some("topic")) if options.keys > 1 => vec![format!("{key}.#")],
        // A weight, or a number of buckets.
        (None, Some("x-consistent-hash")) => vec!["1".to_owned()],
        (None, Some("direct")) => (0..options.keys)
            .map(|number| options.numbered(&key, number))
            .collect(),
        (None, _) => vec![key],
    };
    keys.into_iter()
        .map(|key| queue::Bind {
            queue: short_string(&options.queue_name(place)),
            exchange: short_string(&options.exchange_name()),
            routing_key: short_string(&key),
            nowait: true,
            arguments: arguments.clone(),
        })
        .collect()
}

/// One that no message matches, in the shapes that such bindings have.
fn other(options: &Options, number: u64) -> queue::Bind {
    let key = match number % 3 {
        0 => format!("other.{number}"),
        1 => format!("other.{number}.#"),
        _ => format!("*.other-{number}.*"),
    };
    let mut arguments = FieldTable::default();
    if options.is_of_type("headers") {
        arguments = all_of(vec![(super::batch::KEY_HEADER.to_owned(), key.clone())]);
    }
    queue::Bind {
        queue: short_string(&options.queue_name(0)),
        exchange: short_string(&options.exchange_name()),
        routing_key: short_string(&key),
        nowait: true,
        arguments,
    }
}

fn all_of(headers: Vec<(String, String)>) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(short_string("x-match"), AMQPValue::LongString("all".into()));
    for (name, value) in headers {
        table.insert(short_string(&name), AMQPValue::LongString(value.into()));
    }
    table
}

pub fn delete(control: &mut Client, options: &Options) -> Result<()> {
    if options.exchange.is_some() {
        let delete = exchange::Delete {
            exchange: short_string(&options.exchange_name()),
            if_unused: false,
            nowait: false,
        };
        let delete = exchange::AMQPMethod::Delete(delete);
        control.call(CHANNEL, AMQPClass::Exchange(delete))?;
    }
    let queues = (0..options.queues).map(|place| options.queue_name(place));
    control.pipeline(queues.map(|name| deletion(&name)))
}

/// A queue that is not there is deleted well.
pub fn deletion(name: &str) -> AMQPClass {
    AMQPClass::Queue(queue::AMQPMethod::Delete(queue::Delete {
        queue: short_string(name),
        if_unused: false,
        if_empty: false,
        nowait: true,
    }))
}
