//! What an exchange's decisions depend on, to be read for every publish by every connection.
//! Not what a running call has read (see `reads`).

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::RwLock;

use super::exchange_type::Inputs;

const NOTHING: u8 = 0;
const ROUTING_KEY: u8 = 1;
const ANYTHING: u8 = 2;
const HEADERS: u8 = 3;

/// Only a list of headers needs the lock: a lock that is only read is still a cache line that all
/// workers write to.
pub struct Declared {
    form: AtomicU8,
    whole: RwLock<Inputs>,
}

impl Declared {
    pub fn new(inputs: Inputs) -> Declared {
        Declared {
            form: AtomicU8::new(form(&inputs)),
            whole: RwLock::new(inputs),
        }
    }

    pub fn get(&self) -> Inputs {
        match self.form.load(Ordering::Acquire) {
            NOTHING => Inputs::Nothing,
            ROUTING_KEY => Inputs::RoutingKey,
            ANYTHING => Inputs::Anything,
            _ => self.whole.read().clone(),
        }
    }

    pub fn can_be_remembered(&self) -> bool {
        self.form.load(Ordering::Relaxed) != ANYTHING
    }

    /// Callers hold a lock (an exchange's seat, or the vhost's change lock): two at once would leave form and list of different calls.
    pub fn set(&self, inputs: Inputs) {
        let form = form(&inputs);
        *self.whole.write() = inputs;
        self.form.store(form, Ordering::Release);
    }
}

fn form(inputs: &Inputs) -> u8 {
    match inputs {
        Inputs::Nothing => NOTHING,
        Inputs::RoutingKey => ROUTING_KEY,
        Inputs::Anything => ANYTHING,
        Inputs::Headers(_) => HEADERS,
    }
}
