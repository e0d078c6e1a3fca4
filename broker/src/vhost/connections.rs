//! Who is connected: to which virtual host, as which user, with how many channels. For limits, and
//! for closing the connections of what goes away. Not sockets (see `net/`).

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::names::ConnectionId;
use crate::outbox::Outbox;

#[derive(Default)]
pub struct Connections {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<ConnectionId, Arc<Connection>>,
    vhosts: HashMap<Arc<str>, u64>,
    users: HashMap<Arc<str>, OfUser>,
}

#[derive(Clone, Copy, Default)]
struct OfUser {
    connections: u64,
    channels: u64,
}

struct Connection {
    vhost: Arc<str>,
    user: Arc<str>,
    outbox: Arc<Outbox>,
    /// Why it is to be closed.
    dismissed: OnceLock<String>,
}

/// A connection that wants in.
pub struct Entering<'a> {
    pub id: ConnectionId,
    pub vhost: &'a Arc<str>,
    pub user: &'a Arc<str>,
    pub outbox: &'a Arc<Outbox>,
    pub vhost_limit: Option<u64>,
    pub user_limit: Option<u64>,
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    Vhost(u64),
    User(u64),
}

/// An open connection's place; it is free again when this is dropped, however that comes about.
pub struct Presence {
    all: Arc<Connections>,
    id: ConnectionId,
    connection: Arc<Connection>,
    channels: u64,
}

impl Connections {
    pub fn enter(self: &Arc<Self>, entering: &Entering<'_>) -> Result<Presence, Full> {
        let Entering {
            id, vhost, user, ..
        } = *entering;
        let mut open = self.open.lock();
        let in_vhost = open.vhosts.get(vhost).copied().unwrap_or_default();
        if let Some(limit) = entering.vhost_limit.filter(|limit| in_vhost >= *limit) {
            return Err(Full::Vhost(limit));
        }
        let of_user = open.users.get(user).copied().unwrap_or_default();
        let reached = |limit: &u64| of_user.connections >= *limit;
        if let Some(limit) = entering.user_limit.filter(reached) {
            return Err(Full::User(limit));
        }
        let connection = Arc::new(Connection {
            vhost: Arc::clone(vhost),
            user: Arc::clone(user),
            outbox: Arc::clone(entering.outbox),
            dismissed: OnceLock::new(),
        });
        open.connections.insert(id, Arc::clone(&connection));
        *open.vhosts.entry(Arc::clone(vhost)).or_default() += 1;
        open.users.entry(Arc::clone(user)).or_default().connections += 1;
        Ok(Presence {
            all: Arc::clone(self),
            id,
            connection,
            channels: 0,
        })
    }

    pub fn in_vhost(&self, vhost: &str) -> u64 {
        self.open.lock().vhosts.get(vhost).copied().unwrap_or(0)
    }

    pub fn of_user(&self, user: &str) -> u64 {
        let open = self.open.lock();
        open.users.get(user).map_or(0, |user| user.connections)
    }

    pub(super) fn dismiss_vhost(&self, vhost: &str) {
        let reason = format!("vhost '{vhost}' is deleted");
        self.dismiss(&reason, |connection| *connection.vhost == *vhost);
    }

    pub fn dismiss_user(&self, user: &str) {
        let reason = format!("user '{user}' is deleted");
        self.dismiss(&reason, |connection| *connection.user == *user);
    }

    fn dismiss(&self, reason: &str, whose: impl Fn(&Connection) -> bool) {
        let mut outboxes = Vec::new();
        for connection in self.open.lock().connections.values() {
            // The first reason stands.
            if whose(connection) && connection.dismissed.set(reason.to_owned()).is_ok() {
                outboxes.push(Arc::clone(&connection.outbox));
            }
        }
        outboxes.iter().for_each(|outbox| outbox.poke());
    }
}

impl Presence {
    /// Takes a channel, or says which limit of the user is reached.
    pub fn open_channel(&mut self, limit: Option<u64>) -> Result<(), u64> {
        let mut open = self.all.open.lock();
        let of_user = open.users.entry(Arc::clone(&self.connection.user));
        let of_user = of_user.or_default();
        if let Some(limit) = limit.filter(|limit| of_user.channels >= *limit) {
            return Err(limit);
        }
        of_user.channels += 1;
        self.channels += 1;
        Ok(())
    }

    pub fn close_channel(&mut self) {
        if self.channels == 0 {
            return;
        }
        self.channels -= 1;
        let mut open = self.all.open.lock();
        if let Some(of_user) = open.users.get_mut(&self.connection.user) {
            of_user.channels = of_user.channels.saturating_sub(1);
        }
    }

    /// Why this connection is to be closed, once it is.
    pub fn dismissed(&self) -> Option<&str> {
        self.connection.dismissed.get().map(String::as_str)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut open = self.all.open.lock();
        open.connections.remove(&self.id);
        let Connection { vhost, user, .. } = self.connection.as_ref();
        if let Some(count) = open.vhosts.get_mut(vhost) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.vhosts.remove(vhost);
            }
        }
        if let Some(of_user) = open.users.get_mut(user) {
            of_user.connections = of_user.connections.saturating_sub(1);
            of_user.channels = of_user.channels.saturating_sub(self.channels);
            if of_user.connections == 0 {
                open.users.remove(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(all: &Arc<Connections>, id: u64, limits: [Option<u64>; 2]) -> Result<Presence, Full> {
        let [vhost_limit, user_limit] = limits;
        all.enter(&Entering {
            id: ConnectionId(id),
            vhost: &Arc::from("/"),
            user: &Arc::from("ann"),
            outbox: &Arc::new(Outbox::new()),
            vhost_limit,
            user_limit,
        })
    }

    #[test]
    fn places_are_free_again_when_a_connection_is_gone() {
        let all = Arc::new(Connections::default());
        let first = enter(&all, 1, [Some(1), None]).expect("room");
        let second = enter(&all, 2, [Some(1), None]);
        assert_eq!(second.err(), Some(Full::Vhost(1)));
        let second = enter(&all, 2, [Some(2), Some(1)]);
        assert_eq!(second.err(), Some(Full::User(1)));
        assert_eq!((all.in_vhost("/"), all.of_user("ann")), (1, 1));
        drop(first);
        assert_eq!((all.in_vhost("/"), all.of_user("ann")), (0, 0));
        let again = enter(&all, 3, [Some(1), Some(1)]);
        assert!(again.is_ok());
        assert_eq!(enter(&all, 4, [Some(0), None]).err(), Some(Full::Vhost(0)));
    }

    #[test]
    fn channels_count_over_all_connections_of_a_user() {
        let all = Arc::new(Connections::default());
        let mut first = enter(&all, 1, [None, None]).expect("room");
        let mut second = enter(&all, 2, [None, None]).expect("room");
        assert_eq!(first.open_channel(Some(2)), Ok(()));
        assert_eq!(second.open_channel(Some(2)), Ok(()));
        assert_eq!(second.open_channel(Some(2)), Err(2));
        first.close_channel();
        assert_eq!(second.open_channel(Some(2)), Ok(()));
        drop(second);
        assert_eq!(first.open_channel(Some(1)), Ok(()));
        assert_eq!(first.open_channel(Some(1)), Err(1));
    }

    #[test]
    fn those_of_a_deleted_vhost_hear_why() {
        let all = Arc::new(Connections::default());
        let presence = enter(&all, 1, [None, None]).expect("room");
        all.dismiss_vhost("other");
        assert_eq!(presence.dismissed(), None);
        all.dismiss_vhost("/");
        all.dismiss_user("ann");
        assert_eq!(presence.dismissed(), Some("vhost '/' is deleted"));
    }
}
