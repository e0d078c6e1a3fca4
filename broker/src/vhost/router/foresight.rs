//! Answers for messages that have come in the same read as one whose answer was not remembered: one
//! call of the component for all of them. Only fills the memo; each message's own walk comes later.

use std::sync::Arc;

use smallvec::SmallVec;

use super::still_depends_on;
use crate::message::MessageView;
use crate::vhost::Exchange;
use crate::vhost::exchange_type::Inputs;
use crate::vhost::live::Stage;
use crate::vhost::memo::{Memo, Question, Remembered};

/// One call is about no more keys than this.
const MOST: usize = 64;

/// Asks about those of the keys that are not remembered yet.
pub fn foresee<'a>(exchange: &Arc<Exchange>, keys: impl Iterator<Item = &'a str>, memo: &mut Memo) {
    // In this order for the reason that the walk has (see `Route::ask`).
    let generation = exchange.generation();
    let live = exchange.live();
    let instance = live.instance(Stage::Outer);
    let instance = instance.filter(|instance| instance.may_be_asked_by_key());
    let Some(instance) = instance else {
        return memo.foresaw(0, 0, 0);
    };
    let mut seen = 0;
    let mut unknown: SmallVec<[&str; MOST]> = SmallVec::new();
    for key in keys.take(MOST) {
        seen += 1;
        let question = question(exchange, generation, key, memo);
        if *memo.inputs() != Inputs::RoutingKey {
            return memo.foresaw(0, 0, 0);
        }
        if question.is_some_and(|question| memo.recall(question, generation).is_none()) {
            unknown.push(key);
        }
    }
    if unknown.is_empty() {
        return memo.foresaw(seen, 0, 0);
    }
    let Some(answers) = instance.route_keys(&unknown, exchange.as_ref()) else {
        return memo.foresaw(seen, 0, 0);
    };
    if !still_depends_on(instance, memo.inputs()) {
        return;
    }
    let (mut asked, mut foreseen) = (0, 0);
    for (key, slots) in unknown.iter().zip(answers.iter()) {
        asked += 1;
        let Some(slots) = slots else { continue };
        let Some(targets) = exchange.targets(slots, generation) else {
            break;
        };
        if let Some(question) = question(exchange, generation, key, memo) {
            memo.remember(question, generation, Remembered::To(targets));
            foreseen += 1;
        }
    }
    memo.foresaw(seen, asked, foreseen);
}

/// Its key stays in the memo until the next one.
fn question(exchange: &Exchange, generation: u64, key: &str, memo: &mut Memo) -> Option<Question> {
    let message = MessageView {
        exchange: &exchange.name,
        routing_key: key,
        properties: &[],
        body: &[],
        dead_lettered: false,
    };
    memo.question(exchange, Stage::Outer, generation, &message)
}
