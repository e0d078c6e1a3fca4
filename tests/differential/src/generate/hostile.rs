//! Steps that break a rule.

use super::Feature;
use super::model::{Model, Place, flag, text};
use crate::codec::{Field, Fields};
use crate::player::NEVER_OPENED;
use crate::script::{Action, Part};
use crate::value::{Table, Value};

impl Model {
    pub fn hostile_step(&mut self) {
        match self.random.below(30) {
            0..3 => self.wrong_arguments(),
            3..6 => self.reserved_names(),
            6..9 => self.odd_names(),
            9..13 => self.wrong_tags(),
            13..15 => self.tag_again(),
            15..18 => self.wrong_order(),
            18..21 => self.half_content(),
            21..23 => self.unknown_method(),
            23..24 => self.malformed(),
            24..26 => self.not_implemented(),
            26..28 => self.wrong_properties(),
            28..29 => self.default_exchange(),
            _ => {
                let place = self.place();
                self.push((place.0, 0), Action::Drop);
            }
        }
    }

    fn wrong_arguments(&mut self) {
        if !self.features.has(Feature::Validation) {
            return self.odd_names();
        }
        let place = self.place();
        match self.random.below(5) {
            0..3 => {
                let name = self.fresh('q');
                let argument = self.wrong_queue_argument();
                let fields = vec![
                    ("queue", text(name)),
                    ("durable", flag(self.random.percent(50))),
                    ("arguments", Field::Table(vec![argument])),
                ];
                self.call(place, "queue.declare", fields);
            }
            3 => {
                let value = self.value(1);
                let fields = vec![
                    ("exchange", text(self.fresh('x'))),
                    ("type", text("direct")),
                    ("arguments", argument("alternate-exchange", value)),
                ];
                self.call(place, "exchange.declare", fields);
            }
            _ => {
                let value = self.value(1);
                let name = self.random.one(["x-priority", "x-cancel-on-ha-failover"]);
                let fields = vec![
                    ("queue", text(self.queue_name())),
                    ("no-ack", flag(true)),
                    ("arguments", argument(name, value)),
                ];
                self.call(place, "basic.consume", fields);
            }
        }
    }

    fn reserved_names(&mut self) {
        let place = self.place();
        let name = self
            .random
            .one(["amq.nothing", "amq.", "amq.direct", "amq.gen-made-up"]);
        let passive = flag(self.random.percent(25));
        match self.random.below(4) {
            0 => {
                let fields = vec![("queue", text(name)), ("passive", passive)];
                self.call(place, "queue.declare", fields);
            }
            1 => {
                let fields = vec![
                    ("exchange", text(name)),
                    ("type", text(self.random.one(["direct", "topic"]))),
                    ("passive", passive),
                    ("durable", flag(self.random.percent(60))),
                ];
                self.call(place, "exchange.declare", fields);
            }
            2 => self.call(place, "exchange.delete", vec![("exchange", text(name))]),
            _ => self.call(place, "queue.delete", vec![("queue", text(name))]),
        }
    }

    fn odd_names(&mut self) {
        let place = self.place();
        let long = "n".repeat(255);
        let odd: [&[u8]; 6] = [
            b"%odd\r\n1",
            b"%odd 'quoted' \"twice\"",
            b"%odd\x00\xff",
            b"%\xc3\xa9\xe2\x82\xac",
            b"%odd~p{1}",
            long.as_bytes(),
        ];
        let mut name = self.random.one(odd);
        if !self.features.has(Feature::Octets) && std::str::from_utf8(name).is_err() {
            name = odd[0];
        }
        // The long one has no prefix of its own, so nothing may be made under it.
        let make = name != long.as_bytes();
        match self.random.below(5) {
            0 if make => self.call(place, "queue.declare", vec![("queue", text(name))]),
            1 if make => {
                let fields = vec![("exchange", text(name)), ("type", text("fanout"))];
                self.call(place, "exchange.declare", fields);
            }
            0 | 1 => {
                let fields = vec![("queue", text(name)), ("passive", flag(true))];
                self.call(place, "queue.declare", fields);
            }
            2 => {
                let fields = vec![("exchange", text("")), ("routing-key", text(name))];
                self.publish(place, fields, Fields::new(), Part::Whole);
            }
            3 => self.call(place, "basic.get", vec![("queue", text(name))]),
            _ => {
                let fields = vec![
                    ("queue", text(self.queue_name())),
                    ("consumer-tag", text(name)),
                    ("no-ack", flag(true)),
                ];
                self.call(place, "basic.consume", fields);
            }
        }
    }

    fn wrong_tags(&mut self) {
        let receivers = self.receivers.clone();
        let place = self.random.pick(&receivers).copied();
        let place = place.unwrap_or((0, 1));
        let tag = self.random.one([0, 1, 1, 2, 3, 1 << 40, u64::MAX]);
        let method = self.random.one(["basic.ack", "basic.nack", "basic.reject"]);
        let mut fields = vec![("delivery-tag", Field::Number(tag))];
        if method != "basic.reject" {
            fields.push(("multiple", flag(self.random.percent(40))));
        }
        if method != "basic.ack" {
            fields.push(("requeue", flag(self.random.percent(40))));
        }
        self.call(place, method, fields.clone());
        if self.random.percent(30) {
            self.call(place, method, fields);
        }
    }

    fn tag_again(&mut self) {
        let consumers = self.consumers.clone();
        let Some(consumer) = self.random.pick(&consumers) else {
            return self.wrong_tags();
        };
        let fields = vec![
            ("queue", text(self.queue_name())),
            ("consumer-tag", text(&consumer.tag)),
        ];
        self.call(consumer.place, "basic.consume", fields);
    }

    fn wrong_order(&mut self) {
        let place = self.place();
        let unopened: Place = (place.0, NEVER_OPENED + self.random.below(3) as u16);
        match self.random.below(12) {
            0 => self.call(place, "channel.open", Vec::new()),
            1 => self.call(unopened, "queue.declare", vec![("queue", text(""))]),
            2 => self.call(unopened, "channel.close", Vec::new()),
            3 => self.call(place, "tx.commit", Vec::new()),
            4 => self.call(place, "tx.rollback", Vec::new()),
            5 => {
                self.call(place, "tx.select", Vec::new());
                self.call(place, "confirm.select", Vec::new());
            }
            6 => {
                self.call(place, "confirm.select", Vec::new());
                self.call(place, "tx.select", Vec::new());
            }
            7 => self.call(place, "channel.open-ok", Vec::new()),
            8 => self.call(place, "basic.get-empty", Vec::new()),
            9 => self.call((place.0, 0), "queue.declare", vec![("queue", text(""))]),
            10 => self.call((place.0, 0), "connection.tune-ok", Vec::new()),
            _ => self.call(place, "connection.close", Vec::new()),
        }
    }

    fn half_content(&mut self) {
        let place = self.place();
        let parts = [Part::OnlyMethod, Part::OnlyHeader, Part::HalfBody];
        let part = match self.random.percent(5) {
            true => Part::LongBody,
            false => self.random.one(parts),
        };
        let fields = vec![
            ("exchange", text("")),
            ("routing-key", text(self.queue_name())),
        ];
        self.publish(place, fields, Fields::new(), part);
        match self.random.below(3) {
            0 => self.push((place.0, 0), Action::Drop),
            1 => self.get_there(place),
            _ => {
                let close = vec![("reply-code", Field::Number(200))];
                self.call(place, "channel.close", close);
            }
        }
    }

    fn get_there(&mut self, place: Place) {
        let name = self.queue_name();
        self.call(place, "basic.get", vec![("queue", text(name))]);
    }

    fn unknown_method(&mut self) {
        let place = self.place();
        let payloads: [&[u8]; 8] = [
            &[0, 60, 0, 99],
            &[0, 99, 0, 1],
            &[0, 50, 0, 10],
            &[0, 50, 0, 10, 0, 0, 200, 1, 2],
            &[0, 60],
            &[],
            &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 20, 0, 20],
        ];
        let payload = self.random.one(payloads).to_vec();
        let kind = self.random.one([1, 1, 1, 2, 3]);
        self.push(place, Action::Frame { kind, payload });
    }

    fn malformed(&mut self) {
        let place = self.place();
        let octets: [&[u8]; 7] = [
            &[1, 0, 1, 0, 0, 0, 4, 0, 20, 0, 10, 0],
            &[9, 0, 1, 0, 0, 0, 0, 206],
            &[8, 0, 1, 0, 0, 0, 0, 206],
            &[8, 0, 0, 0, 0, 0, 1, 0, 206],
            &[1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0],
            &[1, 0, 1],
            b"AMQP\x00\x00\x09\x01",
        ];
        let octets = self.random.one(octets).to_vec();
        self.push((place.0, 0), Action::Octets(octets));
    }

    fn not_implemented(&mut self) {
        let place = self.place();
        match self.random.below(5) {
            0 => {
                let fields = vec![("prefetch-size", Field::Number(10))];
                self.call(place, "basic.qos", fields);
            }
            1 => self.call(place, "basic.recover", vec![("requeue", flag(false))]),
            2 => self.call(place, "channel.flow", vec![("active", flag(false))]),
            3 => {
                let fields = vec![
                    ("exchange", text("")),
                    ("routing-key", text(self.queue_name())),
                    ("immediate", flag(true)),
                ];
                self.publish(place, fields, Fields::new(), Part::Whole);
            }
            _ => {
                let fields = vec![
                    ("exchange", text(self.fresh('x'))),
                    ("type", text(self.random.one(["unknown", "", "x-none"]))),
                ];
                self.call(place, "exchange.declare", fields);
            }
        }
    }

    fn wrong_properties(&mut self) {
        let place = self.place();
        let fields = vec![
            ("exchange", text("")),
            ("routing-key", text(self.queue_name())),
        ];
        let mut properties = Fields::new();
        match self.random.below(9) {
            4 => properties.push(("delivery-mode", Field::Number(self.random.one([0, 3, 255])))),
            0 if self.features.has(Feature::Ttl) => {
                let wrong = [
                    "-1",
                    "abc",
                    "",
                    "1.5",
                    "4294967296",
                    " 5",
                    "5 ",
                    "+5",
                    "007",
                ];
                properties.push(("expiration", text(self.random.one(wrong))));
            }
            1 if self.features.has(Feature::Copies) => {
                let value = self.value(1);
                let name = self.random.one(["CC", "BCC"]);
                properties.push(("headers", argument(name, value)));
            }
            2 if self.features.has(Feature::UserId) => {
                properties.push(("user-id", text(self.random.one(["", "root", "guest\0"]))));
            }
            _ => {
                let value = made_up_death(self.value(2));
                properties.push(("headers", argument("x-death", value)));
            }
        }
        self.publish(place, fields, properties, Part::Whole);
    }

    fn default_exchange(&mut self) {
        let place = self.place();
        let queue = self.queue_name();
        match self.random.below(4) {
            0 => {
                let fields = vec![("queue", text(queue)), ("routing-key", text("a"))];
                self.call(place, "queue.bind", fields);
            }
            1 => {
                let fields = vec![("queue", text(&queue)), ("routing-key", text(&queue))];
                self.call(place, "queue.unbind", fields);
            }
            2 => self.call(place, "exchange.delete", vec![("exchange", text(""))]),
            _ => {
                let fields = vec![("exchange", text("")), ("type", text("direct"))];
                self.call(place, "exchange.declare", fields);
            }
        }
    }
}

fn argument(name: &str, value: Value) -> Field {
    let table: Table = vec![(name.as_bytes().to_vec(), value)];
    Field::Table(table)
}

/// A queue of RabbitMQ crashes over an x-death whose entries are not tables, and loses what it has.
fn made_up_death(value: Value) -> Value {
    let Value::Array(entries) = value else {
        return value;
    };
    let tables = entries.into_iter().map(|entry| match entry {
        table @ Value::Table(_) => table,
        other => Value::Table(vec![(b"inner".to_vec(), other)]),
    });
    Value::Array(tables.collect())
}
