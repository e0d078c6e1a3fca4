//! exchange.declare and exchange.delete: what a client may ask for and what it is told.

use std::sync::Arc;

use super::binding::remove_bindings_to;
use super::definition::{Arguments, Definition, ExchangeDefinition};
use super::exchange_type::{OpenRefusal, Opening};
use super::kept::Kept;
use super::written_behind::row;
use super::{Exchange, Incoming, Kind, Saved, Vhost};
use crate::amqp::table::{Table, Value};
use crate::error::Refusal;
use crate::names::Destination;
use crate::store::DefinitionChange;

pub struct ExchangeRequest<'a> {
    pub name: &'a str,
    pub type_name: &'a str,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: Vec<u8>,
}

impl Vhost {
    pub fn declare_exchange(&self, request: ExchangeRequest<'_>) -> Result<Saved, Refusal> {
        let ExchangeRequest {
            name, type_name, ..
        } = request;
        // Held over the open, so that two connections cannot both declare it.
        let _changing = self.change()?;
        if let Some(exchange) = self.exchange(name) {
            self.check_type(name, type_name)?;
            self.check_equivalent(&exchange, &request)?;
            return Ok(Saved::Nothing);
        }
        if name.starts_with("amq.") {
            let text = format!("exchange name '{name}' contains reserved prefix 'amq.*'");
            return Err(Refusal::access(text));
        }
        let definition = ExchangeDefinition {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            durable: request.durable,
            auto_delete: request.auto_delete,
            internal: request.internal,
            arguments: Arguments(request.arguments),
        };
        let types = &self.shared.types;
        types
            .room_for_exchange(type_name)
            .map_err(Refusal::precondition)?;
        self.make_exchange(definition)
    }

    /// Callers hold `changing`.
    pub(super) fn make_exchange(&self, definition: ExchangeDefinition) -> Result<Saved, Refusal> {
        let exchange = self
            .apply_exchange(definition.clone())
            .map_err(|refusal| refused(refusal, &definition.type_name))?;
        self.tell_exchange(&exchange);
        if !definition.durable {
            return Ok(Saved::Nothing);
        }
        let vhost = self.name.to_string();
        Ok(self.save(vec![
            Definition::Exchange {
                vhost,
                exchange: definition,
            }
            .put(),
        ]))
    }

    /// RabbitMQ looks at the type before anything else, so an exchange whose type is disabled
    /// cannot be declared again either, unless it keeps its messages or falls back meanwhile.
    fn check_type(&self, name: &str, type_name: &str) -> Result<(), Refusal> {
        if self.exchange(name).is_some_and(|exchange| {
            exchange.definition.type_name == type_name && !exchange.is_failing()
        }) {
            return Ok(());
        }
        let arguments = &[];
        let opening = Opening {
            vhost: &self.name,
            exchange: name,
            type_name,
            arguments,
            kept: &Kept::nowhere(),
        };
        match self.shared.types.open(&opening) {
            Err(OpenRefusal::UnknownType) => Err(refused(OpenRefusal::UnknownType, type_name)),
            Ok(_) | Err(OpenRefusal::Refused(_) | OpenRefusal::Failed(_)) => Ok(()),
        }
    }

    fn check_equivalent(
        &self,
        exchange: &Exchange,
        request: &ExchangeRequest<'_>,
    ) -> Result<(), Refusal> {
        let current = &exchange.definition;
        let field = |field: &str, received: &str, current: &str| {
            if received == current {
                return Ok(());
            }
            let name = &exchange.name;
            let vhost = &self.name;
            Err(Refusal::precondition(format!(
                "inequivalent arg '{field}' for exchange '{name}' in vhost '{vhost}': \
                 received '{received}' but current is '{current}'"
            )))
        };
        let flag = |field_name, received: bool, current: bool| {
            field(field_name, &received.to_string(), &current.to_string())
        };
        field("type", request.type_name, &current.type_name)?;
        flag("durable", request.durable, current.durable)?;
        flag("auto_delete", request.auto_delete, current.auto_delete)?;
        flag("internal", request.internal, current.internal)?;
        let alternate = |arguments| match Table::new(arguments).get("alternate-exchange") {
            Some(Value::Str(name)) => {
                format!(
                    "the value '{}' of type 'longstr'",
                    String::from_utf8_lossy(name)
                )
            }
            Some(_) | None => "none".to_owned(),
        };
        let (received, current) = (
            alternate(&request.arguments),
            alternate(&current.arguments.0),
        );
        if received == current {
            return Ok(());
        }
        Err(Refusal::precondition(format!(
            "inequivalent arg 'alternate-exchange' for exchange '{}' in vhost '{}': \
             received {received} but current is {current}",
            exchange.name, self.name
        )))
    }

    /// Deleting what is not there is fine.
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<Saved, Refusal> {
        if name.starts_with("amq.") {
            let vhost = &self.name;
            let text =
                format!("deletion of system exchange '{name}' in vhost '{vhost}' not allowed");
            return Err(Refusal::access(text));
        }
        let mut incoming = self.changing.lock();
        let Some(exchange) = self.exchange(name) else {
            return Ok(Saved::Nothing);
        };
        if if_unused && exchange.has_bindings() {
            let text = format!("exchange '{name}' in vhost '{}' in use", self.name);
            return Err(Refusal::precondition(text));
        }
        let mut changes = Vec::new();
        self.drop_exchange(&mut incoming, &exchange, &mut changes);
        Ok(self.save(changes))
    }

    /// Takes out an exchange with its bindings in both directions.
    pub(super) fn drop_exchange(
        &self,
        incoming: &mut Incoming,
        exchange: &Arc<Exchange>,
        changes: &mut Vec<DefinitionChange>,
    ) {
        self.exchanges.write().remove(&exchange.name);
        self.tell(Kind::ExchangeDeleted, &exchange.name, |facts| facts);
        exchange.mark_deleted();
        let vhost = self.name.to_string();
        for identity in exchange.identities() {
            self.drop_binding(incoming, exchange, &identity, changes);
        }
        changes.extend(self.forget_kept(exchange));
        if exchange.definition.durable {
            let exchange = exchange.definition.clone();
            changes.push(Definition::Exchange { vhost, exchange }.remove());
        }
        let destination = Destination::Exchange(exchange.name.to_string());
        remove_bindings_to(self, incoming, &destination, changes);
    }
}

impl Vhost {
    /// What the exchange keeps goes with it.
    pub(super) fn forget_kept(&self, exchange: &Exchange) -> Vec<DefinitionChange> {
        if !exchange.definition.durable {
            return Vec::new();
        }
        let kept = exchange.kept().close();
        let rows = kept.into_iter().flat_map(|(of_type, keys)| {
            let keys = keys.into_iter();
            keys.map(move |key| row(&of_type, key, Vec::new()).remove())
        });
        rows.collect()
    }
}

fn refused(refusal: OpenRefusal, type_name: &str) -> Refusal {
    match refusal {
        OpenRefusal::UnknownType => {
            Refusal::precondition(format!("unknown exchange type '{type_name}'"))
        }
        OpenRefusal::Refused(text) => Refusal::precondition(text),
        OpenRefusal::Failed(reason) => Refusal::internal("the exchange type failed", &reason),
    }
}
