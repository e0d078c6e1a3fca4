//! What comes and goes, told to whoever listens at the moment: a bounded stream that never makes
//! anybody wait. Not a record: without listeners nothing is put together at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::broadcast;

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
}

#[derive(Default)]
pub struct News {
    listeners: AtomicUsize,
    sender: Mutex<Option<broadcast::Sender<Arc<Event>>>>,
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
        if let Some(sender) = &*self.sender.lock() {
            // The last one may have gone meanwhile.
            let _ = sender.send(Arc::new(event));
        }
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
        if self.news.listeners.fetch_sub(1, Ordering::Relaxed) == 1 {
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
