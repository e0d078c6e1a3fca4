//! What stands in front of an exchange: interceptors, which see a message after it was published and
//! before the exchange is asked. Which stand where (the configuration of their plugins, or a policy).
//! Not the walk past them (see `router.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::exchange_type::{BindingTable, BindingView, ExchangeInstance, Opening};
use super::kept::Kept;
use super::policy::Policy;
use super::{Broker, Exchange, Vhost};

/// One interceptor in front of one exchange.
pub struct Interceptor {
    pub name: String,
    /// Or why it is not there: then nothing passes.
    pub instance: Result<Arc<dyn ExchangeInstance>, String>,
}

/// In the order in which they are asked.
#[derive(Default)]
pub struct Front {
    /// Looked at for every message.
    there: AtomicBool,
    list: RwLock<Vec<Arc<Interceptor>>>,
}

impl Front {
    #[inline]
    pub fn is_there(&self) -> bool {
        self.there.load(Ordering::Relaxed)
    }

    pub fn list(&self) -> Vec<Arc<Interceptor>> {
        self.list.read().clone()
    }

    fn has(&self, names: &[String]) -> bool {
        let list = self.list.read();
        list.iter().map(|one| &one.name).eq(names)
    }

    fn set(&self, list: Vec<Arc<Interceptor>>) {
        self.there.store(!list.is_empty(), Ordering::Relaxed);
        // What goes frees its memory here, without the lock.
        let _gone = std::mem::replace(&mut *self.list.write(), list);
    }
}

/// Nothing is bound to an interceptor.
pub struct NoBindings;

impl BindingTable for NoBindings {
    fn for_each(&self, _visit: &mut dyn FnMut(BindingView<'_>)) {}

    fn len(&self) -> usize {
        0
    }
}

impl Broker {
    /// Interceptors have come, gone or changed.
    pub fn renew_fronts(&self) {
        for vhost in self.vhosts() {
            let _changing = vhost.changing.lock();
            vhost.give_fronts(true);
        }
    }
}

impl Vhost {
    /// Callers hold `changing`. `anew`: also where the same ones stand as before.
    pub(super) fn give_fronts(&self, anew: bool) {
        self.give_front("", &[], &self.front, anew);
        for exchange in self.exchanges() {
            self.give_front_to(&exchange, anew);
        }
    }

    pub(super) fn give_front_to(&self, exchange: &Exchange, anew: bool) {
        let arguments = &exchange.definition.arguments.0;
        self.give_front(&exchange.name, arguments, exchange.front(), anew);
    }

    fn give_front(&self, exchange: &str, arguments: &[u8], front: &Front, anew: bool) {
        let mut names = self.shared.types.interceptors(&self.name, exchange);
        if !exchange.is_empty() {
            names.extend(self.interceptors_by_policy(exchange));
        }
        names.sort();
        names.dedup();
        if front.has(&names) && !(anew && front.is_there()) {
            return;
        }
        let kept = Kept::nowhere();
        let list = names.into_iter().map(|name| {
            let opened = self.shared.types.intercept(&Opening {
                vhost: &self.name,
                exchange,
                type_name: &name,
                arguments,
                kept: &kept,
            });
            let instance = opened.map_err(|refusal| format!("{refusal:?}"));
            if let Err(reason) = &instance {
                let vhost = &self.name;
                tracing::error!(%vhost, exchange, interceptor = name, reason, "nothing passes");
            }
            Arc::new(Interceptor { name, instance })
        });
        front.set(list.collect());
    }
}

/// Names with commas between them, or a list.
pub(super) fn named(policy: &Policy) -> Vec<String> {
    match policy.stated.definition.get("interceptors") {
        Some(serde_json::Value::String(names)) => {
            let names = names.split(',').map(|name| name.trim().to_owned());
            names.filter(|name| !name.is_empty()).collect()
        }
        Some(serde_json::Value::Array(names)) => {
            let names = names.iter().filter_map(serde_json::Value::as_str);
            names.map(str::to_owned).collect()
        }
        Some(_) | None => Vec::new(),
    }
}
