//! Who is connected: to which virtual host, as which user, with how many channels. For limits, and
//! for closing the connections of what goes away. Not sockets (see `net/`).

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::facts::{ChannelFacts, Churn, ConnectionFacts, Introduction};
use super::news::{Kind, News};
use super::told::{of_channel, of_connection};
use crate::names::ConnectionId;
use crate::outbox::Outbox;
use crate::queue::QueueType;
use crate::tally::{Messages, Octets, Sizes};

#[derive(Default)]
pub struct Connections {
    open: Mutex<Open>,
    churn: Churn,
    news: Arc<News>,
    /// What queues that are deleted have counted, by type.
    gone_queues: Mutex<[Messages; 3]>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<ConnectionId, Arc<ConnectionFacts>>,
    vhosts: HashMap<Arc<str>, u64>,
    users: HashMap<Arc<str>, OfUser>,
    /// What channels that are closed have counted, by vhost.
    before: HashMap<Arc<str>, Messages>,
    /// The same of all vhosts, those too that are deleted.
    before_all: Messages,
    /// What went through the sockets of connections that are closed, by vhost.
    octets_before: HashMap<Arc<str>, Octets>,
    /// What connections that are closed have published.
    sizes_before: Sizes,
}

#[derive(Clone, Copy, Default)]
struct OfUser {
    connections: u64,
    channels: u64,
}

/// A connection that wants in.
pub struct Entering {
    pub introduction: Introduction,
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
    connection: Arc<ConnectionFacts>,
    channels: u64,
}

impl Connections {
    pub fn enter(self: &Arc<Self>, entering: Entering) -> Result<Presence, Full> {
        let Entering {
            introduction,
            vhost_limit,
            user_limit,
        } = entering;
        let (vhost, user) = (&introduction.vhost, &introduction.user);
        let mut open = self.open.lock();
        let in_vhost = open.vhosts.get(vhost).copied().unwrap_or_default();
        if let Some(limit) = vhost_limit.filter(|limit| in_vhost >= *limit) {
            return Err(Full::Vhost(limit));
        }
        let of_user = open.users.get(user).copied().unwrap_or_default();
        let reached = |limit: &u64| of_user.connections >= *limit;
        if let Some(limit) = user_limit.filter(reached) {
            return Err(Full::User(limit));
        }
        *open.vhosts.entry(Arc::clone(vhost)).or_default() += 1;
        open.users.entry(Arc::clone(user)).or_default().connections += 1;
        let connection = Arc::new(ConnectionFacts::new(introduction));
        let listed = Arc::clone(&connection);
        open.connections.insert(connection.id, listed);
        self.churn.connections_opened.add(1);
        drop(open);
        self.news
            .tell(|| of_connection(Kind::ConnectionCreated, &connection));
        Ok(Presence {
            all: Arc::clone(self),
            connection,
            channels: 0,
        })
    }

    /// In the order in which they came.
    pub fn list(&self) -> Vec<Arc<ConnectionFacts>> {
        let open = self.open.lock();
        let mut all: Vec<_> = open.connections.values().cloned().collect();
        drop(open);
        all.sort_by_key(|connection| connection.id);
        all
    }

    pub fn get(&self, id: ConnectionId) -> Option<Arc<ConnectionFacts>> {
        self.open.lock().connections.get(&id).cloned()
    }

    pub fn count(&self) -> usize {
        self.open.lock().connections.len()
    }

    /// What channels that are closed have counted in this vhost.
    pub fn counted_before(&self, vhost: &str) -> Messages {
        let open = self.open.lock();
        open.before.get(vhost).copied().unwrap_or_default()
    }

    /// What went through the sockets of this vhost's connections since the start.
    pub fn octets(&self, vhost: &str) -> Octets {
        let open = self.open.lock();
        let mut sum = open.octets_before.get(vhost).copied().unwrap_or_default();
        let connections = open.connections.values();
        for connection in connections.filter(|one| *one.vhost == *vhost) {
            sum += connection.traffic.octets();
        }
        sum
    }

    /// What all channels have counted since the start.
    pub fn counted(&self) -> Messages {
        let mut sum = self.open.lock().before_all;
        for connection in self.list() {
            for channel in connection.channels() {
                sum += connection.messages(&channel);
            }
        }
        sum
    }

    /// What has been published since the start, by size.
    pub fn sizes(&self) -> Sizes {
        let open = self.open.lock();
        let mut sum = open.sizes_before;
        for connection in open.connections.values() {
            sum += connection.traffic.sizes.get();
        }
        sum
    }

    pub(super) fn add_gone_queue(&self, queue_type: QueueType, counted: Messages) {
        let mut gone = self.gone_queues.lock();
        if let Some(sum) = gone.get_mut(place_of(queue_type)) {
            *sum += counted;
        }
    }

    /// What queues of this type that are deleted have counted.
    pub fn gone_queues(&self, queue_type: QueueType) -> Messages {
        let gone = self.gone_queues.lock();
        gone.get(place_of(queue_type)).copied().unwrap_or_default()
    }

    /// What came in without a channel.
    pub fn add_counted(&self, vhost: &Arc<str>, counted: Messages, sizes: Sizes) {
        let mut open = self.open.lock();
        open.sizes_before += sizes;
        *open.before.entry(Arc::clone(vhost)).or_default() += counted;
        open.before_all += counted;
    }

    pub fn churn(&self) -> &Churn {
        &self.churn
    }

    pub fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// Somebody wants this one closed.
    pub fn dismiss_one(&self, id: ConnectionId, reason: &str) {
        self.dismiss(reason, |connection| connection.id == id);
    }

    pub fn in_vhost(&self, vhost: &str) -> u64 {
        self.open.lock().vhosts.get(vhost).copied().unwrap_or(0)
    }

    pub fn of_user(&self, user: &str) -> u64 {
        let open = self.open.lock();
        open.users.get(user).map_or(0, |user| user.connections)
    }

    pub(super) fn dismiss_vhost(&self, vhost: &str) {
        let mut open = self.open.lock();
        open.before.remove(vhost);
        open.octets_before.remove(vhost);
        drop(open);
        let reason = format!("vhost '{vhost}' is deleted");
        self.dismiss(&reason, |connection| *connection.vhost == *vhost);
    }

    pub fn dismiss_user(&self, user: &str) {
        let reason = format!("user '{user}' is deleted");
        self.dismiss(&reason, |connection| *connection.user == *user);
    }

    fn dismiss(&self, reason: &str, whose: impl Fn(&ConnectionFacts) -> bool) {
        let mut outboxes: Vec<Arc<Outbox>> = Vec::new();
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
    pub fn open_channel(
        &mut self,
        channel: &Arc<ChannelFacts>,
        limit: Option<u64>,
    ) -> Result<(), u64> {
        let mut open = self.all.open.lock();
        let of_user = open.users.entry(Arc::clone(&self.connection.user));
        let of_user = of_user.or_default();
        if let Some(limit) = limit.filter(|limit| of_user.channels >= *limit) {
            return Err(limit);
        }
        of_user.channels += 1;
        self.channels += 1;
        drop(open);
        let mut channels = self.connection.channels.lock();
        channels.insert(channel.number, Arc::clone(channel));
        self.all.churn.channels_opened.add(1);
        let (news, connection) = (&self.all.news, &self.connection);
        news.tell(|| of_channel(Kind::ChannelCreated, connection, channel.number));
        Ok(())
    }

    /// Before the outbox forgets what it has counted for the channel.
    pub fn close_channel(&mut self, number: u16) {
        let Some(channel) = self.connection.channels.lock().remove(&number) else {
            return;
        };
        let counted = self.connection.messages(&channel);
        self.all.churn.channels_closed.add(1);
        let (news, connection) = (&self.all.news, &self.connection);
        news.tell(|| of_channel(Kind::ChannelClosed, connection, number));
        self.channels = self.channels.saturating_sub(1);
        let mut open = self.all.open.lock();
        let vhost = Arc::clone(&self.connection.vhost);
        *open.before.entry(vhost).or_default() += counted;
        open.before_all += counted;
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
        self.all.churn.connections_closed.add(1);
        let (news, connection) = (&self.all.news, &self.connection);
        news.tell(|| of_connection(Kind::ConnectionClosed, connection));
        open.connections.remove(&self.connection.id);
        open.sizes_before += self.connection.traffic.sizes.get();
        let ConnectionFacts { vhost, user, .. } = self.connection.as_ref();
        let octets = self.connection.traffic.octets();
        *open.octets_before.entry(Arc::clone(vhost)).or_default() += octets;
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

fn place_of(queue_type: QueueType) -> usize {
    match queue_type {
        QueueType::Classic => 0,
        QueueType::Quorum => 1,
        QueueType::Stream => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(all: &Arc<Connections>, id: u64, limits: [Option<u64>; 2]) -> Result<Presence, Full> {
        let [vhost_limit, user_limit] = limits;
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let introduction = Introduction {
            id: ConnectionId(id),
            peer: nowhere,
            local: nowhere,
            vhost: Arc::from("/"),
            user: Arc::from("ann"),
            mechanism: Arc::from("PLAIN"),
            client_properties: Vec::new(),
            channel_max: 0,
            frame_max: 0,
            heartbeat: 0,
            connected_at: 0,
            protection: None,
            traffic: Arc::default(),
            outbox: Arc::new(Outbox::new()),
        };
        all.enter(Entering {
            introduction,
            vhost_limit,
            user_limit,
        })
    }

    fn channel(number: u16) -> Arc<ChannelFacts> {
        Arc::new(ChannelFacts::new(number, 1))
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
        assert_eq!(first.open_channel(&channel(1), Some(2)), Ok(()));
        assert_eq!(second.open_channel(&channel(1), Some(2)), Ok(()));
        assert_eq!(second.open_channel(&channel(2), Some(2)), Err(2));
        first.close_channel(1);
        assert_eq!(second.open_channel(&channel(2), Some(2)), Ok(()));
        drop(second);
        assert_eq!(first.open_channel(&channel(1), Some(1)), Ok(()));
        assert_eq!(first.open_channel(&channel(2), Some(1)), Err(1));
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
