//! Live events as server-sent events: what comes and goes as it happens, rates and totals by the
//! second. Nothing is counted or put together while nobody listens, and nobody waits for a listener:
//! one that is slow is told how many it has missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};

use super::Management;
use super::answer::{Answer, Body, Failure};
use super::call::{Call, Handled, Outcome};
use super::login::User;
use super::stats::{MESSAGE_FIELDS, Sums, numbers};
use crate::clock::Millis;
use crate::tally::Messages;
use crate::vhost::{Concerns, Event, Facts, Kind, Listening};

/// Each holds one of the port's connections.
const MAX_LISTENERS: usize = 64;

const SECOND: Duration = Duration::from_secs(1);

/// One second of everything.
pub(super) struct Pulse {
    at: Millis,
    vhosts: Vec<OfVhost>,
}

struct OfVhost {
    name: Arc<str>,
    sums: Sums,
    rates: [f64; MESSAGE_FIELDS.len()],
}

/// What beats while somebody listens.
pub(super) struct Heart {
    listeners: AtomicUsize,
    wanted: Notify,
    pulse: watch::Sender<Option<Arc<Pulse>>>,
}

impl Default for Heart {
    fn default() -> Heart {
        Heart {
            listeners: AtomicUsize::new(0),
            wanted: Notify::new(),
            pulse: watch::Sender::new(None),
        }
    }
}

/// Somebody's stream.
pub(super) struct Listener {
    house: Arc<Management>,
    user: User,
    news: Listening,
    pulses: watch::Receiver<Option<Arc<Pulse>>>,
    missed: u64,
    greeted: bool,
}

pub(super) fn listen(call: &Call) -> Handled {
    let heart = &call.house.heart;
    if heart.listeners.fetch_add(1, Ordering::Relaxed) >= MAX_LISTENERS {
        heart.listeners.fetch_sub(1, Ordering::Relaxed);
        let reason = format!("{MAX_LISTENERS} others listen already");
        return Err(Failure::Other(
            503,
            json!({"error": "unavailable", "reason": reason}),
        ));
    }
    let listener = Listener {
        house: Arc::clone(&call.house),
        user: call.user.clone(),
        news: call.house.broker.connections().news().listen(),
        pulses: heart.pulse.subscribe(),
        missed: 0,
        greeted: false,
    };
    heart.wanted.notify_one();
    Ok(Outcome::Now(Answer {
        status: 200,
        headers: vec![("cache-control", "no-store".to_owned())],
        body: Body::Events(Box::new(listener)),
    }))
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.house.heart.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// The next piece of the stream; None ends it. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<String> {
        if !self.greeted {
            self.greeted = true;
            return Some("retry: 3000\n\n".to_owned());
        }
        loop {
            tokio::select! {
                event = self.news.events.recv() => match event {
                    Ok(event) if self.may_hear(&event) => return Some(told(&event)),
                    Ok(_) => {}
                    Err(RecvError::Lagged(count)) => {
                        self.missed += count;
                        let data = json!({"count": count, "total": self.missed});
                        return Some(framed("missed", &data));
                    }
                    Err(RecvError::Closed) => return None,
                },
                changed = self.pulses.changed() => {
                    changed.ok()?;
                    if !self.is_still_welcome() {
                        return None;
                    }
                    let pulse = self.pulses.borrow_and_update().clone();
                    if let Some(pulse) = pulse {
                        return Some(framed("tick", &self.tick(&pulse)));
                    }
                }
            }
        }
    }

    /// Rights are those of now: a stream lives long.
    fn is_still_welcome(&mut self) -> bool {
        let users = &self.house.users;
        self.user.tags = users.tags(&self.user.name);
        self.user.is_management()
    }

    fn may_hear(&self, event: &Event) -> bool {
        let enters = |vhost: &str| self.house.users.may_enter(&self.user.name, vhost);
        self.user.is_monitoring()
            || match &event.concerns {
                Concerns::Everybody => true,
                Concerns::Vhost(vhost) => enters(vhost),
                Concerns::User { user, .. } => **user == *self.user.name,
                Concerns::Operators => false,
            }
    }

    /// What this user may see, added up.
    fn tick(&self, pulse: &Pulse) -> Value {
        let all = self.user.is_monitoring();
        let users = &self.house.users;
        let seen = pulse
            .vhosts
            .iter()
            .filter(|vhost| all || users.may_enter(&self.user.name, &vhost.name));
        let mut sums = Sums::default();
        let mut rates = [0.0; MESSAGE_FIELDS.len()];
        for vhost in seen {
            sums.messages += vhost.sums.messages;
            sums.depth.add(vhost.sums.depth);
            sums.consumers += vhost.sums.consumers;
            sums.queues += vhost.sums.queues;
            sums.exchanges += vhost.sums.exchanges;
            for (sum, rate) in rates.iter_mut().zip(vhost.rates) {
                *sum += rate;
            }
        }
        let by_name = |values: Vec<Value>| {
            let names = MESSAGE_FIELDS.iter().map(|name| (*name).to_owned());
            Value::Object(names.zip(values).collect::<Map<String, Value>>())
        };
        let connections = self.house.broker.connections().list();
        let own = connections
            .iter()
            .filter(|one| all || *one.user == *self.user.name);
        let (connections, channels) = own.fold((0, 0), |(connections, channels), one| {
            (connections + 1, channels + one.channels().len())
        });
        let [ready, unacked, messages] = sums.depth.numbers();
        json!({
            "at": pulse.at,
            "messages": messages,
            "messages_ready": ready,
            "messages_unacknowledged": unacked,
            "connections": connections,
            "channels": channels,
            "consumers": sums.consumers,
            "queues": sums.queues,
            "exchanges": sums.exchanges,
            "rates": by_name(rates.iter().map(|rate| json!(rate)).collect()),
            "totals": by_name(numbers(&sums.messages).into_iter().map(Value::from).collect()),
        })
    }
}

/// serde_json writes no line breaks, so a datum is one line.
fn framed(event: &str, data: &Value) -> String {
    format!("event: {event}\ndata: {data}\n\n")
}

fn told(event: &Event) -> String {
    let mut data = Map::new();
    data.insert("name".to_owned(), json!(event.name));
    match &event.concerns {
        Concerns::Everybody | Concerns::Operators => {}
        Concerns::Vhost(vhost) => drop(data.insert("vhost".to_owned(), json!(**vhost))),
        Concerns::User { user, vhost } => {
            data.insert("vhost".to_owned(), json!(**vhost));
            data.insert("user".to_owned(), json!(**user));
        }
    }
    let details = event.details.iter();
    data.extend(details.map(|(name, value)| ((*name).to_owned(), json!(value))));
    framed(event.kind.name(), &Value::Object(data))
}

/// What the last beat has seen.
#[derive(Default)]
struct Seen {
    at: Millis,
    counted: Vec<(Arc<str>, Messages)>,
    plugins: Vec<(String, &'static str)>,
}

impl Management {
    /// Beats by the second while somebody listens, and sleeps otherwise.
    pub(super) async fn beat(self: Arc<Self>) {
        loop {
            self.heart.wanted.notified().await;
            let mut seen = Seen {
                plugins: self.plugin_states(),
                ..Seen::default()
            };
            self.count(&mut seen);
            let mut interval = tokio::time::interval(SECOND);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            interval.tick().await;
            while self.heart.listeners.load(Ordering::Relaxed) > 0 {
                interval.tick().await;
                let pulse = self.count(&mut seen);
                self.tell_changes(&mut seen);
                self.heart.pulse.send_replace(Some(Arc::new(pulse)));
            }
            self.heart.pulse.send_replace(None);
        }
    }

    fn count(&self, seen: &mut Seen) -> Pulse {
        let at = self.node.now();
        let seconds = at.saturating_sub(seen.at).max(1) as f64 / 1000.0;
        let mut vhosts = Vec::new();
        for vhost in self.broker.vhosts() {
            let sums = self.sums(&vhost);
            let before = seen.counted.iter().find(|(name, _)| *name == vhost.name);
            let before = before.map_or(sums.messages, |(_, counted)| *counted);
            let mut rates = [0.0; MESSAGE_FIELDS.len()];
            let counts = numbers(&sums.messages).into_iter().zip(numbers(&before));
            for (rate, (now, before)) in rates.iter_mut().zip(counts) {
                *rate = now.saturating_sub(before) as f64 / seconds;
            }
            vhosts.push(OfVhost {
                name: Arc::clone(&vhost.name),
                sums,
                rates,
            });
        }
        seen.at = at;
        let counted = vhosts
            .iter()
            .map(|vhost| (Arc::clone(&vhost.name), vhost.sums.messages));
        seen.counted = counted.collect();
        Pulse { at, vhosts }
    }

    fn plugin_states(&self) -> Vec<(String, &'static str)> {
        let plugins = self.plugins.list().into_iter();
        plugins
            .map(|plugin| (plugin.name, plugin.state.name()))
            .collect()
    }

    /// What has no door of its own at which it could be told.
    fn tell_changes(&self, seen: &mut Seen) {
        let news = self.broker.connections().news();
        let states = self.plugin_states();
        for (name, state) in &states {
            let before = seen.plugins.iter().find(|(known, _)| known == name);
            if before.is_none_or(|(_, before)| before != state) {
                news.tell(|| of_plugin(name, state));
            }
        }
        for (name, _) in &seen.plugins {
            if !states.iter().any(|(known, _)| known == name) {
                news.tell(|| of_plugin(name, "removed"));
            }
        }
        seen.plugins = states;
    }
}

fn of_plugin(name: &str, state: &str) -> Event {
    Event {
        kind: Kind::PluginChanged,
        concerns: Concerns::Operators,
        name: name.to_owned(),
        details: vec![("state", state.to_owned())],
        facts: Facts::default().text("name", name).text("state", state),
    }
}
