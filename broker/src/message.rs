//! A message as it is routed, queued and stored: exchange, routing key, raw property bytes, body.
//! Not the wire (see `amqp/`) and not a queue's bookkeeping (see `queue/`): nothing here is decoded.

use std::sync::Arc;

/// A message that still lies in the read buffer of the connection that published it.
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    pub exchange: &'a Arc<str>,
    pub routing_key: &'a str,
    /// Property flags and property list, exactly as they stood in the content header frame.
    pub properties: &'a [u8],
    pub body: &'a [u8],
    /// Its x-death header is the broker's own, not something that a client has put there.
    pub dead_lettered: bool,
}

impl MessageView<'_> {
    pub fn to_message(&self) -> Message {
        let mut data =
            Vec::with_capacity(self.routing_key.len() + self.properties.len() + self.body.len());
        data.extend_from_slice(self.routing_key.as_bytes());
        data.extend_from_slice(self.properties);
        data.extend_from_slice(self.body);
        Message {
            exchange: Arc::clone(self.exchange),
            key_len: self.routing_key.len(),
            body_start: self.routing_key.len() + self.properties.len(),
            dead_lettered: self.dead_lettered,
            data,
        }
    }
}

/// A message that owns its bytes. Key, properties and body share one allocation.
#[derive(Debug)]
pub struct Message {
    exchange: Arc<str>,
    key_len: usize,
    body_start: usize,
    dead_lettered: bool,
    data: Vec<u8>,
}

impl Message {
    /// `data` is routing key, properties and body, one after the other: a body that comes in
    /// several frames grows in place behind the first two.
    ///
    /// Returns `None` when the lengths do not fit or the key is not UTF-8.
    pub fn from_parts(
        exchange: Arc<str>,
        key_len: usize,
        properties_len: usize,
        data: Vec<u8>,
    ) -> Option<Message> {
        let body_start = key_len.checked_add(properties_len)?;
        let key = data.get(..key_len)?;
        std::str::from_utf8(key).ok()?;
        data.get(body_start..)?;
        Some(Message {
            exchange,
            key_len,
            body_start,
            dead_lettered: false,
            data,
        })
    }

    /// The same, with a history of its own (see [`MessageView::dead_lettered`]).
    pub fn with_history(self, dead_lettered: bool) -> Message {
        Message {
            dead_lettered,
            ..self
        }
    }

    pub fn view(&self) -> MessageView<'_> {
        MessageView {
            exchange: &self.exchange,
            routing_key: self.routing_key(),
            properties: self.properties(),
            body: self.body(),
            dead_lettered: self.dead_lettered,
        }
    }

    pub fn is_dead_lettered(&self) -> bool {
        self.dead_lettered
    }

    pub fn exchange(&self) -> &Arc<str> {
        &self.exchange
    }

    pub fn routing_key(&self) -> &str {
        let key = self.data.get(..self.key_len).unwrap_or_default();
        // SAFETY: nothing changes `data`, and whoever makes a message makes sure of its first
        // `key_len` octets: `from_parts` checks them, `to_message` copies them from a `str`. Checked
        // for every look at a message they cost several times what the look costs.
        unsafe { std::str::from_utf8_unchecked(key) }
    }

    pub fn properties(&self) -> &[u8] {
        self.data
            .get(self.key_len..self.body_start)
            .unwrap_or_default()
    }

    pub fn body(&self) -> &[u8] {
        self.data.get(self.body_start..).unwrap_or_default()
    }

    /// What the message takes in memory, near enough for watermarks.
    pub fn size(&self) -> usize {
        self.data.len() + std::mem::size_of::<Message>()
    }
}
