//! Permission checks of one connection, remembered until permissions change.

use hashbrown::HashSet;

use super::{Phase, Session};
use crate::auth::{Access, Asking, Users};
use crate::error::Refusal;

/// This many answers are remembered, then it starts anew.
const REMEMBERED: usize = 256;

/// The type whose routing keys are topics.
const TOPIC: &str = "topic";

#[derive(Default)]
pub(super) struct AccessCache {
    /// Of the users that the answers are about; none at first.
    generation: Option<u64>,
    allowed: HashSet<(Access, Kind, String)>,
    /// Anything is said about topics here.
    has_topics: bool,
    /// By exchange and routing key.
    topics: HashSet<(Access, String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Exchange,
    Queue,
}

impl AccessCache {
    /// Forgets what may have changed; true when nothing has.
    #[inline]
    fn renew(&mut self, users: &Users, user: &str, vhost: &str) -> bool {
        let generation = Some(users.generation());
        let current = self.generation == generation;
        if !current {
            self.begin_anew(generation, users, user, vhost);
        }
        current
    }

    fn begin_anew(&mut self, generation: Option<u64>, users: &Users, user: &str, vhost: &str) {
        *self = AccessCache {
            generation,
            has_topics: users.has_topics(user, vhost),
            ..AccessCache::default()
        };
    }
}

impl Session {
    /// False: whatever was permitted before must be asked again.
    #[inline]
    pub(super) fn permissions_are_current(&mut self) -> bool {
        match &mut self.phase {
            Phase::Running(running) => {
                let (user, vhost) = (&running.user, &running.vhost.name);
                running.access.renew(&self.users, user, vhost)
            }
            Phase::Header
            | Phase::StartOk
            | Phase::Refused
            | Phase::TuneOk(_)
            | Phase::Open(_)
            | Phase::Closing
            | Phase::Ended(_) => true,
        }
    }

    /// The default exchange is called `amq.default` in permissions.
    pub(super) fn check_access(
        &mut self,
        access: Access,
        kind: Kind,
        name: &str,
    ) -> Result<(), Refusal> {
        self.permissions_are_current();
        if self.of_this_broker {
            return Ok(());
        }
        let Phase::Running(running) = &mut self.phase else {
            return Ok(());
        };
        let key = (access, kind, name.to_owned());
        if running.access.allowed.contains(&key) {
            return Ok(());
        }
        let permitted = match (kind, name) {
            (Kind::Exchange, "") => "amq.default",
            (Kind::Exchange | Kind::Queue, name) => name,
        };
        if !self
            .users
            .allows(&running.user, &running.vhost.name, access, permitted)
        {
            let kind = match kind {
                Kind::Exchange => "exchange",
                Kind::Queue => "queue",
            };
            return Err(Refusal::access(format!(
                "{} access to {kind} '{permitted}' in vhost '{}' refused for user '{}'",
                access.name(),
                running.vhost.name,
                running.user
            )));
        }
        if running.access.allowed.len() >= REMEMBERED {
            running.access.allowed.clear();
        }
        running.access.allowed.insert(key);
        Ok(())
    }

    /// Routing keys need permission of their own on exchanges of type topic, where any is set. The
    /// exchange's own permission was asked just before, which renews what is remembered.
    #[inline]
    pub(super) fn check_topic(
        &mut self,
        access: Access,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Refusal> {
        let Phase::Running(running) = &mut self.phase else {
            return Ok(());
        };
        if !running.access.has_topics || self.of_this_broker {
            return Ok(());
        }
        let found = running.vhost.exchange(exchange);
        if found.is_none_or(|found| found.definition.type_name != TOPIC) {
            return Ok(());
        }
        let key = (access, exchange.to_owned(), routing_key.to_owned());
        if running.access.topics.contains(&key) {
            return Ok(());
        }
        let asking = Asking {
            user: &running.user,
            vhost: &running.vhost.name,
            client_id: None,
        };
        if !self
            .users
            .allows_topic(asking, access, exchange, routing_key)
        {
            // The doubled word is RabbitMQ's.
            return Err(Refusal::access(format!(
                "{} access to topic '{routing_key}' in exchange exchange '{exchange}' in vhost \
                 '{}' refused for user '{}'",
                access.name(),
                running.vhost.name,
                running.user
            )));
        }
        if running.access.topics.len() >= REMEMBERED {
            running.access.topics.clear();
        }
        running.access.topics.insert(key);
        Ok(())
    }
}
