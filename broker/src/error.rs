//! What a client sees when something goes wrong: a reply code, a text and what gets closed.
//! What went wrong inside is an `anyhow::Error` or a room's own error; it becomes a [`Refusal`]
//! here and nowhere else.

use std::ops::Deref;

use crate::amqp::reply::ReplyCode;

/// What the error closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Channel,
    Connection,
}

/// One word long: it is in the answer to every frame, and an answer that fits into registers is not
/// copied from frame to frame of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Box<Grounds>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    pub scope: Scope,
    pub code: ReplyCode,
    /// Without the code's name in front.
    pub text: String,
}

impl Deref for Refusal {
    type Target = Grounds;

    fn deref(&self) -> &Grounds {
        &self.0
    }
}

impl Refusal {
    fn new(scope: Scope, code: ReplyCode, text: String) -> Refusal {
        Refusal(Box::new(Grounds { scope, code, text }))
    }

    pub fn channel(code: ReplyCode, text: impl Into<String>) -> Refusal {
        Refusal::new(Scope::Channel, code, text.into())
    }

    pub fn connection(code: ReplyCode, text: impl Into<String>) -> Refusal {
        Refusal::new(Scope::Connection, code, text.into())
    }

    pub fn not_found(kind: &str, name: &str, vhost: &str) -> Refusal {
        Refusal::channel(
            ReplyCode::NotFound,
            format!("no {kind} '{name}' in vhost '{vhost}'"),
        )
    }

    pub fn precondition(text: impl Into<String>) -> Refusal {
        Refusal::channel(ReplyCode::PreconditionFailed, text)
    }

    pub fn access(text: impl Into<String>) -> Refusal {
        Refusal::channel(ReplyCode::AccessRefused, text)
    }

    /// Something inside failed: the log gets the reason, the client a code.
    pub fn internal(what: &str, reason: &dyn std::fmt::Display) -> Refusal {
        tracing::error!(%reason, "{what}");
        Refusal::channel(ReplyCode::InternalError, what.to_owned())
    }

    pub fn on_connection(mut self) -> Refusal {
        self.0.scope = Scope::Connection;
        self
    }

    pub fn into_text(self) -> String {
        self.0.text
    }
}
