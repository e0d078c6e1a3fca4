//! Exchanges. The default exchange is shown among them, as everywhere; here it is the vhost's table
//! of queue names.

use std::sync::Arc;

use serde_json::{Value, json};

use super::about::object;
use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome, after};
use super::listing::{listed, one};
use super::samples::Subject;
use super::stats::Shown;
use super::{fields, kept};
use crate::auth::Access;
use crate::vhost::{Exchange, ExchangeRequest, Vhost};

/// How the default exchange is called in paths: an empty part would be lost on the way.
const DEFAULT: &str = "amq.default";

enum Listed {
    Default(Arc<Vhost>),
    Other(Arc<Vhost>, Arc<Exchange>),
}

impl Listed {
    fn name(&self) -> &str {
        match self {
            Listed::Default(_) => "",
            Listed::Other(_, exchange) => &exchange.name,
        }
    }
}

fn row(call: &Call, listed: &Listed) -> Value {
    match listed {
        Listed::Default(vhost) => {
            let shown = shown(call, Subject::DefaultExchange(Arc::clone(&vhost.name)));
            let mut map = object([
                ("name", json!("")),
                ("vhost", json!(*vhost.name)),
                ("type", json!("direct")),
                ("durable", json!(true)),
                ("auto_delete", json!(false)),
                ("internal", json!(false)),
                ("arguments", json!({})),
                ("policy", Value::Null),
                ("user_who_performed_action", json!("rmq-internal")),
            ]);
            let stats = shown.exchange_stats(vhost.counted_by_default_exchange());
            map.extend(stats.map(|stats| ("message_stats".to_owned(), stats)));
            Value::Object(map)
        }
        Listed::Other(vhost, exchange) => {
            let definition = &exchange.definition;
            let policy = vhost.policies_of_exchange(exchange).policy;
            let mut map = object([
                ("name", json!(*exchange.name)),
                ("vhost", json!(*vhost.name)),
                ("type", json!(definition.type_name)),
                ("durable", json!(definition.durable)),
                ("auto_delete", json!(definition.auto_delete)),
                ("internal", json!(definition.internal)),
                ("arguments", fields::table(&definition.arguments.0)),
                ("policy", json!(policy)),
                // Nobody keeps who it was.
                ("user_who_performed_action", json!("rmq-internal")),
            ]);
            let shown = shown(call, Subject::Exchange(exchange.id));
            let stats = shown.exchange_stats(exchange.counted());
            map.extend(stats.map(|stats| ("message_stats".to_owned(), stats)));
            Value::Object(map)
        }
    }
}

fn shown(call: &Call, subject: Subject) -> Shown<'_> {
    Shown {
        house: &call.house,
        request: &call.request,
        subject,
    }
}

fn of_vhost(vhost: &Arc<Vhost>) -> Vec<Listed> {
    let named = vhost.exchanges().into_iter();
    let named = named.map(|exchange| Listed::Other(Arc::clone(vhost), exchange));
    std::iter::once(Listed::Default(Arc::clone(vhost)))
        .chain(named)
        .collect()
}

fn find(call: &Call) -> Result<Listed, Failure> {
    let vhost = call.vhost()?;
    match call.part(1) {
        "" | DEFAULT => Ok(Listed::Default(vhost)),
        name => {
            let exchange = vhost.exchange(name).ok_or(Failure::NotFound)?;
            Ok(Listed::Other(vhost, exchange))
        }
    }
}

pub(super) fn list(call: &Call) -> Handled {
    let all = call.visible_vhosts().iter().flat_map(of_vhost).collect();
    listed(call, all, Listed::name, |listed| row(call, listed))
}

pub(super) fn list_in_vhost(call: &Call) -> Handled {
    let all = of_vhost(&call.vhost()?);
    listed(call, all, Listed::name, |listed| row(call, listed))
}

pub(super) fn show(call: &Call) -> Handled {
    let mut row = row(call, &find(call)?);
    if let Value::Object(map) = &mut row {
        // RabbitMQ fills these in its detailed mode of rates only.
        map.insert("incoming".to_owned(), json!([]));
        map.insert("outgoing".to_owned(), json!([]));
    }
    one(call, row)
}

pub(super) fn put(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let name = call.part(1).to_owned();
    let request = call.fields()?;
    let type_name = request.text("type")?.unwrap_or("direct").to_owned();
    call.check_access(&vhost.name, Access::Configure, &name)?;
    let arguments = request.table("arguments")?;
    if let Some(Value::String(alternate)) = arguments.get("alternate-exchange") {
        call.check_access(&vhost.name, Access::Read, &name)?;
        call.check_access(&vhost.name, Access::Write, alternate)?;
    }
    let is_new = vhost.exchange(&name).is_none();
    let (durable, auto_delete) = (request.flag("durable")?, request.flag("auto_delete")?);
    let internal = request.flag("internal")?;
    let arguments = fields::encode(&arguments)?;
    // A plugin opens the exchange, and may take its time.
    let declare = async move {
        let declared = tokio::task::spawn_blocking(move || {
            vhost.declare_exchange(ExchangeRequest {
                name: &name,
                type_name: &type_name,
                durable,
                auto_delete,
                internal,
                arguments,
            })
        });
        let saved = declared
            .await
            .map_err(|_| Failure::bad("the exchange type failed"))??;
        kept(vec![saved]).await?;
        Ok(Answer::put(is_new))
    };
    Ok(Outcome::Later(Box::pin(declare)))
}

pub(super) fn delete(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let name = call.part(1);
    if matches!(name, "" | DEFAULT) {
        return Err(Failure::refused());
    }
    vhost.exchange(name).ok_or(Failure::NotFound)?;
    call.check_access(&vhost.name, Access::Configure, name)?;
    let if_unused = call.request.says("if-unused");
    let saved = vhost.delete_exchange(name, if_unused)?;
    after(saved, Answer::no_content())
}

/// As it is exported; not what every vhost has by itself.
pub(super) fn definition(exchange: &Exchange) -> Option<Value> {
    let definition = &exchange.definition;
    let predeclared = definition.name.starts_with("amq.");
    (!predeclared).then(|| {
        json!({
            "name": definition.name,
            "type": definition.type_name,
            "durable": definition.durable,
            "auto_delete": definition.auto_delete,
            "internal": definition.internal,
            "arguments": fields::table(&definition.arguments.0),
        })
    })
}
