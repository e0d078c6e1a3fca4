//! The message of the running call. Nothing is copied out of the broker that is not asked for.

use std::ops::{Bound, RangeBounds};

use crate::{FieldValue, TableBuf};

/// What stands behind a [`Message`]: the broker, or a test's own message. Bytes are encoded as in
/// WIT's interface `message`.
pub trait MessageSource {
    fn exchange(&self) -> String;
    fn routing_key(&self) -> String;
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    fn headers(&self) -> Vec<u8>;
    fn properties(&self) -> Vec<u8>;
    fn body_length(&self) -> u64;
    fn body(&self, offset: u64, length: u32) -> Vec<u8>;
}

/// Every method asks the broker anew: keep what you need twice.
pub struct Message<'a> {
    source: &'a dyn MessageSource,
}

impl<'a> Message<'a> {
    pub fn new(source: &'a dyn MessageSource) -> Self {
        Message { source }
    }

    pub fn exchange(&self) -> String {
        self.source.exchange()
    }

    pub fn routing_key(&self) -> String {
        self.source.routing_key()
    }

    /// One header. Cheaper than `headers` for one or two of them.
    pub fn header(&self, name: &str) -> Option<FieldValue> {
        self.source.header(name).and_then(FieldValue::from_bytes)
    }

    pub fn headers(&self) -> TableBuf {
        TableBuf::from_bytes(self.source.headers())
    }

    /// Property flags and property list, as in the content header frame.
    pub fn properties(&self) -> Vec<u8> {
        self.source.properties()
    }

    pub fn body_length(&self) -> u64 {
        self.source.body_length()
    }

    /// A part of the body, cut off at its end.
    pub fn body(&self, range: impl RangeBounds<u64>) -> Vec<u8> {
        let from = match range.start_bound() {
            Bound::Included(at) => *at,
            Bound::Excluded(at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(at) => at.saturating_add(1),
            Bound::Excluded(at) => *at,
            Bound::Unbounded => u64::MAX,
        };
        let length = u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
        self.source.body(from, length)
    }
}
