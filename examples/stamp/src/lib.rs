//! An interceptor that writes the time of arrival into a header of every message.

use warren_plugin_sdk::interceptor::{Interceptor, InterceptorOpening, Verdict};
use warren_plugin_sdk::{Host, Message, Named};

pub struct Stamp {
    header: String,
    overwrite: bool,
    host: Host,
}

impl Interceptor for Stamp {
    const SUMMARY: &'static str = "Writes the time of arrival into a header";
    const CONFIGURATION: &'static [Named] = &[
        Named {
            name: "header",
            summary: "The header with the time, in milliseconds since 1970",
        },
        Named {
            name: "overwrite",
            summary: "Whether a header of that name that a publisher has set goes",
        },
    ];

    fn open(opening: &InterceptorOpening) -> Result<Self, String> {
        let configuration: serde_json::Value =
            serde_json::from_str(opening.configuration).map_err(|error| error.to_string())?;
        let header = configuration.get("header").and_then(|name| name.as_str());
        let overwrite = configuration
            .get("overwrite")
            .and_then(|flag| flag.as_bool());
        Ok(Stamp {
            header: header.unwrap_or("x-received-at").to_owned(),
            overwrite: overwrite.unwrap_or(true),
            host: opening.host.clone(),
        })
    }

    fn before_route(&mut self, message: &Message) -> Verdict {
        if !self.overwrite && message.header(&self.header).is_some() {
            return Verdict::Pass;
        }
        let now = i64::try_from(self.host.now()).unwrap_or(i64::MAX);
        Verdict::stamp(&self.header, now)
    }
}

warren_plugin_sdk::export_interceptor!(Stamp);

#[cfg(test)]
mod tests {
    use warren_plugin_sdk::bench::{Front, TestMessage};

    use super::*;

    #[test]
    fn every_message_gets_the_time() {
        let mut front = Front::<Stamp>::open("{}").expect("opens");
        front.set_now(1_700_000_000_000);
        let verdict = front.before_route(&TestMessage::new("k"));
        assert_eq!(
            verdict,
            Verdict::stamp("x-received-at", 1_700_000_000_000i64)
        );
    }

    #[test]
    fn a_publishers_own_header_stays_where_that_is_wanted() {
        let configuration = r#"{"overwrite": false, "header": "at"}"#;
        let mut front = Front::<Stamp>::open(configuration).expect("opens");
        let own = TestMessage::new("k").header("at", 1i64);
        assert_eq!(front.before_route(&own), Verdict::Pass);
    }
}
