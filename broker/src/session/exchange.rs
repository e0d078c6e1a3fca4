//! The exchange class: declare, delete, bind, unbind.

use std::sync::Arc;

use super::access::Kind;
use super::dispatch::not_for_servers;
use super::{Flow, Session};
use crate::amqp::table::{self, Table, Value};
use crate::amqp::{AMQPClass, exchange};
use crate::auth::Access;
use crate::error::Refusal;
use crate::names::Destination;
use crate::vhost::{BindingRequest, ExchangeRequest, Vhost};

impl Session {
    pub(super) fn vhost(&self) -> Result<Arc<Vhost>, Refusal> {
        self.phase.vhost().cloned()
    }

    pub(super) fn exchange_method(
        &mut self,
        number: u16,
        method: exchange::AMQPMethod,
    ) -> Result<Flow, Refusal> {
        use exchange::AMQPMethod;
        match method {
            AMQPMethod::Declare(declare) => self.exchange_declare(number, declare),
            AMQPMethod::Delete(delete) => {
                let name = without_line_ends(delete.exchange.as_str());
                not_default(&name)?;
                self.check_access(Access::Configure, Kind::Exchange, &name)?;
                let saved = self.vhost()?.delete_exchange(&name, delete.if_unused)?;
                let ok = AMQPClass::Exchange(AMQPMethod::DeleteOk(exchange::DeleteOk {}));
                Ok(self.reply_saved(number, saved, delete.nowait, ok))
            }
            AMQPMethod::Bind(bind) => {
                let request = self.exchange_binding(
                    bind.source.as_str(),
                    bind.destination.as_str(),
                    bind.routing_key.as_str(),
                    table::encode(&bind.arguments),
                )?;
                let saved = self.vhost()?.bind(&request)?;
                let ok = AMQPClass::Exchange(AMQPMethod::BindOk(exchange::BindOk {}));
                Ok(self.reply_saved(number, saved, bind.nowait, ok))
            }
            AMQPMethod::Unbind(unbind) => {
                let request = self.exchange_binding(
                    unbind.source.as_str(),
                    unbind.destination.as_str(),
                    unbind.routing_key.as_str(),
                    table::encode(&unbind.arguments),
                )?;
                let saved = self.vhost()?.unbind(&request)?;
                let ok = AMQPClass::Exchange(AMQPMethod::UnbindOk(exchange::UnbindOk {}));
                Ok(self.reply_saved(number, saved, unbind.nowait, ok))
            }
            AMQPMethod::DeclareOk(_)
            | AMQPMethod::DeleteOk(_)
            | AMQPMethod::BindOk(_)
            | AMQPMethod::UnbindOk(_) => Err(not_for_servers()),
        }
    }

    fn exchange_binding<'a>(
        &mut self,
        source: &str,
        destination: &str,
        routing_key: &'a str,
        arguments: Vec<u8>,
    ) -> Result<BindingRequest<'a>, Refusal> {
        let source = without_line_ends(source);
        let destination = without_line_ends(destination);
        not_default(&source)?;
        not_default(&destination)?;
        self.check_access(Access::Write, Kind::Exchange, &destination)?;
        self.check_access(Access::Read, Kind::Exchange, &source)?;
        self.check_topic(Access::Read, &source, routing_key)?;
        let destination = Destination::Exchange(destination);
        Ok(BindingRequest {
            source,
            destination,
            routing_key: routing_key.into(),
            arguments,
        })
    }

    fn exchange_declare(
        &mut self,
        number: u16,
        declare: exchange::Declare,
    ) -> Result<Flow, Refusal> {
        let name = without_line_ends(declare.exchange.as_str());
        let vhost = self.vhost()?;
        let ok = AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}));
        if declare.passive {
            not_default(&name)?;
            let missing = || Refusal::not_found("exchange", &name, &vhost.name);
            vhost.exchange(&name).ok_or_else(missing)?;
            return Ok(self.reply_saved(number, crate::vhost::Saved::Nothing, declare.nowait, ok));
        }
        not_default(&name)?;
        self.check_access(Access::Configure, Kind::Exchange, &name)?;
        let arguments = table::encode(&declare.arguments);
        if vhost.exchange(&name).is_none() {
            self.check_alternate(&name, &arguments)?;
        }
        let saved = vhost.declare_exchange(ExchangeRequest {
            name: &name,
            type_name: declare.kind.as_str(),
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments,
        })?;
        Ok(self.reply_saved(number, saved, declare.nowait, ok))
    }

    fn check_alternate(&mut self, name: &str, arguments: &[u8]) -> Result<(), Refusal> {
        const ARGUMENT: &str = "alternate-exchange";
        match Table::new(arguments).get(ARGUMENT) {
            None => Ok(()),
            Some(Value::Str(alternate)) => {
                self.check_access(Access::Read, Kind::Exchange, name)?;
                let alternate = String::from_utf8_lossy(alternate);
                self.check_access(Access::Write, Kind::Exchange, &alternate)
            }
            Some(other) => Err(Refusal::precondition(format!(
                "invalid type '{}' for arg '{ARGUMENT}' in exchange '{name}' in vhost '{}'",
                other.type_name(),
                self.vhost()?.name
            ))),
        }
    }
}

/// The default exchange is not an exchange that can be changed.
pub(super) fn not_default(name: &str) -> Result<(), Refusal> {
    match name {
        "" => Err(Refusal::access(
            "operation not permitted on the default exchange",
        )),
        _ => Ok(()),
    }
}

/// RabbitMQ takes carriage returns and line feeds out of names.
pub(super) fn without_line_ends(name: &str) -> String {
    name.chars()
        .filter(|character| !matches!(character, '\r' | '\n'))
        .collect()
}
