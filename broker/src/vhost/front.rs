//! What stands in front of an exchange: interceptors, which see a message after it was published and
//! before the exchange is asked. Which stand where (the configuration of their plugins, or a policy).
//! Not the walk past them (see `router/passing.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::exchange_type::{
    BindingTable, BindingView, ExchangeInstance, Interception, OnFailure, Opening,
};
use super::kept::Kept;
use super::policy::Policy;
use super::{Broker, Exchange, Vhost};

/// One interceptor in front of one exchange.
pub struct Interceptor {
    pub name: String,
    /// Or why it is not there.
    pub instance: Result<Arc<dyn ExchangeInstance>, String>,
    pub on_failure: OnFailure,
}

/// In the order in which they are asked.
pub type Interceptors = Arc<[Arc<Interceptor>]>;

#[derive(Default)]
pub struct Front {
    /// Looked at for every message.
    there: AtomicBool,
    interceptors: RwLock<Interceptors>,
}

impl Front {
    #[inline]
    pub fn is_there(&self) -> bool {
        self.there.load(Ordering::Relaxed)
    }

    pub fn interceptors(&self) -> Interceptors {
        Arc::clone(&self.interceptors.read())
    }

    fn set(&self, interceptors: Interceptors) {
        self.there
            .store(!interceptors.is_empty(), Ordering::Relaxed);
        // What goes frees its memory here, without the lock.
        let _gone = std::mem::replace(&mut *self.interceptors.write(), interceptors);
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
    /// This interceptor has come, gone or changed, or stands elsewhere. Others stay as they are.
    pub fn renew_fronts(&self, changed: &str) {
        for vhost in self.vhosts() {
            let _changing = vhost.changing.lock();
            vhost.give_fronts(Some(changed));
        }
    }
}

impl Vhost {
    /// Callers hold `changing`. `changed` is opened anew where it stands.
    pub(super) fn give_fronts(&self, changed: Option<&str>) {
        self.give_front("", &[], (&self.front, &self.kept_in_front), changed);
        for exchange in self.exchanges() {
            self.give_front_to(&exchange, changed);
        }
    }

    pub(super) fn give_front_to(&self, exchange: &Exchange, changed: Option<&str>) {
        let arguments = &exchange.definition.arguments.0;
        let place = (exchange.front(), exchange.kept());
        self.give_front(&exchange.name, arguments, place, changed);
    }

    fn give_front(
        &self,
        exchange: &str,
        arguments: &[u8],
        (front, kept): (&Front, &Kept),
        changed: Option<&str>,
    ) {
        let mut names = self.shared.types.interceptors(&self.name, exchange);
        if !exchange.is_empty() {
            names.extend(self.interceptors_by_policy(exchange));
        }
        names.sort();
        names.dedup();
        let there = front.interceptors();
        let same = there.iter().map(|one| &one.name).eq(&names);
        let anew = changed.is_some_and(|changed| names.iter().any(|name| name == changed));
        if same && !anew {
            return;
        }
        let interceptors = names.into_iter().map(|name| {
            let mut known = there.iter();
            let stays = known.find(|one| one.name == name && changed != Some(name.as_str()));
            stays.map_or_else(
                || self.interceptor(name, exchange, arguments, kept),
                Arc::clone,
            )
        });
        front.set(interceptors.collect());
    }

    fn interceptor(
        &self,
        name: String,
        exchange: &str,
        arguments: &[u8],
        kept: &Kept,
    ) -> Arc<Interceptor> {
        let Interception {
            instance,
            on_failure,
        } = self.shared.types.intercept(
            &name,
            &Opening {
                vhost: &self.name,
                exchange,
                type_name: &kept_as(&name),
                arguments,
                kept,
            },
        );
        if let Err(reason) = &instance {
            let vhost = &self.name;
            match on_failure {
                OnFailure::Refuse => tracing::error!(
                    %vhost, exchange, interceptor = name, reason, "nothing passes"
                ),
                OnFailure::Pass => tracing::warn!(
                    %vhost, exchange, interceptor = name, reason, "messages pass unseen"
                ),
            }
        }
        Arc::new(Interceptor {
            name,
            instance,
            on_failure,
        })
    }
}

/// Under which name the exchange keeps what the interceptor wants to find again: not that of an exchange
/// type which happens to be called like the plugin.
fn kept_as(name: &str) -> String {
    format!("interceptor {name}")
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
