//! Steps as programs make them, and their everyday mistakes.

use super::Feature;
use super::model::{Binding, Consumer, Exchange, Mode, Model, Place, Queue, flag, text};
use crate::codec::{Field, Fields, get};
use crate::script::{Action, Part};

impl Model {
    pub fn ordinary_step(&mut self) {
        match self.random.below(100) {
            0..5 => self.declare_queue(),
            5..8 => self.declare_exchange(),
            8..13 => self.bind(),
            13..15 => self.unbind(),
            15..43 => self.publish_somewhere(),
            43..52 => self.consume(),
            52..60 => self.get(),
            60..74 => self.settle(),
            74..77 => self.cancel(),
            77..80 => self.qos(),
            80..82 => self.purge(),
            82..85 => self.mode(),
            85..88 => self.finish_transaction(),
            88..90 => self.recover(),
            90..93 => self.declare_again(),
            93..95 => self.delete(),
            95..98 => self.leave(),
            _ => self.small_talk(),
        }
    }

    pub fn declare_queue(&mut self) {
        let place = self.place();
        let exclusive = self.random.percent(12);
        let arguments = self.queue_arguments();
        let server_named = self.random.percent(10);
        let no_wait = !server_named && self.random.percent(6);
        let (sent, name) = match server_named {
            true => (String::new(), self.generated()),
            false => {
                let name = self.fresh('q');
                (name.clone(), name)
            }
        };
        let mut fields: Fields = vec![("queue", text(sent))];
        for (name, share) in [("durable", 60), ("auto-delete", 10)] {
            if self.random.percent(share) {
                fields.push((name, flag(true)));
            }
        }
        if exclusive {
            fields.push(("exclusive", flag(true)));
        }
        if no_wait {
            fields.push(("no-wait", flag(true)));
        }
        if !arguments.is_empty() {
            fields.push(("arguments", Field::Table(arguments)));
        }
        self.call(place, "queue.declare", fields.clone());
        self.queues.push(Queue {
            name,
            owner: exclusive.then_some(place.0),
            declared: fields,
        });
    }

    pub fn declare_exchange(&mut self) {
        let place = self.place();
        let name = self.fresh('x');
        let kinds = ["direct", "fanout", "topic", "headers", "topic"];
        let kind = self.random.one(kinds);
        let arguments = self.exchange_arguments();
        let mut fields = vec![("exchange", text(&name)), ("type", text(kind))];
        for (name, share) in [
            ("durable", 50),
            ("auto-delete", 15),
            ("internal", 6),
            ("no-wait", 6),
        ] {
            if self.random.percent(share) {
                fields.push((name, flag(true)));
            }
        }
        if !arguments.is_empty() {
            fields.push(("arguments", Field::Table(arguments)));
        }
        self.call(place, "exchange.declare", fields.clone());
        self.exchanges.push(Exchange {
            name,
            kind,
            declared: fields,
        });
    }

    pub fn bind(&mut self) {
        let source = self.exchange_name();
        let own = self
            .exchanges
            .iter()
            .find(|one| one.name == source)
            .cloned();
        let headers = own
            .as_ref()
            .is_some_and(|exchange| exchange.kind == "headers");
        let arguments = self.match_arguments(headers);
        let key = self.binding_key();
        let key = own_key(&source, key);
        // A binding between exchanges that stay would stay.
        let to_exchange = own.is_some() && self.random.percent(25);
        let (method, mut fields, place) = match to_exchange {
            true => {
                let destination = self.exchange_name();
                let ends = vec![("destination", text(destination)), ("source", text(source))];
                ("exchange.bind", ends, self.place())
            }
            false => {
                let name = self.queue_name();
                let owner = self.queues.iter().find(|one| one.name == name);
                let owner = owner.and_then(|one| one.owner);
                let ends = vec![("queue", text(name)), ("exchange", text(source))];
                ("queue.bind", ends, self.place_of(owner))
            }
        };
        fields.push(("routing-key", text(key)));
        if !arguments.is_empty() {
            fields.push(("arguments", Field::Table(arguments)));
        }
        let binding = Binding {
            fields: fields.clone(),
            to_exchange,
        };
        self.bindings.push(binding);
        if self.random.percent(5) {
            fields.push(("no-wait", flag(true)));
        }
        self.call(place, method, fields);
    }

    fn unbind(&mut self) {
        let bindings = self.bindings.clone();
        let Some(binding) = self.random.pick(&bindings) else {
            return;
        };
        let place = self.place();
        let mut fields = binding.fields.clone();
        if self.random.percent(10) {
            fields.retain(|(name, _)| *name != "routing-key");
        }
        let method = match binding.to_exchange {
            true => "exchange.unbind",
            false => "queue.unbind",
        };
        self.call(place, method, fields);
    }

    pub fn publish_somewhere(&mut self) {
        let place = self.place();
        let (exchange, key) = match self.random.below(10) {
            0..5 => (String::new(), self.queue_name()),
            5..9 => {
                let exchange = self.exchange_name();
                let key = self.routing_key();
                let key = own_key(&exchange, key);
                (exchange, key)
            }
            _ => (String::new(), self.routing_key()),
        };
        let mut fields = vec![("exchange", text(exchange)), ("routing-key", text(key))];
        if self.random.percent(15) {
            fields.push(("mandatory", flag(true)));
        }
        let properties = self.properties();
        for _ in 0..1 + self.random.below(3) {
            self.publish(place, fields.clone(), properties.clone(), Part::Whole);
        }
    }

    fn consume(&mut self) {
        let Some(queue) = self.queue() else {
            return;
        };
        let is_taken = self.consumers.iter().any(|one| one.queue == queue.name);
        if is_taken && !self.features.has(Feature::Rotation) {
            return self.publish_somewhere();
        }
        let place = self.receiving_place(queue.owner);
        let generated = self.random.percent(10);
        let tag = match generated {
            true => String::new(),
            false => format!("tag-{}", self.consumers.len() + 1),
        };
        let mut fields = vec![("queue", text(&queue.name)), ("consumer-tag", text(&tag))];
        for (name, share) in [("no-ack", 35), ("exclusive", 6), ("no-local", 5)] {
            if self.random.percent(share) {
                fields.push((name, flag(true)));
            }
        }
        if !generated && self.random.percent(5) {
            fields.push(("no-wait", flag(true)));
        }
        let arguments = self.consume_arguments();
        if !arguments.is_empty() {
            fields.push(("arguments", Field::Table(arguments)));
        }
        self.call(place, "basic.consume", fields);
        let tag = if generated {
            "<ctag 0>".to_owned()
        } else {
            tag
        };
        let queue = queue.name;
        self.consumers.push(Consumer { place, tag, queue });
        self.receivers.push(place);
    }

    fn get(&mut self) {
        let name = self.queue_name();
        let queue = self.queues.iter().find(|one| one.name == name);
        // Refused there, which ends the comparison.
        if queue.is_some_and(Queue::is_single_active) && self.random.percent(90) {
            return self.consume();
        }
        let queue = self.queues.iter().find(|one| one.name == name);
        let owner = queue.and_then(|one| one.owner);
        let place = self.receiving_place(owner);
        let mut fields = vec![("queue", text(name))];
        if self.random.percent(40) {
            fields.push(("no-ack", flag(true)));
        }
        self.call(place, "basic.get", fields);
        self.receivers.push(place);
    }

    fn settle(&mut self) {
        let receivers = self.receivers.clone();
        let Some(place) = self.random.pick(&receivers).copied() else {
            return self.publish_somewhere();
        };
        let tag = match self.random.below(50) {
            0 => Field::Number(0),
            1 => Field::Number(77),
            _ => Field::Unacked(self.random.below(3)),
        };
        let all = tag == Field::Number(0);
        let multiple = flag(all || self.random.percent(25));
        let requeue = flag(self.random.percent(50));
        let tag = ("delivery-tag", tag);
        match self.random.below(10) {
            0..5 => self.call(place, "basic.ack", vec![tag, ("multiple", multiple)]),
            5..8 => {
                let fields = vec![tag, ("multiple", multiple), ("requeue", requeue)];
                self.call(place, "basic.nack", fields);
            }
            _ => self.call(place, "basic.reject", vec![tag, ("requeue", requeue)]),
        }
    }

    fn cancel(&mut self) {
        let consumers = self.consumers.clone();
        let Some(consumer) = self.random.pick(&consumers) else {
            return;
        };
        let mut fields = vec![("consumer-tag", text(&consumer.tag))];
        if self.random.percent(8) {
            fields.push(("no-wait", flag(true)));
        }
        let mut place = consumer.place;
        if self.random.percent(5) {
            place = self.place();
        }
        self.call(place, "basic.cancel", fields);
    }

    fn qos(&mut self) {
        let place = self.place();
        let count = self.random.one([0, 1, 1, 2, 3, 10, 65_535]);
        let fields = vec![
            ("prefetch-count", Field::Number(count)),
            ("global", flag(self.random.percent(35))),
        ];
        self.call(place, "basic.qos", fields);
    }

    fn purge(&mut self) {
        let name = self.queue_name();
        let place = self.place();
        self.call(place, "queue.purge", vec![("queue", text(name))]);
    }

    fn mode(&mut self) {
        let place = self.place();
        let transactions = self.features.has(Feature::Transactions);
        if transactions && self.random.percent(35) {
            self.modes.insert(place, Mode::Transactions);
            self.call(place, "tx.select", Vec::new());
        } else {
            self.modes.insert(place, Mode::Confirms);
            let no_wait = flag(self.random.percent(10));
            self.call(place, "confirm.select", vec![("no-wait", no_wait)]);
        }
    }

    fn finish_transaction(&mut self) {
        let modes = self.modes.iter();
        let places = modes.filter(|(_, mode)| **mode == Mode::Transactions);
        let places: Vec<Place> = places.map(|(place, _)| *place).collect();
        let Some(place) = self.random.pick(&places).copied() else {
            return self.publish_somewhere();
        };
        let method = self.random.one(["tx.commit", "tx.commit", "tx.rollback"]);
        self.call(place, method, Vec::new());
    }

    fn recover(&mut self) {
        let receivers = self.receivers.clone();
        if let Some(place) = self.random.pick(&receivers).copied() {
            let method = self.random.one(["basic.recover", "basic.recover-async"]);
            self.call(place, method, vec![("requeue", flag(true))]);
        }
    }

    /// The same, or something else, under a name that is taken.
    fn declare_again(&mut self) {
        let place = self.place();
        let passive = self.random.percent(40);
        let (method, mut fields) = match (self.random.percent(60), self.queue(), self.exchange()) {
            (true, Some(queue), _) => {
                let mut fields = queue.declared;
                fields[0].1 = text(&queue.name);
                ("queue.declare", fields)
            }
            (_, _, Some(exchange)) => ("exchange.declare", exchange.declared),
            (_, _, None) => return,
        };
        if passive {
            fields.retain(|(name, _)| matches!(*name, "queue" | "exchange"));
            fields.push(("passive", flag(true)));
        } else if self.random.percent(35) {
            let name = self.random.one(["durable", "auto-delete"]);
            let was = get(&fields, name).is_some();
            fields.retain(|(field, _)| *field != name);
            if !was {
                fields.push((name, flag(true)));
            }
        }
        self.call(place, method, fields);
    }

    fn delete(&mut self) {
        let place = self.place();
        let mut fields = Fields::new();
        let queue = self.random.percent(60);
        for (name, of_queues) in [("if-unused", false), ("if-empty", true)] {
            if self.random.percent(25) && (queue || !of_queues) {
                fields.push((name, flag(true)));
            }
        }
        if queue {
            fields.push(("queue", text(self.queue_name())));
            self.call(place, "queue.delete", fields);
        } else {
            fields.push(("exchange", text(self.exchange_name_of_own())));
            self.call(place, "exchange.delete", fields);
        }
    }

    fn exchange_name_of_own(&mut self) -> String {
        let own = self.exchange().map(|exchange| exchange.name);
        own.unwrap_or_else(|| "%missing".to_owned())
    }

    /// A channel or a connection ends, in order or without a word.
    fn leave(&mut self) {
        let place = self.place();
        let close = vec![
            ("reply-code", Field::Number(200)),
            ("reply-text", text("bye")),
        ];
        match self.random.below(if self.lone { 10 } else { 6 }) {
            0..6 => {
                self.modes.remove(&place);
                self.call(place, "channel.close", close);
            }
            6..8 => self.call((place.0, 0), "connection.close", close),
            _ => self.push((place.0, 0), Action::Drop),
        }
        if place.1 != 0 {
            self.modes.retain(|other, _| other.0 != place.0);
        }
    }

    fn small_talk(&mut self) {
        let place = self.place();
        // The last of them ends the connection.
        match self.random.below(if self.lone { 3 } else { 2 }) {
            0 => self.call(place, "channel.flow", vec![("active", flag(true))]),
            1 => {
                let fields = vec![("realm", text("/data")), ("active", flag(true))];
                self.call(place, "access.request", fields);
            }
            _ => self.call(place, "channel.open", Vec::new()),
        }
    }
}

/// At exchanges that all sessions share, keys begin with a word of the session's own.
fn own_key(exchange: &str, key: String) -> String {
    match exchange.starts_with("amq.") {
        true => format!("%.{key}"),
        false => key,
    }
}
