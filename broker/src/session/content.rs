//! Content that does not lie whole in one read: the header, then body frames as they come.

use super::{Flow, Session};
use crate::amqp::content;
use crate::amqp::frame::{Frame, FrameKind};
use crate::amqp::reply::ReplyCode;
use crate::error::Refusal;
use crate::queue::Effects;

/// What a channel is in the middle of.
pub(super) enum Content {
    Idle,
    /// basic.publish was read; the content header must follow.
    Header(PublishStart),
    Body(PublishBody),
}

pub(super) struct PublishStart {
    pub exchange: String,
    pub routing_key: String,
    pub mandatory: bool,
    pub immediate: bool,
}

/// A message that grows as its body frames come in. The announced size reserves nothing.
pub(super) struct PublishBody {
    pub start: PublishStart,
    pub properties_len: usize,
    /// Routing key, properties and the body so far: the message's own bytes.
    pub data: Vec<u8>,
    pub missing: u64,
}

/// A body up to this size is reserved for at once; what is longer grows as it arrives.
const RESERVED: u64 = 128 * 1024;

impl Session {
    /// 406 before the first octet of the body is kept.
    pub(super) fn check_size(&self, size: u64) -> Result<(), Refusal> {
        let max = self.limits.max_message_size;
        if size > max {
            let text = format!("message size {size} is larger than configured max size {max}");
            return Err(Refusal::precondition(text));
        }
        Ok(())
    }

    pub(super) fn content_frame(
        &mut self,
        number: u16,
        frame: Frame<'_>,
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(Flow::Done);
        };
        match (
            std::mem::replace(&mut channel.content, Content::Idle),
            frame.kind,
        ) {
            (Content::Header(start), FrameKind::Header) => {
                self.content_header(number, start, frame.payload, effects)
            }
            (Content::Body(body), FrameKind::Body) => {
                self.content_body(number, body, frame.payload, effects)
            }
            (Content::Idle, _) => {
                let text = "expected method frame, got non method frame instead";
                Err(Refusal::connection(ReplyCode::UnexpectedFrame, text))
            }
            (Content::Header(_), _) => {
                let text = "expected content header for class 60, got non content header frame \
                            instead";
                Err(Refusal::connection(ReplyCode::UnexpectedFrame, text))
            }
            (Content::Body(_), _) => {
                let text = "expected content body, got non content body frame instead";
                Err(Refusal::connection(ReplyCode::UnexpectedFrame, text))
            }
        }
    }

    fn content_header(
        &mut self,
        number: u16,
        start: PublishStart,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let header = content::parse_header(payload)
            .map_err(|error| Refusal::connection(error.code(), error.text()))?;
        check_class(header.class_id)?;
        self.check_size(header.body_size)?;
        let reserved = header.body_size.min(RESERVED) as usize;
        let head = start.routing_key.len() + header.properties.len();
        let mut data = Vec::with_capacity(head + reserved);
        data.extend_from_slice(start.routing_key.as_bytes());
        data.extend_from_slice(header.properties);
        let properties_len = header.properties.len();
        let body = PublishBody {
            start,
            properties_len,
            data,
            missing: header.body_size,
        };
        if body.missing == 0 {
            return self.publish_assembled(number, body, effects);
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.content = Content::Body(body);
        }
        Ok(Flow::Done)
    }

    fn content_body(
        &mut self,
        number: u16,
        mut body: PublishBody,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<Flow, Refusal> {
        let Some(missing) = body.missing.checked_sub(payload.len() as u64) else {
            let text = "content body is longer than its header announced";
            return Err(Refusal::connection(ReplyCode::FrameError, text));
        };
        body.missing = missing;
        body.data.extend_from_slice(payload);
        if missing == 0 {
            return self.publish_assembled(number, body, effects);
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.content = Content::Body(body);
        }
        Ok(Flow::Done)
    }
}

pub(super) fn check_class(class: u16) -> Result<(), Refusal> {
    if class == 60 {
        return Ok(());
    }
    let text = format!("expected content header for class 60, got one for class {class} instead");
    Err(Refusal::connection(ReplyCode::UnexpectedFrame, text))
}
