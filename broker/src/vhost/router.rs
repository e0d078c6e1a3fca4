//! The walk of one message from its exchange to its queues: bindings between exchanges, alternate
//! exchanges, inner types. Asks the memo first and an exchange's instance otherwise. Decides
//! nothing itself and delivers nothing (see `publish.rs`).

mod foresight;
mod late;
mod passing;
mod reached;

use std::sync::Arc;

use smallvec::SmallVec;

use super::Vhost;
use super::exchange::{Exchange, Target, Targets};
use super::exchange_type::{
    Answer, Call, Decision, ExchangeInstance, Fault, Inputs, Moment, Routing,
};
use super::live::{Away, Live, Stage};
use super::memo::{Memo, Question, Remembered};
use crate::amqp::properties::{Properties, with_headers};
use crate::amqp::table::{Value, elements};
use crate::clock::Millis;
use crate::message::{Message, MessageView};
use crate::queue::Queue;
pub use foresight::foresee;
use late::Place;
pub use late::Waiting;
use passing::Ahead;
pub use reached::Reached;

/// Bindings can change while an exchange is asked; after this many tries the answer stands as it is,
/// and that of a call which must not be made twice stands at once.
const TRIES: usize = 4;

/// A message that waits for its exchange's type is looked at again after this long.
pub(super) const AWAY_RETRY_MS: Millis = 2_000;

/// One message's walk. It can stop at an exchange whose plugin is slow and go on later.
#[derive(Default)]
pub struct Route {
    pub queues: Reached,
    /// Exchanges that keep the message, and until when.
    pub holds: SmallVec<[Holding; 1]>,
    /// Headers that exchanges have set on the way.
    pub set_headers: Vec<(String, Vec<u8>)>,
    /// Keys besides the message's own (CC, BCC).
    further_keys: Vec<String>,
    /// What stands between the message and its exchange. Nothing, once a walk has ended.
    ahead: Ahead,
    work: SmallVec<[Work; 2]>,
    /// Exchanges that have found something for one of several keys.
    fruitful: SmallVec<[u64; 1]>,
    visited: SmallVec<[u64; 4]>,
}

/// A message that an exchange keeps.
#[derive(Clone)]
pub struct Holding {
    pub exchange: Arc<Exchange>,
    pub until: Millis,
    pub reason: HeldFor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldFor {
    /// Its instance said so.
    Decision,
    /// Nobody was there to ask.
    Type,
}

/// A question that is still to be asked.
struct Work {
    exchange: Arc<Exchange>,
    stage: Stage,
    moment: Moment,
    /// 0 is the message's own key.
    key: usize,
    /// For the inner instance: the generation under which the outer one delegated to it.
    delegated: Option<u64>,
}

/// Where a walk has got to.
pub enum Step {
    Done,
    /// Ask this instance in its own time (`route_later`), then `resume`.
    Later(Waiting),
    Rejected(String),
    Fault(Fault),
    /// An interceptor could not look at the message, which must not go on without.
    Unseen {
        interceptor: String,
        fault: Fault,
    },
}

impl Route {
    pub fn start(&mut self, exchange: &Arc<Exchange>, moment: Moment, further_keys: Vec<String>) {
        self.clear();
        self.further_keys = further_keys;
        self.visit(exchange, moment);
    }

    pub fn clear(&mut self) {
        self.queues.clear();
        self.holds.clear();
        self.set_headers.clear();
        self.further_keys.clear();
        self.work.clear();
        self.fruitful.clear();
        self.visited.clear();
    }

    /// What a finished walk has found, to be kept.
    pub fn found(&self) -> Route {
        Route {
            queues: self.queues.clone(),
            holds: self.holds.clone(),
            set_headers: self.set_headers.clone(),
            further_keys: self.further_keys.clone(),
            ..Route::default()
        }
    }

    /// Keys on the default exchange are names of queues.
    pub fn add_by_name(&mut self, vhost: &Vhost, further_keys: Vec<String>) {
        for key in &further_keys {
            if let Some(queue) = vhost.queue(key) {
                self.add_queue(&queue);
            }
        }
        self.further_keys = further_keys;
    }

    /// The same route on the default exchange, when queues may have come and gone since.
    pub fn renewed(&self, vhost: &Vhost, routing_key: &str) -> Route {
        let mut route = Route {
            set_headers: self.set_headers.clone(),
            ..Route::default()
        };
        let keys = std::iter::once(routing_key.to_owned()).chain(self.further_keys.iter().cloned());
        route.add_by_name(vhost, keys.collect());
        route
    }

    /// The message counts as routed: it is in a queue or will be asked about again.
    pub fn is_routed(&self) -> bool {
        !self.queues.is_empty() || !self.holds.is_empty()
    }

    fn visit(&mut self, exchange: &Arc<Exchange>, moment: Moment) {
        if !self.visited.contains(&exchange.id) {
            self.visited.push(exchange.id);
            // The last is asked first.
            let keys = match self.further_keys.len() {
                0 => 0,
                _ if exchange.wants_whole_message() => 0,
                further => further,
            };
            for key in (0..=keys).rev() {
                self.work.push(Work {
                    exchange: Arc::clone(exchange),
                    stage: Stage::Outer,
                    moment,
                    key,
                    delegated: None,
                });
            }
        }
    }

    /// All of it is asked again, by the thread that may wait.
    pub(super) fn hold_all(&mut self, exchange: &Arc<Exchange>, until: Millis) {
        self.clear();
        self.holds.push(Holding {
            exchange: Arc::clone(exchange),
            until,
            reason: HeldFor::Type,
        });
    }

    pub fn add_queue(&mut self, queue: &Arc<Queue>) {
        self.queues.add(queue);
    }

    /// Walks until the end, or until a plugin needs its own time.
    pub fn walk(&mut self, vhost: &Vhost, message: &MessageView<'_>, memo: &mut Memo) -> Step {
        match self.pass(*message) {
            Step::Done => self.follow(vhost, message, memo),
            step @ (Step::Later(_) | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. }) => {
                step
            }
        }
    }

    /// From exchange to exchange, with nothing ahead.
    fn follow(&mut self, vhost: &Vhost, message: &MessageView<'_>, memo: &mut Memo) -> Step {
        while let Some(work) = self.work.pop() {
            let step = match work.key == 0 && self.set_headers.is_empty() {
                true => self.ask(vhost, &work, message, memo),
                false => self.ask_of_changed(vhost, &work, message, memo),
            };
            match step {
                Step::Done => {}
                Step::Later(_) | Step::Rejected(_) | Step::Fault(_) | Step::Unseen { .. } => {
                    return step;
                }
            }
        }
        Step::Done
    }

    /// About another key than the message's own, or with headers that were set on the way.
    fn ask_of_changed(
        &mut self,
        vhost: &Vhost,
        work: &Work,
        message: &MessageView<'_>,
        memo: &mut Memo,
    ) -> Step {
        let key = self.further_key(work.key).map(str::to_owned);
        let properties = match self.set_headers.is_empty() {
            true => None,
            false => Some(with_headers(message.properties, &self.set_headers)),
        };
        let message = MessageView {
            routing_key: key.as_deref().unwrap_or(message.routing_key),
            properties: properties.as_deref().unwrap_or(message.properties),
            ..*message
        };
        self.ask(vhost, work, &message, memo)
    }

    /// Of CC and BCC.
    pub fn further_keys(&self) -> &[String] {
        &self.further_keys
    }

    fn further_key(&self, key: usize) -> Option<&str> {
        let index = key.checked_sub(1)?;
        self.further_keys.get(index).map(String::as_str)
    }

    fn ask(
        &mut self,
        vhost: &Vhost,
        work: &Work,
        message: &MessageView<'_>,
        memo: &mut Memo,
    ) -> Step {
        let Work {
            exchange,
            stage,
            moment,
            key,
            ..
        } = work;
        let (stage, moment, key) = (*stage, *moment, *key);
        for attempt in 1..=TRIES {
            // Before inputs and instance too: an answer must not be remembered by fewer inputs than
            // it depends on, nor that of an old instance, under a generation that is newer.
            let generation = exchange.generation();
            let question = match moment {
                Moment::Publish => memo.question(exchange, stage, generation, message),
                // What is asked at its due time is asked once.
                Moment::Due => None,
            };
            if let Some(remembered) =
                question.and_then(|question| memo.recall(question, generation))
            {
                let step = self.take_remembered(vhost, (exchange, generation, key), remembered);
                memo.hit(exchange, stage);
                return step;
            }
            let live = exchange.live();
            let Some(instance) = live.instance(stage) else {
                return self.unanswered(vhost, work, &live);
            };
            let call = Call {
                moment,
                message: *message,
            };
            let answer = match instance.route(call, exchange.as_ref()) {
                Routing::Now(answer) => answer,
                Routing::Later => return slow(work, instance, generation),
                Routing::Fault(fault) => return Step::Fault(fault),
            };
            let Some(targets) = exchange.targets(slots(&answer.decision), generation) else {
                if attempt < TRIES && !answer.final_word {
                    continue;
                }
                let now = exchange.generation();
                let targets = exchange
                    .targets(slots(&answer.decision), now)
                    .unwrap_or_default();
                return self.take(vhost, (exchange, stage, now, key), answer, targets);
            };
            if let Some(question) = question
                && still_depends_on(instance, memo.inputs())
                && remember(memo, question, generation, &answer, &targets)
            {
                memo.missed();
            }
            return self.take(vhost, (exchange, stage, generation, key), answer, targets);
        }
        Step::Done
    }

    /// There is no instance to ask.
    fn unanswered(&mut self, vhost: &Vhost, work: &Work, live: &Live) -> Step {
        let Work {
            exchange,
            key,
            delegated,
            ..
        } = work;
        if delegated.is_some_and(|generation| generation != exchange.generation()) {
            // A new version of the outer type has come between the two questions.
            self.work.push(Work {
                exchange: Arc::clone(exchange),
                stage: Stage::Outer,
                moment: Moment::Publish,
                key: *key,
                delegated: None,
            });
            return Step::Done;
        }
        if let Live::Away(Away::Holding { limit }) = live {
            if self.is_held(exchange) {
                return Step::Done;
            }
            if exchange.wait(*limit) {
                self.holds.push(Holding {
                    exchange: Arc::clone(exchange),
                    until: vhost.now().saturating_add(AWAY_RETRY_MS),
                    reason: HeldFor::Type,
                });
                return Step::Done;
            }
        }
        let text = format!("exchange '{}' has no enabled type", exchange.name);
        Step::Fault(Fault(text))
    }

    fn is_held(&self, exchange: &Exchange) -> bool {
        let mut holds = self.holds.iter();
        holds.any(|held| held.exchange.id == exchange.id)
    }

    fn take_remembered(
        &mut self,
        vhost: &Vhost,
        (exchange, generation, key): (&Arc<Exchange>, u64, usize),
        remembered: &Remembered,
    ) -> Step {
        match remembered {
            Remembered::To(targets) => self.go_to(vhost, exchange, key, targets),
            Remembered::Delegate => self.ask_inner(exchange, generation, key),
            Remembered::Reject(text) => return Step::Rejected(text.clone()),
        }
        Step::Done
    }

    fn take(
        &mut self,
        vhost: &Vhost,
        (exchange, stage, generation, key): (&Arc<Exchange>, Stage, u64, usize),
        answer: Answer,
        targets: Targets,
    ) -> Step {
        match answer.decision {
            Decision::Hold { until } => {
                // Reckoned from a clock that rounds down to the millisecond: without one more, what
                // was published late in its millisecond would leave before its delay is over.
                let due = until.saturating_add(1);
                // Once, however many keys the message has.
                if !self.is_held(exchange) {
                    self.holds.push(Holding {
                        exchange: Arc::clone(exchange),
                        until: due,
                        reason: HeldFor::Decision,
                    });
                }
                return Step::Done;
            }
            Decision::Reject(text) => return Step::Rejected(text),
            Decision::Delegate => match stage {
                // The inner instance is asked anew even when the outer one was asked because the
                // time had come.
                Stage::Outer => self.ask_inner(exchange, generation, key),
                Stage::Inner => {
                    let text = format!("inner type of exchange '{}' delegates", exchange.name);
                    return Step::Fault(Fault(text));
                }
            },
            Decision::To(_) => self.go_to(vhost, exchange, key, &targets),
        }
        self.set_headers.extend(answer.set_headers);
        Step::Done
    }

    fn ask_inner(&mut self, exchange: &Arc<Exchange>, generation: u64, key: usize) {
        self.work.push(Work {
            exchange: Arc::clone(exchange),
            stage: Stage::Inner,
            moment: Moment::Publish,
            key,
            delegated: Some(generation),
        });
    }

    /// RabbitMQ follows the alternate exchange when this exchange's own bindings give nothing at
    /// all; an exchange that leads nowhere is something.
    fn go_to(&mut self, vhost: &Vhost, exchange: &Arc<Exchange>, key: usize, targets: &Targets) {
        for target in targets {
            match target {
                Target::Queue(queue) => self.add_queue(queue),
                Target::Exchange(next) => self.visit(next, Moment::Publish),
            }
        }
        if !self.is_fruitless(exchange, key, targets) {
            return;
        }
        let Some(name) = exchange.alternate() else {
            return;
        };
        match vhost.exchange(&name) {
            Some(alternate) => self.visit(&alternate, Moment::Publish),
            None => tracing::warn!(
                exchange = %exchange.name, alternate = %name, "alternate exchange does not exist"
            ),
        }
    }

    /// None of the keys has led anywhere, and this was the last.
    fn is_fruitless(&mut self, exchange: &Exchange, key: usize, targets: &Targets) -> bool {
        if self.further_keys.is_empty() || exchange.wants_whole_message() {
            return targets.is_empty();
        }
        if !targets.is_empty() {
            self.fruitful.push(exchange.id);
        }
        key == self.further_keys.len() && !self.fruitful.contains(&exchange.id)
    }

    /// The message as it goes on, with the headers that were set on the way.
    pub fn rewritten(&self, message: &MessageView<'_>) -> Option<Message> {
        if self.set_headers.is_empty() {
            return None;
        }
        let properties = with_headers(message.properties, &self.set_headers);
        Some(
            MessageView {
                properties: &properties,
                ..*message
            }
            .to_message(),
        )
    }
}

#[cold]
fn slow(work: &Work, instance: &Arc<dyn ExchangeInstance>, generation: u64) -> Step {
    let place = Place::Exchange {
        exchange: Arc::clone(&work.exchange),
        stage: work.stage,
        key: work.key,
        generation,
    };
    Step::Later(Waiting::new(Arc::clone(instance), work.moment, place))
}

/// The keys in a message's CC header.
pub fn carbon_copies(properties: &[u8]) -> Vec<String> {
    let headers = Properties::new(properties).headers();
    match headers.and_then(|headers| headers.get("CC")) {
        Some(Value::Array(keys)) => elements(keys)
            .filter_map(|key| key.as_str().map(str::to_owned))
            .collect(),
        Some(_) | None => Vec::new(),
    }
}

fn slots(decision: &Decision) -> &[crate::names::Slot] {
    match decision {
        Decision::To(slots) => slots,
        Decision::Hold { .. } | Decision::Delegate | Decision::Reject(_) => &[],
    }
}

/// A bind that came between question and answer may have made it depend on more.
fn still_depends_on(instance: &Arc<dyn ExchangeInstance>, inputs: &Inputs) -> bool {
    instance.inputs() == *inputs
}

fn remember(
    memo: &mut Memo,
    question: Question,
    generation: u64,
    answer: &Answer,
    targets: &Targets,
) -> bool {
    if !answer.pure || !answer.set_headers.is_empty() {
        return false;
    }
    let remembered = match &answer.decision {
        Decision::To(_) => Remembered::To(targets.clone()),
        Decision::Delegate => Remembered::Delegate,
        Decision::Reject(text) => Remembered::Reject(text.clone()),
        Decision::Hold { .. } => return false,
    };
    memo.remember(question, generation, remembered);
    true
}
