//! An interceptor that bounds what is published to an exchange: each message, and each second.

use warren_plugin_sdk::interceptor::{Interceptor, InterceptorOpening, Verdict};
use warren_plugin_sdk::{Host, Message, Named};

const SECOND: u64 = 1000;

pub struct SizeQuota {
    message_bytes: u64,
    bytes_per_second: u64,
    /// When the second that is counted began.
    since: u64,
    used: u64,
    host: Host,
}

impl Interceptor for SizeQuota {
    const SUMMARY: &'static str = "Bounds the bytes of a message, and those of a second";
    const CONFIGURATION: &'static [Named] = &[
        Named {
            name: "message_bytes",
            summary: "A message may have so many",
        },
        Named {
            name: "bytes_per_second",
            summary: "All messages to one exchange together",
        },
    ];

    fn open(opening: &InterceptorOpening) -> Result<Self, String> {
        let configuration: serde_json::Value =
            serde_json::from_str(opening.configuration).map_err(|error| error.to_string())?;
        let bound = |name: &str, otherwise: u64| {
            let found = configuration.get(name).and_then(|bound| bound.as_u64());
            found.unwrap_or(otherwise)
        };
        Ok(SizeQuota {
            message_bytes: bound("message_bytes", 1 << 20),
            bytes_per_second: bound("bytes_per_second", 64 << 20),
            since: 0,
            used: 0,
            host: opening.host.clone(),
        })
    }

    fn before_route(&mut self, message: &Message) -> Verdict {
        let size = message.body_length();
        if size > self.message_bytes {
            let most = self.message_bytes;
            return Verdict::reject(format!("message of {size} bytes; {most} are allowed"));
        }
        let now = self.host.now();
        // The clock may have been set back.
        if now < self.since || now - self.since >= SECOND {
            self.since = now;
            self.used = 0;
        }
        if self.used + size > self.bytes_per_second {
            let most = self.bytes_per_second;
            return Verdict::reject(format!("more than {most} bytes in a second"));
        }
        self.used += size;
        Verdict::Pass
    }
}

warren_plugin_sdk::export_interceptor!(SizeQuota);

#[cfg(test)]
mod tests {
    use warren_plugin_sdk::bench::{Front, TestMessage};

    use super::*;

    #[test]
    fn a_message_that_is_too_large_is_refused() {
        let mut front = Front::<SizeQuota>::open(r#"{"message_bytes": 4}"#).expect("opens");
        let fits = TestMessage::new("k").body(b"1234");
        assert_eq!(front.before_route(&fits), Verdict::Pass);
        let large = TestMessage::new("k").body(b"12345");
        let expected = Verdict::reject("message of 5 bytes; 4 are allowed");
        assert_eq!(front.before_route(&large), expected);
    }

    #[test]
    fn a_second_has_room_for_so_much() {
        let mut front = Front::<SizeQuota>::open(r#"{"bytes_per_second": 8}"#).expect("opens");
        front.set_now(5000);
        let message = TestMessage::new("k").body(b"12345");
        assert_eq!(front.before_route(&message), Verdict::Pass);
        let refused = Verdict::reject("more than 8 bytes in a second");
        assert_eq!(front.before_route(&message), refused);
        front.set_now(6000);
        assert_eq!(front.before_route(&message), Verdict::Pass);
    }
}
