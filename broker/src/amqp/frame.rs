//! Cuts frames out of a read buffer, in place. Knows a frame's envelope and nothing of its payload.

use std::fmt;

use super::ReplyCode;

pub const FRAME_END: u8 = 206;

/// Type, channel and size in front of the payload, the end octet behind it.
pub const FRAME_OVERHEAD: usize = 8;

/// The smallest frame_max a client may ask for. RabbitMQ raised it to 8192 in 4.1 and shut out
/// clients in the field; the specification says 4096.
pub const FRAME_MIN_SIZE: u32 = 4096;

/// Opens every AMQP 0-9-1 connection; also what a server answers to any other opening.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// What AMQP 0-9 clients send, which is close enough to 0-9-1 that RabbitMQ serves it as such.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

const HEAD: usize = 7;

/// Class, weight and body size of a content header.
const HEADER_SIZE: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Method,
    Header,
    Body,
    Heartbeat,
}

impl FrameKind {
    #[inline]
    fn from_octet(octet: u8) -> Option<FrameKind> {
        match octet {
            1 => Some(FrameKind::Method),
            2 => Some(FrameKind::Header),
            3 => Some(FrameKind::Body),
            8 => Some(FrameKind::Heartbeat),
            _ => None,
        }
    }

    #[inline]
    pub fn octet(self) -> u8 {
        match self {
            FrameKind::Method => 1,
            FrameKind::Header => 2,
            FrameKind::Body => 3,
            FrameKind::Heartbeat => 8,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: &'a [u8],
}

#[derive(Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// `length` is what the frame took of the buffer, envelope included.
    Frame {
        frame: Frame<'a>,
        length: usize,
    },
    Incomplete,
}

/// The peer lost the frame boundaries: nothing after this can be read. A connection error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// The frame's type octet.
    pub kind: u8,
    /// The start of its payload, for the text.
    pub octets: Vec<u8>,
    pub fault: FrameFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    Unknown,
    /// Sizes of the payload, without the envelope.
    TooLarge {
        size: u32,
        max: u32,
    },
    BadEnd(u8),
}

/// A reply text has 255 octets; more of a payload would not fit into it.
const SHOWN: usize = 256;

impl FrameError {
    pub fn new(kind: u8, payload: &[u8], fault: FrameFault) -> FrameError {
        let octets = payload.get(..SHOWN).unwrap_or(payload).to_vec();
        FrameError {
            kind,
            octets,
            fault,
        }
    }

    pub fn code(&self) -> ReplyCode {
        ReplyCode::FrameError
    }

    /// As RabbitMQ words it, which prints Erlang terms.
    pub fn text(&self) -> String {
        let fault = match self.fault {
            FrameFault::Unknown => "unknown_frame".to_owned(),
            FrameFault::TooLarge { size, max } => format!("{{frame_too_large,{size},{max}}}"),
            FrameFault::BadEnd(octet) => format!("{{invalid_frame_end_marker,{octet}}}"),
        };
        format!(
            "type {}, all octets = {}: {fault}",
            self.kind,
            erlang_binary(&self.octets)
        )
    }
}

/// Octets as Erlang prints them, which RabbitMQ's error texts are made of.
pub fn erlang_binary(octets: &[u8]) -> String {
    let printable = |octet: &u8| matches!(octet, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    if octets.is_empty() {
        "<<>>".to_owned()
    } else if octets.iter().all(printable) {
        format!("<<{:?}>>", String::from_utf8_lossy(octets))
    } else {
        let numbers: Vec<String> = octets.iter().map(u8::to_string).collect();
        format!("<<{}>>", numbers.join(","))
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl std::error::Error for FrameError {}

/// Cuts the first frame of `buffer`. `frame_max` is the negotiated one, envelope included; 0 is no
/// limit. Fails as soon as the octets at hand show that the frame can never be good.
#[inline]
pub fn cut(buffer: &[u8], frame_max: u32) -> Result<Cut<'_>, FrameError> {
    let Some((&octet, _)) = buffer.split_first() else {
        return Ok(Cut::Incomplete);
    };
    let Some((&[_, c1, c0, s3, s2, s1, s0], rest)) = buffer.split_first_chunk::<HEAD>() else {
        return Ok(Cut::Incomplete);
    };
    let size = u32::from_be_bytes([s3, s2, s1, s0]);
    // Like RabbitMQ we allow a payload of the whole frame_max: clients that forget the envelope
    // when they cut their bodies are common.
    if frame_max != 0 && size > frame_max {
        let max = frame_max.saturating_sub(FRAME_OVERHEAD as u32);
        return Err(FrameError::new(
            octet,
            &[],
            FrameFault::TooLarge { size, max },
        ));
    }
    let Some((payload, rest)) = rest.split_at_checked(size as usize) else {
        return Ok(Cut::Incomplete);
    };
    let kind = match (rest.first(), FrameKind::from_octet(octet)) {
        (None, _) => return Ok(Cut::Incomplete),
        // RabbitMQ knows no header that is too short for its own size.
        (Some(&FRAME_END), Some(FrameKind::Header)) if payload.len() < HEADER_SIZE => {
            return Err(FrameError::new(octet, payload, FrameFault::Unknown));
        }
        (Some(&FRAME_END), Some(kind)) => kind,
        (Some(&FRAME_END), None) => {
            return Err(FrameError::new(octet, payload, FrameFault::Unknown));
        }
        (Some(&end), _) => return Err(FrameError::new(octet, payload, FrameFault::BadEnd(end))),
    };
    let channel = u16::from_be_bytes([c1, c0]);
    let length = payload.len() + FRAME_OVERHEAD;
    Ok(Cut::Frame {
        frame: Frame {
            kind,
            channel,
            payload,
        },
        length,
    })
}

/// The peer speaks something else. The answer is [`PROTOCOL_HEADER`] and the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongHeader {
    /// AMQP, but another version than 0-9-1.
    Version([u8; 4]),
    Http,
    Tls,
    Unknown,
}

impl fmt::Display for WrongHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WrongHeader::Version([id, major, minor, revision]) => write!(
                formatter,
                "the client asks for AMQP protocol {id}, version {major}-{minor}-{revision}"
            ),
            WrongHeader::Http => formatter.write_str("the client speaks HTTP on the AMQP port"),
            WrongHeader::Tls => formatter.write_str("the client speaks TLS on the plain AMQP port"),
            WrongHeader::Unknown => formatter.write_str("the client does not speak AMQP"),
        }
    }
}

impl std::error::Error for WrongHeader {}

/// Reads the protocol header: `Some(octets to consume)`, or `None` while it is incomplete.
pub fn protocol_header(buffer: &[u8]) -> Result<Option<usize>, WrongHeader> {
    const NAME: &[u8] = b"AMQP";
    let length = PROTOCOL_HEADER.len();
    let start = buffer.get(..length).unwrap_or(buffer);
    if start == PROTOCOL_HEADER || start == PROTOCOL_HEADER_0_9 {
        return Ok(Some(length));
    }
    if PROTOCOL_HEADER.starts_with(start) || PROTOCOL_HEADER_0_9.starts_with(start) {
        return Ok(None);
    }
    if start.starts_with(NAME) {
        return match start
            .get(NAME.len()..)
            .and_then(|rest| rest.try_into().ok())
        {
            Some(version) => Err(WrongHeader::Version(version)),
            None => Ok(None),
        };
    }
    if [b"GET ".as_slice(), b"POST", b"PUT ", b"HEAD"]
        .iter()
        .any(|verb| start.starts_with(verb))
    {
        return Err(WrongHeader::Http);
    }
    // A TLS handshake record, version 3.x.
    if start.starts_with(&[0x16, 0x03]) {
        return Err(WrongHeader::Tls);
    }
    Err(WrongHeader::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: &[u8] = &[
        1, 0, 7, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 9, 1, 206,
    ];

    #[test]
    fn a_whole_frame_is_cut_in_place_and_the_rest_left() {
        let mut buffer = ACK.to_vec();
        buffer.extend_from_slice(&[8, 0]);
        let frame = Frame {
            kind: FrameKind::Method,
            channel: 7,
            payload: &ACK[7..20],
        };
        assert_eq!(cut(&buffer, 131_072), Ok(Cut::Frame { frame, length: 21 }));
    }

    #[test]
    fn every_shorter_prefix_is_incomplete() {
        for end in 0..ACK.len() {
            assert_eq!(cut(&ACK[..end], 131_072), Ok(Cut::Incomplete), "{end}");
        }
    }

    #[test]
    fn an_unknown_type_is_told_with_its_octets() {
        assert_eq!(cut(&[9], 0), Ok(Cut::Incomplete));
        let error = cut(b"\x09\0\x01\0\0\0\x03abc\xce", 0).expect_err("type 9");
        assert_eq!(error, FrameError::new(9, b"abc", FrameFault::Unknown));
        assert_eq!(
            error.text(),
            "type 9, all octets = <<\"abc\">>: unknown_frame"
        );
    }

    #[test]
    fn a_header_without_its_size_is_no_frame() {
        let error = cut(b"\x02\0\x01\0\0\0\x04\0\x3c\0\0\xce", 0).expect_err("a header");
        let unknown = FrameError::new(2, &[0, 60, 0, 0], FrameFault::Unknown);
        assert_eq!(error, unknown);
        assert_eq!(
            error.text(),
            "type 2, all octets = <<0,60,0,0>>: unknown_frame"
        );
    }

    #[test]
    fn an_oversized_frame_fails_at_its_seventh_octet() {
        let fault = FrameFault::TooLarge {
            size: 4097,
            max: 4088,
        };
        let error = FrameError::new(3, &[], fault);
        assert_eq!(cut(&[3, 0, 1, 0, 0, 0x10, 0x01], 4096), Err(error.clone()));
        assert_eq!(cut(&[3, 0, 1, 0, 0, 0x10, 0x00], 4096), Ok(Cut::Incomplete));
        assert_eq!(cut(&[3, 0, 1, 255, 255, 255, 255], 0), Ok(Cut::Incomplete));
        assert_eq!(
            error.text(),
            "type 3, all octets = <<>>: {frame_too_large,4097,4088}"
        );
    }

    #[test]
    fn a_wrong_end_octet_is_told_with_the_payload() {
        let error = cut(b"\x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\0", 4096).expect_err("end 0");
        assert_eq!(
            error.text(),
            "type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,0}"
        );
    }

    #[test]
    fn the_protocol_header_is_recognised_octet_by_octet() {
        for end in 0..8 {
            assert_eq!(protocol_header(&PROTOCOL_HEADER[..end]), Ok(None), "{end}");
        }
        assert_eq!(protocol_header(&PROTOCOL_HEADER), Ok(Some(8)));
        assert_eq!(protocol_header(b"AMQP\x00\x00\x09\x01\x01"), Ok(Some(8)));
        assert_eq!(protocol_header(b"AMQP\x01\x01\x00\x09"), Ok(Some(8)));
    }

    #[test]
    fn other_openings_are_told_apart() {
        assert_eq!(
            protocol_header(b"AMQP\x00\x01\x00\x00"),
            Err(WrongHeader::Version([0, 1, 0, 0]))
        );
        assert_eq!(protocol_header(b"AMQP\x03\x01"), Ok(None));
        assert_eq!(protocol_header(b"GET / HTTP/1.1"), Err(WrongHeader::Http));
        assert_eq!(
            protocol_header(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
            Err(WrongHeader::Tls)
        );
        assert_eq!(protocol_header(b"x"), Err(WrongHeader::Unknown));
    }
}
