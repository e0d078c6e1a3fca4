//! What would become of a message: which bindings match, which queues would get it, and what their
//! limits would do. Exchanges are asked as for a publish; nothing is sent.

use std::sync::Arc;

use hashbrown::HashSet;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::answer::{Answer, Failure};
use super::bindings;
use super::call::{Call, Handled, Outcome};
use super::fields;
use crate::amqp::properties::Properties;
use crate::clock::Millis;
use crate::message::{Message, MessageView};
use crate::names::Destination;
use crate::queue::{Overflow, Queue, QueueLook};
use crate::vhost::exchange_type::{
    Answer as Routed, BindingTable, Call as Question, Decision, ExchangeInstance, Fault, Moment,
    Routing,
};
use crate::vhost::{Exchange, Stage, Vhost, carbon_copies};

pub(super) fn explain(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let request = call.fields()?;
    request.require(&["exchange", "routing_key"])?;
    let name = request.text("exchange")?.unwrap_or_default();
    let name = if name == "amq.default" { "" } else { name };
    let properties = fields::encode_properties(&request.table("properties")?)?;
    let payload = request.text("payload")?.unwrap_or_default();
    let routing_key = request.text("routing_key")?.unwrap_or_default();
    if !name.is_empty() && vhost.exchange(name).is_none() {
        return Err(Failure::NotFound);
    }
    let keys = std::iter::once(routing_key.to_owned()).chain(carbon_copies(&properties));
    let messages = keys.map(|key| {
        let view = MessageView {
            exchange: &Arc::from(name),
            routing_key: &key,
            properties: &properties,
            body: payload.as_bytes(),
            dead_lettered: false,
        };
        Arc::new(view.to_message())
    });
    let walk = Walk {
        vhost,
        now: call.house.node.now(),
        steps: Vec::new(),
        queues: Vec::new(),
        held: Vec::new(),
        visited: HashSet::new(),
    };
    Ok(Outcome::Later(Box::pin(walk.over(messages.collect()))))
}

struct Walk {
    vhost: Arc<Vhost>,
    now: Millis,
    steps: Vec<Value>,
    queues: Vec<Arc<Queue>>,
    held: Vec<Value>,
    visited: HashSet<(u64, Stage, String)>,
}

impl Walk {
    /// One message for each of its keys.
    async fn over(mut self, messages: Vec<Arc<Message>>) -> Result<Answer, Failure> {
        for message in &messages {
            match message.exchange().as_ref() {
                "" => self.by_name(message),
                name => {
                    let first = self.vhost.exchange(name).map(|found| (found, Stage::Outer));
                    let mut work: Vec<_> = first.into_iter().collect();
                    while let Some((exchange, stage)) = work.pop() {
                        let key = message.routing_key().to_owned();
                        if self.visited.insert((exchange.id, stage, key)) {
                            work.extend(self.ask(&exchange, stage, message).await);
                        }
                    }
                }
            }
        }
        let first = messages.first();
        let queues = self.queues.iter().map(|queue| self.fate(queue, first));
        let queues: Vec<Value> = queues.collect();
        Ok(Answer::json(&json!({
            "routed": !queues.is_empty() || !self.held.is_empty(),
            "exchanges": self.steps,
            "held": self.held,
            "queues": queues,
        })))
    }

    /// The default exchange: its keys are names of queues.
    fn by_name(&mut self, message: &Message) {
        let key = message.routing_key();
        let queue = self.vhost.queue(key);
        self.steps.push(json!({
            "exchange": "",
            "type": "direct",
            "routing_key": key,
            "decision": "to",
            "why": match &queue {
                Some(_) => format!("there is a queue named '{key}'"),
                None => format!("there is no queue named '{key}'"),
            },
            "bindings": [],
        }));
        self.add(queue);
    }

    fn add(&mut self, queue: Option<Arc<Queue>>) {
        let new = queue.filter(|queue| !self.queues.iter().any(|known| known.id == queue.id));
        self.queues.extend(new);
    }

    /// One exchange's decision; the exchanges that it leads to.
    async fn ask(
        &mut self,
        exchange: &Arc<Exchange>,
        stage: Stage,
        message: &Arc<Message>,
    ) -> Vec<(Arc<Exchange>, Stage)> {
        let mut step = Map::new();
        step.insert("exchange".to_owned(), json!(*exchange.name));
        step.insert("type".to_owned(), json!(exchange.definition.type_name));
        step.insert("routing_key".to_owned(), json!(message.routing_key()));
        let live = exchange.live();
        let routed = match live.instance(stage) {
            Some(instance) => routed(exchange, instance, message).await,
            None => Err(Fault("no enabled plugin offers this type".to_owned())),
        };
        let next = self.take(exchange, stage, routed, &mut step);
        self.steps.push(Value::Object(step));
        next
    }

    fn take(
        &mut self,
        exchange: &Arc<Exchange>,
        stage: Stage,
        routed: Result<Routed, Fault>,
        step: &mut Map<String, Value>,
    ) -> Vec<(Arc<Exchange>, Stage)> {
        let mut say = |decision: &str, why: String| {
            step.insert("decision".to_owned(), json!(decision));
            step.insert("why".to_owned(), json!(why));
        };
        let slots = match routed {
            Err(Fault(reason)) => {
                say("fault", reason);
                return Vec::new();
            }
            Ok(Routed { decision, .. }) => match decision {
                Decision::To(slots) => slots,
                Decision::Reject(reason) => {
                    say("reject", reason);
                    return Vec::new();
                }
                Decision::Hold { until } => {
                    let wait = until.saturating_sub(self.now);
                    say(
                        "hold",
                        format!("it is kept for {wait} ms and asked about again"),
                    );
                    let held = json!({"exchange": *exchange.name, "until": until});
                    self.held.push(held);
                    return Vec::new();
                }
                Decision::Delegate if stage == Stage::Outer => {
                    say("delegate", "the inner type decides".to_owned());
                    return vec![(Arc::clone(exchange), Stage::Inner)];
                }
                Decision::Delegate => {
                    say("fault", "an inner type cannot delegate".to_owned());
                    return Vec::new();
                }
            },
        };
        let matched = exchange.bindings_at(&slots);
        let alternate = exchange.alternate().filter(|_| matched.is_empty());
        say(
            "to",
            match (&alternate, matched.len()) {
                (Some(name), _) => {
                    format!("no binding matches: on to the alternate exchange '{name}'")
                }
                (None, 0) => "no binding matches".to_owned(),
                (None, count) => format!("{count} matching"),
            },
        );
        let rows = matched
            .iter()
            .map(|binding| bindings::row(&self.vhost.name, binding));
        step.insert("bindings".to_owned(), Value::Array(rows.collect()));
        let mut next = Vec::new();
        for binding in matched {
            match binding.destination {
                Destination::Queue(name) => self.add(self.vhost.queue(&name)),
                Destination::Exchange(name) => next.extend(self.vhost.exchange(&name)),
            }
        }
        next.extend(alternate.and_then(|name| self.vhost.exchange(&name)));
        next.into_iter()
            .map(|exchange| (exchange, Stage::Outer))
            .collect()
    }

    /// What the queue would do with it.
    fn fate(&self, queue: &Queue, message: Option<&Arc<Message>>) -> Value {
        let look = queue.look();
        let options = &look.options;
        let properties = message.map(|message| Properties::new(message.properties()));
        let expiration = properties.and_then(|properties| properties.expiration()?.parse().ok());
        let ttl = [options.message_ttl, expiration]
            .into_iter()
            .flatten()
            .min();
        let size = message.map_or(0, |message| message.body().len() as u64);
        let persistent = properties.is_some_and(Properties::is_persistent);
        let dead_letter = options
            .dead_letter
            .as_ref()
            .map(|to| json!({"exchange": *to.exchange, "routing_key": to.routing_key.as_deref()}));
        json!({
            "name": *queue.name,
            "type": queue.attributes.queue_type.name(),
            "consumers": look.counts.consumers,
            "messages_ready": look.counts.ready,
            "survives_a_restart": persistent && queue.attributes.outlives_run(),
            "expires_after": ttl,
            "dead_letter": dead_letter,
            "limit": limit(&look, size),
        })
    }
}

/// What a full queue would do; None where there is room.
fn limit(look: &QueueLook, size: u64) -> Option<&'static str> {
    let options = &look.options;
    let too_long = options
        .max_length
        .is_some_and(|max| look.counts.ready + 1 > max);
    let too_large = options
        .max_length_bytes
        .is_some_and(|max| look.ready_bytes + size > max);
    if !too_long && !too_large {
        return None;
    }
    Some(match options.overflow {
        Overflow::DropHead => "full: its oldest message goes, unless a consumer takes this one",
        Overflow::RejectPublish => "full: it is refused (nack)",
        Overflow::RejectPublishDlx => "full: it is refused (nack) and dead-lettered",
    })
}

async fn routed(
    exchange: &Arc<Exchange>,
    instance: &Arc<dyn ExchangeInstance>,
    message: &Arc<Message>,
) -> Result<Routed, Fault> {
    let question = Question {
        moment: Moment::Publish,
        message: message.view(),
    };
    match instance.route(question, exchange.as_ref()) {
        Routing::Now(answer) => Ok(answer),
        Routing::Fault(fault) => Err(fault),
        Routing::Later => {
            let (done, answer) = oneshot::channel();
            let table: Arc<dyn BindingTable> = Arc::clone(exchange) as Arc<dyn BindingTable>;
            let tell = Box::new(move |result| drop(done.send(result)));
            instance.route_later(Moment::Publish, Arc::clone(message), table, tell);
            let gone = || Err(Fault("the plugin's thread has ended".to_owned()));
            answer.await.unwrap_or_else(|_| gone())
        }
    }
}
