//! What services import beside AMQP: log, clock, what operators see, what the broker knows, state.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::bindings::warren::service::broker::{Binding, Kind, Parameter, QueueDepth, Subject};
use super::bindings::warren::service::host::{Level, Reason as WireReason};
use super::bindings::warren::service::{broker, host, state};
use super::instance::ServiceState;
use super::task::{Reason, Task};
use crate::plugin::plugin_log::Severity;
use crate::vhost::definition::Arguments;
use crate::vhost::{Saved, ServiceRow, Vhost};

/// `host.running` promises so much.
const MAX_FACTS: usize = 16 << 10;

/// `state.put` promises so much.
const MAX_KEY: usize = 255;
const MAX_VALUE: usize = 64 << 10;
const MAX_KEYS: usize = 100;

/// Keys that begin so are the host's own.
const OWN_KEYS: char = '\0';

impl host::Host for ServiceState {
    fn log(&mut self, level: Level, line: String) -> wasmtime::Result<()> {
        self.called();
        let severity = match level {
            Level::Error => Severity::Error,
            Level::Warn => Severity::Warn,
            Level::Info => Severity::Info,
            Level::Debug => Severity::Debug,
        };
        let of = self.task.as_ref().map_or("", |task| task.name.as_str());
        let now = self.plugin.clock.now();
        self.plugin.log.line(severity, of, &line, now);
        Ok(())
    }

    fn configuration(&mut self) -> wasmtime::Result<String> {
        self.called();
        Ok(self.plugin.configuration.clone())
    }

    fn now(&mut self) -> wasmtime::Result<u64> {
        self.called();
        Ok(self.plugin.clock.now())
    }

    fn random(&mut self) -> wasmtime::Result<u64> {
        self.called();
        let [a, b, c, d, e, f, g, h, ..] = self.surroundings.entropy.bytes();
        Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    async fn sleep(&mut self, milliseconds: u64) -> wasmtime::Result<()> {
        self.called();
        let sleep = tokio::time::sleep(Duration::from_millis(milliseconds));
        match &self.task {
            Some(task) => tokio::select! {
                () = sleep => {}
                _ = task.stopped() => {}
            },
            None => sleep.await,
        }
        self.called();
        Ok(())
    }

    fn stopping(&mut self) -> wasmtime::Result<Option<WireReason>> {
        self.called();
        let reason = self.task.as_ref().and_then(|task| task.stopping());
        Ok(reason.map(|reason| match reason {
            Reason::Removed => WireReason::Removed,
            Reason::Restarted => WireReason::Restarted,
            Reason::Paused => WireReason::Paused,
            Reason::Shutdown => WireReason::Shutdown,
        }))
    }

    fn show(&mut self, facts: String) -> wasmtime::Result<()> {
        self.called();
        let facts = match facts.len() > MAX_FACTS {
            true => None,
            false => serde_json::from_str(&facts).ok().filter(Value::is_object),
        };
        if let Some(task) = &self.task {
            task.show(facts);
        }
        Ok(())
    }

    fn running(&mut self) -> wasmtime::Result<()> {
        self.called();
        if let Some(task) = &self.task {
            task.running();
        }
        Ok(())
    }

    fn waiting_for(&mut self, what: String) -> wasmtime::Result<()> {
        self.called();
        if let Some(task) = &self.task {
            task.waits_for(&what);
        }
        Ok(())
    }

    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        self.called();
        if let Some(task) = &self.task {
            task.count(&name, by);
        }
        Ok(())
    }
}

impl ServiceState {
    fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.surroundings.broker.vhost(name)
    }

    fn owns(&self, component: &str) -> bool {
        self.plugin.components.iter().any(|own| own == component)
    }
}

impl broker::Host for ServiceState {
    fn parameters(&mut self, component: String) -> wasmtime::Result<Vec<Parameter>> {
        self.called();
        if !self.owns(&component) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for vhost in self.surroundings.broker.vhosts() {
            let parameters = vhost.parameters().into_iter();
            let ours = parameters.filter(|parameter| parameter.component == component);
            found.extend(ours.map(|parameter| Parameter {
                vhost: vhost.name.to_string(),
                component: parameter.component,
                name: parameter.name,
                value: parameter.value.to_string(),
            }));
        }
        Ok(found)
    }

    async fn clear_parameter(
        &mut self,
        vhost: String,
        component: String,
        name: String,
    ) -> wasmtime::Result<bool> {
        self.called();
        let vhost = self.vhost(&vhost).filter(|_| self.owns(&component));
        let cleared = vhost.and_then(|vhost| vhost.clear_parameter(&component, &name).ok());
        match cleared {
            Some(saved) => {
                on_disk(saved).await;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn subjects(&mut self, key_prefix: String) -> wasmtime::Result<Vec<Subject>> {
        self.called();
        self.plugin.looks_at_topology.store(true, Ordering::Relaxed);
        let mut found = Vec::new();
        for vhost in self.surroundings.broker.vhosts() {
            exchanges(&vhost, &key_prefix, &mut found);
            queues(&vhost, &key_prefix, &mut found);
        }
        Ok(found)
    }

    fn bindings(
        &mut self,
        vhost: String,
        exchange: String,
    ) -> wasmtime::Result<Option<Vec<Binding>>> {
        self.called();
        self.plugin.looks_at_topology.store(true, Ordering::Relaxed);
        let exchange = self
            .vhost(&vhost)
            .and_then(|vhost| vhost.exchange(&exchange));
        Ok(exchange.map(|exchange| {
            let bindings = exchange.bindings().into_iter();
            let bindings = bindings.map(|binding| Binding {
                routing_key: binding.routing_key,
                arguments: binding.arguments,
            });
            bindings.collect()
        }))
    }

    fn depth(&mut self, vhost: String, queue: String) -> wasmtime::Result<Option<QueueDepth>> {
        self.called();
        let queue = self.vhost(&vhost).and_then(|vhost| vhost.queue(&queue));
        Ok(queue.map(|queue| {
            let consumers = queue.consumers().into_iter();
            let demanding = consumers.filter(|listed| listed.consumer.priority >= 0);
            QueueDepth {
                messages: queue.counts().ready,
                consumers: u32::try_from(demanding.count()).unwrap_or(u32::MAX),
            }
        }))
    }

    fn cluster_name(&mut self) -> wasmtime::Result<String> {
        self.called();
        Ok(self.surroundings.broker.cluster_name())
    }

    fn node_name(&mut self) -> wasmtime::Result<String> {
        self.called();
        Ok(self.surroundings.node_name.to_string())
    }
}

fn exchanges(vhost: &Vhost, prefix: &str, found: &mut Vec<Subject>) {
    for exchange in vhost.exchanges() {
        let in_force = vhost.policies_of_exchange(&exchange);
        let definition = &exchange.definition;
        if let Some(policy) = policy(vhost.effective_policy_definition(&in_force), prefix) {
            found.push(Subject {
                vhost: vhost.name.to_string(),
                kind: Kind::Exchange,
                name: definition.name.clone(),
                policy,
                type_name: definition.type_name.clone(),
                durable: definition.durable,
                auto_delete: definition.auto_delete,
                internal: definition.internal,
                arguments: definition.arguments.0.clone(),
            });
        }
    }
}

fn queues(vhost: &Vhost, prefix: &str, found: &mut Vec<Subject>) {
    for queue in vhost.queues() {
        let in_force = vhost.policies_of_queue(&queue);
        let attributes = &queue.attributes;
        if let Some(policy) = policy(vhost.effective_policy_definition(&in_force), prefix) {
            found.push(Subject {
                vhost: vhost.name.to_string(),
                kind: Kind::Queue,
                name: queue.name.to_string(),
                policy,
                type_name: attributes.queue_type.name().to_owned(),
                durable: attributes.durable,
                auto_delete: attributes.auto_delete,
                internal: false,
                arguments: attributes.arguments.clone(),
            });
        }
    }
}

/// The definition as JSON, if it has such a key.
fn policy(definition: serde_json::Map<String, Value>, prefix: &str) -> Option<String> {
    let has_key = definition.keys().any(|key| key.starts_with(prefix));
    has_key.then(|| Value::Object(definition).to_string())
}

pub(super) async fn on_disk(saved: Saved) {
    match saved {
        Saved::Nothing => {}
        // A store that failed takes the broker with it.
        Saved::Later(done) => drop(done.await),
    }
}

impl ServiceState {
    fn kept(&self, task: &Task) -> std::collections::BTreeMap<String, Vec<u8>> {
        let broker = &self.surroundings.broker;
        broker.service_state(&self.plugin.name, &task.vhost, &task.name)
    }
}

impl state::Host for ServiceState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.called();
        if key.starts_with(OWN_KEYS) {
            return Ok(None);
        }
        let task = self.task.clone();
        Ok(task.and_then(|task| self.kept(&task).remove(&key)))
    }

    async fn put(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        self.called();
        let Some(task) = self.task.clone() else {
            return Ok(Err("only a task that runs keeps anything".to_owned()));
        };
        if key.is_empty() || key.len() > MAX_KEY || key.starts_with(OWN_KEYS) {
            return Ok(Err(format!("a key has 1 to {MAX_KEY} octets")));
        }
        if value.len() > MAX_VALUE {
            return Ok(Err(format!("a value has at most {MAX_VALUE} octets")));
        }
        let kept = self.kept(&task);
        let own = kept.keys().filter(|key| !key.starts_with(OWN_KEYS));
        if !kept.contains_key(&key) && own.count() >= MAX_KEYS {
            return Ok(Err(format!("a task has at most {MAX_KEYS} keys")));
        }
        let saved = self.surroundings.broker.keep_service_state(ServiceRow {
            plugin: self.plugin.name.clone(),
            vhost: task.vhost.clone(),
            task: task.name.clone(),
            key,
            value: Arguments(value),
        });
        on_disk(saved).await;
        Ok(Ok(()))
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<()> {
        self.called();
        if let Some(task) = self.task.clone().filter(|_| !key.starts_with(OWN_KEYS)) {
            let broker = &self.surroundings.broker;
            let (plugin, key) = (&self.plugin.name, Some(key.as_str()));
            let saved = broker.forget_service_state(plugin, &task.vhost, &task.name, key);
            on_disk(saved).await;
        }
        Ok(())
    }
}
