//! Moves messages from one queue to another. Each is taken as basic.get takes it, published to the
//! other queue, and acknowledged here once it is safe there: a crash in between may leave it in
//! both, never in none.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome};
use super::queues::{find, not_locked};
use super::taking::{Hand, parsed};
use crate::auth::Access;
use crate::message::MessageView;
use crate::queue::{Back, Effects, Queue, QueueType, Settle};
use crate::store::ConfirmSink;
use crate::vhost::{ConfirmTo, Route, Vhost};

pub(super) fn run(call: &Call) -> Handled {
    let (vhost, queue) = find(call)?;
    let request = call.fields()?;
    request.require(&["to"])?;
    let to = request.text("to")?.unwrap_or_default();
    let target = vhost.queue(to).ok_or_else(|| {
        let vhost = &vhost.name;
        Failure::bad(format!("no queue '{to}' in vhost '{vhost}'"))
    })?;
    if target.id == queue.id {
        return Err(Failure::bad("these are the same queue"));
    }
    if queue.attributes.queue_type == QueueType::Stream {
        return Err(Failure::bad("a stream's messages stay where they are"));
    }
    call.check_access(&vhost.name, Access::Read, &queue.name)?;
    call.check_access(&vhost.name, Access::Write, "")?;
    not_locked(&vhost, &queue)?;
    not_locked(&vhost, &target)?;
    // What is ready now: what comes meanwhile, perhaps out of the other queue, is not waited for.
    let ready = queue.look().counts.ready;
    let asked = request.integer("count")?;
    let count = asked.map_or(ready, |count| u64::try_from(count).unwrap_or(0).min(ready));
    Ok(Outcome::Later(Box::pin(all(
        vhost,
        Hand::of(queue),
        target,
        count,
    ))))
}

async fn all(
    vhost: Arc<Vhost>,
    hand: Hand,
    target: Arc<Queue>,
    count: u64,
) -> Result<Answer, Failure> {
    let name: Arc<str> = Arc::clone(&target.name);
    let mut route = Route::default();
    route.add_queue(&target);
    let mut moved = 0;
    while moved < count {
        let Some(octets) = hand.take(false).await else {
            break;
        };
        let arrived = match parsed(&octets) {
            Some(taken) => {
                let message = MessageView {
                    exchange: &Arc::from(""),
                    routing_key: &name,
                    properties: taken.properties,
                    body: taken.body,
                    dead_lettered: false,
                };
                put(&vhost, &route, message).await
            }
            None => Err("the message could not be read".to_owned()),
        };
        match arrived {
            Ok(()) => {
                hand.settle(Settle::Acked);
                moved += 1;
            }
            Err(reason) => {
                hand.put_back(Back::Returned);
                let reason = format!("{reason}; {moved} were moved");
                return Err(Failure::bad(reason));
            }
        }
    }
    Ok(Answer::json(&json!({"moved": moved})))
}

/// Waits for one confirm.
struct Confirmed(Mutex<Option<oneshot::Sender<()>>>);

impl ConfirmSink for Confirmed {
    fn confirmed(&self, _: &[u64]) {
        if let Some(done) = self.0.lock().take() {
            // Nobody waits any more when the request is gone.
            let _ = done.send(());
        }
    }
}

async fn put(vhost: &Vhost, route: &Route, message: MessageView<'_>) -> Result<(), String> {
    let (done, confirmed) = oneshot::channel();
    let sink = Arc::new(Confirmed(Mutex::new(Some(done))));
    let handed = {
        let mut effects = Effects::default();
        let confirm = Some(ConfirmTo { sink, publish: 1 });
        let handed = vhost.hand_over(route, &message, confirm, &mut effects);
        effects.apply();
        handed
    };
    if handed.rejected {
        return Err("the other queue is full".to_owned());
    }
    if !handed.routed {
        return Err("the other queue is gone".to_owned());
    }
    if handed.owed {
        let failed = |_| "the broker's disk has failed".to_owned();
        confirmed.await.map_err(failed)?;
    }
    Ok(())
}
