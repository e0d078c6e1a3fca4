//! One of the two brokers, with a connection that sessions never see: it asks after queues and cleans
//! up.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::codec::{Field, Fields, number};
use crate::connection::{Address, Arrived, Connection, Incoming, PATIENCE};
use crate::spec;

const CHANNEL: u16 = 1;

/// How long a broker may take to notice that a connection is gone.
const NOTICE: Duration = Duration::from_secs(5);

pub struct Side {
    pub address: Address,
    control: Option<Connection>,
    /// Every step gets more time: what was different may have come too late to be seen.
    pub slow: bool,
}

/// What a passive declare says of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Exists,
    Missing,
    Locked,
}

impl Side {
    pub fn new(address: Address) -> Side {
        Side {
            address,
            control: None,
            slow: false,
        }
    }

    /// The answer, or the code with which the channel was closed.
    fn call(&mut self, name: &str, fields: Fields) -> Result<Result<Arrived, u64>> {
        let control = match &mut self.control {
            Some(control) => control,
            None => {
                let mut control = Connection::open(&self.address, 131_072)?;
                open_channel(&mut control)?;
                self.control.insert(control)
            }
        };
        control.method(CHANNEL, spec::method(name), &fields);
        match control.next(PATIENCE)? {
            Incoming::Method(arrived) if arrived.method.name == "channel.close" => {
                control.method(CHANNEL, spec::method("channel.close-ok"), &Vec::new());
                open_channel(control)?;
                Ok(Err(number(&arrived.fields, "reply-code")))
            }
            Incoming::Method(arrived) if arrived.method.name == "connection.close" => {
                control.method(0, spec::method("connection.close-ok"), &Vec::new());
                self.control = None;
                Ok(Err(number(&arrived.fields, "reply-code")))
            }
            Incoming::Method(arrived) if arrived.channel == CHANNEL => Ok(Ok(arrived)),
            other => {
                self.control = None;
                bail!("{name} on the control connection: {other:?}")
            }
        }
    }

    pub fn ask(&mut self, queue: &[u8]) -> Result<Answer> {
        let answer = self.call("queue.declare", passive(queue))?;
        Ok(match answer {
            Ok(_) => Answer::Exists,
            Err(405) => Answer::Locked,
            Err(_) => Answer::Missing,
        })
    }

    /// Waits until the exclusive queue of a connection that has ended is gone; false when it stays.
    pub fn unlocked(&mut self, queue: &[u8]) -> Result<bool> {
        let until = Instant::now() + NOTICE;
        while self.ask(queue)? == Answer::Locked {
            if Instant::now() > until {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// Waits until a queue that ends by itself has ended.
    pub fn gone(&mut self, queue: &[u8]) -> Result<()> {
        let until = Instant::now() + NOTICE;
        loop {
            let late = Instant::now() > until;
            match self.ask(queue)? {
                Answer::Missing => return Ok(()),
                Answer::Locked if late => bail!("the broker keeps the queue of a dead connection"),
                // A channel that was closed at the last moment has left it behind.
                Answer::Exists if late => return self.delete_queue(queue),
                Answer::Locked | Answer::Exists => {}
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn delete_queue(&mut self, queue: &[u8]) -> Result<()> {
        let fields = vec![("queue", Field::text(queue))];
        self.call("queue.delete", fields).map(drop)
    }

    pub fn delete_exchange(&mut self, exchange: &[u8]) -> Result<()> {
        let fields = vec![("exchange", Field::text(exchange))];
        self.call("exchange.delete", fields).map(drop)
    }
}

pub fn passive(queue: &[u8]) -> Fields {
    vec![("queue", Field::text(queue)), ("passive", Field::Number(1))]
}

fn open_channel(control: &mut Connection) -> Result<()> {
    control.method(CHANNEL, spec::method("channel.open"), &Vec::new());
    match control.next(PATIENCE)? {
        Incoming::Method(arrived) if arrived.method.name == "channel.open-ok" => Ok(()),
        other => bail!("expected channel.open-ok, got {other:?}"),
    }
}
