//! Content headers. What is accepted here is well formed to its last octet, so that reading a
//! property later can find it absent but never broken.

use std::fmt;

use super::ReplyCode;
use super::octets::Octets;
use super::properties;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    pub class_id: u16,
    pub body_size: u64,
    /// Property flags and property list, as they stand.
    pub properties: &'a [u8],
}

/// A connection error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentError {
    Malformed,
    /// The weight is always zero.
    Weight,
}

impl ContentError {
    pub fn code(self) -> ReplyCode {
        match self {
            ContentError::Malformed => ReplyCode::FrameError,
            ContentError::Weight => ReplyCode::UnexpectedFrame,
        }
    }

    pub fn text(self) -> String {
        match self {
            ContentError::Malformed => "cannot decode the content header".to_owned(),
            // RabbitMQ takes a header with a weight for no header at all.
            ContentError::Weight => "expected content header for class 60, got non content header \
                                     frame instead"
                .to_owned(),
        }
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl std::error::Error for ContentError {}

/// Parses the payload of a content header frame.
#[inline]
pub fn parse_header(payload: &[u8]) -> Result<ContentHeader<'_>, ContentError> {
    let mut octets = Octets::new(payload);
    let (Some(class_id), Some(weight), Some(body_size)) =
        (octets.short(), octets.short(), octets.longlong())
    else {
        return Err(ContentError::Malformed);
    };
    if weight != 0 {
        return Err(ContentError::Weight);
    }
    let properties = octets.rest();
    properties::check(properties).ok_or(ContentError::Malformed)?;
    Ok(ContentHeader {
        class_id,
        body_size,
        properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // basic, no weight, 5 octets of body, delivery mode 2.
    const HEADER: &[u8] = &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0x10, 0, 2];

    #[test]
    fn a_header_is_split_into_its_parts() {
        assert_eq!(
            parse_header(HEADER),
            Ok(ContentHeader {
                class_id: 60,
                body_size: 5,
                properties: &[0x10, 0, 2],
            })
        );
    }

    #[test]
    fn a_truncated_or_overlong_header_is_refused() {
        for end in 0..HEADER.len() {
            assert_eq!(
                parse_header(&HEADER[..end]),
                Err(ContentError::Malformed),
                "{end}"
            );
        }
        let long = [HEADER, &[0]].concat();
        assert_eq!(parse_header(&long), Err(ContentError::Malformed));
    }

    #[test]
    fn a_weight_is_refused() {
        let mut header = HEADER.to_vec();
        header[3] = 1;
        assert_eq!(parse_header(&header), Err(ContentError::Weight));
    }

    #[test]
    fn only_properties_that_the_broker_reads_must_be_utf8() {
        let octets = [2, 0xc3, 0x28];
        for (flags, is_fine) in [
            ([0x80, 0], true),
            ([0x04, 0], true),
            ([1, 0], false),
            ([0, 16], false),
        ] {
            let header = [&HEADER[..12], &flags, &octets].concat();
            assert_eq!(parse_header(&header).is_ok(), is_fine, "{flags:?}");
        }
    }
}
