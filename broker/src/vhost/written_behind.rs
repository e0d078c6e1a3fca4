//! What exchanges keep durably is written some time behind the messages that caused it: after a crash
//! an exchange may have forgotten a message that is there, but never knows one that is not.
//! Not what is kept (see `kept.rs`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Broker;
use super::definition::{Arguments, Definition};
use super::kept::{OfType, Rows};
use crate::store::Move;

/// A change rests for one to two of these. No message stays longer in memory before it goes to the
/// store (see `queue/unwritten.rs`).
pub const WRITE_BEHIND: Duration = Duration::from_millis(250);

/// What waits to be written.
#[derive(Default)]
pub struct Unwritten(Mutex<Vec<Arc<OfType>>>);

impl Unwritten {
    /// Once, until it is written.
    pub(super) fn announce(&self, of_type: Arc<OfType>) {
        self.0.lock().push(of_type);
    }

    fn take(&self) -> Vec<Arc<OfType>> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Broker {
    /// To be called every [`WRITE_BEHIND`].
    pub fn write_behind(&self) {
        for of_type in self.shared.unwritten.take() {
            if of_type.write(|rows| self.write_rows(&of_type, rows)) {
                self.shared.unwritten.announce(of_type);
            }
        }
    }

    /// At a clean stop: what rests, and what has changed since.
    pub fn write_all(&self) {
        self.write_behind();
        self.write_behind();
    }

    fn write_rows(&self, of_type: &OfType, rows: Rows) {
        let changes = rows.into_iter().map(|(key, value)| match value {
            Some(value) => row(of_type, key, value).put(),
            None => row(of_type, key, Vec::new()).remove(),
        });
        self.shared.home.store.commit(Move {
            definitions: changes.collect(),
            ..Move::default()
        });
    }
}

/// What is to be taken out of the store by its key alone has no value.
pub(super) fn row(of_type: &OfType, key: Vec<u8>, value: Vec<u8>) -> Definition {
    Definition::State {
        vhost: of_type.owner.vhost.to_string(),
        exchange: of_type.owner.exchange.to_string(),
        type_name: of_type.type_name.clone(),
        key: Arguments(key),
        value: Arguments(value),
    }
}
