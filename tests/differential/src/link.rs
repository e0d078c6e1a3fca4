//! A connection of a session, with what the player must remember of its channels: what is to be
//! settled and confirmed, which answers are due. It decides nothing about steps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use std::time::Duration;

use anyhow::{Result, bail};

use crate::codec::{Field, Fields, number, octets};
use crate::connection::{Address, Arrived, Connection, Incoming, PATIENCE};
use crate::observation::{CONFIRMS, ENDED, Event, UNCONFIRMED};
use crate::side::{Answer, passive};
use crate::spec::{self, Method};

/// The player's own channel on each connection: it asks after the queues that only this connection
/// may see.
const HIDDEN: u16 = 2000;

#[derive(Debug, Default)]
pub struct Channel {
    /// Delivered and not yet settled, in the order of their arrival.
    pub unacked: Vec<u64>,
    automatic: BTreeSet<Vec<u8>>,
    automatic_consumes: VecDeque<bool>,
    automatic_gets: VecDeque<bool>,
    exclusive_declares: VecDeque<Option<bool>>,
    confirming: bool,
    published: u64,
    pub unconfirmed: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    nacked: BTreeSet<u64>,
    /// Answers to flow that the script has asked for; those of barriers come after.
    flows: usize,
    pub barriers: usize,
    /// A content has been begun, and any other method would break it.
    pub in_content: bool,
    /// channel.close or tx.commit has been sent: nothing may be until the answer has come.
    pub waiting: bool,
}

pub struct Link {
    pub wire: Connection,
    pub channels: BTreeMap<u16, Channel>,
    pub over: bool,
    /// connection.close has been sent.
    pub closing: bool,
    hidden_open: bool,
    answer: Option<Answer>,
}

/// A queue that a step has made, under its real name.
#[derive(Debug)]
pub struct Declared {
    pub name: Vec<u8>,
    pub exclusive: bool,
}

/// What an incoming method means for the player.
#[derive(Debug, Default)]
pub struct News {
    pub event: Option<(u16, Event)>,
    pub declared: Option<Declared>,
}

impl Link {
    pub fn open(address: &Address, frame_max: u32) -> Result<Link> {
        Ok(Link {
            wire: Connection::open(address, frame_max)?,
            channels: BTreeMap::new(),
            over: false,
            closing: false,
            hidden_open: false,
            answer: None,
        })
    }

    /// Before a method is sent.
    pub fn note(&mut self, id: u16, method: &Method, fields: &Fields) -> Option<Declared> {
        let channel = self.channels.get_mut(&id)?;
        let is_set = |name| number(fields, name) == 1;
        match method.name {
            "channel.flow" => channel.flows += 1,
            "channel.close" | "tx.commit" => channel.waiting = true,
            "basic.get" => channel.automatic_gets.push_back(is_set("no-ack")),
            "basic.consume" if is_set("no-wait") && is_set("no-ack") => {
                let tag = octets(fields, "consumer-tag").to_vec();
                channel.automatic.insert(tag);
            }
            "basic.consume" if is_set("no-wait") => {}
            "basic.consume" => channel.automatic_consumes.push_back(is_set("no-ack")),
            "confirm.select" => channel.confirming = true,
            "basic.publish" if channel.confirming => {
                channel.published += 1;
                channel.unconfirmed.insert(channel.published);
            }
            "basic.recover" | "basic.recover-async" => channel.unacked.clear(),
            "basic.ack" | "basic.nack" | "basic.reject" => channel.settle(fields),
            "queue.declare" if is_set("no-wait") && !is_set("passive") => {
                return Some(Declared {
                    name: octets(fields, "queue").to_vec(),
                    exclusive: is_set("exclusive"),
                });
            }
            "queue.declare" if !is_set("no-wait") => {
                let exclusive = (!is_set("passive")).then(|| is_set("exclusive"));
                channel.exclusive_declares.push_back(exclusive);
            }
            _ => {}
        }
        None
    }

    /// A method of the broker. The answers to barriers are not news.
    pub fn take(&mut self, arrived: Arrived) -> News {
        let id = arrived.channel;
        let name = arrived.method.name;
        if id == HIDDEN {
            self.hidden(name, &arrived.fields);
            return News::default();
        }
        let mut news = News::default();
        match name {
            "connection.close" => {
                self.wire
                    .method(0, spec::method("connection.close-ok"), &Vec::new());
                self.over = true;
            }
            "connection.close-ok" => self.over = true,
            "channel.close" => {
                self.wire
                    .method(id, spec::method("channel.close-ok"), &Vec::new());
                self.channels.remove(&id);
            }
            "channel.close-ok" => {
                self.channels.remove(&id);
            }
            _ => {}
        }
        if let Some(channel) = self.channels.get_mut(&id) {
            match channel.take(name, &arrived.fields) {
                Taken::News => {}
                Taken::Nothing => return news,
                Taken::Declared(declared) => news.declared = Some(declared),
            }
        }
        let event = Event {
            name,
            fields: arrived.fields,
            content: arrived.content,
        };
        news.event = Some((id, event));
        news
    }

    fn hidden(&mut self, name: &str, fields: &Fields) {
        match name {
            "channel.close" => {
                self.wire
                    .method(HIDDEN, spec::method("channel.close-ok"), &Vec::new());
                self.hidden_open = false;
                self.answer = Some(match number(fields, "reply-code") {
                    405 => Answer::Locked,
                    _ => Answer::Missing,
                });
            }
            "queue.declare-ok" => self.answer = Some(Answer::Exists),
            _ => {}
        }
    }

    /// Declares on the hidden channel; what else comes meanwhile goes to `other`.
    pub fn ask(&mut self, fields: &Fields, other: &mut dyn FnMut(News)) -> Result<Option<Answer>> {
        if !self.hidden_open {
            self.wire
                .method(HIDDEN, spec::method("channel.open"), &Vec::new());
            self.hidden_open = true;
        }
        self.wire
            .method(HIDDEN, spec::method("queue.declare"), fields);
        self.answer = None;
        while self.answer.is_none() && !self.over {
            match self.wire.next(PATIENCE)? {
                Incoming::Method(arrived) => {
                    let news = self.take(arrived);
                    other(news);
                }
                Incoming::Ended => {
                    self.over = true;
                    other(News::ended());
                }
                Incoming::Nothing => bail!("no answer on the hidden channel"),
            }
        }
        Ok(self.answer)
    }

    /// Waits until the connection has read everything that was sent.
    pub fn read_through(&mut self, other: &mut dyn FnMut(News)) -> Result<()> {
        let queue = b"amq.there.is.no.such.queue";
        self.ask_after(queue, other)?;
        // RabbitMQ starts a process even for a channel that is not open, which then complains.
        std::thread::sleep(Duration::from_millis(3));
        self.ask_after(queue, other).map(drop)
    }

    pub fn ask_after(
        &mut self,
        queue: &[u8],
        other: &mut dyn FnMut(News),
    ) -> Result<Option<Answer>> {
        self.ask(&passive(queue), other)
    }

    /// What each channel has confirmed since the last time.
    pub fn confirms(&mut self) -> Vec<(u16, Event)> {
        let mut events = Vec::new();
        for (id, channel) in &mut self.channels {
            let acked = std::mem::take(&mut channel.acked);
            let nacked = std::mem::take(&mut channel.nacked);
            if acked.is_empty() && nacked.is_empty() {
                continue;
            }
            let mut event = Event::plain(CONFIRMS);
            event.fields = vec![("acked", listed(&acked)), ("nacked", listed(&nacked))];
            events.push((*id, event));
        }
        events
    }

    /// Gives up waiting for what is not confirmed.
    pub fn unconfirmed(&mut self) -> Vec<(u16, Event)> {
        let mut events = Vec::new();
        for (id, channel) in &mut self.channels {
            let tags = std::mem::take(&mut channel.unconfirmed);
            if !tags.is_empty() {
                let mut event = Event::plain(UNCONFIRMED);
                event.fields = vec![("tags", listed(&tags))];
                events.push((*id, event));
            }
        }
        events
    }
}

fn listed(tags: &BTreeSet<u64>) -> Field {
    let tags: Vec<String> = tags.iter().map(u64::to_string).collect();
    Field::text(tags.join(","))
}

impl News {
    pub fn ended() -> News {
        News {
            event: Some((0, Event::plain(ENDED))),
            declared: None,
        }
    }
}

impl Channel {
    /// Whether a question on it would be answered.
    pub fn may_be_asked(&self) -> bool {
        !self.in_content && !self.waiting
    }
}

enum Taken {
    News,
    Nothing,
    Declared(Declared),
}

impl Channel {
    fn take(&mut self, name: &str, fields: &Fields) -> Taken {
        let tag = number(fields, "delivery-tag");
        match name {
            "channel.flow-ok" if self.flows > 0 => self.flows -= 1,
            "channel.flow-ok" => {
                self.barriers = self.barriers.saturating_sub(1);
                return Taken::Nothing;
            }
            "basic.ack" | "basic.nack" => {
                self.confirmed(name == "basic.ack", tag, number(fields, "multiple") == 1);
                return Taken::Nothing;
            }
            "basic.consume-ok" if self.automatic_consumes.pop_front() == Some(true) => {
                self.automatic
                    .insert(octets(fields, "consumer-tag").to_vec());
            }
            "basic.deliver" if !self.automatic.contains(octets(fields, "consumer-tag")) => {
                self.unacked.push(tag);
            }
            "basic.get-ok" if self.automatic_gets.pop_front() == Some(false) => {
                self.unacked.push(tag);
            }
            "tx.commit-ok" => self.waiting = false,
            "basic.get-empty" => {
                self.automatic_gets.pop_front();
            }
            "queue.declare-ok" => {
                if let Some(Some(exclusive)) = self.exclusive_declares.pop_front() {
                    return Taken::Declared(Declared {
                        name: octets(fields, "queue").to_vec(),
                        exclusive,
                    });
                }
            }
            _ => {}
        }
        Taken::News
    }

    fn settle(&mut self, fields: &Fields) {
        let tag = number(fields, "delivery-tag");
        let multiple = number(fields, "multiple") == 1;
        self.unacked.retain(|one| match multiple {
            true => tag != 0 && *one > tag,
            false => *one != tag,
        });
    }

    fn confirmed(&mut self, acked: bool, tag: u64, multiple: bool) {
        let least = if multiple { 0 } else { tag };
        let tags: Vec<u64> = self.unconfirmed.range(least..=tag).copied().collect();
        let set = match acked {
            true => &mut self.acked,
            false => &mut self.nacked,
        };
        // A tag that was not published, or is confirmed twice, shows as itself.
        if tags.is_empty() {
            set.insert(tag);
        }
        for tag in tags {
            self.unconfirmed.remove(&tag);
            set.insert(tag);
        }
    }
}
