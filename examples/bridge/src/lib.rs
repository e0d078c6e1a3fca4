//! A service that takes messages from one queue of this broker and publishes them to another one, in
//! upper case. Grant it `amqp:local`; `config = { source = "in", target = "out" }`.

use std::collections::VecDeque;

use serde_json::Value;
use warren_service_sdk::amqp::{self, Connection, Consuming, Opening, QueueOptions};
use warren_service_sdk::{Service, Task, host};

/// So many unacknowledged messages at once.
const PREFETCH: u16 = 100;
/// Ends at once when there is something to do.
const LONGEST_WAIT: u64 = 10_000;

struct Bridge;

impl Service for Bridge {
    fn run(task: Task) -> Result<(), String> {
        let settings: Value =
            serde_json::from_str(&host::configuration()).map_err(|error| error.to_string())?;
        let queue = |key: &str| {
            let name = settings[key].as_str().map(str::to_owned);
            name.ok_or_else(|| format!("`{key}` is not the name of a queue"))
        };
        let connection = Connection::open(&Opening {
            uri: "amqp://".to_owned(),
            name: task.name,
            confirms: true,
        });
        let connection = connection.map_err(failed)?;
        carry(&connection, &queue("source")?, &queue("target")?)?;
        connection.close();
        Ok(())
    }
}

fn carry(connection: &Connection, source: &str, target: &str) -> Result<(), String> {
    for name in [source, target] {
        let declared = connection.declare_queue(&QueueOptions {
            name: name.to_owned(),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: Vec::new(),
        });
        declared.map_err(failed)?;
    }
    let consumed = connection.consume(&Consuming {
        queue: source.to_owned(),
        consumer_tag: String::new(),
        no_ack: false,
        exclusive: false,
        arguments: Vec::new(),
        prefetch: PREFETCH,
    });
    consumed.map_err(failed)?;
    host::running();
    // What was published, and the delivery to acknowledge once it is confirmed.
    let mut unconfirmed: VecDeque<(u64, u64)> = VecDeque::new();
    while host::stopping().is_none() {
        match connection.receive(u32::from(PREFETCH)).map_err(failed)? {
            Some(batch) => {
                for index in 0..batch.length() {
                    let Some(delivery) = batch.delivery(index) else {
                        break;
                    };
                    let body = batch.body(index).to_ascii_uppercase();
                    let sent = connection.publish("", target, &delivery.properties, &body);
                    unconfirmed.push_back((sent.map_err(failed)?, delivery.tag));
                }
                host::count("messages", u64::from(batch.length()));
            }
            // An error is that it is to stop.
            None => drop(amqp::wait(&[connection], LONGEST_WAIT)),
        }
        let confirms = connection.confirmed().map_err(failed)?;
        if !confirms.failed.is_empty() {
            // Started again, it gets what is not acknowledged once more.
            return Err(format!("{target} has not taken a message"));
        }
        while let Some((_, tag)) = unconfirmed.pop_front_if(|(sent, _)| *sent <= confirms.upto) {
            connection.ack(tag, false).map_err(failed)?;
        }
    }
    Ok(())
}

fn failed(error: amqp::Error) -> String {
    format!("{error:?}")
}

warren_service_sdk::export!(Bridge);
