//! An interceptor that refuses what is too long, and writes the length of what is not into a header.

use serde_json::Value;
use warren_plugin_sdk::interceptor::{Interceptor, InterceptorOpening, Verdict};
use warren_plugin_sdk::{Message, Named};

const LENGTH: &str = "x-length";

pub struct Gate {
    most: u64,
}

impl Interceptor for Gate {
    const SUMMARY: &'static str = "Bounds the length of messages, in Rust";
    const CONFIGURATION: &'static [Named] = &[Named {
        name: "most",
        summary: "So many bytes a message may have",
    }];

    fn open(opening: &InterceptorOpening) -> Result<Self, String> {
        let configuration: Value =
            serde_json::from_str(opening.configuration).map_err(|error| error.to_string())?;
        let most = configuration.get("most").and_then(Value::as_u64);
        let most = most.ok_or("`most` is not a number of bytes")?;
        Ok(Gate { most })
    }

    fn before_route(&mut self, message: &Message) -> Verdict {
        let length = message.body_length();
        if length > self.most {
            return Verdict::reject(format!("{length} bytes; {} are allowed", self.most));
        }
        if message.header(LENGTH).is_some() {
            return Verdict::Pass;
        }
        Verdict::stamp(LENGTH, i64::try_from(length).unwrap_or(i64::MAX))
    }
}

warren_plugin_sdk::export_interceptor!(Gate);

#[cfg(test)]
mod tests {
    use warren_plugin_sdk::bench::{Front, TestMessage};

    use super::*;

    #[test]
    fn a_message_is_refused_stamped_or_passes() {
        let mut front = Front::<Gate>::open(r#"{"most": 4}"#).expect("opens");
        let long = TestMessage::new("k").body(b"12345");
        let refused = Verdict::reject("5 bytes; 4 are allowed");
        assert_eq!(front.before_route(&long), refused);
        let short = TestMessage::new("k").body(b"1234");
        assert_eq!(front.before_route(&short), Verdict::stamp(LENGTH, 4i64));
        let known = TestMessage::new("k").header(LENGTH, 7i64);
        assert_eq!(front.before_route(&known), Verdict::Pass);
    }

    #[test]
    fn a_bound_that_is_none_does_not_open() {
        let opened = Front::<Gate>::open(r#"{"most": -1}"#);
        let text = "`most` is not a number of bytes";
        assert_eq!(opened.err().as_deref(), Some(text));
    }
}
