//! The differential test: sessions made from a seed are played against RabbitMQ and against Warren,
//! and everything that a client can see is compared. Blocking sockets and a codec of its own, because
//! frames are what is compared, and a client library would hide them.

pub mod codec;
pub mod compare;
pub mod connection;
pub mod deliberate;
pub mod duel;
pub mod generate;
pub mod link;
pub mod observation;
pub mod peer;
pub mod player;
pub mod random;
pub mod run;
pub mod script;
pub mod settle;
pub mod side;
pub mod spec;
pub mod text;
pub mod value;
