//! The crash run: publishers and consumers at full speed, SIGKILL at random moments, and a ledger
//! that says what must still be there. Not the scenarios themselves (see `tests/crash.rs`).

mod connection;
mod consumer;
mod disk;
mod ledger;
mod publisher;
mod random;
mod run;
mod table;

pub use connection::{Connection, Ended};
pub use consumer::{Consumer, Pace};
pub use disk::{Loss, Shim, Taken};
pub use ledger::{Ledger, Report};
pub use publisher::{Plan, Publisher, Target};
pub use random::Random;
pub use run::{Kind, Run, SharedLedger};
pub use table::print_table;
