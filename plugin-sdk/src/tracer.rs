//! The trait of a tracer: what its author writes, and what it may want of the broker. Not how it
//! becomes a component (see `tracer_component.rs`).

#[cfg(not(target_arch = "wasm32"))]
use std::rc::Rc;

use crate::{Host, Named};

pub use crate::tracer_component::bindings::exports::warren::tracer::tracer::{
    Delivered, Event, Format, Happening, Message, Messages, News, Party, Published, Trace,
};

/// Is told what happens, after it has happened. There is one value of it; it may be thrown away at
/// any moment, and is then made again with `open` and `traces`.
pub trait Tracer: Sized + 'static {
    /// One line for humans.
    const SUMMARY: &'static str = "";
    /// Configuration keys it understands.
    const CONFIGURATION: &'static [Named] = &[];
    /// Which messages it is told of.
    const MESSAGES: Messages = Messages::Traced;
    /// Whether it is told what comes, goes and changes.
    const NEWS: bool = false;

    /// An error refuses the plugin.
    fn open(opening: &TracerOpening) -> Result<Self, String>;

    /// The traces of `/api/traces`. Called after `open` and when they have changed.
    fn traces(&mut self, traces: Vec<Trace>) {
        let _ = traces;
    }

    /// What has happened, in its order.
    fn observe(&mut self, events: &[Event]);
}

/// What a tracer begins with.
pub struct TracerOpening<'a> {
    /// The plugin's table from the broker's configuration, as JSON.
    pub configuration: &'a str,
    /// The broker's name.
    pub node: &'a str,
    /// The broker's log and clock: clone it to keep it.
    pub host: &'a Host,
    /// Everything else of the broker: clone it to keep it.
    pub desk: &'a Desk,
}

/// A message that a tracer publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub vhost: String,
    pub exchange: String,
    pub routing_key: String,
    /// Property flags and property list: `PropertiesBuf::into_bytes`.
    pub properties: Vec<u8>,
    pub payload: Payload,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The body of the message of this event, counted from 0.
    OfEvent(u32),
    Octets(Vec<u8>),
}

/// What stands behind a [`Desk`]: the broker, or a bench.
pub trait DeskFunctions {
    fn body(&self, event: u32, offset: u64, length: u32) -> Vec<u8>;
    fn declare(&self, vhost: &str, name: &str, exchange_type: &str);
    fn publish(&self, outgoing: Outgoing);
    fn append(&self, file: &str, octets: &[u8]);
    fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]);
}

/// In a component the broker is called directly, and not through a table of functions, in which each
/// of them would count as called.
#[cfg(target_arch = "wasm32")]
type Behind = crate::tracer_component::Broker;
#[cfg(not(target_arch = "wasm32"))]
type Behind = Rc<dyn DeskFunctions>;

/// What a tracer may want of the broker. A component imports, and must be granted, only what its
/// code calls: `warren:tracer/exchanges` for `declare` and `publish`, `warren:tracer/files` for
/// `append`, `http` or `http=HOST:PORT` for `post`. What it wants is done when the call has returned.
#[derive(Clone)]
pub struct Desk(Behind);

impl Desk {
    /// Of a bench.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(functions: Rc<dyn DeskFunctions>) -> Self {
        Desk(functions)
    }

    pub(crate) fn of_component(broker: crate::tracer_component::Broker) -> Self {
        #[cfg(target_arch = "wasm32")]
        return Desk(broker);
        #[cfg(not(target_arch = "wasm32"))]
        Desk(Rc::new(broker))
    }

    /// At most `length` bytes from `offset` of the message of this event, counted from 0. Only in
    /// `observe`.
    pub fn body(&self, event: u32, offset: u64, length: u32) -> Vec<u8> {
        self.0.body(event, offset, length)
    }

    /// Makes a durable, internal exchange if there is none of that name.
    pub fn declare(&self, vhost: &str, name: &str, exchange_type: &str) {
        self.0.declare(vhost, name, exchange_type);
    }

    /// At most 8,192 messages a call; what is over is dropped and counted.
    pub fn publish(&self, outgoing: Outgoing) {
        self.0.publish(outgoing);
    }

    /// Adds to the end of a file in the broker's folder of traces.
    pub fn append(&self, file: &str, octets: &[u8]) {
        self.0.append(file, octets);
    }

    /// Posts a body to an HTTP server, whose address begins with `http://` or `https://`. At most 256
    /// of them, and 32 MiB, wait to be posted; what is over, or is not taken within a minute, is
    /// dropped and counted.
    pub fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.0.post(url, headers, body);
    }
}
