//! The tracers of one broker: which are loaded, and which of them have a thread. Not how they work
//! (see `watching`).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::watching::Tracer;
use crate::vhost::Broker;
use crate::web::Reach;

#[derive(Default)]
pub(in crate::plugin) struct Watchmen {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// None can be told of anything before it is there.
    broker: Weak<Broker>,
    /// The way to HTTP servers, from when the broker is there.
    reach: Option<Arc<dyn Reach>>,
    loaded: BTreeMap<String, Arc<Tracer>>,
}

impl Watchmen {
    /// The broker is there: those that were loaded before begin.
    pub fn begin(&self, broker: &Arc<Broker>, reach: Arc<dyn Reach>) -> std::io::Result<()> {
        let mut inside = self.inside.lock();
        inside.broker = Arc::downgrade(broker);
        inside.reach = Some(Arc::clone(&reach));
        inside
            .loaded
            .values()
            .try_for_each(|tracer| tracer.start(broker, &reach))
    }

    /// In the place of the one that had its name.
    pub fn bring_in(&self, tracer: &Arc<Tracer>) -> Result<(), String> {
        let mut inside = self.inside.lock();
        let name = tracer.name.clone();
        let broker = inside.broker.upgrade().zip(inside.reach.clone());
        let before = inside.loaded.insert(name, Arc::clone(tracer));
        if let Some((broker, reach)) = broker {
            end(&broker, before);
            tracer
                .start(&broker, &reach)
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
