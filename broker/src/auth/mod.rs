//! Who may connect and what they may do: users, password hashes, permissions per virtual host,
//! limits. It answers questions, and is the door through which all of it changes while clients are
//! connected. Not sessions: it keeps no state about connections.

mod accounts;
mod mechanism;
mod password;
mod row;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

pub use accounts::{Access, Asking, LoginRefusal};
pub use mechanism::{Anonymous, Mechanism};
pub use password::PasswordHash;
pub use row::{PermissionRow, Row, TopicPermissionRow, UserLimits, UserRow};

use crate::store::DefinitionChange;
use crate::vhost::{Broker, DoorError, Facts, Kind, Saved, check_name};
use accounts::Accounts;

type Changed = Result<Saved, DoorError>;

/// All users of this broker.
pub struct Users {
    broker: Arc<Broker>,
    accounts: RwLock<Accounts>,
    /// Grows with every change, so that answers can be remembered.
    generation: AtomicU64,
    /// Held over a change and its way into the store, so that the store sees them in order.
    changing: Mutex<()>,
}

/// What the store knew about users when it was opened. Taken out before the rest is read.
pub struct Remembered(Vec<Row>);

impl Remembered {
    pub fn take(definitions: &mut Vec<(Vec<u8>, Vec<u8>)>) -> anyhow::Result<Remembered> {
        let own = definitions.extract_if(.., |(key, _)| Row::is_one(key));
        let rows: anyhow::Result<Vec<Row>> = own.map(|(_, value)| Row::read(&value)).collect();
        Ok(Remembered(rows?))
    }
}

impl Users {
    /// `seed` counts only in a store that has never had users.
    pub fn recover(
        broker: Arc<Broker>,
        remembered: Remembered,
        seed: Vec<Row>,
        loopback_only: &[String],
    ) -> anyhow::Result<Users> {
        let mut accounts = Accounts::default();
        let Remembered(rows) = remembered;
        if rows.is_empty() {
            let mut changes = vec![Row::Seeded.put()];
            for row in seed {
                changes.push(row.put());
                accounts.apply(row)?;
            }
            // The ready line does not wait for it: a crash before means that it is done again.
            drop(broker.commit(changes));
        }
        for row in rows {
            accounts.apply(row)?;
        }
        for name in loopback_only {
            accounts.restrict_to_loopback(name);
        }
        Ok(Users {
            broker,
            accounts: RwLock::new(accounts),
            generation: AtomicU64::new(0),
            changing: Mutex::default(),
        })
    }

    /// An answer of an earlier generation may not be right any more. Read before the question.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn login(
        &self,
        name: &str,
        password: &[u8],
        from_loopback: bool,
    ) -> Result<(), LoginRefusal> {
        self.accounts.read().login(name, password, from_loopback)
    }

    /// For whoever has shown otherwise who it is: with a certificate.
    pub fn login_without_password(
        &self,
        name: &str,
        from_loopback: bool,
    ) -> Result<(), LoginRefusal> {
        let accounts = self.accounts.read();
        accounts.login_without_password(name, from_loopback)
    }

    pub fn may_enter(&self, user: &str, vhost: &str) -> bool {
        self.accounts.read().may_enter(user, vhost)
    }

    pub fn allows(&self, user: &str, vhost: &str, access: Access, name: &str) -> bool {
        self.accounts.read().allows(user, vhost, access, name)
    }

    /// Whether topics of this vhost need permission at all.
    pub fn has_topics(&self, user: &str, vhost: &str) -> bool {
        self.accounts.read().has_topics(user, vhost)
    }

    pub fn allows_topic(
        &self,
        asking: Asking<'_>,
        access: Access,
        exchange: &str,
        routing_key: &str,
    ) -> bool {
        let accounts = self.accounts.read();
        accounts.allows_topic(asking, access, exchange, routing_key)
    }

    pub fn has_tag(&self, user: &str, tag: &str) -> bool {
        self.accounts.read().has_tag(user, tag)
    }

    pub fn tags(&self, user: &str) -> Vec<String> {
        self.user(user).map_or_else(Vec::new, |user| user.tags)
    }

    pub fn user(&self, name: &str) -> Option<UserRow> {
        self.accounts.read().users.get(name).cloned()
    }

    pub fn limits(&self, user: &str) -> UserLimits {
        self.accounts.read().limits(user)
    }

    pub fn users(&self) -> Vec<UserRow> {
        self.accounts.read().users.values().cloned().collect()
    }

    pub fn permissions(&self) -> Vec<PermissionRow> {
        self.accounts.read().permissions()
    }

    pub fn topic_permissions(&self) -> Vec<TopicPermissionRow> {
        self.accounts.read().topic_permissions()
    }

    /// A user that is new, or all about one that is there; permissions stay.
    pub fn put_user(&self, user: UserRow) -> Changed {
        check_name(&user.name)?;
        let (name, tags) = (user.name.clone(), user.tags.clone());
        let before = self.user(&name);
        let other_password = before
            .as_ref()
            .is_some_and(|before| before.password_hash != user.password_hash);
        let saved = self.change(|accounts| put(accounts, Row::User(user)))?;
        if before.is_none() {
            self.broker.tell(Kind::UserCreated, &name, |facts| facts);
        } else if other_password {
            self.broker
                .tell(Kind::UserPasswordChanged, &name, |facts| facts);
        }
        let told = |facts: Facts| facts.texts("tags", &tags);
        self.broker.tell(Kind::UserTagsSet, &name, told);
        Ok(saved)
    }

    pub fn set_password(&self, name: &str, password_hash: Option<String>) -> Changed {
        self.change_user(name, |user| user.password_hash = password_hash)
    }

    pub fn set_tags(&self, name: &str, tags: Vec<String>) -> Changed {
        self.change_user(name, |user| user.tags = tags)
    }

    pub fn set_limits(&self, name: &str, limits: UserLimits) -> Changed {
        self.change_user(name, |user| user.limits = limits)
    }

    /// Closes the user's connections too.
    pub fn delete_user(&self, name: &str) -> Changed {
        let saved = self.change(|accounts| match accounts.remove_user(name) {
            Some(rows) => Ok(removed(&rows)),
            None => Err(no_such(name)),
        })?;
        self.broker.connections().dismiss_user(name);
        self.broker.tell(Kind::UserDeleted, name, |facts| facts);
        Ok(saved)
    }

    pub fn set_permissions(&self, row: PermissionRow) -> Changed {
        let told = row.clone();
        let saved = self.change(|accounts| {
            self.broker.vhost_to_change(&row.vhost)?;
            known(accounts, &row.user)?;
            put(accounts, Row::Permission(row))
        })?;
        self.tell_permission(Kind::PermissionCreated, &told.user, &told.vhost, |facts| {
            facts
                .text("configure", &told.configure)
                .text("write", &told.write)
                .text("read", &told.read)
        });
        Ok(saved)
    }

    fn tell_permission(
        &self,
        kind: Kind,
        user: &str,
        vhost: &str,
        facts: impl FnOnce(Facts) -> Facts,
    ) {
        self.broker.tell(kind, user, |_| {
            let of = Facts::default().text("user", user).text("vhost", vhost);
            facts(of)
        });
    }

    /// Clearing what is not there is fine.
    pub fn clear_permissions(&self, user: &str, vhost: &str) -> Changed {
        self.broker.vhost_to_change(vhost)?;
        let saved = self.change(|accounts| {
            known(accounts, user)?;
            let row = accounts.remove_permission(user, vhost);
            Ok(removed(row.as_slice()))
        })?;
        self.tell_permission(Kind::PermissionDeleted, user, vhost, |facts| facts);
        Ok(saved)
    }

    pub fn set_topic_permissions(&self, row: TopicPermissionRow) -> Changed {
        check_name(&row.exchange)?;
        let told = row.clone();
        let saved = self.change(|accounts| {
            self.broker.vhost_to_change(&row.vhost)?;
            known(accounts, &row.user)?;
            put(accounts, Row::TopicPermission(row))
        })?;
        let kind = Kind::TopicPermissionCreated;
        self.tell_permission(kind, &told.user, &told.vhost, |facts| {
            facts
                .text("exchange", &told.exchange)
                .text("write", &told.write)
                .text("read", &told.read)
        });
        Ok(saved)
    }

    /// Of one exchange, or of all.
    pub fn clear_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Changed {
        self.broker.vhost_to_change(vhost)?;
        let saved = self.change(|accounts| {
            known(accounts, user)?;
            Ok(removed(&accounts.remove_topics(user, vhost, exchange)))
        })?;
        self.tell_permission(Kind::TopicPermissionDeleted, user, vhost, |facts| facts);
        Ok(saved)
    }

    /// The vhost, and everybody's permissions in it: a later vhost of this name begins without.
    pub fn delete_vhost(&self, name: &str) -> Changed {
        let _changing = self.changing.lock();
        let along = removed(&self.accounts.read().rows_of_vhost(name));
        let saved = self.broker.delete_vhost(name, along)?;
        self.accounts.write().forget_vhost(name);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(saved)
    }

    fn change_user(&self, name: &str, change: impl FnOnce(&mut UserRow)) -> Changed {
        self.change(|accounts| {
            let mut user = accounts
                .users
                .get(name)
                .cloned()
                .ok_or_else(|| no_such(name))?;
            change(&mut user);
            put(accounts, Row::User(user))
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Accounts) -> Result<Vec<DefinitionChange>, DoorError>,
    ) -> Changed {
        let _changing = self.changing.lock();
        let changes = change(&mut self.accounts.write())?;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(self.broker.commit(changes))
    }
}

/// Whether a pattern over topics is one, whatever its variables stand for.
pub fn is_topic_pattern(pattern: &str) -> bool {
    accounts::is_topic_pattern(pattern).is_ok()
}

fn put(accounts: &mut Accounts, row: Row) -> Result<Vec<DefinitionChange>, DoorError> {
    let change = row.put();
    match accounts.apply(row) {
        Ok(()) => Ok(vec![change]),
        Err(error) => Err(DoorError::InvalidPattern(error.to_string())),
    }
}

fn removed(rows: &[Row]) -> Vec<DefinitionChange> {
    rows.iter().map(Row::remove).collect()
}

fn known(accounts: &Accounts, user: &str) -> Result<(), DoorError> {
    match accounts.users.contains_key(user) {
        true => Ok(()),
        false => Err(no_such(user)),
    }
}

fn no_such(user: &str) -> DoorError {
    DoorError::NoSuchUser(user.to_owned())
}
