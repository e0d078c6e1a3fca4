//! `warren plugin test`: a table of exchanges, bindings, messages and where each is to go, played
//! through the real host. The table is the same for every language.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::{AMQPValue, FieldTable};
use anyhow::Context as _;
use serde::Deserialize;

use super::stage::{End, Played, Stage};
use crate::amqp::table::{Table as Fields, Value};
use crate::amqp::{properties, table};
use crate::cli::say;
use crate::message::{Message, MessageView};
use crate::vhost::{Exchange, Memo};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// As `config` in the plugin's table of a broker.
    #[serde(default)]
    configuration: toml::Table,
    #[serde(rename = "exchange")]
    exchanges: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Without, the component's first; `direct` behind an interceptor.
    #[serde(rename = "type")]
    type_name: Option<String>,
    #[serde(default)]
    arguments: toml::Table,
    /// What the declare is refused with, at least in part.
    refused: Option<String>,
    /// Every message is published once and not twice: the type remembers what it has seen.
    #[serde(default)]
    once: bool,
    #[serde(default)]
    bindings: Vec<Binding>,
    #[serde(default)]
    messages: Vec<Published>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    queue: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    arguments: toml::Table,
    refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    #[serde(default)]
    key: String,
    #[serde(default)]
    headers: toml::Table,
    #[serde(default)]
    body: String,
    to: Option<Vec<String>>,
    /// To so many of the bound queues, whichever.
    count: Option<usize>,
    #[serde(default)]
    held: bool,
    rejected: Option<String>,
    /// All headers that are set on the way.
    stamped: Option<toml::Table>,
}

/// What stands behind an interceptor.
const BEHIND: &str = "direct";

pub fn test(component: &Path, routes: &Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(routes)
        .with_context(|| format!("cannot read {}", routes.display()))?;
    let table: Table = toml::from_str(&text).with_context(|| format!("in {}", routes.display()))?;
    let configuration = serde_json::to_value(&table.configuration)?;
    let stage = Stage::open(component, configuration)?;
    let (mut passed, mut failed) = (0, 0);
    for (number, case) in table.exchanges.iter().enumerate() {
        for (what, problem) in play(&stage, number, case) {
            match problem {
                None => passed += 1,
                Some(problem) => {
                    failed += 1;
                    say(format_args!("exchange {}, {what}: {problem}", number + 1));
                }
            }
        }
    }
    say(format_args!(
        "{}: {passed} passed, {failed} failed",
        stage.name
    ));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What was looked at, each with what was wrong.
fn play(stage: &Stage, number: usize, case: &Case) -> Vec<(String, Option<String>)> {
    let name = format!("exchange-{number}");
    let own = match stage.types.first() {
        Some(own) => own.as_str(),
        None if stage.is_interceptor => BEHIND,
        None => "",
    };
    let type_name = case.type_name.as_deref().unwrap_or(own);
    let declared = stage.declare(&name, type_name, arguments(&case.arguments));
    let problem = as_expected(declared.as_ref().map(|_| ()), case.refused.as_deref());
    let mut found = vec![("declare".to_owned(), problem)];
    let Ok(exchange) = declared else { return found };
    for binding in &case.bindings {
        let Binding { queue, key, .. } = binding;
        let bound = stage.bind(&exchange, queue, key, arguments(&binding.arguments));
        let problem = as_expected(bound.as_ref().map(|_| ()), binding.refused.as_deref());
        found.push((format!("binding {key:?} to {queue:?}"), problem));
    }
    // The first time the component is asked, the second time the answer may be a remembered one.
    let mut memo = Memo::default();
    let times: &[&str] = if case.once { &[""] } else { &["", ", again"] };
    for time in times {
        for message in &case.messages {
            let played = stage.play(&exchange, &message.encoded(&exchange), &mut memo);
            found.push((message.what(time), message.problem(&played)));
        }
    }
    found
}

fn as_expected(outcome: Result<(), &String>, refused: Option<&str>) -> Option<String> {
    match (outcome, refused) {
        (Ok(()), None) => None,
        (Ok(()), Some(text)) => Some(format!("accepted, not refused with {text:?}")),
        (Err(text), Some(expected)) if text.contains(expected) => None,
        (Err(text), _) => Some(format!("refused: {text}")),
    }
}

impl Published {
    fn encoded(&self, exchange: &Exchange) -> Arc<Message> {
        let mut properties = AMQPProperties::default();
        if !self.headers.is_empty() {
            properties = properties.with_headers(fields(&self.headers));
        }
        let view = MessageView {
            exchange: &exchange.name,
            routing_key: &self.key,
            properties: &properties::encode(&properties),
            body: self.body.as_bytes(),
            dead_lettered: false,
        };
        Arc::new(view.to_message())
    }

    /// Behind an interceptor many have no key.
    fn what(&self, time: &str) -> String {
        match (self.key.as_str(), self.body.as_str()) {
            ("", body) if !body.is_empty() => format!("message with {body:?}{time}"),
            (key, _) => format!("message {key:?}{time}"),
        }
    }

    fn problem(&self, played: &Played) -> Option<String> {
        let Played { end, set_headers } = played;
        if let Some(stamped) = &self.stamped
            && matches!(end, End::Queues(_) | End::Held)
            && !is_stamped(set_headers, stamped)
        {
            let shown: Vec<String> = set_headers.iter().map(shown).collect();
            return Some(format!("stamped with {shown:?}, expected {stamped:?}"));
        }
        let fits = match end {
            End::Queues(queues) => match (&self.to, self.count) {
                (Some(to), _) => {
                    let mut to = to.clone();
                    to.sort();
                    *queues == to
                }
                (None, Some(count)) => queues.len() == count,
                (None, None) => self.stamped.is_some(),
            },
            End::Held => self.held || self.stamped.is_some(),
            End::Rejected(text) => {
                let expected = self.rejected.as_ref();
                expected.is_some_and(|expected| text.contains(expected))
            }
            End::Failed(_) => false,
        };
        (!fits).then(|| format!("{end:?}, expected {}", self.expected()))
    }

    fn expected(&self) -> String {
        match (&self.to, self.count, &self.rejected) {
            (Some(to), _, _) => format!("to {to:?}"),
            (None, Some(count), _) => format!("{count} queues"),
            (None, None, Some(text)) => format!("rejected with {text:?}"),
            (None, None, None) if self.held => "held".to_owned(),
            (None, None, None) => match &self.stamped {
                Some(stamped) => format!("stamped with {stamped:?}"),
                None => "`to`, `count`, `held`, `stamped` or `rejected` in the table".to_owned(),
            },
        }
    }
}

fn arguments(arguments: &toml::Table) -> Vec<u8> {
    table::encode(&fields(arguments))
}

fn fields(values: &toml::Table) -> FieldTable {
    let mut fields = FieldTable::default();
    for (name, value) in values {
        fields.insert(name.as_str().into(), field(value));
    }
    fields
}

fn field(value: &toml::Value) -> AMQPValue {
    match value {
        toml::Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        toml::Value::Integer(integer) => match i32::try_from(*integer) {
            Ok(integer) => AMQPValue::LongInt(integer),
            Err(_) => AMQPValue::LongLongInt(*integer),
        },
        toml::Value::Float(float) => AMQPValue::Double(*float),
        toml::Value::Boolean(boolean) => AMQPValue::Boolean(*boolean),
        toml::Value::Datetime(time) => AMQPValue::LongString(time.to_string().into()),
        toml::Value::Array(values) => {
            AMQPValue::FieldArray(values.iter().map(field).collect::<Vec<_>>().into())
        }
        toml::Value::Table(values) => AMQPValue::FieldTable(fields(values)),
    }
}

/// Of one name, the last header counts.
fn is_stamped(set: &[(String, Vec<u8>)], expected: &toml::Table) -> bool {
    let names = set.iter().map(|(name, _)| name.as_str());
    let names: std::collections::BTreeSet<&str> = names.collect();
    names.len() == expected.len()
        && expected.iter().all(|(name, expected)| {
            let found = set.iter().rfind(|(known, _)| known == name);
            found.is_some_and(|(_, value)| is_same(value, expected))
        })
}

/// Whatever widths the component has chosen for its numbers.
fn is_same(encoded: &[u8], expected: &toml::Value) -> bool {
    let value = header("", encoded);
    let fields = Fields::new(&value);
    let Some((_, value)) = fields.iter().next() else {
        return false;
    };
    match (value, expected) {
        (Value::F32(number), toml::Value::Float(float)) => f64::from(number) == *float,
        (Value::F64(number), toml::Value::Float(float)) => number == *float,
        (Value::Bool(value), toml::Value::Boolean(boolean)) => value == *boolean,
        (Value::Timestamp(at), toml::Value::Integer(integer)) => {
            i64::try_from(at).is_ok_and(|at| at == *integer)
        }
        (value, toml::Value::Integer(integer)) => value.as_integer() == Some(*integer),
        (value, toml::Value::String(text)) => value.as_str() == Some(text),
        (value, toml::Value::Array(_) | toml::Value::Table(_)) => {
            let mut one = toml::Table::new();
            one.insert("x".to_owned(), expected.clone());
            Fields::new(&arguments(&one)).get("x").as_ref() == Some(&value)
        }
        (_, toml::Value::Float(_) | toml::Value::Boolean(_) | toml::Value::Datetime(_)) => false,
    }
}

/// As one entry of a table.
fn header(name: &str, encoded: &[u8]) -> Vec<u8> {
    let mut entry = vec![u8::try_from(name.len()).unwrap_or(u8::MAX)];
    entry.extend_from_slice(name.as_bytes());
    entry.extend_from_slice(encoded);
    entry
}

fn shown((name, encoded): &(String, Vec<u8>)) -> String {
    let entry = header("", encoded);
    let value = Fields::new(&entry).get("");
    value.map_or_else(|| name.clone(), |value| format!("{name} = {value:?}"))
}
