//! SASL: which mechanisms a client is offered, and who it is by the one it took. Passwords are checked
//! in `auth/`, certificates in `tls/`.

use std::fmt;
use std::sync::Arc;

use super::Session;
use crate::amqp::reply::ReplyCode;
use crate::amqp::{AMQPValue, table};
use crate::auth::{LoginRefusal, Mechanism};
use crate::error::Refusal;

/// The user that services of this broker are shown as, as RabbitMQ's direct connections.
const NOBODY: &str = "none";

/// Why a client is not let in: for the log, never for the client.
enum NotIn {
    Refused(LoginRefusal),
    /// Of the certificate.
    NoName(&'static str),
    NotEncrypted,
}

impl fmt::Display for NotIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotIn::Refused(reason) => write!(formatter, "{reason:?}"),
            NotIn::NoName(reason) => formatter.write_str(reason),
            NotIn::NotEncrypted => formatter.write_str("the connection is not encrypted"),
        }
    }
}

impl NotIn {
    /// For the event of it, in RabbitMQ's words where it has some.
    fn told(&self, user: &str) -> String {
        match self {
            NotIn::Refused(LoginRefusal::UnknownUser | LoginRefusal::WrongPassword) => {
                format!("user '{user}' - invalid credentials")
            }
            NotIn::Refused(LoginRefusal::OnlyFromLoopback) => {
                format!("user '{user}' can only connect via localhost")
            }
            NotIn::NoName(_) | NotIn::NotEncrypted => self.to_string(),
        }
    }
}

impl Session {
    /// What is offered here, in the order of the configuration. EXTERNAL stands on every encrypted
    /// connection, with a certificate or without: a refusal says more than a name that is missing.
    pub(super) fn mechanisms(&self) -> String {
        let offered = self.limits.mechanisms.iter().filter(|mechanism| {
            self.protection.is_some() || !matches!(mechanism, Mechanism::External)
        });
        let names: Vec<&str> = offered.map(|mechanism| mechanism.name()).collect();
        names.join(" ")
    }

    /// The user's name, once it has been shown.
    pub(super) fn authenticate(
        &self,
        mechanism: &str,
        response: &[u8],
    ) -> Result<Arc<str>, Refusal> {
        if self.of_this_broker {
            return Ok(Arc::from(NOBODY));
        }
        let known = Mechanism::parse(mechanism);
        let known = known.filter(|known| self.limits.mechanisms.contains(known));
        let Some(known) = known else {
            let text = format!("unknown authentication mechanism '{mechanism}'");
            return Err(Refusal::connection(ReplyCode::CommandInvalid, text));
        };
        let (user, outcome) = match known {
            Mechanism::Plain => self.by_password(plain(response)),
            Mechanism::Amqplain => self.by_password(amqplain(response)),
            Mechanism::Anonymous => {
                let anonymous = &self.limits.anonymous;
                let password = anonymous.password.clone().into_bytes();
                self.by_password(Some((anonymous.user.clone(), password)))
            }
            Mechanism::External => self.by_certificate(),
        };
        let ends = (self.peer, self.local);
        let error = outcome.as_ref().err().map(|reason| reason.told(&user));
        let (name, why) = (mechanism.to_string(), error.as_deref());
        self.broker.tell_login(&user, &name, ends, why);
        match outcome {
            Ok(()) => Ok(Arc::from(user)),
            Err(reason) => {
                tracing::warn!(peer = %self.peer, user, mechanism, %reason, "login refused");
                let text = format!(
                    "Login was refused using authentication mechanism {mechanism}. \
                     For details see the broker logfile."
                );
                Err(Refusal::connection(ReplyCode::AccessRefused, text))
            }
        }
    }

    fn is_local(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }

    fn by_password(&self, credentials: Option<(String, Vec<u8>)>) -> (String, Result<(), NotIn>) {
        let (user, password) = credentials.unwrap_or_default();
        let outcome = self.users.login(&user, &password, self.is_local());
        (user, outcome.map_err(NotIn::Refused))
    }

    fn by_certificate(&self) -> (String, Result<(), NotIn>) {
        let Some(protection) = &self.protection else {
            return (String::new(), Err(NotIn::NotEncrypted));
        };
        match &protection.login {
            Ok(user) => {
                let outcome = self.users.login_without_password(user, self.is_local());
                (user.clone(), outcome.map_err(NotIn::Refused))
            }
            Err(reason) => (String::new(), Err(NotIn::NoName(reason))),
        }
    }
}

/// Authorisation id, user, password, each after a NUL.
fn plain(response: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut parts = response.splitn(3, |octet| *octet == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some((String::from_utf8(user.to_vec()).ok()?, password.to_vec()))
}

/// A field table with LOGIN and PASSWORD, without the length in front.
fn amqplain(response: &[u8]) -> Option<(String, Vec<u8>)> {
    let table = table::decode(response).ok()?;
    let field = |name: &str| match table.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(text.as_bytes().to_vec()),
        Some(_) | None => None,
    };
    Some((String::from_utf8(field("LOGIN")?).ok()?, field("PASSWORD")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_amqplain_give_user_and_password() {
        let expected = Some(("guest".to_owned(), b"secret".to_vec()));
        assert_eq!(plain(b"\0guest\0secret"), expected);
        assert_eq!(plain(b"guest"), None);
        let table = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x06secret";
        assert_eq!(amqplain(table), expected);
        assert_eq!(amqplain(b"\x05LOGI"), None);
    }
}
