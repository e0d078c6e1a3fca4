//! Publishes one message, as basic.publish with mandatory does.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::sync::oneshot;

use super::Management;
use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome};
use super::fields;
use crate::amqp::properties::Properties;
use crate::auth::{Access, Asking};
use crate::message::{Message, MessageView};
use crate::queue::Effects;
use crate::tally::{Messages, Sizes};
use crate::trace::Party;
use crate::vhost::exchange_type::{Fault, Moment};
use crate::vhost::{Exchange, Memo, Route, Step, Vhost, carbon_copies};

/// Most consumers negotiate this: what is published here must fit into their frames.
const FRAME_MAX: u32 = 131_072;

/// The type whose routing keys are topics.
const TOPIC: &str = "topic";

impl Call {
    /// Routing keys need permission of their own on exchanges of type topic, where any is set.
    pub fn check_topic(
        &self,
        vhost: &Vhost,
        access: Access,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Failure> {
        let found = vhost.exchange(exchange);
        if found.is_none_or(|found| found.definition.type_name != TOPIC) {
            return Ok(());
        }
        let asking = Asking {
            user: &self.user.name,
            vhost: &vhost.name,
            client_id: None,
        };
        let users = &self.house.users;
        match users.allows_topic(asking, access, exchange, routing_key) {
            true => Ok(()),
            false => Err(Failure::refused()),
        }
    }
}

pub(super) fn publish(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let name = match call.part(1) {
        "amq.default" => "",
        other => other,
    };
    let exchange = match name {
        "" => None,
        name => Some(vhost.exchange(name).ok_or_else(|| {
            let vhost = &vhost.name;
            Failure::bad(format!(
                "404 NOT_FOUND - no exchange '{name}' in vhost '{vhost}'"
            ))
        })?),
    };
    let request = call.fields()?;
    request.require(&["properties", "routing_key", "payload", "payload_encoding"])?;
    let payload = request.text("payload")?.unwrap_or_default();
    let payload = match request.text("payload_encoding")?.unwrap_or_default() {
        "string" => payload.as_bytes().to_vec(),
        "base64" => STANDARD
            .decode(payload)
            .map_err(|_| Failure::bad("payload is not base64"))?,
        other => return Err(Failure::bad(json!(["unsupported_encoding", other]))),
    };
    let limit = call.house.node.limits().max_message_size;
    if payload.len() as u64 > limit {
        let size = payload.len();
        let text = format!("message size {size} is larger than configured max size {limit}");
        return Err(Failure::bad(text));
    }
    let routing_key = request.text("routing_key")?.unwrap_or_default();
    let properties = fields::encode_properties(&request.table("properties")?)?;
    check_properties(call, &properties)?;
    call.check_access(&vhost.name, Access::Write, name)?;
    call.check_topic(&vhost, Access::Write, name, routing_key)?;
    if exchange
        .as_ref()
        .is_some_and(|exchange| exchange.definition.internal)
    {
        return Err(Failure::refused());
    }
    let message = MessageView {
        exchange: &Arc::from(name),
        routing_key,
        properties: &properties,
        body: &payload,
        dead_lettered: false,
    };
    let message = Arc::new(message.to_message());
    let house = Arc::clone(&call.house);
    // RabbitMQ's API has an AMQP connection of its own.
    let by = Party {
        connection: Arc::from(format!("<{}>", call.house.node.name())),
        user: Arc::from(call.user.name.as_str()),
    };
    let place = (vhost, exchange);
    Ok(Outcome::Later(Box::pin(route(house, by, place, message))))
}

/// As for a client's publish.
fn check_properties(call: &Call, properties: &[u8]) -> Result<(), Failure> {
    let properties = Properties::new(properties);
    if let Some(user_id) = properties.user_id().filter(|id| *id != call.user.name) {
        let user = &call.user.name;
        let text =
            format!("user_id property set to '{user_id}' but authenticated user was '{user}'");
        return Err(Failure::bad(text));
    }
    let expiration = properties.expiration();
    if let Some(text) = expiration.filter(|text| text.parse::<u32>().is_err()) {
        return Err(Failure::bad(format!("invalid expiration '{text}'")));
    }
    Ok(())
}

async fn route(
    house: Arc<Management>,
    by: Party,
    (vhost, exchange): (Arc<Vhost>, Option<Arc<Exchange>>),
    message: Arc<Message>,
) -> Result<Answer, Failure> {
    let mut memo = Memo::default();
    let mut route = Route::default();
    let copies = carbon_copies(message.properties());
    let front = match &exchange {
        None => {
            let keys = std::iter::once(message.routing_key().to_owned()).chain(copies);
            route.add_by_name(&vhost, keys.collect());
            vhost.front()
        }
        Some(exchange) => {
            route.start(exchange, Moment::Publish, copies);
            exchange.front()
        }
    };
    // Plugins are slow now and then, and everybody else's request waits behind this one.
    let mut step = route.set_off(front, &vhost, &message.view(), &mut memo);
    loop {
        let waiting = match step {
            Step::Done => break,
            Step::Rejected(text) => return Err(Failure::bad(text)),
            Step::Fault(Fault(reason)) => return Err(Failure::bad(reason)),
            Step::Unseen { interceptor, fault } => {
                let Fault(reason) = fault;
                return Err(Failure::bad(format!(
                    "interceptor '{interceptor}': {reason}"
                )));
            }
            Step::Later(waiting) => waiting,
        };
        let (done, answer) = oneshot::channel();
        let table = waiting.table();
        let asked = route.asked(&waiting, &message);
        let tell = Box::new(move |result| drop(done.send(result)));
        waiting
            .instance
            .route_later(waiting.moment, asked, table, tell);
        let gone = || Err(Fault("the plugin's thread has ended".to_owned()));
        let answer = answer.await.unwrap_or_else(|_| gone());
        step = match route.resume(&vhost, &waiting, answer) {
            Step::Done => route.walk(&vhost, &message.view(), &mut memo),
            other @ (Step::Later(_) | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. }) => {
                other
            }
        };
    }
    route
        .check_headers(message.properties(), FRAME_MAX)
        .map_err(Failure::bad)?;
    if vhost.is_tapped() {
        let copies = carbon_copies(message.properties());
        vhost.tell_published(&by, 1, message.view(), &copies, &route);
    }
    let mut effects = Effects::default();
    let handed = vhost.hand_over(&route, &message.view(), None, &mut effects);
    effects.apply();
    let size = message.view().body.len() as u64;
    count(
        &house,
        (&vhost, exchange.as_deref()),
        (&route, handed.routed),
        size,
    );
    Ok(Answer::json(&json!({"routed": handed.routed})))
}

fn count(
    house: &Management,
    (vhost, exchange): (&Vhost, Option<&Exchange>),
    (route, routed): (&Route, bool),
    size: u64,
) {
    let queues = route.queues.len() as u64;
    match exchange {
        Some(exchange) => exchange.count(1, queues),
        None => vhost.count_default(1, queues),
    }
    let counted = Messages {
        published: 1,
        returned: u64::from(!routed),
        ..Messages::default()
    };
    let mut sizes = Sizes::default();
    sizes.count(size);
    let connections = house.broker.connections();
    connections.add_counted(&vhost.name, counted, sizes);
}
