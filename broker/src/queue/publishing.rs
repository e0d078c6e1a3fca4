//! A message on its way into its queues, before any of them has it. Knows no queue.

use std::sync::Arc;

use crate::amqp::properties::Properties;
use crate::clock::Millis;
use crate::message::{Message, MessageView};

/// A message on its way into its queues. It is copied out of the read buffer at most once, and not
/// at all when it goes straight to a consumer who does not acknowledge.
pub struct Publishing<'a> {
    pub(super) view: MessageView<'a>,
    pub persistent: bool,
    owned: Option<Arc<Message>>,
    /// No further queue gets it after this one.
    pub last: bool,
}

impl<'a> Publishing<'a> {
    pub fn new(view: MessageView<'a>, persistent: bool) -> Publishing<'a> {
        Publishing {
            view,
            persistent,
            owned: None,
            last: false,
        }
    }

    pub fn owned(message: &'a Arc<Message>) -> Publishing<'a> {
        let persistent = Properties::new(message.properties()).is_persistent();
        Publishing {
            view: message.view(),
            persistent,
            owned: Some(Arc::clone(message)),
            last: false,
        }
    }

    /// In milliseconds. What cannot be read was refused when it was published.
    pub(super) fn time_to_live(&self) -> Option<Millis> {
        let expiration = Properties::new(self.view.properties).expiration()?;
        let time: i64 = expiration.parse().ok()?;
        u64::try_from(time).ok()
    }

    /// Of the body: what a queue's length in bytes counts.
    pub(super) fn length(&self) -> u64 {
        self.view.body.len() as u64
    }

    pub(super) fn priority(&self, max: u8) -> u8 {
        match max {
            0 => 0,
            max => {
                let priority = Properties::new(self.view.properties).priority();
                priority.unwrap_or(0).min(max)
            }
        }
    }

    pub fn message(&mut self) -> Arc<Message> {
        Arc::clone(self.kept())
    }

    pub(super) fn kept(&mut self) -> &Arc<Message> {
        let view = self.view;
        self.owned
            .get_or_insert_with(|| Arc::new(view.to_message()))
    }

    /// When this queue asks for nothing more: the last one need not count it up, nor we down.
    pub(super) fn give(&mut self) -> Arc<Message> {
        if !self.last {
            return self.message();
        }
        let owned = self.owned.take();
        owned.unwrap_or_else(|| Arc::new(self.view.to_message()))
    }
}
