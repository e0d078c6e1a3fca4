//! What services keep over restarts: small values by plugin, task and key. Not what they mean, and
//! no limits (see `plugin/service`).

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::definition::{Arguments, Definition};
use super::{Broker, Saved};

/// One value of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRow {
    pub plugin: String,
    pub vhost: String,
    pub task: String,
    pub key: String,
    pub value: Arguments,
}

/// Plugin, virtual host, task and key.
type Key = (String, String, String, String);

#[derive(Default)]
pub(super) struct ServiceRows(Mutex<BTreeMap<Key, Vec<u8>>>);

impl ServiceRows {
    pub fn recover(&self, row: ServiceRow) {
        let key = (row.plugin, row.vhost, row.task, row.key);
        self.0.lock().insert(key, row.value.0);
    }
}

impl Broker {
    /// By key.
    pub fn service_state(
        &self,
        plugin: &str,
        vhost: &str,
        task: &str,
    ) -> BTreeMap<String, Vec<u8>> {
        let rows = self.service_rows.0.lock();
        let of_task = rows.iter().filter(|((of, vhost_of, task_of, _), _)| {
            of == plugin && vhost_of == vhost && task_of == task
        });
        of_task
            .map(|((.., key), value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Virtual host and name of every task that this plugin has kept something for.
    pub fn tasks_with_state(&self, plugin: &str) -> Vec<(String, String)> {
        let rows = self.service_rows.0.lock();
        let of_plugin = rows.keys().filter(|(of, ..)| of == plugin);
        let mut tasks: Vec<_> = of_plugin
            .map(|(_, vhost, task, _)| (vhost.clone(), task.clone()))
            .collect();
        tasks.dedup();
        tasks
    }

    pub fn keep_service_state(&self, row: ServiceRow) -> Saved {
        // Held until the row stands in the store's mailbox, which then sees changes in order.
        let mut rows = self.service_rows.0.lock();
        let key = (
            row.plugin.clone(),
            row.vhost.clone(),
            row.task.clone(),
            row.key.clone(),
        );
        rows.insert(key, row.value.0.clone());
        self.commit(vec![Definition::Service { row }.put()])
    }

    /// One key, or all of the task.
    pub fn forget_service_state(
        &self,
        plugin: &str,
        vhost: &str,
        task: &str,
        key: Option<&str>,
    ) -> Saved {
        let mut rows = self.service_rows.0.lock();
        let mut removed = Vec::new();
        rows.retain(|(of, vhost_of, task_of, key_of), value| {
            let goes = of == plugin
                && vhost_of == vhost
                && task_of == task
                && key.is_none_or(|key| key == key_of);
            if goes {
                let row = ServiceRow {
                    plugin: of.clone(),
                    vhost: vhost_of.clone(),
                    task: task_of.clone(),
                    key: key_of.clone(),
                    value: Arguments(std::mem::take(value)),
                };
                removed.push(Definition::Service { row }.remove());
            }
            !goes
        });
        match removed.is_empty() {
            true => Saved::Nothing,
            false => self.commit(removed),
        }
    }
}
