//! The one method table: which methods exist and what their arguments are on the wire. The methods
//! of every message are parsed by hand without allocation, all others by amq-protocol after their
//! octets were checked against the table.

use std::fmt;

use amq_protocol::protocol::{AMQPClass, parse_class};

use super::ReplyCode;
use super::octets::Octets;
use super::table;

/// A method as it came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Method<'a> {
    Publish(Publish<'a>),
    Ack {
        delivery_tag: u64,
        multiple: bool,
    },
    Nack {
        delivery_tag: u64,
        multiple: bool,
        requeue: bool,
    },
    Reject {
        delivery_tag: u64,
        requeue: bool,
    },
    Other(Box<AMQPClass>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub mandatory: bool,
    pub immediate: bool,
}

/// The client's side of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliver<'a> {
    pub consumer_tag: &'a str,
    pub delivery_tag: u64,
    pub redelivered: bool,
    pub exchange: &'a str,
    pub routing_key: &'a str,
}

/// Both are connection errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodError {
    UnknownClassOrMethod {
        class: u16,
        method: u16,
    },
    Malformed {
        class: u16,
        method: u16,
    },
    /// A short string that is not UTF-8.
    NotText,
}

impl MethodError {
    /// RabbitMQ answers 501 to arguments that it cannot decode. To a method it does not know it
    /// answers nothing and drops the connection; we say what the specification has a code for.
    pub fn code(self) -> ReplyCode {
        match self {
            MethodError::UnknownClassOrMethod { .. } => ReplyCode::NotImplemented,
            MethodError::Malformed { .. } | MethodError::NotText => ReplyCode::FrameError,
        }
    }

    pub fn text(self) -> String {
        match self {
            MethodError::UnknownClassOrMethod { class, method } => {
                format!("unknown method {{{class},{method}}}")
            }
            MethodError::Malformed { class, method } => {
                format!(
                    "cannot decode the arguments of {}",
                    name(class, method).unwrap_or("a method frame")
                )
            }
            MethodError::NotText => "Malformed UTF-8 in shortstr".to_owned(),
        }
    }

    pub fn class_and_method(self) -> (u16, u16) {
        match self {
            MethodError::UnknownClassOrMethod { class, method }
            | MethodError::Malformed { class, method } => (class, method),
            MethodError::NotText => (0, 0),
        }
    }
}

impl fmt::Display for MethodError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl std::error::Error for MethodError {}

/// An argument on the wire. Neighbouring bits share one octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    Octet,
    Short,
    Long,
    LongLong,
    ShortStr,
    LongStr,
    Table,
}

struct Row {
    class: u16,
    method: u16,
    name: &'static str,
    arguments: &'static [Argument],
}

const fn row(class: u16, method: u16, name: &'static str, arguments: &'static [Argument]) -> Row {
    Row {
        class,
        method,
        name,
        arguments,
    }
}

use Argument::{
    Long as L, LongLong as Q, LongStr as LS, Octet as B, Short as W, ShortStr as S, Table as T,
};

/// Reserved arguments are listed too: they are on the wire.
#[rustfmt::skip]
const METHODS: &[Row] = &[
    row(60, 40, "basic.publish", &[W, S, S, B]),
    row(60, 80, "basic.ack", &[Q, B]),
    row(60, 120, "basic.nack", &[Q, B]),
    row(60, 90, "basic.reject", &[Q, B]),
    row(60, 60, "basic.deliver", &[S, Q, B, S, S]),
    row(60, 70, "basic.get", &[W, S, B]),
    row(60, 71, "basic.get-ok", &[Q, B, S, S, L]),
    row(60, 72, "basic.get-empty", &[S]),
    row(60, 50, "basic.return", &[W, S, S, S]),
    row(60, 10, "basic.qos", &[L, W, B]),
    row(60, 11, "basic.qos-ok", &[]),
    row(60, 20, "basic.consume", &[W, S, S, B, T]),
    row(60, 21, "basic.consume-ok", &[S]),
    row(60, 30, "basic.cancel", &[S, B]),
    row(60, 31, "basic.cancel-ok", &[S]),
    row(60, 100, "basic.recover-async", &[B]),
    row(60, 110, "basic.recover", &[B]),
    row(60, 111, "basic.recover-ok", &[]),
    row(10, 10, "connection.start", &[B, B, T, LS, LS]),
    row(10, 11, "connection.start-ok", &[T, S, LS, S]),
    row(10, 20, "connection.secure", &[LS]),
    row(10, 21, "connection.secure-ok", &[LS]),
    row(10, 30, "connection.tune", &[W, L, W]),
    row(10, 31, "connection.tune-ok", &[W, L, W]),
    row(10, 40, "connection.open", &[S, S, B]),
    row(10, 41, "connection.open-ok", &[S]),
    row(10, 50, "connection.close", &[W, S, W, W]),
    row(10, 51, "connection.close-ok", &[]),
    row(10, 60, "connection.blocked", &[S]),
    row(10, 61, "connection.unblocked", &[]),
    row(10, 70, "connection.update-secret", &[LS, S]),
    row(10, 71, "connection.update-secret-ok", &[]),
    row(20, 10, "channel.open", &[S]),
    row(20, 11, "channel.open-ok", &[LS]),
    row(20, 20, "channel.flow", &[B]),
    row(20, 21, "channel.flow-ok", &[B]),
    row(20, 40, "channel.close", &[W, S, W, W]),
    row(20, 41, "channel.close-ok", &[]),
    row(30, 10, "access.request", &[S, B]),
    row(30, 11, "access.request-ok", &[W]),
    row(40, 10, "exchange.declare", &[W, S, S, B, T]),
    row(40, 11, "exchange.declare-ok", &[]),
    row(40, 20, "exchange.delete", &[W, S, B]),
    row(40, 21, "exchange.delete-ok", &[]),
    row(40, 30, "exchange.bind", &[W, S, S, S, B, T]),
    row(40, 31, "exchange.bind-ok", &[]),
    row(40, 40, "exchange.unbind", &[W, S, S, S, B, T]),
    row(40, 51, "exchange.unbind-ok", &[]),
    row(50, 10, "queue.declare", &[W, S, B, T]),
    row(50, 11, "queue.declare-ok", &[S, L, L]),
    row(50, 20, "queue.bind", &[W, S, S, S, B, T]),
    row(50, 21, "queue.bind-ok", &[]),
    row(50, 30, "queue.purge", &[W, S, B]),
    row(50, 31, "queue.purge-ok", &[L]),
    row(50, 40, "queue.delete", &[W, S, B]),
    row(50, 41, "queue.delete-ok", &[L]),
    row(50, 50, "queue.unbind", &[W, S, S, S, T]),
    row(50, 51, "queue.unbind-ok", &[]),
    row(85, 10, "confirm.select", &[B]),
    row(85, 11, "confirm.select-ok", &[]),
    row(90, 10, "tx.select", &[]),
    row(90, 11, "tx.select-ok", &[]),
    row(90, 20, "tx.commit", &[]),
    row(90, 21, "tx.commit-ok", &[]),
    row(90, 30, "tx.rollback", &[]),
    row(90, 31, "tx.rollback-ok", &[]),
];

fn find(class: u16, method: u16) -> Option<&'static Row> {
    METHODS
        .iter()
        .find(|row| row.class == class && row.method == method)
}

/// "queue.declare", for logs.
pub fn name(class: u16, method: u16) -> Option<&'static str> {
    find(class, method).map(|row| row.name)
}

/// What a close names as the method at fault; zeros when the payload is too short to tell.
#[inline]
pub fn class_and_method(payload: &[u8]) -> (u16, u16) {
    let mut octets = Octets::new(payload);
    match (octets.short(), octets.short()) {
        (Some(class), Some(method)) => (class, method),
        (_, _) => (0, 0),
    }
}

/// Parses the payload of a method frame.
#[inline]
pub fn parse(payload: &[u8]) -> Result<Method<'_>, MethodError> {
    let (class, method) = class_and_method(payload);
    let arguments = payload.get(4..).unwrap_or_default();
    let hot = match (class, method) {
        (60, 40) => publish(arguments),
        (60, 80) => tag_and_bits(arguments).map(|(delivery_tag, bits)| Method::Ack {
            delivery_tag,
            multiple: bits & 1 != 0,
        }),
        (60, 120) => tag_and_bits(arguments).map(|(delivery_tag, bits)| Method::Nack {
            delivery_tag,
            multiple: bits & 1 != 0,
            requeue: bits & 2 != 0,
        }),
        (60, 90) => tag_and_bits(arguments).map(|(delivery_tag, bits)| Method::Reject {
            delivery_tag,
            requeue: bits & 1 != 0,
        }),
        (_, _) => return other(payload, class, method),
    };
    hot.ok_or(MethodError::Malformed { class, method })
}

#[inline]
fn publish(arguments: &[u8]) -> Option<Method<'_>> {
    let mut octets = Octets::new(arguments);
    octets.short()?;
    let exchange = octets.short_str()?;
    let routing_key = octets.short_str()?;
    let bits = octets.octet()?;
    octets.is_empty().then_some(Method::Publish(Publish {
        exchange,
        routing_key,
        mandatory: bits & 1 != 0,
        immediate: bits & 2 != 0,
    }))
}

#[inline]
fn tag_and_bits(arguments: &[u8]) -> Option<(u64, u8)> {
    let mut octets = Octets::new(arguments);
    let tag = octets.longlong()?;
    let bits = octets.octet()?;
    octets.is_empty().then_some((tag, bits))
}

/// The arguments of basic.deliver, when the payload is one.
#[inline]
pub fn parse_deliver(payload: &[u8]) -> Option<Deliver<'_>> {
    let mut octets = Octets::new(payload);
    if (octets.short()?, octets.short()?) != (60, 60) {
        return None;
    }
    let deliver = Deliver {
        consumer_tag: octets.short_str()?,
        delivery_tag: octets.longlong()?,
        redelivered: octets.octet()? & 1 != 0,
        exchange: octets.short_str()?,
        routing_key: octets.short_str()?,
    };
    octets.is_empty().then_some(deliver)
}

fn other(payload: &[u8], class: u16, method: u16) -> Result<Method<'_>, MethodError> {
    let malformed = MethodError::Malformed { class, method };
    let Some(arguments) = payload.get(4..) else {
        return Err(malformed);
    };
    let Some(row) = find(class, method) else {
        return Err(MethodError::UnknownClassOrMethod { class, method });
    };
    // Before amq-protocol sees it: its table parser recurses without a bound.
    check_arguments(arguments, row.arguments).ok_or_else(|| {
        match has_all_octets(arguments, row.arguments) {
            Some(()) => MethodError::NotText,
            None => malformed,
        }
    })?;
    match parse_class(payload) {
        Ok(([], class)) => Ok(Method::Other(Box::new(class))),
        Ok((_, _)) | Err(_) => Err(malformed),
    }
}

fn check_arguments(octets: &[u8], arguments: &[Argument]) -> Option<()> {
    let mut octets = Octets::new(octets);
    for argument in arguments {
        match argument {
            Argument::Octet => drop(octets.octet()?),
            Argument::Short => drop(octets.short()?),
            Argument::Long => drop(octets.long()?),
            Argument::LongLong => drop(octets.longlong()?),
            Argument::ShortStr => octets.check_short_str()?,
            Argument::LongStr => drop(octets.long_octets()?),
            Argument::Table => {
                table::check(octets.long_octets()?, table::MAX_TABLE_DEPTH).ok()?;
            }
        }
    }
    octets.is_empty().then_some(())
}

/// As `check_arguments`, whatever the short strings say.
fn has_all_octets(octets: &[u8], arguments: &[Argument]) -> Option<()> {
    let mut octets = Octets::new(octets);
    for argument in arguments {
        match argument {
            Argument::ShortStr => drop(octets.short_octets()?),
            Argument::Octet => drop(octets.octet()?),
            Argument::Short => drop(octets.short()?),
            Argument::Long => drop(octets.long()?),
            Argument::LongLong => drop(octets.longlong()?),
            Argument::LongStr => drop(octets.long_octets()?),
            Argument::Table => {
                table::check(octets.long_octets()?, table::MAX_TABLE_DEPTH).ok()?;
            }
        }
    }
    octets.is_empty().then_some(())
}

#[cfg(test)]
#[path = "method_tests.rs"]
mod tests;
