//! The reply codes of AMQP 0-9-1 and the form of reply texts. Not the texts themselves.

use super::SHORT_STRING_MAX;

/// What stands for the rest of a text.
const DOTS: &str = "...";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    ContentTooLarge = 311,
    NoRoute = 312,
    NoConsumers = 313,
    ConnectionForced = 320,
    InvalidPath = 402,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    ResourceError = 506,
    NotAllowed = 530,
    NotImplemented = 540,
    InternalError = 541,
}

impl ReplyCode {
    pub fn code(self) -> u16 {
        self as u16
    }

    pub fn name(self) -> &'static str {
        match self {
            ReplyCode::ContentTooLarge => "CONTENT_TOO_LARGE",
            ReplyCode::NoRoute => "NO_ROUTE",
            ReplyCode::NoConsumers => "NO_CONSUMERS",
            ReplyCode::ConnectionForced => "CONNECTION_FORCED",
            ReplyCode::InvalidPath => "INVALID_PATH",
            ReplyCode::AccessRefused => "ACCESS_REFUSED",
            ReplyCode::NotFound => "NOT_FOUND",
            ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
            ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
            ReplyCode::FrameError => "FRAME_ERROR",
            ReplyCode::SyntaxError => "SYNTAX_ERROR",
            ReplyCode::CommandInvalid => "COMMAND_INVALID",
            ReplyCode::ChannelError => "CHANNEL_ERROR",
            ReplyCode::UnexpectedFrame => "UNEXPECTED_FRAME",
            ReplyCode::ResourceError => "RESOURCE_ERROR",
            ReplyCode::NotAllowed => "NOT_ALLOWED",
            ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
            ReplyCode::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The reply text that clients match on. One that is longer than a short string ends with dots.
    pub fn text(self, message: &str) -> String {
        let text = format!("{} - {message}", self.name());
        if text.len() <= SHORT_STRING_MAX {
            return text;
        }
        let mut end = SHORT_STRING_MAX - DOTS.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let begin = text.get(..end).unwrap_or_default();
        format!("{begin}{DOTS}")
    }

    /// Closes the connection, not only the channel.
    pub fn is_hard(self) -> bool {
        match self {
            ReplyCode::ContentTooLarge
            | ReplyCode::NoRoute
            | ReplyCode::NoConsumers
            | ReplyCode::AccessRefused
            | ReplyCode::NotFound
            | ReplyCode::ResourceLocked
            | ReplyCode::PreconditionFailed => false,
            ReplyCode::ConnectionForced
            | ReplyCode::InvalidPath
            | ReplyCode::FrameError
            | ReplyCode::SyntaxError
            | ReplyCode::CommandInvalid
            | ReplyCode::ChannelError
            | ReplyCode::UnexpectedFrame
            | ReplyCode::ResourceError
            | ReplyCode::NotAllowed
            | ReplyCode::NotImplemented
            | ReplyCode::InternalError => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_carries_the_name_of_its_code() {
        assert_eq!(
            ReplyCode::NotFound.text("no queue 'q' in vhost '/'"),
            "NOT_FOUND - no queue 'q' in vhost '/'"
        );
        assert_eq!(ReplyCode::NotFound.code(), 404);
    }

    #[test]
    fn a_long_text_is_cut_on_a_character_boundary_and_ends_with_dots() {
        let text = ReplyCode::NotFound.text(&format!("x{}", "ü".repeat(200)));
        assert_eq!(text.len(), 254);
        assert!(text.ends_with("ü..."));
        let text = ReplyCode::NotFound.text(&"x".repeat(300));
        assert_eq!(text.len(), 255);
        assert!(text.ends_with("x..."));
        let whole = "x".repeat(255 - "NOT_FOUND - ".len());
        assert!(ReplyCode::NotFound.text(&whole).ends_with('x'));
    }
}
