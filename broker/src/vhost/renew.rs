//! A plugin comes, goes or changes while the broker runs: all exchanges that it concerns get new
//! instances, filled from the kernel's bindings, and then change over at once or not at all. Calls
//! that are under way end on the old instances. Which plugin has which types is not decided here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::exchange_type::{BindRefusal, ExchangeTypes, OpenRefusal};
use super::live::Live;
use super::{Broker, Exchange, Vhost};

/// What a renewal has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// They have new instances.
    pub exchanges: usize,
    /// Of these, the ones that no plugin decides for now.
    pub unavailable: usize,
}

/// An exchange that works now and would not with the new types. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRenewed {
    pub vhost: String,
    pub exchange: String,
    pub reason: String,
}

impl fmt::Display for NotRenewed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotRenewed {
            vhost,
            exchange,
            reason,
        } = self;
        write!(out, "exchange '{exchange}' in vhost '{vhost}': {reason}")
    }
}

/// Whether an exchange may lose its type by the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Then nothing is changed.
    Refused,
    /// It becomes unavailable.
    Accepted,
}

struct Prepared {
    /// The bindings that `live` was filled from.
    generation: u64,
    live: Live,
}

impl Broker {
    /// `types` are the exchange types as they are going to be, `changed` those whose plugin comes,
    /// goes or changes. `install` is called once it is certain that they come into force, while no
    /// virtual host can change.
    pub fn renew(
        &self,
        types: &dyn ExchangeTypes,
        changed: &HashSet<String>,
        loss: Loss,
        install: impl FnOnce(),
    ) -> Result<Renewed, NotRenewed> {
        // Most of the work without a lock: what changes meanwhile is done again.
        let mut prepared = HashMap::new();
        for vhost in self.vhosts() {
            for exchange in vhost.exchanges_on(changed) {
                prepared.insert(exchange.id, prepare(&vhost, &exchange, types, loss)?);
            }
        }
        let _changing_vhosts = self.changing_vhosts.lock();
        let vhosts = self.vhosts();
        let changing: Vec<_> = vhosts.iter().map(|vhost| vhost.changing.lock()).collect();
        let mut renewed = Renewed::default();
        let mut swaps = Vec::new();
        for vhost in &vhosts {
            for exchange in vhost.exchanges_on(changed) {
                let ready = prepared.remove(&exchange.id);
                let Prepared { live, .. } = match ready {
                    Some(ready) if ready.generation == exchange.generation() => ready,
                    Some(_) | None => prepare(vhost, &exchange, types, loss)?,
                };
                renewed.exchanges += 1;
                renewed.unavailable += usize::from(!live.is_available());
                swaps.push((exchange, live));
            }
        }
        install();
        let old: Vec<Arc<Live>> = swaps
            .into_iter()
            .map(|(exchange, live)| exchange.change_over(live))
            .collect();
        // Only now: their last owner frees the memory of all those instances.
        drop(changing);
        drop(old);
        Ok(renewed)
    }
}

impl Vhost {
    fn exchanges_on(&self, changed: &HashSet<String>) -> Vec<Arc<Exchange>> {
        let exchanges = self.exchanges.read();
        let concerned = exchanges
            .values()
            .filter(|exchange| exchange.depends_on(changed));
        concerned.cloned().collect()
    }
}

fn prepare(
    vhost: &Vhost,
    exchange: &Exchange,
    types: &dyn ExchangeTypes,
    loss: Loss,
) -> Result<Prepared, NotRenewed> {
    let generation = exchange.generation();
    let definition = &exchange.definition;
    let opened = Live::open(&vhost.name, definition, types, exchange.kept());
    let opened = opened.map_err(|refusal| match refusal {
        OpenRefusal::UnknownType => format!("no plugin offers '{}'", definition.type_name),
        OpenRefusal::Refused(text) => format!("it is refused: {text}"),
        OpenRefusal::Failed(text) => text,
    });
    let filled = opened.and_then(|live| match live.bind_all(exchange) {
        Ok(()) => Ok(live),
        Err(BindRefusal::Refused(text)) => Err(format!("a binding is refused: {text}")),
        Err(BindRefusal::Failed(text)) => Err(text),
    });
    let away = || {
        let kept = exchange.kept();
        Live::away(&vhost.name, definition, types, kept, Some(exchange))
    };
    let live = match filled {
        Ok(live) => live,
        Err(reason) if exchange.is_available() => {
            if loss == Loss::Refused {
                return Err(NotRenewed {
                    vhost: vhost.name.to_string(),
                    exchange: exchange.name.to_string(),
                    reason,
                });
            }
            let (name, of) = (&exchange.name, &vhost.name);
            tracing::warn!(vhost = %of, exchange = %name, reason, "exchange is unavailable");
            away()
        }
        Err(_) => away(),
    };
    Ok(Prepared { generation, live })
}
