//! The broker's log and clock, as a plugin sees them. A parameter and no global, so that the
//! bench can put its own in place.

use std::rc::Rc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// What stands behind a [`Host`]: the broker, or a bench.
pub trait HostFunctions {
    fn log(&self, level: Level, line: &str);
    fn now(&self) -> u64;
}

#[derive(Clone)]
pub struct Host(Rc<dyn HostFunctions>);

impl Host {
    pub fn new(functions: Rc<dyn HostFunctions>) -> Self {
        Host(functions)
    }

    /// One line for the broker's log, under the plugin's name. At most 1 KiB is kept.
    pub fn log(&self, level: Level, line: &str) {
        self.0.log(level, line);
    }

    /// Milliseconds since the Unix epoch. A `route` that reads it is not remembered.
    pub fn now(&self) -> u64 {
        self.0.now()
    }
}
