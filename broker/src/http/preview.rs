//! What a policy would be for, before it is set.

use serde_json::{Value, json};

use super::call::{Call, Handled, shown};
use super::policies::read;
use crate::vhost::Matched;
use crate::vhost::policy::Origin;

/// More names are only counted.
const NAMED: usize = 100;

pub(super) fn show(call: &Call) -> Handled {
    let vhost = call.vhost()?;
    let policy = read("preview", &call.fields()?)?;
    let Matched { queues, exchanges } = vhost.matches(Origin::User, policy)?;
    let in_force = |name: &str, policy: Option<String>| json!({"name": name, "policy": policy});
    let named_queues = queues.iter().take(NAMED);
    let named_queues =
        named_queues.map(|queue| in_force(&queue.name, vhost.policies_of_queue(queue).policy));
    let named_exchanges = exchanges.iter().take(NAMED);
    let named_exchanges = named_exchanges
        .map(|exchange| in_force(&exchange.name, vhost.policies_of_exchange(exchange).policy));
    shown(&json!({
        "queues_count": queues.len(),
        "queues": named_queues.collect::<Vec<Value>>(),
        "exchanges_count": exchanges.len(),
        "exchanges": named_exchanges.collect::<Vec<Value>>(),
    }))
}
