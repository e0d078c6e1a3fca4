//! A session as data: what is sent, by which connection and channel, in which order. Not how it is
//! played.

use crate::codec::Fields;
use crate::spec::Method;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub connection: usize,
    pub channel: u16,
    /// Sent without waiting for what the step before has set going, which is marked too.
    pub concurrent: bool,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub enum Action {
    Call {
        method: &'static Method,
        fields: Fields,
        content: Option<Content>,
    },
    /// A whole frame with a payload of any octets.
    Frame { kind: u8, payload: Vec<u8> },
    /// Octets on the socket, which need be no frame; the socket is given up afterwards.
    Octets(Vec<u8>),
    /// The client vanishes.
    Drop,
    /// Everything that is ready in a queue, by basic.get.
    Drain(Vec<u8>),
    /// Milliseconds
    Sleep(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub properties: Fields,
    pub body: Body,
    pub part: Part,
}

/// A body tells which message it is, as far as it has room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Body {
    pub number: u64,
    pub size: usize,
}

impl Body {
    pub fn octets(self) -> Vec<u8> {
        let unit = format!("{}.", self.number);
        unit.bytes().cycle().take(self.size).collect()
    }
}

/// How much of a content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    OnlyMethod,
    OnlyHeader,
    HalfBody,
    /// More octets than the header says.
    LongBody,
}

impl PartialEq for Action {
    fn eq(&self, other: &Action) -> bool {
        self.to_string() == other.to_string()
    }
}
