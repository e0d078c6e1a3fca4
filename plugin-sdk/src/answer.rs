//! What an exchange type answers. Not what the broker does with it.

use crate::{FieldValue, Value};

/// What decisions depend on. The broker remembers answers by exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Always the same answer.
    Nothing,
    /// The routing key alone.
    RoutingKey,
    /// The values of these headers, and nothing else.
    Headers(Vec<String>),
    /// Anything: every message is asked about.
    Anything,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To these bindings. Unknown slots and repetitions are dropped by the broker.
    To(Vec<u32>),
    /// Keep the message durably and ask again at this time (milliseconds since the Unix epoch).
    Hold(u64),
    /// The inner type decides.
    Delegate,
    /// Refuse the publish, with the text that the client sees.
    Reject(String),
}

/// A decision, and headers to set on the message before it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    pub decision: Decision,
    pub set_headers: Vec<(String, FieldValue)>,
}

impl Answer {
    pub fn to(slots: impl IntoIterator<Item = u32>) -> Self {
        Decision::To(slots.into_iter().collect()).into()
    }

    pub fn nowhere() -> Self {
        Decision::To(Vec::new()).into()
    }

    pub fn hold(until: u64) -> Self {
        Decision::Hold(until).into()
    }

    pub fn delegate() -> Self {
        Decision::Delegate.into()
    }

    pub fn reject(reason: impl Into<String>) -> Self {
        Decision::Reject(reason.into()).into()
    }

    /// Sets this header on the message before it goes on. Not done while it is held.
    pub fn with_header<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        let value = FieldValue::from(value.into());
        self.set_headers.push((name.to_owned(), value));
        self
    }
}

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        Answer {
            decision,
            set_headers: Vec::new(),
        }
    }
}
