//! One running instance of a component in its own store, and its calls with their limits.
//! Any fault leaves it unusable: the owner drops it (see `instance`).

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use wasmtime::Store;

use super::bindings::exports::warren::exchange::exchange_type as wire;
use super::bindings::keyed::exports::warren::plugin::by_key::{Destinations, Keys};
use super::component::Loaded;
use super::deadline;
use super::engine::Ticker;
use super::fault::CallFault;
use super::guest::Guest;
use super::instance::OwnedOpening;
use super::keeping::Replay;
use super::lent;
use super::limits::DESCRIBE_TIMEOUT;
use super::manifest::wrong_key;
use super::message_access;
use super::reads::Field;
use super::state::{HostState, Surroundings};
use crate::vhost::exchange_type::{Answer, BindingView, Call, Decision, Inputs, Moment};

pub(super) struct Live {
    store: Store<HostState>,
    guest: Guest,
    route_timeout: Duration,
    bind_timeout: Duration,
    ticker: Arc<Ticker>,
}

/// A header name is an AMQP short string.
const MAX_HEADER_NAME: usize = 255;

impl Live {
    /// `bindings` is how many it is going to hold, for the limits that grow with them.
    pub fn instantiate(
        loaded: &Loaded,
        surroundings: Surroundings,
        bindings: usize,
        timeout: Duration,
    ) -> Result<Live, CallFault> {
        let limits = &loaded.limits;
        let mut store = Live::store(loaded, surroundings, bindings, timeout);
        let guest = loaded.pre.instantiate(&mut store);
        Ok(Live {
            guest: guest.map_err(|error| CallFault::of(&error, "its start"))?,
            store,
            route_timeout: limits.route_timeout,
            bind_timeout: limits.bind_timeout,
            ticker: Arc::clone(&loaded.ticker),
        })
    }

    fn store(
        loaded: &Loaded,
        surroundings: Surroundings,
        bindings: usize,
        timeout: Duration,
    ) -> Store<HostState> {
        let limits = &loaded.limits;
        let state = HostState::new(surroundings, limits.memory_for(bindings));
        let mut store = Store::new(&loaded.engine, state);
        store.limiter(|state| &mut state.memory);
        deadline::install(&mut store);
        store.set_hostcall_fuel(limits.result_bytes_for(bindings));
        loaded.ticker.wake();
        deadline::arm(&mut store, timeout);
        store
    }

    fn arm(&mut self, timeout: Duration) {
        self.ticker.wake();
        deadline::arm(&mut self.store, timeout);
    }

    /// Asks an instance that serves nothing. An error is the reason why its configuration is none.
    pub fn check_configuration(loaded: &Loaded, surroundings: Surroundings) -> Result<(), String> {
        let Some(check) = &loaded.check else {
            return Ok(());
        };
        let failed =
            |error: wasmtime::Error| CallFault::of(&error, "configuration.check").to_string();
        let mut store = Live::store(loaded, surroundings, 0, DESCRIBE_TIMEOUT);
        let pre = loaded.pre.instance_pre();
        let instance = pre.instantiate(&mut store).map_err(failed)?;
        let guest = check.load(&mut store, &instance).map_err(failed)?;
        let checked = guest.call_check(&mut store, &loaded.configuration);
        checked
            .map_err(failed)?
            .map_err(|refusal| match refusal.key.as_str() {
                "" => format!("configuration: {}", refusal.reason),
                key => wrong_key(key, &refusal.reason),
            })
    }

    /// Only for an instance that serves nothing.
    pub fn describe(&mut self) -> Result<wire::Description, CallFault> {
        self.arm(DESCRIBE_TIMEOUT);
        self.guest
            .describe(&mut self.store)
            .map_err(|error| CallFault::of(&error, "describe"))
    }

    pub fn open(
        &mut self,
        opening: &OwnedOpening,
        configuration: &str,
    ) -> Result<Result<Option<String>, String>, CallFault> {
        self.arm(self.bind_timeout);
        self.store.data_mut().keeping.start_call();
        let opened = self
            .guest
            .open(&mut self.store, opening, configuration)
            .map_err(|error| CallFault::of(&error, "open"))?;
        if opened.is_ok() {
            self.store.data_mut().keeping.succeed(None);
        }
        Ok(opened)
    }

    /// Room for what it is about to hold.
    pub fn allow_for(&mut self, memory: usize, result_bytes: usize) {
        self.store.data_mut().memory.limit = memory;
        self.store.set_hostcall_fuel(result_bytes);
    }

    pub fn bind(&mut self, binding: BindingView<'_>) -> Result<Result<(), String>, CallFault> {
        self.arm(self.bind_timeout);
        self.store.data_mut().keeping.start_call();
        let bound = self
            .guest
            .bind(&mut self.store, binding)
            .map_err(|error| CallFault::of(&error, "bind"))?;
        if bound.is_ok() {
            self.store.data_mut().keeping.succeed(None);
        }
        Ok(bound)
    }

    /// What the binding that the last call has taken is to be given.
    pub fn replay(&self) -> Replay {
        self.store.data().keeping.replay()
    }

    pub fn unbind(&mut self, slot: u32) -> Result<(), CallFault> {
        self.arm(self.bind_timeout);
        self.store.data_mut().keeping.start_call();
        self.guest
            .unbind(&mut self.store, slot)
            .map_err(|error| CallFault::of(&error, "unbind"))?;
        self.store.data_mut().keeping.succeed(None);
        Ok(())
    }

    pub fn inputs(&mut self) -> Result<Inputs, CallFault> {
        self.arm(self.bind_timeout);
        let inputs = self
            .guest
            .inputs(&mut self.store)
            .map_err(|error| CallFault::of(&error, "inputs"))?;
        Ok(match inputs {
            wire::Dependence::Nothing => Inputs::Nothing,
            wire::Dependence::RoutingKey => Inputs::RoutingKey,
            wire::Dependence::Headers(names) => Inputs::Headers(Arc::from(names)),
            wire::Dependence::Anything => Inputs::Anything,
        })
    }

    /// What the kernel remembers answers by: reads are held against this.
    pub fn declare(&mut self, inputs: Inputs) {
        self.store.data_mut().reads.declare(inputs);
    }

    pub fn allow_results(&mut self, bytes: usize) {
        self.store.set_hostcall_fuel(bytes);
    }

    /// None where it answers one message at a time only.
    pub fn route_keys(&mut self, keys: &[&str]) -> wasmtime::Result<Option<Destinations>> {
        let state = self.store.data_mut();
        state.reads.start_call();
        state.keeping.start_call();
        self.arm(self.route_timeout);
        let mut ends = Vec::with_capacity(keys.len());
        let mut text = String::new();
        for key in keys {
            text.push_str(key);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        let answered = self.guest.route_keys(&mut self.store, &Keys { text, ends });
        answered.transpose()
    }

    /// Whether the last call's answer depends on nothing but what was declared.
    pub fn was_pure(&self) -> bool {
        self.store.data().reads.impure().is_none()
    }

    pub fn decide(&mut self, call: Call<'_>) -> Result<Answer, CallFault> {
        let state = self.store.data_mut();
        state.reads.start_call();
        state.keeping.start_call();
        self.arm(self.route_timeout);
        let answer = lent::call(&mut self.store, &self.guest, call).map_err(|error| {
            let during = match call.moment {
                Moment::Publish => "route",
                Moment::Due => "due",
            };
            CallFault::of(&error, during)
        })?;
        let set_headers = checked_headers(answer.set_headers)?;
        let decision = match answer.decision {
            wire::Decision::To(slots) => Decision::To(SmallVec::from_vec(slots)),
            wire::Decision::Hold(until) => Decision::Hold { until },
            wire::Decision::Delegate => Decision::Delegate,
            wire::Decision::Reject(text) => Decision::Reject(text),
        };
        let state = self.store.data_mut();
        Ok(Answer {
            decision,
            set_headers,
            pure: state.reads.impure().is_none(),
            final_word: state.keeping.succeed(Some(call.message)),
        })
    }

    /// Linear memory in bytes.
    pub fn memory(&self) -> usize {
        self.store.data().memory.used
    }

    /// A field that the last `decide` read though `inputs` did not name it.
    pub fn undeclared(&self) -> Option<Field> {
        self.store.data().reads.undeclared()
    }
}

/// What goes on the wire to every consumer must at least be AMQP.
fn checked_headers(headers: Vec<wire::Header>) -> Result<Vec<(String, Vec<u8>)>, CallFault> {
    if headers.is_empty() {
        return Ok(Vec::new());
    }
    let mut checked = Vec::with_capacity(headers.len());
    for wire::Header { name, value } in headers {
        if name.is_empty() || name.len() > MAX_HEADER_NAME {
            let length = name.len();
            return Err(CallFault::bad_answer(format!(
                "a header name of {length} bytes"
            )));
        }
        if !message_access::is_field_value(&value) {
            return Err(CallFault::bad_answer(format!(
                "the value of header {name:?} is not an AMQP field value"
            )));
        }
        checked.push((name, value));
    }
    Ok(checked)
}
