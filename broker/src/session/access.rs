//! Permission checks of one connection, remembered.

use hashbrown::HashSet;

use super::{Phase, Session};
use crate::auth::Access;
use crate::error::Refusal;

/// This many answers are remembered, then it starts anew.
const REMEMBERED: usize = 256;

#[derive(Default)]
pub(super) struct AccessCache {
    allowed: HashSet<(Access, Kind, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Exchange,
    Queue,
}

impl Session {
    /// The default exchange is called `amq.default` in permissions.
    pub(super) fn check_access(
        &mut self,
        access: Access,
        kind: Kind,
        name: &str,
    ) -> Result<(), Refusal> {
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
}
