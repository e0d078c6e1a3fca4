//! What the properties of a published message ask of the broker: user-id, expiration, further
//! routing keys, a reply without a queue. Everything else in them is the clients' own business.

use std::borrow::Cow;

use super::{Phase, Session};
use crate::amqp::properties::{Properties, with_reply_to, without_headers};
use crate::amqp::table::{Table, Value, elements};
use crate::error::Refusal;
use crate::vhost::{MAX_EXPIRY, REPLY_TO};

/// The properties as they go on.
pub(super) struct Asked<'a> {
    pub properties: Cow<'a, [u8]>,
    /// CC, then BCC.
    pub further_keys: Vec<String>,
}

impl Session {
    /// In RabbitMQ's order: which of several mistakes is told is what clients see.
    pub(super) fn asked<'a>(&self, number: u16, raw: &'a [u8]) -> Result<Asked<'a>, Refusal> {
        let properties = Properties::new(raw);
        let mut asked = Asked {
            properties: Cow::Borrowed(raw),
            further_keys: Vec::new(),
        };
        if properties.reply_to() == Some(REPLY_TO) {
            asked.properties = Cow::Owned(self.answered_here(number, raw)?);
        }
        self.check_user_id(properties)?;
        if let Some(expiration) = properties.expiration() {
            check_expiration(expiration)?;
        }
        if let Some(headers) = properties.headers() {
            further_keys(headers, "CC", &mut asked.further_keys)?;
            if further_keys(headers, "BCC", &mut asked.further_keys)? {
                asked.properties = Cow::Owned(without_headers(&asked.properties, &["BCC"]));
            }
        }
        Ok(asked)
    }

    /// Replies come to the channel's own consumer, so the name that others see is that consumer's.
    fn answered_here(&self, number: u16, raw: &[u8]) -> Result<Vec<u8>, Refusal> {
        let channel = self.channels.get(&number);
        let reply = channel.and_then(|channel| channel.reply.as_ref());
        let Some(reply) = reply else {
            return Err(Refusal::precondition("fast reply consumer does not exist"));
        };
        Ok(with_reply_to(raw, &reply.name))
    }

    fn check_user_id(&self, properties: Properties<'_>) -> Result<(), Refusal> {
        let Some(claimed) = properties.user_id() else {
            return Ok(());
        };
        let Phase::Running(running) = &self.phase else {
            return Ok(());
        };
        if self.of_this_broker
            || claimed == &*running.user
            || self.users.has_tag(&running.user, "impersonator")
        {
            return Ok(());
        }
        Err(Refusal::precondition(format!(
            "user_id property set to '{claimed}' but authenticated user was '{}'",
            running.user
        )))
    }
}

/// Erlang's words for what is not a number.
fn check_expiration(expiration: &str) -> Result<(), Refusal> {
    let signed = expiration.strip_prefix(['+', '-']).unwrap_or(expiration);
    let digits = signed.len()
        - signed
            .trim_start_matches(|digit: char| digit.is_ascii_digit())
            .len();
    let (number, rest) = expiration.split_at(expiration.len() - signed.len() + digits);
    let reason = if digits == 0 {
        "no_integer".to_owned()
    } else if !rest.is_empty() {
        format!("{{leftover_string,\"{rest}\"}}")
    } else {
        match number.parse::<i64>() {
            Ok(0..=MAX_EXPIRY) => return Ok(()),
            Ok(negative @ ..0) => format!("{{value_negative,{negative}}}"),
            Ok(_) | Err(_) if number.starts_with('-') => format!("{{value_negative,{number}}}"),
            Ok(_) | Err(_) => {
                let number = number.trim_start_matches('+');
                format!("{{value_too_large,{number}}}")
            }
        }
    };
    Err(Refusal::precondition(format!(
        "invalid expiration '{expiration}': {reason}"
    )))
}

/// Whether there is such a header.
fn further_keys(headers: Table<'_>, name: &str, keys: &mut Vec<String>) -> Result<bool, Refusal> {
    match headers.get(name) {
        None => Ok(false),
        Some(Value::Array(found)) => {
            let found = elements(found);
            keys.extend(found.filter_map(|key| key.as_str().map(str::to_owned)));
            Ok(true)
        }
        Some(other) => Err(Refusal::precondition(format!(
            "invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}",
            other.type_name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiration_is_a_whole_number_of_milliseconds() {
        let text = |expiration| check_expiration(expiration).map_err(Refusal::into_text);
        for fine in ["0", "007", "+5", "315360000000"] {
            assert_eq!(text(fine), Ok(()));
        }
        for (wrong, reason) in [
            ("", "no_integer"),
            ("abc", "no_integer"),
            ("-1", "{value_negative,-1}"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("315360000001", "{value_too_large,315360000001}"),
        ] {
            let expected = format!("invalid expiration '{wrong}': {reason}");
            assert_eq!(text(wrong), Err(expected));
        }
    }
}
