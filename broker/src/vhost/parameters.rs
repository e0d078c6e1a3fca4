//! Runtime parameters: what services and operators keep under a component and a name, of one virtual
//! host or of the whole broker, as JSON. Not what they mean: whoever reads them knows that.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::definition::Definition;
use super::{Broker, DoorError, Kind, Saved, Vhost, check_name};

/// The global parameter that the broker's own name stands in.
pub const CLUSTER_NAME: &str = "cluster_name";

const DEFAULT_CLUSTER_NAME: &str = "warren";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    pub component: String,
    pub name: String,
    pub value: Value,
}

/// By component and name.
pub(super) type Parameters = RwLock<BTreeMap<(String, String), Value>>;

/// By name.
pub(super) type GlobalParameters = RwLock<BTreeMap<String, Value>>;

impl Vhost {
    pub fn set_parameter(&self, parameter: Parameter) -> Result<Saved, DoorError> {
        check_name(&parameter.component)?;
        check_name(&parameter.name)?;
        let _changing = self.change().map_err(|_| self.missing())?;
        let row = self.parameter_row(&parameter).put();
        self.tell(Kind::ParameterSet, &parameter.name, |facts| {
            facts
                .text("component", &parameter.component)
                .json("value", &parameter.value)
        });
        self.apply_parameter(parameter);
        self.shared.parameters_changed.send_replace(());
        Ok(self.save(vec![row]))
    }

    pub fn clear_parameter(&self, component: &str, name: &str) -> Result<Saved, DoorError> {
        let _changing = self.change().map_err(|_| self.missing())?;
        let key = (component.to_owned(), name.to_owned());
        let removed = self.parameters.write().remove_entry(&key);
        let ((component, name), value) = removed.ok_or(DoorError::NoSuchPolicy)?;
        self.shared.parameters_changed.send_replace(());
        let parameter = Parameter {
            component,
            name,
            value,
        };
        self.tell(Kind::ParameterCleared, &parameter.name, |facts| {
            facts.text("component", &parameter.component)
        });
        Ok(self.save(vec![self.parameter_row(&parameter).remove()]))
    }

    pub fn parameters(&self) -> Vec<Parameter> {
        let parameters = self.parameters.read();
        let all = parameters
            .iter()
            .map(|((component, name), value)| Parameter {
                component: component.clone(),
                name: name.clone(),
                value: value.clone(),
            });
        all.collect()
    }

    pub(super) fn apply_parameter(&self, parameter: Parameter) {
        let Parameter {
            component,
            name,
            value,
        } = parameter;
        self.parameters.write().insert((component, name), value);
    }

    pub(super) fn parameter_row(&self, parameter: &Parameter) -> Definition {
        Definition::Parameter {
            vhost: self.name.to_string(),
            parameter: parameter.clone(),
        }
    }
}

impl Broker {
    /// Told after every change of a runtime parameter, and when a virtual host goes.
    pub fn parameters_changed(&self) -> watch::Receiver<()> {
        self.shared.parameters_changed.subscribe()
    }

    /// Of all virtual hosts.
    pub fn has_parameters(&self, component: &str) -> bool {
        let of_component = |vhost: &Arc<Vhost>| {
            let parameters = vhost.parameters.read();
            parameters.keys().any(|(found, _)| found == component)
        };
        self.vhosts().iter().any(of_component)
    }

    pub fn set_global_parameter(&self, name: &str, value: Value) -> Result<Saved, DoorError> {
        check_name(name)?;
        let _changing = self.changing_vhosts.lock();
        let row = Definition::GlobalParameter {
            name: name.to_owned(),
            value: value.clone(),
        };
        self.tell(Kind::ParameterSet, name, |facts| {
            facts.text("component", "global").json("value", &value)
        });
        self.global_parameters
            .write()
            .insert(name.to_owned(), value);
        Ok(self.commit(vec![row.put()]))
    }

    pub fn clear_global_parameter(&self, name: &str) -> Result<Saved, DoorError> {
        let _changing = self.changing_vhosts.lock();
        let removed = self.global_parameters.write().remove(name);
        let value = removed.ok_or(DoorError::NoSuchPolicy)?;
        self.tell(Kind::ParameterCleared, name, |facts| {
            facts.text("component", "global")
        });
        let name = name.to_owned();
        let row = Definition::GlobalParameter { name, value };
        Ok(self.commit(vec![row.remove()]))
    }

    pub fn global_parameter(&self, name: &str) -> Option<Value> {
        self.global_parameters.read().get(name).cloned()
    }

    /// What operators call this broker, and what federation recognises it by.
    pub fn cluster_name(&self) -> String {
        match self.global_parameter(CLUSTER_NAME) {
            Some(Value::String(name)) => name,
            Some(_) | None => DEFAULT_CLUSTER_NAME.to_owned(),
        }
    }

    pub fn global_parameters(&self) -> Vec<(String, Value)> {
        let parameters = self.global_parameters.read();
        let all = parameters.iter();
        all.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}
