//! Users, their permissions and limits as a state without locks: what may be asked of it and how
//! it changes. Not where it is kept (see `mod.rs`, `row.rs`).

use std::collections::BTreeMap;

use regex::Regex;

use super::PasswordHash;
use super::row::{PermissionRow, Row, TopicPermissionRow, UserLimits, UserRow};

/// Everything about who may do what.
#[derive(Default)]
pub(super) struct Accounts {
    pub users: BTreeMap<String, UserRow>,
    /// By user and vhost.
    permissions: BTreeMap<(String, String), Permission>,
    /// By user, vhost and exchange.
    topics: BTreeMap<(String, String, String), TopicPermissionRow>,
    /// May only connect from this machine.
    loopback_only: Vec<String>,
}

struct Permission {
    row: PermissionRow,
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

/// Who asks for a topic, for the variables in its pattern.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub user: &'a str,
    pub vhost: &'a str,
    pub client_id: Option<&'a str>,
}

/// An empty pattern matches only the empty name.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(if pattern.is_empty() { "^$" } else { pattern })
}

/// What a client says of itself stands for itself and not for a pattern. A variable that has no
/// value stays as it is.
pub(super) fn expand(pattern: &str, asking: Asking<'_>) -> String {
    let variables = [
        ("{username}", Some(asking.user)),
        ("{vhost}", Some(asking.vhost)),
        ("{client_id}", asking.client_id),
    ];
    let mut expanded = pattern.to_owned();
    for (variable, value) in variables {
        let value = regex::escape(value.unwrap_or(variable));
        expanded = expanded.replace(variable, &value);
    }
    expanded
}

pub(super) fn is_topic_pattern(pattern: &str) -> Result<(), regex::Error> {
    let nobody = Asking {
        user: "",
        vhost: "",
        client_id: None,
    };
    compile(&expand(pattern, nobody)).map(drop)
}

impl Accounts {
    /// Puts a row into effect, live and at start.
    pub fn apply(&mut self, row: Row) -> Result<(), regex::Error> {
        match row {
            Row::Seeded => {}
            Row::User(user) => drop(self.users.insert(user.name.clone(), user)),
            Row::Permission(row) => {
                let permission = Permission {
                    configure: compile(&row.configure)?,
                    write: compile(&row.write)?,
                    read: compile(&row.read)?,
                    row,
                };
                let key = (permission.row.user.clone(), permission.row.vhost.clone());
                self.permissions.insert(key, permission);
            }
            Row::TopicPermission(row) => {
                is_topic_pattern(&row.write)?;
                is_topic_pattern(&row.read)?;
                let (user, vhost) = (row.user.clone(), row.vhost.clone());
                let key = (user, vhost, row.exchange.clone());
                self.topics.insert(key, row);
            }
        }
        Ok(())
    }

    /// Takes out all permissions of which this is true; their rows.
    fn take_permissions(&mut self, gone: impl Fn(&str, &str) -> bool) -> Vec<Row> {
        let mut rows = Vec::new();
        self.permissions.retain(|(user, vhost), permission| {
            let gone = gone(user, vhost);
            if gone {
                rows.push(Row::Permission(permission.row.clone()));
            }
            !gone
        });
        self.topics.retain(|(user, vhost, _), topic| {
            let gone = gone(user, vhost);
            if gone {
                rows.push(Row::TopicPermission(topic.clone()));
            }
            !gone
        });
        rows
    }

    pub fn remove_user(&mut self, name: &str) -> Option<Vec<Row>> {
        let user = self.users.remove(name)?;
        let mut rows = self.take_permissions(|user, _| user == name);
        rows.push(Row::User(user));
        Some(rows)
    }

    /// What `forget_vhost` takes out.
    pub fn rows_of_vhost(&self, name: &str) -> Vec<Row> {
        let permissions = self.permissions.values();
        let permissions = permissions.filter(|permission| permission.row.vhost == name);
        let topics = self.topics.values().filter(|topic| topic.vhost == name);
        let permissions = permissions.map(|permission| Row::Permission(permission.row.clone()));
        permissions
            .chain(topics.cloned().map(Row::TopicPermission))
            .collect()
    }

    pub fn forget_vhost(&mut self, name: &str) {
        self.take_permissions(|_, vhost| vhost == name);
    }

    pub fn remove_permission(&mut self, user: &str, vhost: &str) -> Option<Row> {
        let key = (user.to_owned(), vhost.to_owned());
        let permission = self.permissions.remove(&key)?;
        Some(Row::Permission(permission.row))
    }

    /// Of one exchange, or of all.
    pub fn remove_topics(&mut self, user: &str, vhost: &str, exchange: Option<&str>) -> Vec<Row> {
        let mut rows = Vec::new();
        self.topics.retain(|(of, within, about), topic| {
            let same = of == user && within == vhost;
            let gone = same && exchange.is_none_or(|exchange| about == exchange);
            if gone {
                rows.push(Row::TopicPermission(topic.clone()));
            }
            !gone
        });
        rows
    }

    pub fn permissions(&self) -> Vec<PermissionRow> {
        let all = self.permissions.values();
        all.map(|permission| permission.row.clone()).collect()
    }

    pub fn topic_permissions(&self) -> Vec<TopicPermissionRow> {
        self.topics.values().cloned().collect()
    }

    pub fn restrict_to_loopback(&mut self, name: &str) {
        self.loopback_only.push(name.to_owned());
    }

    pub fn login(
        &self,
        name: &str,
        password: &[u8],
        from_loopback: bool,
    ) -> Result<(), LoginRefusal> {
        let user = self.users.get(name).ok_or(LoginRefusal::UnknownUser)?;
        let hash = user.password_hash.as_deref();
        let hash = hash.and_then(PasswordHash::decode);
        if !hash.is_some_and(|hash| hash.matches(password)) {
            return Err(LoginRefusal::WrongPassword);
        }
        self.login_without_password(name, from_loopback)
    }

    pub fn login_without_password(
        &self,
        name: &str,
        from_loopback: bool,
    ) -> Result<(), LoginRefusal> {
        if !self.users.contains_key(name) {
            return Err(LoginRefusal::UnknownUser);
        }
        if !from_loopback && self.loopback_only.iter().any(|only| only == name) {
            return Err(LoginRefusal::OnlyFromLoopback);
        }
        Ok(())
    }

    pub fn may_enter(&self, user: &str, vhost: &str) -> bool {
        self.permission(user, vhost).is_some()
    }

    /// Patterns are searched for, as RabbitMQ does.
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

    /// Whether anything is said about topics; if not, they need no permission.
    pub fn has_topics(&self, user: &str, vhost: &str) -> bool {
        self.topics
            .keys()
            .any(|(of, within, _)| of == user && within == vhost)
    }

    /// An exchange about which nothing is said is open.
    pub fn allows_topic(
        &self,
        asking: Asking<'_>,
        access: Access,
        exchange: &str,
        routing_key: &str,
    ) -> bool {
        let (user, vhost) = (asking.user.to_owned(), asking.vhost.to_owned());
        let Some(topic) = self.topics.get(&(user, vhost, exchange.to_owned())) else {
            return true;
        };
        let pattern = match access {
            Access::Write => &topic.write,
            Access::Read => &topic.read,
            Access::Configure => return true,
        };
        compile(&expand(pattern, asking)).is_ok_and(|pattern| pattern.is_match(routing_key))
    }

    pub fn has_tag(&self, user: &str, tag: &str) -> bool {
        self.users
            .get(user)
            .is_some_and(|user| user.tags.iter().any(|own| own == tag))
    }

    pub fn limits(&self, user: &str) -> UserLimits {
        self.users
            .get(user)
            .map_or_else(UserLimits::default, |user| user.limits)
    }

    fn permission(&self, user: &str, vhost: &str) -> Option<&Permission> {
        self.permissions.get(&(user.to_owned(), vhost.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Accounts {
        let mut accounts = Accounts::default();
        let user = UserRow {
            name: "ann".into(),
            password_hash: Some(PasswordHash::new(b"secret", [1, 2, 3, 4]).encode()),
            tags: vec!["administrator".into()],
            limits: UserLimits::default(),
        };
        accounts.apply(Row::User(user)).unwrap();
        let permission = PermissionRow {
            user: "ann".into(),
            vhost: "/".into(),
            configure: "^ann-".into(),
            write: ".*".into(),
            read: String::new(),
        };
        accounts.apply(Row::Permission(permission)).unwrap();
        accounts
    }

    fn topic(write: &str, read: &str) -> Row {
        Row::TopicPermission(TopicPermissionRow {
            user: "ann".into(),
            vhost: "/".into(),
            exchange: "amq.topic".into(),
            write: write.into(),
            read: read.into(),
        })
    }

    const ASKING: Asking<'_> = Asking {
        user: "ann",
        vhost: "/",
        client_id: None,
    };

    #[test]
    fn a_login_needs_the_right_password_and_place() {
        let mut accounts = ann();
        assert_eq!(accounts.login("ann", b"secret", false), Ok(()));
        assert_eq!(
            accounts.login("ann", b"other", true),
            Err(LoginRefusal::WrongPassword)
        );
        assert_eq!(
            accounts.login("bob", b"secret", true),
            Err(LoginRefusal::UnknownUser)
        );
        accounts.restrict_to_loopback("ann");
        assert_eq!(
            accounts.login("ann", b"secret", false),
            Err(LoginRefusal::OnlyFromLoopback)
        );
        assert_eq!(accounts.login("ann", b"secret", true), Ok(()));
    }

    #[test]
    fn permissions_are_patterns_and_an_empty_one_is_nothing() {
        let accounts = ann();
        assert!(accounts.allows("ann", "/", Access::Configure, "ann-queue"));
        assert!(!accounts.allows("ann", "/", Access::Configure, "queue"));
        assert!(accounts.allows("ann", "/", Access::Write, "anything"));
        assert!(!accounts.allows("ann", "/", Access::Read, "anything"));
        assert!(!accounts.allows("ann", "other", Access::Write, "anything"));
    }

    #[test]
    fn a_topic_needs_permission_only_where_there_is_one() {
        let mut accounts = ann();
        let allows = |accounts: &Accounts, access, exchange, key| {
            accounts.allows_topic(ASKING, access, exchange, key)
        };
        assert!(!accounts.has_topics("ann", "/"));
        assert!(allows(&accounts, Access::Write, "amq.topic", "anything"));
        accounts.apply(topic(r"^{username}\.", "")).unwrap();
        assert!(accounts.has_topics("ann", "/"));
        assert!(allows(&accounts, Access::Write, "amq.topic", "ann.x"));
        assert!(!allows(&accounts, Access::Write, "amq.topic", "bob.x"));
        assert!(!allows(&accounts, Access::Read, "amq.topic", "ann.x"));
        assert!(allows(&accounts, Access::Read, "amq.topic", ""));
        assert!(allows(&accounts, Access::Read, "other", "ann.x"));
        let removed = accounts.remove_topics("ann", "/", None);
        assert_eq!(removed.len(), 1);
        assert!(allows(&accounts, Access::Read, "amq.topic", "ann.x"));
    }

    #[test]
    fn a_name_in_a_pattern_is_no_pattern() {
        let asking = Asking {
            user: ".*",
            client_id: Some("a+"),
            ..ASKING
        };
        assert_eq!(
            expand("^{username}-{vhost}-{client_id}$", asking),
            r"^\.\*-/-a\+$"
        );
        assert_eq!(expand("{client_id}", ASKING), r"\{client_id\}");
        let mut accounts = ann();
        assert!(accounts.apply(topic("(", "")).is_err());
        assert!(accounts.apply(topic("{client_id}", "")).is_ok());
    }

    #[test]
    fn what_a_deleted_user_or_vhost_had_is_gone() {
        let mut accounts = ann();
        accounts.apply(topic(".*", ".*")).unwrap();
        assert_eq!(accounts.rows_of_vhost("other"), []);
        assert_eq!(accounts.rows_of_vhost("/").len(), 2);
        accounts.forget_vhost("/");
        assert_eq!(accounts.rows_of_vhost("/"), []);
        assert!(!accounts.may_enter("ann", "/"));
        let mut accounts = ann();
        accounts.apply(topic(".*", ".*")).unwrap();
        assert_eq!(accounts.remove_user("ann").map(|rows| rows.len()), Some(3));
        assert!(!accounts.may_enter("ann", "/"));
        assert!(accounts.remove_user("ann").is_none());
    }
}
