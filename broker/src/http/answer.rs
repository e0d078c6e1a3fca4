//! An answer as data, and RabbitMQ's bodies for what went wrong.

use serde_json::{Value, json};

use super::events::Listener;
use crate::amqp::reply::ReplyCode;
use crate::error::Refusal;
use crate::vhost::DoorError;

pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

pub(super) enum Body {
    None,
    Some {
        kind: &'static str,
        octets: Vec<u8>,
    },
    /// Goes on until one side has enough.
    Events(Box<Listener>),
}

pub(super) const JSON: &str = "application/json";

impl Answer {
    pub fn empty(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Body::None,
        }
    }

    pub fn created() -> Answer {
        Answer::empty(201)
    }

    pub fn no_content() -> Answer {
        Answer::empty(204)
    }

    /// PUT of something that is new, or was there.
    pub fn put(is_new: bool) -> Answer {
        if is_new {
            Answer::created()
        } else {
            Answer::no_content()
        }
    }

    pub fn json(value: &Value) -> Answer {
        Answer::some(200, JSON, value.to_string().into_bytes())
    }

    pub fn some(status: u16, kind: &'static str, octets: Vec<u8>) -> Answer {
        Answer {
            status,
            headers: vec![("cache-control", "no-cache".to_owned())],
            body: Body::Some { kind, octets },
        }
    }

    pub fn error(status: u16, error: &str, reason: impl Into<Value>) -> Answer {
        let value = json!({"error": error, "reason": reason.into()});
        Answer::some(status, JSON, value.to_string().into_bytes())
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

/// Why a request was not answered with what it asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    NotFound,
    /// The reason as RabbitMQ gives it, a text or an array.
    BadRequest(Value),
    /// 401, also for what a user may not do: RabbitMQ does not say 403.
    NotAuthorised(String),
    /// Status and body of their own.
    Other(u16, Value),
}

impl Failure {
    pub fn bad(reason: impl Into<Value>) -> Failure {
        Failure::BadRequest(reason.into())
    }

    /// What an API written in Erlang says about keys that are not there.
    pub fn missing(keys: &[&str]) -> Failure {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("{{key_missing,{key}}}"))
            .collect();
        let line = format!("[{}]", keys.join(","));
        // Erlang's pretty printer begins new lines in what does not fit its eighty columns.
        let fits = line.len() < 79;
        Failure::bad(if fits {
            line
        } else {
            format!("[{}]", keys.join(",\n "))
        })
    }

    pub fn refused() -> Failure {
        Failure::NotAuthorised("Access refused.".to_owned())
    }

    pub fn answer(self) -> Answer {
        match self {
            Failure::NotFound => Answer::error(404, "Object Not Found", "Not Found"),
            Failure::BadRequest(reason) => Answer::error(400, "bad_request", reason),
            Failure::NotAuthorised(reason) => Answer::error(401, "not_authorised", reason),
            Failure::Other(status, body) => {
                Answer::some(status, JSON, body.to_string().into_bytes())
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal.code {
            ReplyCode::AccessRefused => Failure::refused(),
            ReplyCode::NotFound => Failure::NotFound,
            ReplyCode::ContentTooLarge
            | ReplyCode::NoRoute
            | ReplyCode::NoConsumers
            | ReplyCode::ConnectionForced
            | ReplyCode::InvalidPath
            | ReplyCode::ResourceLocked
            | ReplyCode::PreconditionFailed
            | ReplyCode::FrameError
            | ReplyCode::SyntaxError
            | ReplyCode::CommandInvalid
            | ReplyCode::ChannelError
            | ReplyCode::UnexpectedFrame
            | ReplyCode::ResourceError
            | ReplyCode::NotAllowed
            | ReplyCode::NotImplemented
            | ReplyCode::InternalError => Failure::bad(refusal.into_text()),
        }
    }
}

impl From<DoorError> for Failure {
    fn from(error: DoorError) -> Failure {
        match error {
            DoorError::NoSuchVhost(_) | DoorError::NoSuchUser(_) | DoorError::NoSuchPolicy => {
                Failure::NotFound
            }
            DoorError::Protected(name) => {
                let reason = format!("Cannot delete protected virtual host '{name}'");
                Failure::Other(
                    412,
                    json!({"error": "precondition_failed", "reason": reason}),
                )
            }
            DoorError::VhostExists(_)
            | DoorError::InvalidName
            | DoorError::UnknownQueueType(_)
            | DoorError::InvalidPattern(_) => Failure::bad(error.to_string()),
            // RabbitMQ has its web pages in mind here.
            DoorError::InvalidPolicy(_) => {
                let text = error.to_string();
                Failure::bad(text.replace('<', "&lt;").replace('>', "&gt;"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_are_shown_as_erlang_shows_them() {
        let reason = "[{key_missing,ackmode},{key_missing,encoding}]";
        assert_eq!(
            Failure::missing(&["ackmode", "encoding"]),
            Failure::bad(reason)
        );
        let reason = "[{key_missing,properties},\n {key_missing,payload},\n \
                      {key_missing,payload_encoding}]";
        let keys = ["properties", "payload", "payload_encoding"];
        assert_eq!(Failure::missing(&keys), Failure::bad(reason));
    }
}
