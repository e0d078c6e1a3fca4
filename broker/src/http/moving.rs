//! Moves messages from one queue to another. Each is taken as basic.get takes it, published to the
//! other queue, and acknowledged here once it is safe there: a crash in between may leave it in
//! both, never in none.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome};
use super::messages::{CHANNEL, parsed};
use super::queues::{find, not_locked};
use crate::auth::Access;
use crate::message::MessageView;
use crate::outbox::Outbox;
use crate::queue::{Back, Effects, Got, Queue, QueueType, Settle};
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
    Ok(Outcome::Later(Box::pin(all(vhost, queue, target, count))))
}

async fn all(
    vhost: Arc<Vhost>,
    queue: Arc<Queue>,
    target: Arc<Queue>,
    count: u64,
) -> Result<Answer, Failure> {
    let name: Arc<str> = Arc::clone(&target.name);
    let mut route = Route::default();
    route.add_queue(&target);
    let mut moved = 0;
    while moved < count {
        let outbox = Outbox::new();
        // One frame holds a whole body.
        outbox.set_frame_max(0);
        outbox.open_channel(CHANNEL, 1);
        let Some(octets) = take(&queue, &outbox).await else {
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
        settle(&queue, &outbox, arrived.is_ok());
        match arrived {
            Ok(()) => moved += 1,
            Err(reason) => {
                let reason = format!("{reason}; {moved} were moved");
                return Err(Failure::bad(reason));
            }
        }
    }
    Ok(Answer::json(&json!({"moved": moved})))
}

/// What basic.get would have sent. None: nothing is ready any more.
async fn take(queue: &Queue, outbox: &Outbox) -> Option<Vec<u8>> {
    loop {
        let (tell, loaded) = oneshot::channel();
        let when_loaded = || {
            // Nobody waits any more when the request is gone.
            Box::new(move || {
                let _ = tell.send(());
            }) as Box<dyn FnOnce() + Send>
        };
        let mut effects = Effects::default();
        let got = queue.get(outbox, CHANNEL, false, when_loaded, &mut effects);
        effects.apply();
        match got {
            Got::Empty | Got::Deleted => return None,
            Got::Loading => drop(loaded.await),
            Got::Sent => {
                let mut octets = Vec::new();
                drop(outbox.take(&mut octets));
                return Some(octets);
            }
        }
    }
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
        let handed = vhost.hand_over(route, message, confirm, &mut effects);
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

fn settle(queue: &Queue, outbox: &Outbox, arrived: bool) {
    let unacked: Vec<_> = outbox.close_channel(CHANNEL).into();
    let mut effects = Effects::default();
    match arrived {
        true => queue.settle(&unacked, Settle::Acked, &mut effects),
        false => {
            let returned = unacked.into_iter().map(Into::into).collect();
            queue.requeue(returned, Back::Returned, &mut effects);
        }
    }
    effects.apply();
}
