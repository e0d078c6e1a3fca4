//! What the broker's own watchers want in a virtual host: an exchange of their own, and messages that
//! nobody has sent. On a thread that may wait for a slow plugin; such messages are not watched.

use std::sync::Arc;

use super::definition::{Arguments, ExchangeDefinition};
use super::exchange_type::{Fault, Moment};
use super::timers::wait_for;
use super::{Broker, Memo, Route, Step, Vhost};
use crate::error::Refusal;
use crate::message::MessageView;
use crate::queue::Effects;

impl Broker {
    /// Durable and internal, if there is none of that name.
    pub fn declare_internal(&self, vhost: &str, name: &str, type_name: &str) -> Result<(), String> {
        let vhost = self.vhost(vhost).ok_or("there is no such virtual host")?;
        let _changing = vhost.change().map_err(Refusal::into_text)?;
        if vhost.exchange(name).is_some() {
            return Ok(());
        }
        let definition = ExchangeDefinition {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            durable: true,
            auto_delete: false,
            internal: true,
            arguments: Arguments::default(),
        };
        let made = vhost.make_exchange(definition);
        // Whoever binds to it waits until that is synced, and so is this.
        made.map(drop).map_err(Refusal::into_text)
    }

    /// Where the exchange is not there, nothing happens. True where somebody took the message.
    pub fn publish_internal(&self, vhost: &str, message: MessageView<'_>, memo: &mut Memo) -> bool {
        let Some(vhost) = self.vhost(vhost) else {
            return false;
        };
        let mut route = Route::default();
        match vhost.exchange(message.exchange) {
            Some(exchange) => route.start(&exchange, Moment::Publish, Vec::new()),
            None => return false,
        }
        if !vhost.walk_to_the_end(&mut route, message, memo) {
            return false;
        }
        let mut effects = Effects::default();
        let handed = vhost.hand_over(&route, &message, None, &mut effects);
        effects.apply();
        if let Some(exchange) = vhost.exchange(message.exchange) {
            exchange.count(1, route.queues.len() as u64);
        }
        handed.routed
    }
}

impl Vhost {
    fn walk_to_the_end(
        &self,
        route: &mut Route,
        message: MessageView<'_>,
        memo: &mut Memo,
    ) -> bool {
        let mut step = route.walk(self, &message, memo);
        loop {
            let waiting = match step {
                Step::Done => return true,
                Step::Later(waiting) => waiting,
                Step::Rejected(reason)
                | Step::Fault(Fault(reason))
                | Step::Unseen {
                    fault: Fault(reason),
                    ..
                } => {
                    tracing::debug!(exchange = %message.exchange, reason, "not published");
                    return false;
                }
            };
            let owned = Arc::new(message.to_message());
            let answer = wait_for(&waiting, route.asked(&waiting, &owned));
            step = match route.resume(self, &waiting, answer) {
                Step::Done => route.walk(self, &message, memo),
                other @ (Step::Later(_)
                | Step::Rejected(_)
                | Step::Fault(_)
                | Step::Unseen { .. }) => other,
            };
        }
    }
}
