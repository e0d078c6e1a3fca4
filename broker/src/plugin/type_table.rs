//! Which exchange type belongs to which plugin, at one moment. Never changed: when a plugin comes
//! or goes there is a new table, which comes into force as a whole (see `host`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::instance::Instance;
use super::interceptor::Intercepts;
use super::one_plugin::Plugin;
use crate::vhost::exchange_type::{
    ExchangeInstance, ExchangeTypes, OpenRefusal, Opened, Opening, Unavailable,
};

#[derive(Clone, Default)]
pub(super) struct TypeTable {
    pub by_type: HashMap<String, Arc<Plugin>>,
    /// Interceptors, by their plugins' names.
    pub fronts: BTreeMap<String, Standing>,
    /// Of types whose plugin is away, where it is not `Unavailable::Fail`.
    pub away: BTreeMap<String, Unavailable>,
}

/// An interceptor, and where its configuration has put it.
#[derive(Clone)]
pub(super) struct Standing {
    pub plugin: Arc<Plugin>,
    pub places: Vec<Intercepts>,
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
        let here = |standing: &Standing| {
            let mut places = standing.places.iter();
            places.any(|place| place.covers(vhost, exchange))
        };
        let fronts = self.fronts.iter().filter(|(_, standing)| here(standing));
        fronts.map(|(name, _)| name.clone()).collect()
    }

    fn intercept(&self, opening: &Opening<'_>) -> Result<Arc<dyn ExchangeInstance>, OpenRefusal> {
        let standing = self.fronts.get(opening.type_name);
        let standing = standing.ok_or(OpenRefusal::UnknownType)?;
        let (instance, _) = Instance::open(&standing.plugin, opening)?;
        Ok(instance)
    }

    fn room_for_exchange(&self, type_name: &str) -> Result<(), String> {
        let plugin = self.by_type.get(type_name);
        plugin.map_or(Ok(()), |plugin| plugin.room_for_exchange())
    }

    fn unavailable(&self, type_name: &str) -> Unavailable {
        self.away.get(type_name).cloned().unwrap_or_default()
    }
}
