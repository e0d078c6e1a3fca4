//! What comes and goes, told to whoever listens at the moment: a bounded stream that never makes
//! anybody wait. Not a record: without listeners nothing is put together at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::amqp::cut_short;
use crate::amqp::table::{Table, Value};
use crate::clock::Clock;
use crate::trace::{Happening, Line, Traced};

/// A listener that is further behind than this loses the oldest.
const KEPT: usize = 1024;

/// Named as RabbitMQ's event exchange names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ConnectionCreated,
    ConnectionClosed,
    ChannelCreated,
    ChannelClosed,
    ExchangeCreated,
    ExchangeDeleted,
    QueueCreated,
    QueueDeleted,
    BindingCreated,
    BindingDeleted,
    PolicySet,
    PolicyCleared,
    ConsumerCreated,
    ConsumerDeleted,
    VhostCreated,
    VhostDeleted,
    VhostLimitsSet,
    VhostLimitsCleared,
    ParameterSet,
    ParameterCleared,
    UserAuthenticationSuccess,
    UserAuthenticationFailure,
    UserCreated,
    UserDeleted,
    UserPasswordChanged,
    UserTagsSet,
    PermissionCreated,
    PermissionDeleted,
    TopicPermissionCreated,
    TopicPermissionDeleted,
    PluginChanged,
    AlarmSet,
    AlarmCleared,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::ConnectionCreated => "connection.created",
            Kind::ConnectionClosed => "connection.closed",
            Kind::ChannelCreated => "channel.created",
            Kind::ChannelClosed => "channel.closed",
            Kind::ExchangeCreated => "exchange.created",
            Kind::ExchangeDeleted => "exchange.deleted",
            Kind::QueueCreated => "queue.created",
            Kind::QueueDeleted => "queue.deleted",
            Kind::BindingCreated => "binding.created",
            Kind::BindingDeleted => "binding.deleted",
            Kind::PolicySet => "policy.set",
            Kind::PolicyCleared => "policy.cleared",
            Kind::ConsumerCreated => "consumer.created",
            Kind::ConsumerDeleted => "consumer.deleted",
            Kind::VhostCreated => "vhost.created",
            Kind::VhostDeleted => "vhost.deleted",
            Kind::VhostLimitsSet => "vhost.limits.set",
            Kind::VhostLimitsCleared => "vhost.limits.cleared",
            Kind::ParameterSet => "parameter.set",
            Kind::ParameterCleared => "parameter.cleared",
            Kind::UserAuthenticationSuccess => "user.authentication.success",
            Kind::UserAuthenticationFailure => "user.authentication.failure",
            Kind::UserCreated => "user.created",
            Kind::UserDeleted => "user.deleted",
            Kind::UserPasswordChanged => "user.password.changed",
            Kind::UserTagsSet => "user.tags.set",
            Kind::PermissionCreated => "permission.created",
            Kind::PermissionDeleted => "permission.deleted",
            Kind::TopicPermissionCreated => "topic.permission.created",
            Kind::TopicPermissionDeleted => "topic.permission.deleted",
            Kind::PluginChanged => "plugin.changed",
            Kind::AlarmSet => "alarm.set",
            Kind::AlarmCleared => "alarm.cleared",
        }
    }
}

/// Whom a piece of news concerns, besides those who see everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerns {
    Everybody,
    Vhost(Arc<str>),
    /// This user's own, in this vhost.
    User {
        user: Arc<str>,
        vhost: Arc<str>,
    },
    /// Only those who see everything.
    Operators,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub concerns: Concerns,
    pub name: String,
    /// A binding's destination and key, a plugin's state: what `name` leaves open.
    pub details: Vec<(&'static str, String)>,
    pub facts: Facts,
}

impl Concerns {
    /// Empty where it is none.
    fn vhost(&self) -> Arc<str> {
        match self {
            Concerns::Vhost(vhost) | Concerns::User { vhost, .. } => Arc::clone(vhost),
            Concerns::Everybody | Concerns::Operators => Arc::from(""),
        }
    }
}

/// What RabbitMQ tells of an event: a field table in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<u8>);

impl Facts {
    fn put(mut self, name: &str, encoded: &[u8]) -> Facts {
        // Names are ours, and short.
        self.0.push(name.len() as u8);
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(encoded);
        self
    }

    pub fn text(self, name: &str, text: &str) -> Facts {
        self.put(name, &Value::Str(text.as_bytes()).encoded())
    }

    pub fn flag(self, name: &str, flag: bool) -> Facts {
        self.put(name, &Value::Bool(flag).encoded())
    }

    pub fn number(self, name: &str, number: i64) -> Facts {
        self.put(name, &Value::I64(number).encoded())
    }

    pub fn texts(self, name: &str, texts: &[String]) -> Facts {
        let items = texts.iter();
        let items: Vec<u8> = items
            .flat_map(|text| Value::Str(text.as_bytes()).encoded())
            .collect();
        self.put(name, &Value::Array(&items).encoded())
    }

    /// A field table without the length in front.
    pub fn table(self, name: &str, table: &[u8]) -> Facts {
        self.put(name, &Value::Table(Table::new(table)).encoded())
    }

    pub fn json(self, name: &str, value: &serde_json::Value) -> Facts {
        let name = cut_short(name);
        self.put(name, &super::told::of_json(value))
    }

    pub fn encoded(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Default)]
pub struct News {
    listeners: AtomicUsize,
    sender: Mutex<Option<broadcast::Sender<Arc<Event>>>>,
    /// Of those who watch everything that happens.
    watchers: Mutex<Vec<Watcher>>,
}

struct Watcher {
    line: Arc<Line>,
    clock: Arc<dyn Clock>,
}

/// What one listener has still to hear.
pub struct Listening {
    news: Arc<News>,
    pub events: broadcast::Receiver<Arc<Event>>,
}

impl News {
    /// Costs one load while nobody listens.
    #[inline]
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        if self.is_heard() {
            self.send(event());
        }
    }

    pub fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    fn send(&self, event: Event) {
        self.tell_watchers(&event);
        if let Some(sender) = &*self.sender.lock() {
            // The last one may have gone meanwhile.
            let _ = sender.send(Arc::new(event));
        }
    }

    fn tell_watchers(&self, event: &Event) {
        let watchers = self.watchers.lock();
        for Watcher { line, clock } in watchers.iter() {
            line.tell(&Arc::new(Traced {
                at: clock.now(),
                vhost: event.concerns.vhost(),
                happening: Happening::News {
                    name: event.kind.name(),
                    facts: event.facts.encoded().to_vec(),
                },
            }));
        }
    }

    pub fn watch(&self, line: &Arc<Line>, clock: Arc<dyn Clock>) {
        let line = Arc::clone(line);
        self.watchers.lock().push(Watcher { line, clock });
        self.listeners.fetch_add(1, Ordering::Relaxed);
    }

    pub fn unwatch(&self, line: &Arc<Line>) {
        let mut watchers = self.watchers.lock();
        let before = watchers.len();
        watchers.retain(|watcher| !Arc::ptr_eq(&watcher.line, line));
        let gone = before - watchers.len();
        self.listeners.fetch_sub(gone, Ordering::Relaxed);
    }

    pub fn listen(self: &Arc<Self>) -> Listening {
        let mut sender = self.sender.lock();
        let sender = sender.get_or_insert_with(|| broadcast::Sender::new(KEPT));
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listening {
            news: Arc::clone(self),
            events: sender.subscribe(),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut sender = self.news.sender.lock();
        self.news.listeners.fetch_sub(1, Ordering::Relaxed);
        // This one still counts as a receiver.
        if sender.as_ref().is_some_and(|all| all.receiver_count() <= 1) {
            // Nobody listens: the room for a thousand events is given back.
            *sender = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(number: usize) -> Event {
        Event {
            kind: Kind::QueueCreated,
            concerns: Concerns::Vhost(Arc::from("/")),
            name: number.to_string(),
            details: Vec::new(),
            facts: Facts::default(),
        }
    }

    #[test]
    fn nothing_is_put_together_while_nobody_listens() {
        let news = Arc::new(News::default());
        news.tell(|| unreachable!("nobody listens"));
        let listening = news.listen();
        drop(listening);
        news.tell(|| unreachable!("nobody listens any more"));
        assert!(news.sender.lock().is_none());
    }

    #[test]
    fn a_slow_listener_is_told_how_many_it_missed() {
        let news = Arc::new(News::default());
        let mut slow = news.listen();
        for number in 0..KEPT + 10 {
            news.tell(|| queue(number));
        }
        let lagged = slow.events.try_recv();
        assert_eq!(lagged, Err(broadcast::error::TryRecvError::Lagged(10)));
        let next = slow.events.try_recv().map(|event| event.name.clone());
        assert_eq!(next, Ok("10".to_owned()));
    }
}
