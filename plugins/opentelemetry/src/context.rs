//! Which trace a message belongs to: W3C Trace Context, level 1, in its headers; or a trace of its own,
//! which its id makes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use warren_plugin_sdk::tracer::Message;
use warren_plugin_sdk::{Properties, Value};

/// Of a body, for what tells messages of one producer's span apart.
pub const MOST_OF_BODY: u32 = 64;

/// W3C has vendors keep 512 characters of it.
const MOST_OF_STATE: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub trace: u128,
    pub parent: Parent,
    /// The header `tracestate`, where it fits.
    pub state: Option<String>,
    sampled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// The producer's span, as its message says.
    Span(u64),
    /// It says nothing: its publish is where the trace begins.
    None,
}

impl Context {
    /// None: nothing tells this message's deliveries from those of others.
    pub fn of(vhost: &str, message: &Message) -> Option<Context> {
        let properties = Properties(&message.properties);
        let headers = properties.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.as_str());
        if let Some((trace, span, flags)) = text("traceparent").and_then(parse) {
            let state = text("tracestate").filter(|state| state.len() <= MOST_OF_STATE);
            return Some(Context {
                trace,
                parent: Parent::Span(span),
                state: state.map(str::to_owned),
                sampled: flags & 1 == 1,
            });
        }
        let Some(Value::LongString(id)) = properties.get("message_id") else {
            return None;
        };
        let half = |seed: u64| hashed(|hasher| (seed, vhost, &message.exchange, id).hash(hasher));
        Some(Context {
            trace: (u128::from(half(1)) << 64) | u128::from(half(2)),
            parent: Parent::None,
            state: None,
            sampled: true,
        })
    }

    /// Whether the producer wants it told of, and it is in the share that we do.
    pub fn is_sampled(&self, ratio: f64) -> bool {
        // The lower half of an id is random, of which 53 bits are exact in a float.
        let place = (self.trace as u64 >> 11) as f64 / (1_u64 << 53) as f64;
        self.sampled && place < ratio
    }

    /// The span of this message's publish, worked out from what publish and delivery both know:
    /// nothing has to be remembered while it waits.
    pub fn publish_span(&self, message: &Message, start: &[u8]) -> u64 {
        let properties = Properties(&message.properties);
        hashed(|hasher| {
            self.trace.hash(hasher);
            if let Parent::Span(span) = self.parent {
                span.hash(hasher);
            }
            (&message.exchange, message.routing_keys.first()).hash(hasher);
            for name in ["message_id", "correlation_id"] {
                if let Some(Value::LongString(text)) = properties.get(name) {
                    text.hash(hasher);
                }
            }
            if let Some(Value::Timestamp(seconds)) = properties.get("timestamp") {
                seconds.hash(hasher);
            }
            (message.body_length, start).hash(hasher);
        })
    }
}

/// Zero is no id.
pub fn hashed(with: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    with(&mut hasher);
    hasher.finish().max(1)
}

/// Trace, span and flags of a `traceparent`.
fn parse(text: &str) -> Option<(u128, u64, u8)> {
    let mut fields = text.split('-');
    let (version, trace) = (hex(fields.next()?, 2)?, hex(fields.next()?, 32)?);
    let (span, flags) = (hex(fields.next()?, 16)?, hex(fields.next()?, 2)?);
    // A later version may have more fields; 255 is none.
    let fits = match version {
        0 => fields.next().is_none(),
        255 => false,
        _ => true,
    };
    let valid = fits && trace != 0 && span != 0;
    valid.then_some((trace, u64::try_from(span).ok()?, u8::try_from(flags).ok()?))
}

fn hex(text: &str, length: usize) -> Option<u128> {
    let is_digit = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
    let fits = text.len() == length && text.bytes().all(is_digit);
    fits.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_one_or_none() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let good = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(
            parse(&good),
            Some((
                0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
                0xb7ad_6b71_6920_3331,
                1
            ))
        );
        assert!(parse(&format!("cc-{trace}-b7ad6b7169203331-00-what")).is_some());
        for bad in [
            "",
            "00",
            &format!("ff-{trace}-b7ad6b7169203331-01"),
            &format!("00-{trace}-b7ad6b7169203331-01-more"),
            &format!("00-{trace}-0000000000000000-01"),
            &format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            &good.to_uppercase(),
            &good[1..],
            &good[..54],
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_a_share_of_the_traces_and_the_same_ones_each_time() {
        let sampled = |ratio: f64| {
            let traces = (0..10_000_u64).map(|seed| Context {
                trace: u128::from(hashed(|hasher| seed.hash(hasher))),
                parent: Parent::None,
                state: None,
                sampled: true,
            });
            traces.filter(|context| context.is_sampled(ratio)).count()
        };
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 10_000));
        assert!((2_300..2_700).contains(&sampled(0.25)), "{}", sampled(0.25));
        assert_eq!(sampled(0.25), sampled(0.25));
    }
}
