//! Who asks: basic authentication, tags and what they allow, a brake on guessing. Not the users
//! themselves (see `auth/`).

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::answer::{Answer, Failure};
use super::request::Request;
use crate::auth::{LoginRefusal, Users};
use crate::clock::Millis;

/// So many wrong passwords from one address within `PERIOD`, and it has to wait for its end.
const TRIES: u32 = 30;
const PERIOD: Millis = 60_000;

/// This many addresses are remembered; with more, the brake lets go of the oldest.
const ADDRESSES: usize = 10_000;

#[derive(Clone)]
pub(super) struct User {
    pub name: String,
    pub tags: Vec<String>,
}

impl User {
    fn has(&self, tags: &[&str]) -> bool {
        self.tags.iter().any(|tag| tags.contains(&tag.as_str()))
    }

    pub fn is_administrator(&self) -> bool {
        self.has(&["administrator"])
    }

    pub fn is_monitoring(&self) -> bool {
        self.has(&["administrator", "monitoring"])
    }

    pub fn is_policymaker(&self) -> bool {
        self.has(&["administrator", "policymaker"])
    }

    pub fn is_management(&self) -> bool {
        self.has(&["administrator", "monitoring", "policymaker", "management"])
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Wait,
    Wrong,
    OnlyFromLoopback,
}

impl Denied {
    pub fn text(self) -> &'static str {
        match self {
            Denied::Wait => "too many failed logins from this address",
            Denied::Wrong => "Login failed",
            Denied::OnlyFromLoopback => "User can only log in via localhost",
        }
    }
}

/// How many have tried to log in here, and the brake.
#[derive(Default)]
pub(super) struct Attempts {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    succeeded: u64,
    failed: u64,
    addresses: HashMap<IpAddr, Failures>,
}

#[derive(Clone, Copy)]
struct Failures {
    since: Millis,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptCounts {
    pub succeeded: u64,
    pub failed: u64,
}

impl Attempts {
    pub fn counts(&self) -> AttemptCounts {
        let state = self.state.lock();
        AttemptCounts {
            succeeded: state.succeeded,
            failed: state.failed,
        }
    }

    pub fn reset(&self) {
        let mut state = self.state.lock();
        (state.succeeded, state.failed) = (0, 0);
    }

    fn must_wait(&self, address: IpAddr, now: Millis) -> bool {
        let state = self.state.lock();
        let failures = state.addresses.get(&address);
        failures.is_some_and(|found| found.count >= TRIES && now < found.since + PERIOD)
    }

    fn count(&self, address: IpAddr, now: Millis, succeeded: bool) {
        let mut state = self.state.lock();
        if succeeded {
            state.succeeded += 1;
            return;
        }
        state.failed += 1;
        if state.addresses.len() >= ADDRESSES {
            state
                .addresses
                .retain(|_, found| now < found.since + PERIOD);
        }
        if state.addresses.len() >= ADDRESSES {
            state.addresses.clear();
        }
        let fresh = Failures {
            since: now,
            count: 0,
        };
        let failures = state.addresses.entry(address).or_insert(fresh);
        if now >= failures.since + PERIOD {
            *failures = fresh;
        }
        failures.count += 1;
    }

    /// The user, or what to answer instead.
    pub fn log_in(&self, request: &Request, users: &Users, now: Millis) -> Result<User, Answer> {
        let Some((name, password)) = request.header("authorization").and_then(credentials) else {
            let realm = "Basic realm=\"RabbitMQ Management\"";
            return Err(failed("Login failed").with("www-authenticate", realm));
        };
        let user = self.check(request.peer.address, (&name, &password), users, now);
        user.map_err(|denied| match denied {
            Denied::Wait => {
                Answer::error(429, "too_many_requests", denied.text()).with("retry-after", "60")
            }
            Denied::Wrong | Denied::OnlyFromLoopback => failed(denied.text()),
        })
    }

    /// Whether this is that user's password, and whether guessing has not gone on too long.
    pub fn check(
        &self,
        peer: SocketAddr,
        (name, password): (&str, &[u8]),
        users: &Users,
        now: Millis,
    ) -> Result<User, Denied> {
        let address = peer.ip();
        if self.must_wait(address, now) {
            return Err(Denied::Wait);
        }
        let loopback = address.to_canonical().is_loopback();
        let outcome = users.login(name, password, loopback);
        self.count(address, now, outcome.is_ok());
        match outcome {
            Ok(()) => Ok(User {
                name: name.to_owned(),
                tags: users.tags(name),
            }),
            Err(reason) => {
                tracing::warn!(%peer, user = name, ?reason, "login refused (HTTP)");
                Err(match reason {
                    LoginRefusal::UnknownUser | LoginRefusal::WrongPassword => Denied::Wrong,
                    LoginRefusal::OnlyFromLoopback => Denied::OnlyFromLoopback,
                })
            }
        }
    }
}

fn failed(reason: &str) -> Answer {
    Failure::NotAuthorised(reason.to_owned()).answer()
}

fn credentials(header: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let octets = STANDARD.decode(encoded.trim()).ok()?;
    let colon = octets.iter().position(|octet| *octet == b':')?;
    let (name, password) = octets.split_at(colon);
    let name = String::from_utf8(name.to_vec()).ok()?;
    Some((name, password.get(1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_have_colons() {
        let header = format!("Basic {}", STANDARD.encode("ann:a:b"));
        assert_eq!(credentials(&header), Some(("ann".into(), b"a:b".to_vec())));
        assert_eq!(credentials("Bearer x"), None);
        assert_eq!(credentials("Basic !"), None);
    }

    #[test]
    fn whoever_guesses_has_to_wait_for_the_end_of_the_minute() {
        let attempts = Attempts::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..TRIES {
            assert!(!attempts.must_wait(address, 5));
            attempts.count(address, 5, false);
        }
        assert!(attempts.must_wait(address, 6));
        assert!(!attempts.must_wait(IpAddr::from([10, 0, 0, 2]), 6));
        assert!(!attempts.must_wait(address, 5 + PERIOD));
        attempts.count(address, 5 + PERIOD, false);
        assert!(!attempts.must_wait(address, 6 + PERIOD));
    }
}
