//! The tracers of one broker: which are loaded, and which of them have a thread. Not how they work
//! (see `watching`).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::watching::Tracer;
use crate::vhost::Broker;

#[derive(Default)]
pub(in crate::plugin) struct Watchmen {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// None can be told of anything before it is there.
    broker: Weak<Broker>,
    loaded: BTreeMap<String, Arc<Tracer>>,
}

impl Watchmen {
    /// The broker is there: those that were loaded before begin.
    pub fn begin(&self, broker: &Arc<Broker>) -> std::io::Result<()> {
        let mut inside = self.inside.lock();
        inside.broker = Arc::downgrade(broker);
        inside
            .loaded
            .values()
            .try_for_each(|tracer| tracer.start(broker))
    }

    /// In the place of the one that had its name.
    pub fn bring_in(&self, tracer: &Arc<Tracer>) -> Result<(), String> {
        let mut inside = self.inside.lock();
        let name = tracer.name.clone();
        let broker = inside.broker.upgrade();
        let before = inside.loaded.insert(name, Arc::clone(tracer));
        if let Some(broker) = broker {
            end(&broker, before);
            tracer
                .start(&broker)
                .map_err(|error| format!("its thread does not start: {error}"))?;
        }
        Ok(())
    }

    pub fn put_aside(&self, name: &str) {
        let mut inside = self.inside.lock();
        let gone = inside.loaded.remove(name);
        if let Some(broker) = inside.broker.upgrade() {
            end(&broker, gone);
        }
    }
}

fn end(broker: &Broker, tracer: Option<Arc<Tracer>>) {
    if let Some(tracer) = tracer {
        broker.unwatch(&tracer.line);
        tracer.line.close();
    }
}
