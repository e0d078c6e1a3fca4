//! Who is logged in with a browser: a cookie that nobody can guess, and beside it the token that
//! every form must carry. Not the check of passwords (see `login.rs`).

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::super::login::User;
use super::super::request::{Method, Request};
use super::cookie::SESSION;
use crate::auth::Users;
use crate::clock::Millis;

/// Nobody has asked for anything for so long.
const IDLE: Millis = 8 * 3_600_000;

/// However much was asked for.
const WHOLE: Millis = 24 * 3_600_000;

/// With more, the one that was quiet longest ends.
const MAX_SESSIONS: usize = 10_000;

#[derive(Default)]
pub(in super::super) struct Sessions(Mutex<HashMap<String, Session>>);

struct Session {
    user: String,
    /// As it was at the login: with another password everybody has to log in again.
    password_hash: Option<String>,
    form_token: String,
    began: Millis,
    used: Millis,
    notice: Option<String>,
}

/// A session as one request sees it.
pub(super) struct Entry {
    pub user: User,
    pub form_token: String,
}

impl Sessions {
    /// The value of the cookie.
    pub(super) fn begin(
        &self,
        user: &str,
        users: &Users,
        secrets: [[u8; 32]; 2],
        now: Millis,
    ) -> String {
        let [token, form_token] = secrets.map(|secret| hex(&secret));
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| session.lives(now));
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(token, _)| token.clone());
            oldest.and_then(|token| sessions.remove(&token));
        }
        let session = Session {
            user: user.to_owned(),
            password_hash: users.user(user).and_then(|row| row.password_hash),
            form_token,
            began: now,
            used: now,
            notice: None,
        };
        sessions.insert(token.clone(), session);
        token
    }

    /// Whose session this is, if it is one still.
    pub(super) fn find(&self, request: &Request, users: &Users, now: Millis) -> Option<Entry> {
        let token = SESSION.of(request)?;
        let mut sessions = self.0.lock();
        let session = sessions.get_mut(token)?;
        let row = users.user(&session.user);
        let valid =
            session.lives(now) && row.is_some_and(|row| row.password_hash == session.password_hash);
        if !valid {
            sessions.remove(token);
            return None;
        }
        // Whoever has left a page open is not there: its script says that it only follows.
        if !follows(request) {
            session.used = now;
        }
        Some(Entry {
            user: User {
                name: session.user.clone(),
                tags: users.tags(&session.user),
            },
            form_token: session.form_token.clone(),
        })
    }

    /// A page's script may look with the cookie alone. To change anything takes a password, or a
    /// form with its token: browsers send cookies along with what others have them ask for.
    pub fn looking(&self, request: &Request, users: &Users, now: Millis) -> Option<User> {
        let looks = matches!(request.method, Method::Get | Method::Head);
        if !looks || request.header("authorization").is_some() {
            return None;
        }
        self.find(request, users, now).map(|entry| entry.user)
    }

    pub(super) fn end(&self, request: &Request) {
        if let Some(token) = SESSION.of(request) {
            self.0.lock().remove(token);
        }
    }

    /// To be said on the page that comes next.
    pub(super) fn put_notice(&self, request: &Request, notice: String) {
        if let Some(token) = SESSION.of(request)
            && let Some(session) = self.0.lock().get_mut(token)
        {
            session.notice = Some(notice);
        }
    }

    pub(super) fn take_notice(&self, request: &Request) -> Option<String> {
        let token = SESSION.of(request).filter(|_| !follows(request))?;
        self.0.lock().get_mut(token)?.notice.take()
    }
}

/// A script that keeps its page up to date, not its reader.
fn follows(request: &Request) -> bool {
    request.header("x-follow").is_some()
}

impl Session {
    fn lives(&self, now: Millis) -> bool {
        now < self.used + IDLE && now < self.began + WHOLE
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// How long it takes says nothing about where they differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differences = pairs.fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_quiet_or_old() {
        let session = |used| Session {
            user: String::new(),
            password_hash: None,
            form_token: String::new(),
            began: 0,
            used,
            notice: None,
        };
        assert!(session(0).lives(IDLE - 1));
        assert!(!session(0).lives(IDLE));
        assert!(session(WHOLE - 2).lives(WHOLE - 1));
        assert!(!session(WHOLE - 2).lives(WHOLE));
    }

    #[test]
    fn secrets_are_the_same_in_every_octet_or_not_at_all() {
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("abc", "ab"));
    }
}
