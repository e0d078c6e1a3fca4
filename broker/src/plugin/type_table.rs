//! Which exchange type belongs to which plugin, at one moment. Never changed: when a plugin comes
//! or goes there is a new table, which comes into force as a whole (see `host`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::instance::Instance;
use super::interceptor::Standing;
use super::one_plugin::Plugin;
use crate::vhost::exchange_type::{
    ExchangeInstance, ExchangeTypes, Interception, OpenRefusal, Opened, Opening, Unavailable,
};

#[derive(Clone, Default)]
pub(super) struct TypeTable {
    pub by_type: HashMap<String, Arc<Plugin>>,
    /// Those that are loaded, by their names.
    pub interceptors: BTreeMap<String, Arc<Plugin>>,
    /// What the configuration says of them, there or not.
    pub standings: BTreeMap<String, Standing>,
    /// Of types whose plugin is away, where it is not `Unavailable::Fail`.
    pub away: BTreeMap<String, Unavailable>,
}

impl TypeTable {
    /// Without this plugin's types, and which they were.
    pub fn without(&self, plugin: &str) -> (TypeTable, HashSet<String>) {
        let mut table = self.clone();
        let mut gone = HashSet::new();
        table.by_type.retain(|type_name, owner| {
            let stays = owner.name != plugin;
            if !stays {
                gone.insert(type_name.clone());
            }
            stays
        });
        (table, gone)
    }

    /// With this plugin's types, and which they are. A type has one plugin.
    pub fn with(mut self, plugin: &Arc<Plugin>) -> Result<(TypeTable, HashSet<String>), String> {
        let mut came = HashSet::new();
        for type_name in &plugin.description.types {
            if let Some(other) = self.by_type.get(type_name) {
                let (other, name) = (&other.name, &plugin.name);
                return Err(format!(
                    "the exchange type {type_name:?} belongs to the plugin {other:?} already: \
                     disable either {other:?} or {name:?}"
                ));
            }
            self.by_type.insert(type_name.clone(), Arc::clone(plugin));
            came.insert(type_name.clone());
        }
        Ok((self, came))
    }
}

impl ExchangeTypes for TypeTable {
    fn open(&self, opening: &Opening<'_>) -> Result<Opened, OpenRefusal> {
        let plugin = self
            .by_type
            .get(opening.type_name)
            .ok_or(OpenRefusal::UnknownType)?;
        let (instance, inner_type) = Instance::open(plugin, opening)?;
        Ok(Opened {
            instance,
            inner_type,
        })
    }

    fn interceptors(&self, vhost: &str, exchange: &str) -> Vec<String> {
        let standings = self.standings.iter();
        let here = standings.filter(|(_, standing)| standing.covers(vhost, exchange));
        here.map(|(name, _)| name.clone()).collect()
    }

    fn intercept(&self, name: &str, opening: &Opening<'_>) -> Interception {
        let instance = match self.interceptors.get(name) {
            Some(plugin) => Ok(Instance::standing(plugin, opening) as Arc<dyn ExchangeInstance>),
            None => Err(format!("no interceptor '{name}' is in force")),
        };
        let standing = self.standings.get(name);
        Interception {
            instance,
            on_failure: standing
                .map(|standing| standing.on_failure)
                .unwrap_or_default(),
        }
    }

    fn room_for_exchange(&self, type_name: &str) -> Result<(), String> {
        let plugin = self.by_type.get(type_name);
        plugin.map_or(Ok(()), |plugin| plugin.room_for_exchange())
    }

    fn unavailable(&self, type_name: &str) -> Unavailable {
        self.away.get(type_name).cloned().unwrap_or_default()
    }
}
