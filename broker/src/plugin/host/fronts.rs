//! Which interceptors are loaded, and where the configuration puts them. Which stands in front of which
//! exchange follows in `vhost::front`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::PluginHost;
use crate::plugin::interceptor::Standing;
use crate::plugin::limits::PluginSettings;
use crate::plugin::one_plugin::Plugin;
use crate::vhost::Broker;

impl PluginHost {
    /// Callers hold the workshop.
    pub(super) fn change_front(
        &self,
        name: &str,
        interceptor: Option<&Arc<Plugin>>,
        broker: Option<&Broker>,
    ) {
        let mut table = self.table();
        let before = match interceptor {
            Some(plugin) => table
                .interceptors
                .insert(name.to_owned(), Arc::clone(plugin)),
            None => table.interceptors.remove(name),
        };
        if before.is_none() && interceptor.is_none() {
            return;
        }
        *self.table.write() = Arc::new(table);
        if let Some(broker) = broker {
            broker.renew_fronts(name);
            if interceptor.is_some() {
                tracing::info!(plugin = name, "plugin in force");
            }
        }
    }

    /// Interceptors stand where the configuration says, there or not.
    pub(in crate::plugin) fn place_interceptors(&self, broker: &Broker) {
        let _workshop = self.workshop.lock();
        let standings = standings(&self.state.lock().configured);
        let mut table = self.table();
        let before = std::mem::replace(&mut table.standings, standings);
        let table = Arc::new(table);
        *self.table.write() = Arc::clone(&table);
        let names = before.keys().chain(table.standings.keys());
        let changed: BTreeSet<&String> = names
            .filter(|name| before.get(*name) != table.standings.get(*name))
            .collect();
        for name in changed {
            broker.renew_fronts(name);
        }
    }
}

pub(super) fn standings(
    configured: &BTreeMap<String, PluginSettings>,
) -> BTreeMap<String, Standing> {
    let standings = configured.iter().map(|(name, settings)| {
        let standing = Standing {
            places: settings.intercepts.clone(),
            on_failure: settings.on_failure,
        };
        (name.clone(), standing)
    });
    standings
        .filter(|(_, standing)| *standing != Standing::default())
        .collect()
}
