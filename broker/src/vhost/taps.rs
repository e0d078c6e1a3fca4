//! Who watches what: which virtual hosts are traced, the traces that somebody has asked for by name,
//! and the lines of those who watch. While nobody does, no queue and no virtual host has a tap, and
//! nothing is put together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::{Broker, DoorError, Front, Route, Vhost};
use crate::message::MessageView;
use crate::trace::{Happening, Line, Party, Tap};

/// Which messages a watcher wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    /// Of virtual hosts that are traced.
    Traced,
    /// Of all virtual hosts, always.
    Everything,
}

/// What `/api/traces` keeps: what of a virtual host's messages goes into which file. As in RabbitMQ
/// it is there until the broker stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub vhost: String,
    pub name: String,
    pub format: TraceFormat,
    /// Of a topic exchange.
    pub pattern: String,
    /// Longer ones are cut.
    pub max_payload_bytes: Option<u64>,
    /// As whom it was asked for, where that was said.
    pub username: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    Text,
    Json,
}

impl TraceFormat {
    pub fn name(self) -> &'static str {
        match self {
            TraceFormat::Text => "text",
            TraceFormat::Json => "json",
        }
    }
}

#[derive(Default)]
pub(super) struct Taps {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watchers: Vec<Watcher>,
    /// By virtual host and name.
    traces: BTreeMap<(String, String), Trace>,
    changes: u64,
}

struct Watcher {
    line: Arc<Line>,
    wish: Wish,
}

impl State {
    fn lines(&self, traced: bool) -> Vec<Arc<Line>> {
        let wanted = |watcher: &&Watcher| match watcher.wish {
            Wish::Nothing => false,
            Wish::Traced => traced,
            Wish::Everything => true,
        };
        let watchers = self.watchers.iter().filter(wanted);
        watchers.map(|watcher| Arc::clone(&watcher.line)).collect()
    }

    fn are_of(&self, vhost: &str) -> bool {
        self.traces.keys().any(|(of, _)| of == vhost)
    }

    fn traces_changed(&mut self) {
        self.changes += 1;
        self.watchers
            .iter()
            .for_each(|watcher| watcher.line.nudge());
    }
}

impl Broker {
    /// From now on, until `unwatch`.
    pub fn watch(&self, line: &Arc<Line>, wish: Wish, news: bool) {
        let mut state = self.taps.state.lock();
        state.watchers.push(Watcher {
            line: Arc::clone(line),
            wish,
        });
        if news {
            let clock = Arc::clone(&self.shared.clock);
            self.shared.connections.news().watch(line, clock);
        }
        self.tap_all(&state);
    }

    pub fn unwatch(&self, line: &Arc<Line>) {
        let mut state = self.taps.state.lock();
        state
            .watchers
            .retain(|watcher| !Arc::ptr_eq(&watcher.line, line));
        self.shared.connections.news().unwatch(line);
        self.tap_all(&state);
    }

    /// The firehose of a virtual host. It is off again after a start, as in RabbitMQ.
    pub fn set_traced(&self, vhost: &str, on: bool) -> Result<(), DoorError> {
        let state = self.taps.state.lock();
        let vhost = self.vhost_to_change(vhost)?;
        self.trace_vhost(&state, &vhost, on);
        Ok(())
    }

    fn trace_vhost(&self, state: &State, vhost: &Vhost, on: bool) {
        if vhost.traced.swap(on, Ordering::Relaxed) != on {
            let name = &vhost.name;
            tracing::info!(vhost = %name, on, "tracing");
        }
        self.tap(state, vhost);
    }

    /// Starts a trace, and tracing with it. `false`: one of this name is running.
    pub fn add_trace(&self, trace: Trace) -> Result<bool, DoorError> {
        let mut state = self.taps.state.lock();
        let vhost = self.vhost_to_change(&trace.vhost)?;
        let key = (trace.vhost.clone(), trace.name.clone());
        if state.traces.contains_key(&key) {
            return Ok(false);
        }
        state.traces.insert(key, trace);
        state.traces_changed();
        self.trace_vhost(&state, &vhost, true);
        Ok(true)
    }

    /// With the last one of a virtual host its tracing ends, as in RabbitMQ. `false`: there is none.
    pub fn remove_trace(&self, vhost: &str, name: &str) -> bool {
        let mut state = self.taps.state.lock();
        let key = (vhost.to_owned(), name.to_owned());
        if state.traces.remove(&key).is_none() {
            return false;
        }
        state.traces_changed();
        if let Some(vhost) = self.vhost(vhost)
            && !state.are_of(&vhost.name)
        {
            self.trace_vhost(&state, &vhost, false);
        }
        true
    }

    pub fn traces(&self) -> Vec<Trace> {
        self.taps.state.lock().traces.values().cloned().collect()
    }

    /// The traces, if they are others than after so many changes, and after how many they are that.
    pub fn traces_since(&self, changes: Option<u64>) -> Option<(u64, Vec<Trace>)> {
        let state = self.taps.state.lock();
        if changes == Some(state.changes) {
            return None;
        }
        Some((state.changes, state.traces.values().cloned().collect()))
    }

    /// Something is traced: whoever only watches then may be needed.
    pub fn is_tracing(&self) -> bool {
        let vhosts = self.vhosts();
        vhosts.iter().any(|vhost| vhost.is_traced())
    }

    pub(super) fn forget_traces(&self, vhost: &str) {
        let mut state = self.taps.state.lock();
        let before = state.traces.len();
        state.traces.retain(|(of, _), _| of != vhost);
        if state.traces.len() != before {
            state.traces_changed();
        }
    }

    /// A virtual host that is new.
    pub(super) fn tap_new(&self, vhost: &Vhost) {
        self.tap(&self.taps.state.lock(), vhost);
    }

    fn tap_all(&self, state: &State) {
        for vhost in self.vhosts() {
            self.tap(state, &vhost);
        }
    }

    fn tap(&self, state: &State, vhost: &Vhost) {
        let lines = state.lines(vhost.is_traced());
        let clock = Arc::clone(&self.shared.clock);
        let tap = (!lines.is_empty()).then(|| Tap::new(Arc::clone(&vhost.name), clock, lines));
        vhost.set_tap(tap.map(Arc::new));
    }
}

impl Vhost {
    pub fn is_traced(&self) -> bool {
        self.traced.load(Ordering::Relaxed)
    }

    /// What a message meets before the default exchange.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Somebody watches: publishes are to be told.
    #[inline]
    pub fn is_tapped(&self) -> bool {
        self.tapped.load(Ordering::Relaxed)
    }

    fn set_tap(&self, tap: Option<Arc<Tap>>) {
        // Queues come and go under this lock: none is left out.
        let _changing = self.changing.lock();
        self.tapped.store(tap.is_some(), Ordering::Relaxed);
        for queue in self.queues() {
            queue.set_tap(tap.as_ref());
        }
        *self.tap.write() = tap;
    }

    /// A message whose walk is over. `further_keys` are those of CC and BCC.
    #[cold]
    pub fn tell_published(
        &self,
        by: &Party,
        channel: u16,
        message: MessageView<'_>,
        further_keys: &[String],
        route: &Route,
    ) {
        let Some(tap) = self.tap.read().clone() else {
            return;
        };
        let queues = route.queues.iter();
        tap.tell(Happening::Published {
            by: by.clone(),
            channel,
            message: message.to_message(),
            further_keys: further_keys.to_vec(),
            routed: queues.map(|queue| Arc::clone(&queue.name)).collect(),
        });
    }
}
