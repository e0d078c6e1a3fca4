//! What the generator knows of the session it makes: names, places, modes. It guesses what succeeds.

use std::collections::BTreeMap;

use super::{Feature, Features, Profile};
use crate::codec::{Field, Fields, get};
use crate::random::Random;
use crate::script::{Action, Body, Content, Part, Step};
use crate::spec;

/// A connection and a channel.
pub type Place = (usize, u16);

#[derive(Clone, Debug)]
pub struct Queue {
    pub name: String,
    /// The connection that alone may use it.
    pub owner: Option<usize>,
    pub declared: Fields,
}

impl Queue {
    pub fn is_single_active(&self) -> bool {
        match get(&self.declared, "arguments") {
            Some(Field::Table(arguments)) => arguments
                .iter()
                .any(|(key, _)| key == b"x-single-active-consumer"),
            Some(Field::Text(_) | Field::Number(_) | Field::Unacked(_)) | None => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Exchange {
    pub name: String,
    pub kind: &'static str,
    pub declared: Fields,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    pub place: Place,
    pub tag: String,
    pub queue: String,
}

#[derive(Clone, Debug)]
pub struct Binding {
    pub fields: Fields,
    pub to_exchange: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Confirms,
    Transactions,
}

pub struct Model {
    pub random: Random,
    pub features: Features,
    pub steps: Vec<Step>,
    pub places: Vec<Place>,
    pub queues: Vec<Queue>,
    pub exchanges: Vec<Exchange>,
    pub bindings: Vec<Binding>,
    pub consumers: Vec<Consumer>,
    pub modes: BTreeMap<Place, Mode>,
    /// Places that have received something to settle.
    pub receivers: Vec<Place>,
    pub messages: u64,
    names: usize,
    generated: usize,
    /// Something in the session runs out within milliseconds.
    pub timed: bool,
    /// Connections may end as a whole. RabbitMQ ends their channels in any order, and what one gives
    /// back another may still take, so that only one channel of each receives.
    pub lone: bool,
}

/// A time to live that has passed after a pause, and the pause: apart enough that a busy machine
/// cannot decide.
pub const SOON: u64 = 10;
pub const PAUSE: u64 = 150;
/// A time to live that does not pass.
pub const NEVER: u64 = 600_000;

pub fn text(text: impl AsRef<[u8]>) -> Field {
    Field::text(text)
}

pub fn flag(on: bool) -> Field {
    Field::Number(u64::from(on))
}

impl Model {
    pub fn new(mut random: Random, features: Features) -> Model {
        let timed = features.has(Feature::Ttl) || features.has(Feature::Expires);
        let timed = timed && random.percent(20);
        let all: [Place; 5] = [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)];
        let count = 2 + random.below(4);
        let lone = random.percent(50);
        Model {
            random,
            features,
            steps: Vec::new(),
            places: all.into_iter().take(count).collect(),
            queues: Vec::new(),
            exchanges: Vec::new(),
            bindings: Vec::new(),
            consumers: Vec::new(),
            modes: BTreeMap::new(),
            receivers: Vec::new(),
            messages: 0,
            names: 0,
            generated: 0,
            timed,
            lone,
        }
    }

    pub fn session(&mut self, profile: Profile) {
        self.lone |= profile == Profile::Hostile;
        for _ in 0..1 + self.random.below(3) {
            self.declare_queue();
        }
        for _ in 0..self.random.below(3) {
            self.declare_exchange();
        }
        for _ in 0..1 + self.random.below(4) {
            self.bind();
        }
        let length = match self.timed {
            true => 5 + self.random.below(12),
            false => 12 + self.random.below(36),
        };
        for _ in 0..length {
            match profile {
                Profile::Hostile if self.random.percent(25) => self.hostile_step(),
                Profile::Hostile | Profile::Ordinary => self.ordinary_step(),
            }
        }
        self.finale();
    }

    /// What is left everywhere, seen from connections that know nothing.
    fn finale(&mut self) {
        let mut connections: Vec<usize> = self.places.iter().map(|place| place.0).collect();
        connections.dedup();
        // Deliveries that are not settled come back.
        for connection in connections {
            if self.lone && self.random.percent(50) {
                self.steps.push(Step {
                    connection,
                    channel: 0,
                    concurrent: false,
                    action: Action::Drop,
                });
            }
        }
        for queue in self.queues.clone() {
            let place = (queue.owner.unwrap_or(0), 9);
            self.call(
                place,
                "queue.declare",
                vec![("queue", text(&queue.name)), ("passive", flag(true))],
            );
            self.left_over(place, &queue);
        }
    }

    /// Everything that a queue has left. One with a single active consumer answers no basic.get.
    fn left_over(&mut self, place: Place, queue: &Queue) {
        if !queue.is_single_active() {
            return self.push(place, Action::Drain(queue.name.clone().into_bytes()));
        }
        let fields = vec![
            ("queue", text(&queue.name)),
            ("consumer-tag", text(format!("last-{}", queue.name))),
            ("no-ack", flag(true)),
        ];
        self.call(place, "basic.consume", fields);
    }

    pub fn push(&mut self, place: Place, action: Action) {
        self.steps.push(Step {
            connection: place.0,
            channel: place.1,
            concurrent: false,
            action,
        });
    }

    pub fn call(&mut self, place: Place, name: &str, fields: Fields) {
        let method = spec::method(name);
        self.push(
            place,
            Action::Call {
                method,
                fields,
                content: None,
            },
        );
        let is_timed = !matches!(
            name,
            "queue.bind" | "exchange.declare" | "exchange.bind" | "basic.qos"
        );
        if self.timed && is_timed {
            self.pause();
        }
    }

    pub fn publish(&mut self, place: Place, fields: Fields, properties: Fields, part: Part) {
        self.messages += 1;
        let size = match self.random.below(20) {
            0 => 0,
            1 => 1,
            2 => 9_000,
            3 => 4_088,
            // Several of them fit what Warren keeps for one socket; beyond that consumers lose their turn.
            4 => 30_000,
            _ => 2 + self.random.below(40),
        };
        let content = Content {
            properties,
            body: Body {
                number: self.messages,
                size,
            },
            part,
        };
        self.push(
            place,
            Action::Call {
                method: spec::method("basic.publish"),
                fields,
                content: Some(content),
            },
        );
        if self.timed {
            self.pause();
        }
    }

    fn pause(&mut self) {
        self.push((0, 0), Action::Sleep(PAUSE));
    }

    pub fn place(&mut self) -> Place {
        let places = self.places.clone();
        self.random.pick(&places).copied().unwrap_or((0, 1))
    }

    /// A place of that connection, or any.
    pub fn place_of(&mut self, owner: Option<usize>) -> Place {
        let places = self.places.iter().copied();
        let places: Vec<Place> = match owner {
            Some(owner) => places.filter(|place| place.0 == owner).collect(),
            None => places.collect(),
        };
        self.random.pick(&places).copied().unwrap_or((0, 1))
    }

    /// Where something is received from the queue of that owner.
    pub fn receiving_place(&mut self, owner: Option<usize>) -> Place {
        let place = self.place_of(owner);
        match self.lone {
            true => (place.0, 1),
            false => place,
        }
    }

    pub fn fresh(&mut self, letter: char) -> String {
        self.names += 1;
        format!("%{letter}{}", self.names)
    }

    /// What the next server-named queue is called in the script, if the broker accepts it.
    pub fn generated(&mut self) -> String {
        self.generated += 1;
        format!("<gen {}>", self.generated - 1)
    }

    pub fn queue(&mut self) -> Option<Queue> {
        let queues = self.queues.clone();
        self.random.pick(&queues).cloned()
    }

    pub fn exchange(&mut self) -> Option<Exchange> {
        let exchanges = self.exchanges.clone();
        self.random.pick(&exchanges).cloned()
    }

    /// Almost always a queue that is there.
    pub fn queue_name(&mut self) -> String {
        match self.queue() {
            Some(queue) if !self.random.percent(2) => queue.name,
            Some(_) | None => "%missing".to_owned(),
        }
    }

    /// A source to bind to or to publish to.
    pub fn exchange_name(&mut self) -> String {
        match self.exchange() {
            Some(exchange) if self.random.percent(80) => exchange.name,
            // What everyone has, as far as its bindings can be told apart from other sessions'.
            Some(_) | None => {
                let known = ["amq.direct", "amq.topic"];
                self.random.one(known).to_owned()
            }
        }
    }
}
