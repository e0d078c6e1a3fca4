//! Any octets: cut into frames, methods parsed. What parses is written and parses again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::amqp::frame::{Cut, FRAME_OVERHEAD, FrameKind, cut, protocol_header};
use warren::amqp::method::{self, Method};
use warren::amqp::write;

fuzz_target!(|buffer: &[u8]| {
    let _ = protocol_header(buffer);
    let mut rest = buffer;
    while let Ok(Cut::Frame { frame, length }) = cut(rest, 131_072) {
        assert_eq!(length, frame.payload.len() + FRAME_OVERHEAD);
        if frame.kind == FrameKind::Method
            && let Ok(Method::Other(class)) = method::parse(frame.payload)
        {
            let mut again = Vec::new();
            write::method(&mut again, frame.channel, *class);
            let Ok(Cut::Frame { frame, .. }) = cut(&again, 0) else {
                panic!("what was written cannot be cut");
            };
            assert!(method::parse(frame.payload).is_ok());
        }
        rest = &rest[length..];
    }
});
