//! Stands in for the queue's own way of taking new options.

use super::{Effects, Options, Queue};

impl Queue {
    pub fn set_options(&self, _options: Options, _effects: &mut Effects) {}
}
