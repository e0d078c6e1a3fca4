//! Policies that an empty store begins with. What they may say is known to `vhost::policy`.

use super::definitions::{ROOT, check_vhost, name};
use super::section::Section;
use super::tree::{Node, Origin};
use super::{Config, values};
use crate::vhost::policy::{self, Policy, PolicyDefinition};

#[derive(Clone, Debug, PartialEq)]
pub struct VhostPolicy {
    pub vhost: String,
    pub origin: policy::Origin,
    pub stated: PolicyDefinition,
}

/// After the virtual hosts.
pub fn read(config: &mut Config, root: &mut Section<'_>) {
    let kinds = [
        ("policies", policy::Origin::User),
        ("operator_policies", policy::Origin::Operator),
    ];
    let mut policies = Vec::new();
    for (key, by) in kinds {
        root.list(key, |section, origin| {
            policies.extend(policy(section, origin, by, config));
        });
    }
    config.policies = policies;
}

fn policy(
    section: &mut Section<'_>,
    origin: &Origin,
    by: policy::Origin,
    config: &Config,
) -> Option<VhostPolicy> {
    let name_given = section.require("name", origin, name);
    let pattern = section.require("pattern", origin, values::text);
    let definition = section.require("definition", origin, table);
    let mut vhost = ROOT.to_owned();
    let mut apply_to = "all".to_owned();
    let mut priority = 0;
    section.read("vhost", &mut vhost, name);
    section.read("apply_to", &mut apply_to, values::text);
    section.read("priority", &mut priority, values::number);
    check_vhost(section, origin, config, &vhost);
    let stated = PolicyDefinition {
        name: name_given?,
        pattern: pattern?,
        apply_to,
        priority,
        definition: definition?,
    };
    if let Err(invalid) = Policy::new(by, stated.clone()) {
        for reason in invalid.reasons {
            let key = match reason.split(' ').next() {
                Some("pattern") => "pattern",
                Some("apply-to") => "apply_to",
                Some(_) | None => "definition",
            };
            section.problem(key, origin.clone(), reason);
        }
    }
    Some(VhostPolicy {
        vhost,
        origin: by,
        stated,
    })
}

fn table(node: &Node) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    match node.to_json() {
        serde_json::Value::Object(entries) => Ok(entries),
        _ => Err(format!("expected a table, found {}", node.kind())),
    }
}
