//! One of the two brokers, with a connection that sessions never see: it asks after queues and cleans
//! up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::codec::{Field, Fields, number, put_method};
use crate::connection::{Address, Arrived, Connection, Incoming, PATIENCE};
use crate::spec;

const CHANNEL: u16 = 1;

/// How long a broker may take to notice that a connection is gone.
const NOTICE: Duration = Duration::from_secs(5);

pub struct Side {
    pub address: Address,
    control: Option<Connection>,
    pub pace: Pace,
}

/// How long a step is waited for. Too short a wait never hides a difference: what comes too late is
/// compared with the next step, and a session that then differs is played again with more time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One round of questions, and further ones while they bring something.
    Quick,
    /// Two rounds at least, with time between them.
    Slow,
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
            pace: Pace::Quick,
        }
    }

    fn control(&mut self) -> Result<&mut Connection> {
        if self.control.is_none() {
            let mut control = Connection::open(&self.address, 131_072)?;
            open_channel(&mut control)?;
            self.control = Some(control);
        }
        self.control.as_mut().context("a control connection")
    }

    /// The answer, or the code with which the channel was closed.
    fn call(&mut self, name: &str, fields: Fields) -> Result<Result<Arrived, u64>> {
        self.control()?.method(CHANNEL, spec::method(name), &fields);
        self.answer(name)
    }

    fn answer(&mut self, name: &str) -> Result<Result<Arrived, u64>> {
        let control = self.control()?;
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
        let answers = self.ask_all(&[queue])?;
        answers.first().copied().context("an answer")
    }

    /// Asks after all of them in one go.
    pub fn ask_all(&mut self, queues: &[&[u8]]) -> Result<Vec<Answer>> {
        let declare = spec::method("queue.declare");
        let mut answers = Vec::new();
        while let Some(open) = queues.get(answers.len()..).filter(|open| !open.is_empty()) {
            let mut out = Vec::new();
            for queue in open {
                put_method(&mut out, CHANNEL, declare, &passive(queue));
            }
            self.control()?.send(&out);
            for _ in open {
                let answer = self.answer("queue.declare")?;
                answers.push(match answer {
                    Ok(_) => Answer::Exists,
                    Err(405) => Answer::Locked,
                    Err(_) => Answer::Missing,
                });
                // The channel is new, and what was asked after this one is forgotten.
                if answer.is_err() {
                    break;
                }
            }
        }
        Ok(answers)
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
