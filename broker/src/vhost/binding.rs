//! queue.bind, exchange.bind and their opposites: what a client may ask for, and what goes with a
//! binding when it goes.

use std::borrow::Cow;
use std::sync::Arc;

use super::definition::{Arguments, BindingDefinition, Definition};
use super::exchange::{Bound, Exchange, Identity};
use super::exchange_type::{BindRefusal, Fault, Moment};
use super::{Incoming, Kind, Memo, Route, Saved, Step, Vhost, carbon_copies};
use crate::error::Refusal;
use crate::message::Message;
use crate::names::Destination;
use crate::queue::Effects;
use crate::store::DefinitionChange;

pub struct BindingRequest<'a> {
    pub source: String,
    pub destination: Destination,
    pub routing_key: Cow<'a, str>,
    pub arguments: Vec<u8>,
}

impl BindingRequest<'_> {
    fn identity(&self) -> Identity {
        Identity {
            destination: self.destination.clone(),
            routing_key: self.routing_key.clone().into_owned(),
            arguments: self.arguments.clone(),
        }
    }
}

impl Vhost {
    pub fn bind(&self, request: &BindingRequest<'_>) -> Result<Saved, Refusal> {
        let mut incoming = self.changing.lock();
        let source = self.source(&request.source)?;
        let identity = request.identity();
        if !source.is_bound(&identity) {
            source.room_for_binding().map_err(Refusal::precondition)?;
        }
        let applied = self.apply_binding(&mut incoming, &source, identity.clone());
        if let Ok(Some((Bound::New { .. }, _))) = &applied {
            self.tell_binding(Kind::BindingCreated, &source.name, &identity);
        }
        let Some((bound, durable)) = applied.map_err(refused)? else {
            return Err(self.no_destination(&request.destination));
        };
        let (saved, replay) = match bound {
            Bound::Same => return Ok(Saved::Nothing),
            Bound::New { replay, .. } if durable => {
                let row = self.row(&source, &identity).put();
                (self.save(vec![row]), replay)
            }
            Bound::New { replay, .. } => (Saved::Nothing, replay),
        };
        drop(incoming);
        if !replay.is_empty() {
            self.replay(&request.destination, &replay);
        }
        Ok(saved)
    }

    /// Messages from before, for a destination that is bound only now.
    fn replay(&self, destination: &Destination, messages: &[Arc<Message>]) {
        let mut effects = Effects::default();
        let mut memo = Memo::default();
        let mut route = Route::default();
        for message in messages {
            match destination {
                Destination::Queue(name) => {
                    let Some(queue) = self.queue(name) else { break };
                    route.clear();
                    route.add_queue(&queue);
                }
                Destination::Exchange(name) => {
                    let Some(exchange) = self.exchange(name) else {
                        break;
                    };
                    let further_keys = carbon_copies(message.properties());
                    route.start(&exchange, Moment::Publish, further_keys);
                    match route.walk(self, &message.view(), &mut memo) {
                        Step::Done => {}
                        // Whoever binds does not wait for a slow type: the timer thread does.
                        Step::Later(_) => route.hold_all(&exchange, self.now()),
                        Step::Rejected(reason)
                        | Step::Fault(Fault(reason))
                        | Step::Unseen {
                            fault: Fault(reason),
                            ..
                        } => {
                            tracing::warn!(exchange = name, reason, "no replay of a message");
                            continue;
                        }
                    }
                }
            }
            self.hand_over(&route, &message.view(), None, &mut effects);
        }
        effects.apply();
    }

    /// Removing what is not bound is fine; so is naming what is not there.
    pub fn unbind(&self, request: &BindingRequest<'_>) -> Result<Saved, Refusal> {
        let mut incoming = self.changing.lock();
        let Some(source) = self.exchange(&request.source) else {
            return Ok(Saved::Nothing);
        };
        let mut changes = Vec::new();
        if self.drop_binding(&mut incoming, &source, &request.identity(), &mut changes) {
            self.drop_if_unused(&mut incoming, &source, &mut changes);
        }
        Ok(self.save(changes))
    }

    pub fn is_bound(&self, request: &BindingRequest<'_>) -> bool {
        let source = self.exchange(&request.source);
        source.is_some_and(|source| source.is_bound(&request.identity()))
    }

    fn source(&self, name: &str) -> Result<Arc<Exchange>, Refusal> {
        let missing = || Refusal::not_found("exchange", name, &self.name);
        self.exchange(name).ok_or_else(missing)
    }

    fn no_destination(&self, destination: &Destination) -> Refusal {
        match destination {
            Destination::Queue(name) => Refusal::not_found("queue", name, &self.name),
            Destination::Exchange(name) => Refusal::not_found("exchange", name, &self.name),
        }
    }

    fn row(&self, source: &Exchange, identity: &Identity) -> Definition {
        Definition::Binding {
            vhost: self.name.to_string(),
            binding: BindingDefinition {
                source: source.name.to_string(),
                destination: (&identity.destination).into(),
                routing_key: identity.routing_key.clone(),
                arguments: Arguments(identity.arguments.clone()),
            },
        }
    }

    /// True when there was such a binding.
    pub(super) fn drop_binding(
        &self,
        incoming: &mut Incoming,
        source: &Arc<Exchange>,
        identity: &Identity,
        changes: &mut Vec<DefinitionChange>,
    ) -> bool {
        let Some(binding) = source.unbind(identity) else {
            return false;
        };
        self.tell_binding(Kind::BindingDeleted, &source.name, identity);
        if let Some(sources) = incoming.get_mut(&identity.destination) {
            sources.remove(&(Arc::clone(&source.name), identity.clone()));
            if sources.is_empty() {
                incoming.remove(&identity.destination);
            }
        }
        if binding.durable {
            changes.push(self.row(source, identity).remove());
        }
        true
    }

    /// An auto-delete exchange goes with the last binding that it is the source of.
    fn drop_if_unused(
        &self,
        incoming: &mut Incoming,
        exchange: &Arc<Exchange>,
        changes: &mut Vec<DefinitionChange>,
    ) {
        let still_there = self
            .exchange(&exchange.name)
            .is_some_and(|now| now.id == exchange.id);
        if exchange.definition.auto_delete && still_there && !exchange.has_bindings() {
            self.drop_exchange(incoming, exchange, changes);
        }
    }
}

/// Takes out every binding that leads to what has gone.
pub(super) fn remove_bindings_to(
    vhost: &Vhost,
    incoming: &mut Incoming,
    destination: &Destination,
    changes: &mut Vec<DefinitionChange>,
) {
    for (source, identity) in incoming.remove(destination).unwrap_or_default() {
        let Some(source) = vhost.exchange(&source) else {
            continue;
        };
        if vhost.drop_binding(incoming, &source, &identity, changes) {
            vhost.drop_if_unused(incoming, &source, changes);
        }
    }
}

fn refused(refusal: BindRefusal) -> Refusal {
    match refusal {
        BindRefusal::Refused(text) => Refusal::precondition(text),
        BindRefusal::Failed(reason) => Refusal::internal("the exchange type failed", &reason),
    }
}
