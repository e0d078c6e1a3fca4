//! Argument tables, properties and headers, good and bad.

use super::Feature;
use super::model::{Model, NEVER, SOON, text};
use crate::codec::{Field, Fields};
use crate::value::{Table, Value};

fn entry(key: &str, value: Value) -> (Vec<u8>, Value) {
    (key.as_bytes().to_vec(), value)
}

impl Model {
    /// A number as clients write it: in one of the widths.
    fn integer(&mut self, number: u64) -> Value {
        let letter = self.random.one([b'I', b'l', b'I', b's', b'i']);
        match letter {
            b's' if number > 0x7fff => Value::Integer(b'l', number as i64),
            letter => Value::Integer(letter, number as i64),
        }
    }

    fn time(&mut self) -> u64 {
        match self.timed {
            true => self.random.one([SOON, SOON, 0, NEVER]),
            false => self.random.one([0, NEVER, NEVER]),
        }
    }

    pub fn queue_arguments(&mut self) -> Table {
        let mut arguments = Table::new();
        let has = |model: &Model, feature| model.features.has(feature);
        if has(self, Feature::Ttl) && self.random.percent(if self.timed { 50 } else { 8 }) {
            let time = self.time();
            let time = self.integer(time);
            arguments.push(entry("x-message-ttl", time));
        }
        if has(self, Feature::Expires) && self.random.percent(if self.timed { 15 } else { 5 }) {
            let time = if self.timed { 70 } else { NEVER };
            let time = self.integer(time);
            arguments.push(entry("x-expires", time));
        }
        if has(self, Feature::Limits) && self.random.percent(20) {
            self.limits(&mut arguments);
        }
        if has(self, Feature::DeadLetter) && self.random.percent(40) {
            self.dead_letter(&mut arguments);
        }
        if has(self, Feature::Priority) && self.random.percent(12) {
            let levels = 1 + self.random.below(10) as u64;
            let levels = self.integer(levels);
            arguments.push(entry("x-max-priority", levels));
        }
        if has(self, Feature::SingleActive) && self.random.percent(10) {
            arguments.push(entry("x-single-active-consumer", Value::Bool(true)));
        }
        if self.random.percent(8) {
            let value = self.value(1);
            arguments.push(entry(self.random.one(["x-unknown", "unknown"]), value));
        }
        if has(self, Feature::Validation) && self.random.percent(5) {
            // See the list of deliberate differences.
            let dies = arguments
                .iter()
                .any(|(key, _)| key == b"x-dead-letter-exchange");
            let modes = if dies {
                ["default"; 2]
            } else {
                ["lazy", "default"]
            };
            let mode = self.random.one(modes);
            arguments.push(entry("x-queue-mode", Value::text(mode)));
        }
        if has(self, Feature::Quorum) && self.random.percent(8) {
            arguments.push(entry("x-queue-type", Value::text("quorum")));
            // See the list of deliberate differences.
            let timed = self.timed;
            arguments.retain(|(key, _)| match &key[..] {
                b"x-expires" => !timed,
                b"x-overflow" => false,
                _ => true,
            });
        } else if has(self, Feature::Validation) && self.random.percent(4) {
            arguments.push(entry("x-queue-type", Value::text("classic")));
        }
        arguments
    }

    fn limits(&mut self, arguments: &mut Table) {
        if self.random.percent(70) {
            let length = self.random.below(5) as u64;
            let length = self.integer(length);
            arguments.push(entry("x-max-length", length));
        } else {
            let length = self.random.below(80) as u64;
            let length = self.integer(length);
            arguments.push(entry("x-max-length-bytes", length));
        }
        if self.random.percent(60) {
            let modes = ["drop-head", "reject-publish", "reject-publish-dlx"];
            let mode = self.random.one(modes);
            arguments.push(entry("x-overflow", Value::text(mode)));
        }
    }

    fn dead_letter(&mut self, arguments: &mut Table) {
        let exchange = match self.random.below(10) {
            0..6 => String::new(),
            6..9 => self.exchange_name(),
            _ => "%missing".to_owned(),
        };
        let to_a_queue = exchange.is_empty();
        arguments.push(entry("x-dead-letter-exchange", Value::text(&exchange)));
        if to_a_queue || self.random.percent(40) {
            let key = match self.random.percent(80) {
                true => self.queue_name(),
                false => self.routing_key(),
            };
            arguments.push(entry("x-dead-letter-routing-key", Value::text(&key)));
        }
    }

    pub fn exchange_arguments(&mut self) -> Table {
        let mut arguments = Table::new();
        if self.features.has(Feature::Alternate) && self.random.percent(20) {
            let exchange = match self.random.percent(90) {
                true => self.exchange_name(),
                false => "%missing".to_owned(),
            };
            arguments.push(entry("alternate-exchange", Value::text(&exchange)));
        }
        if self.random.percent(8) {
            let value = self.value(1);
            arguments.push(entry("x-unknown", value));
        }
        arguments
    }

    pub fn consume_arguments(&mut self) -> Table {
        let mut arguments = Table::new();
        if self.features.has(Feature::ConsumerPriority) && self.random.percent(20) {
            let priority = self.random.below(4) as i64 - 1;
            let letter = self.random.one([b'I', b'l']);
            arguments.push(entry("x-priority", Value::Integer(letter, priority)));
        }
        arguments
    }

    /// For a binding: what headers exchanges compare, and others ignore.
    pub fn match_arguments(&mut self, headers: bool) -> Table {
        let mut arguments = Table::new();
        if !headers {
            if self.random.percent(5) {
                arguments.push(entry("x-anything", Value::Integer(b'I', 1)));
            }
            return arguments;
        }
        if self.random.percent(80) {
            let modes = ["all", "any", "all", "any", "all-with-x", "any-with-x"];
            let mode = self.random.one(modes);
            arguments.push(entry("x-match", Value::text(mode)));
        }
        self.few_headers(&mut arguments);
        arguments
    }

    /// A few names and values, so that messages and bindings meet.
    fn few_headers(&mut self, table: &mut Table) {
        for name in ["h1", "h2", "x-h3"] {
            if self.random.percent(45) {
                let value = match self.random.below(8) {
                    0 => Value::Integer(b'b', 5),
                    1 => Value::Integer(b'l', 5),
                    2 => Value::Integer(b'I', 6),
                    // Not a whole one, see the list of deliberate differences.
                    3 => Value::Float(b'd', 5.5),
                    4 => Value::Void,
                    5 => Value::Bool(true),
                    _ => Value::text("v"),
                };
                table.push(entry(name, value));
            }
        }
    }

    pub fn routing_key(&mut self) -> String {
        let keys = ["a", "b", "a.b", "a.b.c", "", "b.c", "a..c", "é"];
        self.random.one(keys).to_owned()
    }

    pub fn binding_key(&mut self) -> String {
        let keys = [
            "a", "b", "a.b", "#", "*", "a.*", "*.b", "a.#", "#.c", "a.*.c", "", "#.b.#",
        ];
        self.random.one(keys).to_owned()
    }

    /// Any value that a table may have.
    pub fn value(&mut self, depth: usize) -> Value {
        let number = self.random.draw();
        match self.random.below(if depth == 0 { 15 } else { 17 }) {
            0 => Value::Bool(number & 1 == 1),
            1 => Value::Integer(b'b', number as i8 as i64),
            2 => Value::Integer(b's', number as i16 as i64),
            3 => Value::Integer(b'I', number as i32 as i64),
            4 => Value::Integer(b'l', number as i64),
            5 => Value::Integer(b'B', number as u8 as i64),
            6 => Value::Integer(b'u', number as u16 as i64),
            7 => Value::Integer(b'i', number as u32 as i64),
            8 => Value::Float(b'f', self.random.one([0.0, 1.5, -2.25])),
            9 => Value::Float(b'd', self.random.one([0.0, 0.1, -1e300])),
            10 => Value::Decimal(2, number as u32 >> 1),
            11 => Value::Text(b'x', vec![0, 0xff, number as u8]),
            12 => Value::Time(number >> 32),
            13 => Value::Void,
            14 => Value::text("text"),
            15 => Value::Array(vec![self.value(depth - 1), self.value(depth - 1)]),
            _ => Value::Table(vec![entry("inner", self.value(depth - 1))]),
        }
    }

    pub fn properties(&mut self) -> Fields {
        let mut properties = Fields::new();
        if self.random.percent(35) {
            let headers = self.headers();
            properties.push(("headers", Field::Table(headers)));
        }
        if self.random.percent(50) {
            let mode = self.random.one([2, 2, 2, 1, 1]);
            properties.push(("delivery-mode", Field::Number(mode)));
        }
        if self
            .random
            .percent(if self.features.has(Feature::Priority) {
                40
            } else {
                8
            })
        {
            let priority = self.random.one([0, 1, 2, 5, 9, 255]);
            properties.push(("priority", Field::Number(priority)));
        }
        let ttl = self.features.has(Feature::Ttl);
        if ttl && self.random.percent(if self.timed { 40 } else { 10 }) {
            let time = self.time();
            properties.push(("expiration", text(time.to_string())));
        }
        if self.features.has(Feature::UserId) && self.random.percent(6) {
            properties.push((
                "user-id",
                text(self.random.one(["guest", "guest", "other"])),
            ));
        }
        if self.random.percent(10) {
            properties.push(("reply-to", text("%q1")));
        }
        for name in [
            "content-type",
            "content-encoding",
            "correlation-id",
            "message-id",
            "type",
        ] {
            if self.random.percent(10) {
                properties.push((
                    name,
                    text(self.random.one(["", "text/plain", "\u{e9}\u{0}"])),
                ));
            }
        }
        for name in ["app-id", "cluster-id"] {
            if self.random.percent(6) {
                properties.push((name, text("here")));
            }
        }
        if self.random.percent(10) {
            let time = self.random.one([0, 1_700_000_000, u64::MAX >> 1]);
            properties.push(("timestamp", Field::Number(time)));
        }
        properties
    }

    fn headers(&mut self) -> Table {
        let mut headers = Table::new();
        self.few_headers(&mut headers);
        for name in ["any", "x-other"] {
            if self.random.percent(25) {
                let value = self.value(2);
                headers.push(entry(name, value));
            }
        }
        if self.features.has(Feature::Copies) {
            for name in ["CC", "BCC"] {
                if self.random.percent(20) {
                    let first = Value::text(&self.queue_name());
                    let second = Value::text(&self.routing_key());
                    let keys = match self.random.percent(50) {
                        true => vec![first],
                        false => vec![first, second],
                    };
                    headers.push(entry(name, Value::Array(keys)));
                }
            }
        }
        headers
    }

    /// A known argument with a value that is not meant for it.
    pub fn wrong_queue_argument(&mut self) -> (Vec<u8>, Value) {
        let names = [
            "x-message-ttl",
            "x-expires",
            "x-max-length",
            "x-max-length-bytes",
            "x-overflow",
            "x-dead-letter-exchange",
            "x-dead-letter-routing-key",
            "x-max-priority",
            "x-single-active-consumer",
            "x-queue-mode",
            "x-queue-type",
        ];
        let name = self.random.one(names);
        let value = match self.random.below(12) {
            0 => Value::Integer(b'I', -1),
            1 => Value::Integer(b'l', 4_294_967_296),
            2 => Value::Integer(b'l', i64::MIN),
            3 => Value::Integer(b'I', 0),
            4 => Value::Integer(b'I', 256),
            5 => Value::text("10"),
            6 => Value::text("unknown"),
            7 => Value::Float(b'd', 1.5),
            8 => Value::Bool(true),
            9 => Value::Void,
            10 => Value::Time(5),
            _ => Value::Array(vec![Value::text("a")]),
        };
        entry(name, value)
    }
}
