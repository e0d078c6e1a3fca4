//! This node, which is the only one: what the process uses of the machine.

use serde_json::{Map, Value, json};

use super::Management;
use super::about::object;
use super::answer::Failure;
use super::call::{Call, Handled};
use super::listing::{all, one};
use super::overview::CHURN;
use super::samples::Subject;
use super::stats::Shown;
use crate::auth::Mechanism;

/// Behind the churn, in the order of the samples.
const RESOURCES: [&str; 5] = [
    "mem_used",
    "fd_used",
    "sockets_used",
    "proc_used",
    "disk_free",
];

impl Management {
    fn resource_numbers(&self) -> [u64; 5] {
        let resources = self.node.resources();
        let sockets = self.broker.connections().count() as u64;
        [
            resources.memory,
            resources.descriptors,
            sockets,
            resources.threads,
            resources.disk_free,
        ]
    }

    pub(super) fn node_numbers(&self) -> Vec<u64> {
        [self.churn().as_slice(), &self.resource_numbers()].concat()
    }
}

/// What the node is, whatever it does.
fn itself(call: &Call) -> Map<String, Value> {
    let node = &call.house.node;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    object([
        ("name", json!(node.name())),
        ("type", json!("disc")),
        ("running", json!(true)),
        ("being_drained", json!(node.is_stopping())),
        ("os_pid", json!(std::process::id().to_string())),
        ("partitions", json!([])),
        ("cluster_links", json!([])),
        ("rates_mode", json!("basic")),
        (
            "uptime",
            json!(node.now().saturating_sub(node.started_at())),
        ),
        ("run_queue", json!(0)),
        ("processors", json!(processors)),
    ])
}

fn row(call: &Call) -> Value {
    let house = &call.house;
    let node = &house.node;
    let resources = node.resources();
    let alarms = node.alarms();
    let plugins = house.plugins.list();
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let mut map = itself(call);
    map.extend(object([
        ("mem_limit", json!(resources.memory_limit)),
        ("mem_alarm", json!(alarms.memory)),
        ("mem_calculation_strategy", json!("rss")),
        ("disk_free_limit", json!(resources.disk_limit)),
        ("disk_free_alarm", json!(alarms.disk)),
        ("fd_total", json!(resources.descriptors_limit)),
        ("sockets_total", json!(resources.descriptors_limit)),
        ("proc_total", json!(1_048_576)),
        ("exchange_types", house.exchange_types()),
        ("auth_mechanisms", mechanisms(node.mechanisms())),
        (
            "applications",
            json!([{
                "name": "warren",
                "description": "Warren",
                "version": env!("CARGO_PKG_VERSION"),
            }]),
        ),
        ("contexts", house.contexts()),
        ("log_files", json!(["<stderr>"])),
        ("db_dir", json!(node.data_dir().display().to_string())),
        ("config_files", json!([])),
        ("net_ticktime", json!(60)),
        ("enabled_plugins", json!(names)),
    ]));
    let shown = Shown {
        house,
        request: &call.request,
        subject: Subject::Node,
    };
    put_all(
        &shown,
        &mut map,
        &RESOURCES,
        &house.resource_numbers(),
        CHURN.len(),
    );
    put_all(&shown, &mut map, &CHURN, &house.churn(), 0);
    Value::Object(map)
}

fn put_all(
    shown: &Shown<'_>,
    map: &mut Map<String, Value>,
    names: &[&str],
    values: &[u64],
    from: usize,
) {
    for (index, (name, value)) in names.iter().zip(values).enumerate() {
        shown.put(map, name, *value, (from + index, "node_stats"));
    }
}

fn check(call: &Call) -> Result<(), Failure> {
    match call.part(0) == call.house.node.name() {
        true => Ok(()),
        false => Err(Failure::NotFound),
    }
}

pub(super) fn list(call: &Call) -> Handled {
    all(call, vec![row(call)])
}

pub(super) fn show(call: &Call) -> Handled {
    check(call)?;
    one(call, row(call))
}

/// The parts that Warren can tell apart: the rest of the process is one.
pub(super) fn memory(call: &Call) -> Handled {
    check(call)?;
    let resources = call.house.node.resources();
    let total = json!({
        "rss": resources.memory,
        "allocated": resources.memory,
        "erlang": 0,
    });
    one(call, json!({"memory": {"strategy": "rss", "total": total}}))
}

/// All that there are, in RabbitMQ's words.
fn mechanisms(enabled: &[Mechanism]) -> Value {
    let all = Mechanism::ALL.into_iter().map(|mechanism| {
        let description = match mechanism {
            Mechanism::Plain => "SASL PLAIN authentication mechanism",
            Mechanism::Amqplain => "QPid AMQPLAIN mechanism",
            Mechanism::Anonymous => "SASL ANONYMOUS authentication mechanism",
            Mechanism::External => "SASL EXTERNAL: the client's TLS certificate",
        };
        let enabled = enabled.contains(&mechanism);
        json!({"name": mechanism.name(), "description": description, "enabled": enabled})
    });
    Value::Array(all.collect())
}
