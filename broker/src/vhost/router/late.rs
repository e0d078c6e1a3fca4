//! A question that its instance answers in its own time, and how the walk goes on with the answer. Who
//! waits for it is the caller's business (see `route_later`).

use std::sync::Arc;

use super::{Route, Step, slots};
use crate::amqp::properties::with_headers;
use crate::message::{Message, MessageView};
use crate::vhost::exchange_type::{Answer, BindingTable, ExchangeInstance, Fault, Moment};
use crate::vhost::live::Stage;
use crate::vhost::{Exchange, Interceptor, NoBindings, Vhost};

pub struct Waiting {
    pub instance: Arc<dyn ExchangeInstance>,
    pub moment: Moment,
    place: Place,
}

/// Who is asked in its own time.
pub(super) enum Place {
    Exchange {
        exchange: Arc<Exchange>,
        stage: Stage,
        key: usize,
        generation: u64,
    },
    Front(Arc<Interceptor>),
}

impl Waiting {
    pub(super) fn new(
        instance: Arc<dyn ExchangeInstance>,
        moment: Moment,
        place: Place,
    ) -> Waiting {
        Waiting {
            instance,
            moment,
            place,
        }
    }

    /// What the instance is built again from, should it have to be.
    pub fn table(&self) -> Arc<dyn BindingTable> {
        match &self.place {
            Place::Exchange { exchange, .. } => Arc::clone(exchange) as Arc<dyn BindingTable>,
            Place::Front(_) => Arc::new(NoBindings),
        }
    }

    fn key(&self) -> usize {
        match &self.place {
            Place::Exchange { key, .. } => *key,
            Place::Front(_) => 0,
        }
    }
}

impl Route {
    /// The message that a late question is about.
    pub fn asked(&self, waiting: &Waiting, message: &Arc<Message>) -> Arc<Message> {
        let key = self.further_key(waiting.key());
        if key.is_none() && self.set_headers.is_empty() {
            return Arc::clone(message);
        }
        let properties = with_headers(message.properties(), &self.set_headers);
        let asked = MessageView {
            routing_key: key.unwrap_or(message.routing_key()),
            properties: &properties,
            ..message.view()
        };
        Arc::new(asked.to_message())
    }

    /// Takes a late answer; then `walk` goes on.
    pub fn resume(
        &mut self,
        vhost: &Vhost,
        waiting: &Waiting,
        answer: Result<Answer, Fault>,
    ) -> Step {
        let (exchange, stage, key, generation) = match &waiting.place {
            Place::Front(interceptor) => return self.passed(interceptor, answer),
            Place::Exchange {
                exchange,
                stage,
                key,
                generation,
            } => (exchange, *stage, *key, *generation),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => return Step::Fault(fault),
        };
        let targets = exchange.targets(slots(&answer.decision), generation);
        let targets = targets.unwrap_or_else(|| {
            let now = exchange.generation();
            exchange
                .targets(slots(&answer.decision), now)
                .unwrap_or_default()
        });
        self.take(vhost, (exchange, stage, generation, key), answer, targets)
    }
}
