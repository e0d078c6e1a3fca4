//! Users and permissions as rows in the store. Not what they do.

use serde::{Deserialize, Serialize};

use crate::store::DefinitionChange;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Row {
    /// The users of the configuration have been taken over; they are not looked at again.
    Seeded,
    User(UserRow),
    Permission(PermissionRow),
    TopicPermission(TopicPermissionRow),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    pub name: String,
    /// base64 of salt and hash. None cannot log in with a password.
    pub password_hash: Option<String>,
    pub tags: Vec<String>,
    #[serde(default)]
    pub limits: UserLimits,
}

/// Negative is no limit, 0 is none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct UserLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_channels: Option<i64>,
}

/// Regular expressions; an empty one matches nothing but the empty name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionRow {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// Regular expressions over routing keys, in which {username}, {vhost} and {client_id} stand for
/// who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPermissionRow {
    pub user: String,
    pub vhost: String,
    pub exchange: String,
    pub write: String,
    pub read: String,
}

const SEEDED: u8 = b's';
const USER: u8 = b'u';
const PERMISSION: u8 = b'v';
const TOPIC_PERMISSION: u8 = b'w';

impl Row {
    /// Among the store's definitions, the first octet of the key tells whose row it is.
    pub(super) fn is_one(key: &[u8]) -> bool {
        let kind = key.first();
        kind.is_some_and(|kind| [SEEDED, USER, PERMISSION, TOPIC_PERMISSION].contains(kind))
    }

    fn key(&self) -> Vec<u8> {
        match self {
            Row::Seeded => key(SEEDED, &[]),
            Row::User(user) => key(USER, &[&user.name]),
            Row::Permission(row) => key(PERMISSION, &[&row.user, &row.vhost]),
            Row::TopicPermission(row) => {
                key(TOPIC_PERMISSION, &[&row.user, &row.vhost, &row.exchange])
            }
        }
    }

    pub(super) fn put(&self) -> DefinitionChange {
        // Serialising plain strings and numbers cannot fail.
        let value = serde_json::to_vec(self).unwrap_or_default();
        let key = self.key();
        DefinitionChange::Put { key, value }
    }

    pub(super) fn remove(&self) -> DefinitionChange {
        DefinitionChange::Remove { key: self.key() }
    }

    pub(super) fn read(value: &[u8]) -> anyhow::Result<Row> {
        Ok(serde_json::from_slice(value)?)
    }
}

/// Names are checked to have at most 255 octets before they get here.
fn key(kind: u8, parts: &[&str]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.push(part.len().min(255) as u8);
        key.extend_from_slice(part.as_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_being_written_down() {
        let row = Row::Permission(PermissionRow {
            user: "ann".into(),
            vhost: "/".into(),
            configure: String::new(),
            write: "^a".into(),
            read: ".*".into(),
        });
        let DefinitionChange::Put { key, value } = row.put() else {
            panic!("not a put")
        };
        assert!(Row::is_one(&key));
        assert!(!Row::is_one(b"1\x01/"));
        assert_eq!(Row::read(&value).unwrap(), row);
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        let of = |user: &str, vhost: &str| {
            let row = Row::Permission(PermissionRow {
                user: user.into(),
                vhost: vhost.into(),
                configure: String::new(),
                write: String::new(),
                read: String::new(),
            });
            row.key()
        };
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
