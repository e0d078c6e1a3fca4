//! The trait of an interceptor: what its author writes. Not how it becomes a component (see
//! `interceptor_component.rs`).

use crate::{FieldValue, Host, Message, Named, State, Value};

/// Stands in front of one exchange and looks at every message that a client publishes there. The
/// message goes on, with headers set or as it is, or nowhere.
pub trait Interceptor: Sized + 'static {
    /// One line for humans.
    const SUMMARY: &'static str = "";
    /// Configuration keys it understands.
    const CONFIGURATION: &'static [Named] = &[];

    /// Called with the first message, and once in front of no exchange when the plugin is loaded. An error
    /// refuses the plugin then, or fails the message (`on_failure`).
    fn open(opening: &InterceptorOpening) -> Result<Self, String>;

    /// Nothing of the message is copied that is not asked for.
    fn before_route(&mut self, message: &Message) -> Verdict;
}

/// Where an interceptor stands.
pub struct InterceptorOpening<'a> {
    pub vhost: &'a str,
    /// Empty: the default exchange.
    pub exchange: &'a str,
    /// The plugin's table from the broker's configuration, as JSON.
    pub configuration: &'a str,
    /// The broker's log and clock: clone it to keep it.
    pub host: &'a Host,
    /// What earlier instances have kept in front of this exchange: clone it to keep it.
    pub state: &'a State,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Pass,
    /// It goes on with these headers, instead of those of the same names.
    Stamp(Vec<(String, FieldValue)>),
    /// A nack where the publisher uses confirms (and basic.return with this text before it, where the
    /// message is mandatory), otherwise its channel is closed with 406 and this text.
    Reject(String),
}

impl Verdict {
    /// With one header set.
    pub fn stamp<'v>(name: &str, value: impl Into<Value<'v>>) -> Self {
        Verdict::Stamp(vec![(name.to_owned(), FieldValue::from(value.into()))])
    }

    pub fn reject(reason: impl Into<String>) -> Self {
        Verdict::Reject(reason.into())
    }
}
