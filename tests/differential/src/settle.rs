//! Waiting until a step has had all its effects, without waiting for time: a broker that answers a
//! question has done what was asked of it before. Channels are asked by channel.flow, queues by a
//! passive declare. Queues of a real RabbitMQ are processes beside the channels, so both are asked in
//! turn, until a round brings nothing new.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::codec::{Field, put_method};
use crate::connection::{Incoming, PATIENCE};
use crate::link::{Channel, Link, News};
use crate::observation::{ENDED, Event, SILENT};
use crate::player::{Player, Queue};
use crate::side::{Answer, Pace};
use crate::spec::{self, Method};

/// How far a step reaches beyond the answer on its own channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effects {
    Here,
    Everywhere,
    /// The broker learns of it by itself, some time.
    Late,
}

impl Effects {
    pub fn of(method: &Method) -> Effects {
        match method.name {
            "exchange.declare" | "exchange.bind" | "queue.declare" | "queue.bind" | "basic.get"
            | "confirm.select" | "tx.select" | "channel.open" | "access.request" => Effects::Here,
            _ => Effects::Everywhere,
        }
    }
}

const MOST_ROUNDS: usize = 40;

/// For what is announced by nothing: a process that has ended, a log that is written.
const LATE: Duration = Duration::from_millis(8);
const SLOW: Duration = Duration::from_millis(30);
const SLOWER: Duration = Duration::from_millis(120);

impl Player<'_> {
    pub fn settle(&mut self, effects: Effects) -> Result<()> {
        self.flows()?;
        if self.side.pace == Pace::Slow {
            self.flows()?;
        }
        if effects != Effects::Here || self.has_closed() {
            for round in 0..MOST_ROUNDS {
                let before = self.seen.len();
                self.pause(round, effects);
                self.queues()?;
                self.flows()?;
                if self.side.pace == Pace::Slow {
                    self.flows()?;
                }
                let fewest = match self.side.pace {
                    Pace::Quick => 1,
                    Pace::Slow => 2,
                };
                if self.seen.len() == before && round + 1 >= fewest {
                    break;
                }
            }
        }
        self.confirms()
    }

    /// Whether the step has closed something: what was unsettled there comes back to its queues.
    fn has_closed(&self) -> bool {
        let mut names = self.seen.iter().map(|seen| seen.event.name);
        names.any(|name| matches!(name, "channel.close" | "connection.close" | ENDED))
    }

    fn pause(&self, round: usize, effects: Effects) {
        if round == 0 && effects == Effects::Late {
            std::thread::sleep(LATE);
        }
        match (self.side.pace, self.slow) {
            (Pace::Slow, _) if round == 0 => std::thread::sleep(SLOWER),
            (Pace::Slow, _) | (Pace::Quick, true) => std::thread::sleep(SLOW),
            (Pace::Quick, false) => {}
        }
    }

    /// Asks every open channel of every connection.
    pub fn flows(&mut self) -> Result<()> {
        let flow = spec::method("channel.flow");
        let active = vec![("active", Field::Number(1))];
        for link in self.links.iter_mut().flatten().filter(|link| !link.closing) {
            let mut out = Vec::new();
            for (id, channel) in &mut link.channels {
                if channel.may_be_asked() {
                    channel.barriers += 1;
                    put_method(&mut out, *id, flow, &active);
                }
            }
            link.wire.send(&out);
        }
        for connection in 0..self.links.len() {
            self.on_link(connection, |link, other| answered(link, other))?;
        }
        Ok(())
    }

    /// Asks after every queue of the session, and forgets those that are gone.
    fn queues(&mut self) -> Result<()> {
        let all = std::mem::take(&mut self.queues).into_iter();
        let (owned, open): (Vec<Queue>, Vec<Queue>) = all.partition(|queue| queue.owner.is_some());
        let names: Vec<&[u8]> = open.iter().map(|queue| &queue.name[..]).collect();
        let answers = self.side.ask_all(&names)?;
        let answered = open.into_iter().zip(answers);
        let there = answered.filter(|(_, answer)| *answer != Answer::Missing);
        let mut kept: Vec<Queue> = there.map(|(queue, _)| queue).collect();
        for queue in owned {
            kept.extend(self.owned_queue(queue)?);
        }
        self.queues.extend(kept);
        Ok(())
    }

    /// A queue that one connection alone may see, or may have seen: only it can ask.
    fn owned_queue(&mut self, queue: Queue) -> Result<Option<Queue>> {
        let owner = queue.owner.filter(|(connection, life)| {
            let is_open = self.links.get(*connection).is_some_and(Option::is_some);
            is_open && self.lives.get(*connection) == Some(life)
        });
        let Some((connection, _)) = owner else {
            let is_there =
                self.side.unlocked(&queue.name)? && self.side.ask(&queue.name)? != Answer::Missing;
            return Ok(is_there.then_some(Queue {
                owner: None,
                ..queue
            }));
        };
        let mut answer = None;
        self.on_link(connection, |link, other| {
            answer = link.ask_after(&queue.name, other)?;
            Ok(())
        })?;
        Ok((answer != Some(Answer::Missing)).then_some(queue))
    }

    /// Waits for the confirms that are due, and notes them as sets.
    fn confirms(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        for connection in 0..self.links.len() {
            self.on_link(connection, |link, other| {
                while !link.over && awaits_confirms(link) && Instant::now() < until {
                    match link.wire.next(PATIENCE)? {
                        Incoming::Method(arrived) => {
                            let news = link.take(arrived);
                            other(news);
                        }
                        Incoming::Ended => {
                            link.over = true;
                            other(News::ended());
                        }
                        Incoming::Nothing => break,
                    }
                }
                let events = [link.confirms(), link.unconfirmed()].concat();
                for event in events {
                    other(News {
                        event: Some(event),
                        declared: None,
                    });
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A content that is not whole is not confirmed.
fn awaits_confirms(link: &Link) -> bool {
    let mut channels = link.channels.values();
    channels.any(|channel| channel.may_be_asked() && !channel.unconfirmed.is_empty())
}

/// Reads until the barriers of all channels are answered.
fn answered(link: &mut Link, other: &mut dyn FnMut(News)) -> Result<()> {
    let waits = |channel: &Channel| channel.barriers > 0 || channel.waiting;
    while !link.over && (link.closing || link.channels.values().any(waits)) {
        match link.wire.next(PATIENCE)? {
            Incoming::Method(arrived) => {
                let news = link.take(arrived);
                other(news);
            }
            Incoming::Ended => {
                link.over = true;
                other(News::ended());
            }
            Incoming::Nothing => {
                for (id, channel) in &mut link.channels {
                    if channel.barriers > 0 || channel.waiting {
                        channel.barriers = 0;
                        other(News {
                            event: Some((*id, Event::plain(SILENT))),
                            declared: None,
                        });
                    }
                }
                link.over = true;
            }
        }
    }
    Ok(())
}
