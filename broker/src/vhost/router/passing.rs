//! The way of a message past what stands in front of its exchange (see `front.rs`). Decides nothing
//! itself; the walk behind it is in the module above.

use std::sync::Arc;

use super::{Place, Route, Step, Waiting};
use crate::amqp::properties::with_headers;
use crate::message::MessageView;
use crate::vhost::exchange_type::{Answer, Call, Decision, Fault, Moment, Routing};
use crate::vhost::{Front, NoBindings};

impl Route {
    /// To be called when a walk has been set out on: what stands in front goes first.
    #[inline]
    pub fn meets(&mut self, front: &Front) {
        if front.is_there() {
            self.front.extend(front.list().into_iter().rev());
        }
    }

    /// Asks what stands in front until the message is through.
    pub(super) fn pass(&mut self, message: MessageView<'_>) -> Step {
        while let Some(interceptor) = self.front.pop() {
            let instance = match &interceptor.instance {
                Ok(instance) => instance,
                Err(reason) => {
                    let name = &interceptor.name;
                    return Step::Fault(Fault(format!("interceptor {name}: {reason}")));
                }
            };
            let properties = with_headers(message.properties, &self.set_headers);
            let message = MessageView {
                properties: &properties,
                ..message
            };
            let moment = Moment::Publish;
            let answer = match instance.route(Call { moment, message }, &NoBindings) {
                Routing::Now(answer) => answer,
                Routing::Later => {
                    return Step::Later(Waiting {
                        instance: Arc::clone(instance),
                        moment,
                        place: Place::Front,
                    });
                }
                Routing::Fault(fault) => return Step::Fault(fault),
            };
            if let Some(text) = self.stamp(answer) {
                return Step::Rejected(text);
            }
        }
        Step::Done
    }

    /// What an interceptor has said; the text where it refuses.
    pub(super) fn stamp(&mut self, answer: Answer) -> Option<String> {
        match answer.decision {
            Decision::Reject(text) => Some(text),
            Decision::To(_) | Decision::Hold { .. } | Decision::Delegate => {
                for (name, value) in answer.set_headers {
                    self.set_headers.retain(|(known, _)| *known != name);
                    self.set_headers.push((name, value));
                }
                None
            }
        }
    }
}
