//! The way of a message past what stands in front of its exchange (see `front.rs`). Decides nothing
//! itself; the walk behind it is in the module above.

use std::sync::Arc;

use super::late::Place;
use super::{Route, Step, Waiting};
use crate::amqp::frame::FRAME_OVERHEAD;
use crate::amqp::properties::with_headers;
use crate::message::MessageView;
use crate::vhost::exchange_type::{
    Answer, Call, Decision, ExchangeInstance, Fault, Moment, OnFailure, Routing,
};
use crate::vhost::{Front, Interceptor, Interceptors, Memo, NoBindings, Vhost};

/// In front of the properties in a content header: class, weight, body size (AMQP 0-9-1, 4.2.6.1).
const HEADER_FIELDS: usize = 2 + 2 + 8;

/// Of one header's name, and of the table where there was none.
const LENGTHS: usize = 1 + 4;

/// Interceptors that a message has not come past yet.
#[derive(Default)]
pub(super) enum Ahead {
    #[default]
    Nothing,
    /// From this one on.
    Interceptors(Interceptors, usize),
}

impl Route {
    /// The walk of what a client has published, past what stands in front of its exchange. Nothing
    /// does as a rule: that is all that a message pays for those that meet an interceptor.
    #[inline]
    pub fn set_off(
        &mut self,
        front: &Front,
        vhost: &Vhost,
        message: &MessageView<'_>,
        memo: &mut Memo,
    ) -> Step {
        if front.is_there() {
            self.ahead = Ahead::Interceptors(front.interceptors(), 0);
            return self.walk(vhost, message, memo);
        }
        self.follow(vhost, message, memo)
    }

    /// Asks what stands in front until the message is through.
    pub(super) fn pass(&mut self, message: MessageView<'_>) -> Step {
        let Ahead::Interceptors(interceptors, first) = std::mem::take(&mut self.ahead) else {
            return Step::Done;
        };
        for (index, interceptor) in interceptors.iter().enumerate().skip(first) {
            let answer = match &interceptor.instance {
                Err(reason) => Err(Fault(reason.clone())),
                Ok(instance) => match self.show(instance, message) {
                    Routing::Now(answer) => Ok(answer),
                    Routing::Fault(fault) => Err(fault),
                    Routing::Later => {
                        let place = Place::Front(Arc::clone(interceptor));
                        let instance = Arc::clone(instance);
                        self.ahead = Ahead::Interceptors(Arc::clone(&interceptors), index + 1);
                        return Step::Later(Waiting::new(instance, Moment::Publish, place));
                    }
                },
            };
            match self.passed(interceptor, answer) {
                Step::Done => {}
                step @ (Step::Later(_)
                | Step::Rejected(_)
                | Step::Fault(_)
                | Step::Unseen { .. }) => return step,
            }
        }
        Step::Done
    }

    /// Headers that were set on the way make the content header longer, and that goes into one frame to
    /// every consumer. The error is a sentence.
    pub fn check_headers(&self, properties: &[u8], frame_max: u32) -> Result<(), String> {
        if self.set_headers.is_empty() || frame_max == 0 {
            return Ok(());
        }
        let most = (frame_max as usize).saturating_sub(FRAME_OVERHEAD + HEADER_FIELDS);
        let set = self.set_headers.iter();
        let longer: usize = set
            .map(|(name, value)| LENGTHS + name.len() + value.len())
            .sum();
        if properties.len() + longer <= most {
            return Ok(());
        }
        // Some may stand in the place of others.
        let length = with_headers(properties, &self.set_headers).len();
        match length <= most {
            true => Ok(()),
            false => Err(format!(
                "with the headers that plugins have set the properties have {length} bytes; {most} fit \
                 into a frame"
            )),
        }
    }

    fn show(&self, instance: &Arc<dyn ExchangeInstance>, message: MessageView<'_>) -> Routing {
        let moment = Moment::Publish;
        if self.set_headers.is_empty() {
            return instance.route(Call { moment, message }, &NoBindings);
        }
        let properties = with_headers(message.properties, &self.set_headers);
        let message = MessageView {
            properties: &properties,
            ..message
        };
        instance.route(Call { moment, message }, &NoBindings)
    }

    /// What an interceptor has said, or that it cannot.
    pub(super) fn passed(
        &mut self,
        interceptor: &Interceptor,
        answer: Result<Answer, Fault>,
    ) -> Step {
        let answer = match (answer, interceptor.on_failure) {
            (Ok(answer), OnFailure::Refuse | OnFailure::Pass) => answer,
            // The host has said so once a fault; whoever waits for its return was told once.
            (Err(_), OnFailure::Pass) => return Step::Done,
            (Err(fault), OnFailure::Refuse) => {
                return Step::Unseen {
                    interceptor: interceptor.name.clone(),
                    fault,
                };
            }
        };
        match answer.decision {
            Decision::Reject(text) => Step::Rejected(text),
            Decision::To(_) | Decision::Hold { .. } | Decision::Delegate => {
                // Of one name, the last one counts.
                self.set_headers.extend(answer.set_headers);
                Step::Done
            }
        }
    }
}
