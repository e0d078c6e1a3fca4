//! The kit of Warren's own end-to-end tests. The tests themselves are in `tests/`, and talk to a real
//! broker process.

pub mod crash;
pub mod kit;
