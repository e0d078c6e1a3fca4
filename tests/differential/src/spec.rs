//! The methods and properties of AMQP 0-9-1 as a table: what is on the wire, by name. It is written
//! down apart from the broker's own codec on purpose, so that a mistake there is not repeated here.
//! Not a codec: `codec` reads and writes by this table.

use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bit,
    Octet,
    Short,
    Long,
    LongLong,
    ShortText,
    LongText,
    Table,
}

#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug)]
pub struct Method {
    pub class: u16,
    pub id: u16,
    pub name: &'static str,
    pub parameters: Vec<Parameter>,
}

impl Method {
    pub fn has_content(&self) -> bool {
        matches!(
            self.name,
            "basic.publish" | "basic.return" | "basic.deliver" | "basic.get-ok"
        )
    }

    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|one| one.name == name)
    }
}

pub static METHODS: LazyLock<Vec<Method>> =
    LazyLock::new(|| SPEC.lines().filter_map(row).collect());

pub static PROPERTIES: LazyLock<Vec<Parameter>> = LazyLock::new(|| {
    PROPERTY_SPEC
        .split_whitespace()
        .filter_map(parameter)
        .collect()
});

/// The method of that name. The names are written in this crate: a wrong one is a mistake in it.
pub fn method(name: &str) -> &'static Method {
    let found = METHODS.iter().find(|method| method.name == name);
    match found {
        Some(method) => method,
        None => panic!("there is no method {name}"),
    }
}

pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

pub fn by_ids(class: u16, id: u16) -> Option<&'static Method> {
    let mut methods = METHODS.iter();
    methods.find(|method| method.class == class && method.id == id)
}

fn row(line: &'static str) -> Option<Method> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let class = words.next()?.parse().ok()?;
    let id = words.next()?.parse().ok()?;
    Some(Method {
        class,
        id,
        name,
        parameters: words.filter_map(parameter).collect(),
    })
}

fn parameter(word: &'static str) -> Option<Parameter> {
    let (name, kind) = word.split_once(':')?;
    let kind = match kind {
        "bit" => Kind::Bit,
        "octet" => Kind::Octet,
        "short" => Kind::Short,
        "long" => Kind::Long,
        "longlong" => Kind::LongLong,
        "text" => Kind::ShortText,
        "longtext" => Kind::LongText,
        "table" => Kind::Table,
        _ => return None,
    };
    Some(Parameter { name, kind })
}

const SPEC: &str = "
connection.start 10 10 version-major:octet version-minor:octet server-properties:table mechanisms:longtext locales:longtext
connection.start-ok 10 11 client-properties:table mechanism:text response:longtext locale:text
connection.secure 10 20 challenge:longtext
connection.secure-ok 10 21 response:longtext
connection.tune 10 30 channel-max:short frame-max:long heartbeat:short
connection.tune-ok 10 31 channel-max:short frame-max:long heartbeat:short
connection.open 10 40 virtual-host:text reserved-1:text reserved-2:bit
connection.open-ok 10 41 reserved-1:text
connection.close 10 50 reply-code:short reply-text:text class-id:short method-id:short
connection.close-ok 10 51
connection.blocked 10 60 reason:text
connection.unblocked 10 61
connection.update-secret 10 70 new-secret:longtext reason:text
connection.update-secret-ok 10 71
channel.open 20 10 reserved-1:text
channel.open-ok 20 11 reserved-1:longtext
channel.flow 20 20 active:bit
channel.flow-ok 20 21 active:bit
channel.close 20 40 reply-code:short reply-text:text class-id:short method-id:short
channel.close-ok 20 41
access.request 30 10 realm:text exclusive:bit passive:bit active:bit write:bit read:bit
access.request-ok 30 11 ticket:short
exchange.declare 40 10 reserved-1:short exchange:text type:text passive:bit durable:bit auto-delete:bit internal:bit no-wait:bit arguments:table
exchange.declare-ok 40 11
exchange.delete 40 20 reserved-1:short exchange:text if-unused:bit no-wait:bit
exchange.delete-ok 40 21
exchange.bind 40 30 reserved-1:short destination:text source:text routing-key:text no-wait:bit arguments:table
exchange.bind-ok 40 31
exchange.unbind 40 40 reserved-1:short destination:text source:text routing-key:text no-wait:bit arguments:table
exchange.unbind-ok 40 51
queue.declare 50 10 reserved-1:short queue:text passive:bit durable:bit exclusive:bit auto-delete:bit no-wait:bit arguments:table
queue.declare-ok 50 11 queue:text message-count:long consumer-count:long
queue.bind 50 20 reserved-1:short queue:text exchange:text routing-key:text no-wait:bit arguments:table
queue.bind-ok 50 21
queue.purge 50 30 reserved-1:short queue:text no-wait:bit
queue.purge-ok 50 31 message-count:long
queue.delete 50 40 reserved-1:short queue:text if-unused:bit if-empty:bit no-wait:bit
queue.delete-ok 50 41 message-count:long
queue.unbind 50 50 reserved-1:short queue:text exchange:text routing-key:text arguments:table
queue.unbind-ok 50 51
basic.qos 60 10 prefetch-size:long prefetch-count:short global:bit
basic.qos-ok 60 11
basic.consume 60 20 reserved-1:short queue:text consumer-tag:text no-local:bit no-ack:bit exclusive:bit no-wait:bit arguments:table
basic.consume-ok 60 21 consumer-tag:text
basic.cancel 60 30 consumer-tag:text no-wait:bit
basic.cancel-ok 60 31 consumer-tag:text
basic.publish 60 40 reserved-1:short exchange:text routing-key:text mandatory:bit immediate:bit
basic.return 60 50 reply-code:short reply-text:text exchange:text routing-key:text
basic.deliver 60 60 consumer-tag:text delivery-tag:longlong redelivered:bit exchange:text routing-key:text
basic.get 60 70 reserved-1:short queue:text no-ack:bit
basic.get-ok 60 71 delivery-tag:longlong redelivered:bit exchange:text routing-key:text message-count:long
basic.get-empty 60 72 reserved-1:text
basic.ack 60 80 delivery-tag:longlong multiple:bit
basic.reject 60 90 delivery-tag:longlong requeue:bit
basic.recover-async 60 100 requeue:bit
basic.recover 60 110 requeue:bit
basic.recover-ok 60 111
basic.nack 60 120 delivery-tag:longlong multiple:bit requeue:bit
confirm.select 85 10 no-wait:bit
confirm.select-ok 85 11
tx.select 90 10
tx.select-ok 90 11
tx.commit 90 20
tx.commit-ok 90 21
tx.rollback 90 30
tx.rollback-ok 90 31
";

/// In the order of their flags, from the highest bit.
const PROPERTY_SPEC: &str = "content-type:text content-encoding:text headers:table \
    delivery-mode:octet priority:octet correlation-id:text reply-to:text expiration:text \
    message-id:text timestamp:longlong type:text user-id:text app-id:text cluster-id:text";

#[test]
fn every_line_is_a_method() {
    let lines = SPEC.lines().filter(|line| !line.is_empty());
    assert_eq!(METHODS.len(), lines.count());
    assert_eq!(PROPERTIES.len(), 14);
    for method in METHODS.iter() {
        assert!(std::ptr::eq(self::method(method.name), method));
    }
}
