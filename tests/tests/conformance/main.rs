//! What any client may expect of the broker, asked of a real one over real sockets. A test has its own
//! broker, so that none can disturb another.

mod administered;
mod confirms;
mod consumers;
mod exchanges;
mod keeping;
mod limits;
mod messages;
mod permissions;
mod process;
mod queues;
mod refusals;
mod transactions;
