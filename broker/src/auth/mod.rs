//! Who may connect and what they may do: users, password hashes, permissions per virtual host.
//! Not sessions: it answers questions and keeps no state about connections.

mod password;

use std::collections::HashMap;

use regex::Regex;

pub use password::PasswordHash;

/// All users of this broker. Immutable: a change makes a new one.
#[derive(Default)]
pub struct Users {
    users: HashMap<String, User>,
    permissions: HashMap<(String, String), Permission>,
    /// May only connect from this machine.
    loopback_only: Vec<String>,
}

pub struct User {
    pub password: Option<PasswordHash>,
    pub tags: Vec<String>,
}

struct Permission {
    configure: Regex,
    write: Regex,
    read: Regex,
}

/// What RabbitMQ's permissions tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    Configure,
    Write,
    Read,
}

impl Access {
    pub fn name(self) -> &'static str {
        match self {
            Access::Configure => "configure",
            Access::Write => "write",
            Access::Read => "read",
        }
    }
}

/// Why a login failed. The client is told nothing but that it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefusal {
    UnknownUser,
    WrongPassword,
    OnlyFromLoopback,
}

impl Users {
    pub fn add_user(&mut self, name: &str, user: User) {
        self.users.insert(name.to_owned(), user);
    }

    pub fn restrict_to_loopback(&mut self, name: &str) {
        self.loopback_only.push(name.to_owned());
    }

    /// Patterns are searched for, as RabbitMQ does; an empty one matches only the empty name.
    pub fn permit(
        &mut self,
        user: &str,
        vhost: &str,
        configure: &str,
        write: &str,
        read: &str,
    ) -> Result<(), regex::Error> {
        let compile = |pattern: &str| Regex::new(if pattern.is_empty() { "^$" } else { pattern });
        let permission = Permission {
            configure: compile(configure)?,
            write: compile(write)?,
            read: compile(read)?,
        };
        self.permissions
            .insert((user.to_owned(), vhost.to_owned()), permission);
        Ok(())
    }

    pub fn login(
        &self,
        name: &str,
        password: &[u8],
        from_loopback: bool,
    ) -> Result<(), LoginRefusal> {
        let user = self.users.get(name).ok_or(LoginRefusal::UnknownUser)?;
        let matches = user
            .password
            .as_ref()
            .is_some_and(|hash| hash.matches(password));
        if !matches {
            return Err(LoginRefusal::WrongPassword);
        }
        if !from_loopback && self.loopback_only.iter().any(|only| only == name) {
            return Err(LoginRefusal::OnlyFromLoopback);
        }
        Ok(())
    }

    pub fn may_enter(&self, user: &str, vhost: &str) -> bool {
        self.permission(user, vhost).is_some()
    }

    pub fn allows(&self, user: &str, vhost: &str, access: Access, name: &str) -> bool {
        let Some(permission) = self.permission(user, vhost) else {
            return false;
        };
        let pattern = match access {
            Access::Configure => &permission.configure,
            Access::Write => &permission.write,
            Access::Read => &permission.read,
        };
        pattern.is_match(name)
    }

    pub fn has_tag(&self, user: &str, tag: &str) -> bool {
        self.users
            .get(user)
            .is_some_and(|user| user.tags.iter().any(|own| own == tag))
    }

    fn permission(&self, user: &str, vhost: &str) -> Option<&Permission> {
        self.permissions.get(&(user.to_owned(), vhost.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let mut users = Users::default();
        let password = Some(PasswordHash::new(b"secret", [1, 2, 3, 4]));
        users.add_user(
            "ann",
            User {
                password,
                tags: vec!["administrator".into()],
            },
        );
        users.permit("ann", "/", "^ann-", ".*", "").unwrap();
        users
    }

    #[test]
    fn a_login_needs_the_right_password_and_place() {
        let mut users = users();
        assert_eq!(users.login("ann", b"secret", false), Ok(()));
        assert_eq!(
            users.login("ann", b"other", true),
            Err(LoginRefusal::WrongPassword)
        );
        assert_eq!(
            users.login("bob", b"secret", true),
            Err(LoginRefusal::UnknownUser)
        );
        users.restrict_to_loopback("ann");
        assert_eq!(
            users.login("ann", b"secret", false),
            Err(LoginRefusal::OnlyFromLoopback)
        );
        assert_eq!(users.login("ann", b"secret", true), Ok(()));
    }

    #[test]
    fn permissions_are_patterns_and_an_empty_one_is_nothing() {
        let users = users();
        assert!(users.allows("ann", "/", Access::Configure, "ann-queue"));
        assert!(!users.allows("ann", "/", Access::Configure, "queue"));
        assert!(users.allows("ann", "/", Access::Write, "anything"));
        assert!(!users.allows("ann", "/", Access::Read, "anything"));
        assert!(!users.allows("ann", "other", Access::Write, "anything"));
    }
}
