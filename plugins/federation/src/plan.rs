//! Which links there are to be: for each exchange and queue that a policy federates, one to each of
//! its upstreams.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::{Map, Value, json};
use warren_service_sdk::broker::{self, Kind, Subject};
use warren_service_sdk::{Parameter, Table, Task};

const UPSTREAM: &str = "federation-upstream";
const SET: &str = "federation-upstream-set";
const PATTERN: &str = "federation-upstream-pattern";

/// By virtual host and name.
type Known = BTreeMap<(String, String), Value>;

pub fn tasks() -> Vec<Task> {
    let upstreams = known(broker::parameters(UPSTREAM));
    let sets = known(broker::parameters(SET));
    let subjects = broker::subjects(UPSTREAM);
    let mut tasks = Vec::new();
    for subject in subjects.iter().filter(|subject| is_federated(subject)) {
        let policy: Value = serde_json::from_str(&subject.policy).unwrap_or_default();
        for (upstream, definition) in upstreams_of(&subject.vhost, &policy, &upstreams, &sets) {
            tasks.push(task(subject, &upstream, definition));
        }
    }
    tasks
}

fn known(parameters: Vec<Parameter>) -> Known {
    let parameters = parameters.into_iter().map(|parameter| {
        let value = serde_json::from_str(&parameter.value).unwrap_or_default();
        ((parameter.vhost, parameter.name), value)
    });
    parameters.collect()
}

/// Not what is internal, and not what federation itself has made.
fn is_federated(subject: &Subject) -> bool {
    let is_ours = Table(&subject.arguments)
        .get("x-internal-purpose")
        .is_some();
    let fits = match subject.kind {
        Kind::Exchange => !subject.internal && !subject.name.is_empty(),
        Kind::Queue => !subject.auto_delete && subject.type_name != "stream",
    };
    fits && !is_ours && subject.type_name != "x-federation-upstream"
}

/// Names with definitions: an upstream, or the members of a set with what they say themselves.
fn upstreams_of(
    vhost: &str,
    policy: &Value,
    upstreams: &Known,
    sets: &Known,
) -> Vec<(String, Map<String, Value>)> {
    let find = |name: &str| {
        let upstream = upstreams.get(&(vhost.to_owned(), name.to_owned()));
        upstream.and_then(Value::as_object).cloned()
    };
    if let Some(name) = policy.get(UPSTREAM).and_then(Value::as_str) {
        return find(name)
            .map(|found| (name.to_owned(), found))
            .into_iter()
            .collect();
    }
    if let Some(pattern) = policy.get(PATTERN).and_then(Value::as_str) {
        // One that is none was refused when the policy was set.
        let pattern = Regex::new(pattern);
        return pattern.map_or_else(
            |_| Vec::new(),
            |pattern| of_vhost(vhost, upstreams, |name| pattern.is_match(name)),
        );
    }
    let Some(name) = policy.get(SET).and_then(Value::as_str) else {
        return Vec::new();
    };
    match sets.get(&(vhost.to_owned(), name.to_owned())) {
        Some(Value::Array(members)) => {
            let members = members.iter().filter_map(Value::as_object);
            let members = members.filter_map(|member| {
                let name = member.get("upstream")?.as_str()?;
                let mut definition = find(name)?;
                let own = member.iter().filter(|(key, _)| *key != "upstream");
                definition.extend(own.map(|(key, value)| (key.clone(), value.clone())));
                Some((name.to_owned(), definition))
            });
            members.collect()
        }
        // The set that is always there.
        _ if name == "all" => of_vhost(vhost, upstreams, |_| true),
        _ => Vec::new(),
    }
}

/// Those of a virtual host whose names are wanted.
fn of_vhost(
    vhost: &str,
    upstreams: &Known,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<(String, Map<String, Value>)> {
    let here = upstreams
        .iter()
        .filter(|((of, name), _)| of == vhost && is_wanted(name));
    let here =
        here.filter_map(|((_, name), value)| Some((name.clone(), value.as_object()?.clone())));
    here.collect()
}

fn task(subject: &Subject, upstream: &str, definition: Map<String, Value>) -> Task {
    let kind = match subject.kind {
        Kind::Exchange => "exchange",
        Kind::Queue => "queue",
    };
    let theirs = definition.get(kind).and_then(Value::as_str);
    let theirs = theirs.unwrap_or(&subject.name);
    Task {
        vhost: subject.vhost.clone(),
        name: format!("{kind} {} from {theirs} of {upstream}", subject.name),
        settings: json!({
            "kind": kind,
            "name": subject.name,
            "type": subject.type_name,
            "durable": subject.durable,
            "auto_delete": subject.auto_delete,
            "arguments": subject.arguments,
            "upstream": upstream,
            "definition": definition,
        })
        .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams() -> (Known, Known) {
        let key = |name: &str| ("/".to_owned(), name.to_owned());
        let upstreams = [
            (key("a"), json!({"uri": "amqp://a", "max-hops": 2})),
            (key("b"), json!({"uri": "amqp://b"})),
            (("v".to_owned(), "c".to_owned()), json!({"uri": "amqp://c"})),
        ];
        let set = json!([{"upstream": "a", "exchange": "x"}, {"upstream": "gone"}]);
        (upstreams.into(), [(key("s"), set)].into())
    }

    fn names(policy: Value) -> Vec<String> {
        let (upstreams, sets) = upstreams();
        let found = upstreams_of("/", &policy, &upstreams, &sets);
        found.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_policy_names_an_upstream_a_set_or_all_of_its_virtual_host() {
        assert_eq!(names(json!({"federation-upstream": "b"})), ["b"]);
        assert_eq!(names(json!({"federation-upstream-set": "all"})), ["a", "b"]);
        assert_eq!(names(json!({"federation-upstream-set": "s"})), ["a"]);
        assert_eq!(names(json!({"federation-upstream-pattern": "^b"})), ["b"]);
        assert_eq!(
            names(json!({"federation-upstream-pattern": "."})),
            ["a", "b"]
        );
        assert!(names(json!({"federation-upstream": "c"})).is_empty());
        assert!(names(json!({"federation-upstream-set": "none"})).is_empty());
    }

    #[test]
    fn a_member_of_a_set_says_more_than_its_upstream() {
        let (upstreams, sets) = upstreams();
        let policy = json!({"federation-upstream-set": "s"});
        let found = upstreams_of("/", &policy, &upstreams, &sets);
        let expected = json!({"uri": "amqp://a", "max-hops": 2, "exchange": "x"});
        assert_eq!(Value::Object(found[0].1.clone()), expected);
    }
}
