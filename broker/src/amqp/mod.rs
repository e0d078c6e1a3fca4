//! The wire: frames, methods, content, property access, reply codes. Not a connection: nothing here
//! keeps state, waits, or knows a socket. amq-protocol parses and writes the rarer methods and the
//! owned tables; what every message passes through is cut and written by hand, without copies.

pub mod content;
pub mod frame;
pub mod method;
mod octets;
pub mod properties;
pub mod reply;
pub mod table;
pub mod write;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod samples;

pub use amq_protocol::protocol::{
    AMQPClass, BasicProperties, access, basic, channel, confirm, connection, exchange, queue, tx,
};
pub use amq_protocol::types::{
    AMQPValue, ByteArray, FieldArray, FieldTable, LongString, ShortString,
};
pub use reply::ReplyCode;

/// The longest short string: its length is one octet.
pub const SHORT_STRING_MAX: usize = 255;

/// A short string out of any text, cut at 255 octets. Use it for every text that is not already a
/// short string from the wire: amq-protocol's own conversion panics above 255.
pub fn short_string(text: &str) -> ShortString {
    ShortString::try_new(cut_short(text)).unwrap_or_default()
}

/// The longest prefix of `text` that fits a short string, ending on a character boundary.
pub(crate) fn cut_short(text: &str) -> &str {
    let mut end = text.len().min(SHORT_STRING_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
