//! What concerns every connection at once: stop, alarms, a failed disk. Connections look at it when
//! they are woken; nobody else does anything to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::names::ConnectionId;
use crate::outbox::Outbox;

#[derive(Default)]
pub struct Gate {
    connections: Mutex<HashMap<ConnectionId, Arc<Outbox>>>,
    stopping: AtomicBool,
    disk_failed: AtomicBool,
    alarms: AtomicU8,
    changed: Notify,
}

/// What publishers are stopped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    Memory,
    Disk,
}

impl Alarm {
    fn bit(self) -> u8 {
        match self {
            Alarm::Memory => 1,
            Alarm::Disk => 2,
        }
    }
}

impl Gate {
    pub(super) fn enter(&self, id: ConnectionId, outbox: &Arc<Outbox>) {
        self.connections.lock().insert(id, Arc::clone(outbox));
    }

    pub(super) fn leave(&self, id: ConnectionId) {
        self.connections.lock().remove(&id);
        self.changed.notify_waiters();
    }

    pub fn connections(&self) -> usize {
        self.connections.lock().len()
    }

    /// Every connection is closed with 320, and no new one is taken.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_waiters();
        self.wake_all();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns once `stop` was called.
    pub async fn stopping(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_stopping() {
                return;
            }
            changed.await;
        }
    }

    /// Returns once the last connection is gone.
    pub async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.connections() == 0 {
                return;
            }
            changed.await;
        }
    }

    pub fn fail(&self) {
        self.disk_failed.store(true, Ordering::Release);
        self.changed.notify_waiters();
        self.wake_all();
    }

    /// Returns once `fail` was called.
    pub async fn failed(&self) {
        loop {
            let changed = self.changed.notified();
            if self.has_failed() {
                return;
            }
            changed.await;
        }
    }

    pub fn has_failed(&self) -> bool {
        self.disk_failed.load(Ordering::Acquire)
    }

    /// Raises or clears an alarm; true when that changed something.
    pub fn set_alarm(&self, alarm: Alarm, raised: bool) -> bool {
        let before = if raised {
            self.alarms.fetch_or(alarm.bit(), Ordering::AcqRel)
        } else {
            self.alarms.fetch_and(!alarm.bit(), Ordering::AcqRel)
        };
        let changed = (before & alarm.bit() != 0) != raised;
        if changed {
            self.wake_all();
        }
        changed
    }

    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.alarms.load(Ordering::Acquire) & alarm.bit() != 0
    }

    /// The reason that RabbitMQ gives in connection.blocked, while any alarm is raised.
    pub fn blocked(&self) -> Option<&'static str> {
        match self.alarms.load(Ordering::Acquire) {
            0 => None,
            1 => Some("low on memory"),
            2 => Some("low on disk"),
            _ => Some("low on memory & disk"),
        }
    }

    /// Lets every connection look at the gate, and at the store, again.
    pub fn wake_all(&self) {
        let outboxes: Vec<Arc<Outbox>> = self.connections.lock().values().cloned().collect();
        for outbox in outboxes {
            outbox.poke();
        }
    }
}
