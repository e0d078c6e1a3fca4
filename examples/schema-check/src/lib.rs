//! An interceptor that lets only JSON objects pass which have the fields that they must have.

use serde_json::Value;
use warren_plugin_sdk::interceptor::{Interceptor, InterceptorOpening, Verdict};
use warren_plugin_sdk::{Message, Named};

/// What a field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    String,
    Number,
    Boolean,
    Array,
    Object,
}

impl Kind {
    fn parse(name: &str) -> Option<Kind> {
        match name {
            "string" => Some(Kind::String),
            "number" => Some(Kind::Number),
            "boolean" => Some(Kind::Boolean),
            "array" => Some(Kind::Array),
            "object" => Some(Kind::Object),
            _ => None,
        }
    }

    fn is_of(self, value: &Value) -> bool {
        match self {
            Kind::String => value.is_string(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
            Kind::Array => value.is_array(),
            Kind::Object => value.is_object(),
        }
    }
}

pub struct SchemaCheck {
    fields: Vec<(String, Kind)>,
}

impl Interceptor for SchemaCheck {
    const SUMMARY: &'static str = "Lets pass what is a JSON object with certain fields";
    const CONFIGURATION: &'static [Named] = &[Named {
        name: "fields",
        summary: "Names, each with string, number, boolean, array or object",
    }];

    fn open(opening: &InterceptorOpening) -> Result<Self, String> {
        let configuration: Value =
            serde_json::from_str(opening.configuration).map_err(|error| error.to_string())?;
        let fields = configuration.get("fields").and_then(Value::as_object);
        let fields = fields.into_iter().flatten().map(|(name, kind)| {
            let kind = kind.as_str().and_then(Kind::parse);
            let kind = kind.ok_or_else(|| format!("field '{name}' has no known type"))?;
            Ok((name.clone(), kind))
        });
        Ok(SchemaCheck {
            fields: fields.collect::<Result<_, String>>()?,
        })
    }

    fn before_route(&mut self, message: &Message) -> Verdict {
        let Ok(Value::Object(body)) = serde_json::from_slice(&message.body(..)) else {
            return Verdict::reject("the body is no JSON object");
        };
        for (name, kind) in &self.fields {
            match body.get(name) {
                Some(value) if kind.is_of(value) => {}
                Some(_) => return Verdict::reject(format!("field '{name}' is of another type")),
                None => return Verdict::reject(format!("field '{name}' is missing")),
            }
        }
        Verdict::Pass
    }
}

warren_plugin_sdk::export_interceptor!(SchemaCheck);

#[cfg(test)]
mod tests {
    use warren_plugin_sdk::bench::{Front, TestMessage};

    use super::*;

    const ORDER: &str = r#"{"fields": {"id": "number", "to": "string"}}"#;

    #[test]
    fn what_lacks_a_field_or_is_no_object_is_refused_with_the_reason() {
        let mut front = Front::<SchemaCheck>::open(ORDER).expect("opens");
        let mut verdict = |body: &[u8]| front.before_route(&TestMessage::new("k").body(body));
        assert_eq!(
            verdict(br#"{"id": 1, "to": "x", "more": true}"#),
            Verdict::Pass
        );
        let refused = |text: &str| Verdict::reject(text);
        assert_eq!(verdict(b"[1]"), refused("the body is no JSON object"));
        assert_eq!(verdict(br#"{"id": 1}"#), refused("field 'to' is missing"));
        let text = "field 'id' is of another type";
        assert_eq!(verdict(br#"{"id": "1", "to": "x"}"#), refused(text));
    }

    #[test]
    fn a_type_that_nobody_knows_refuses_to_open() {
        let opened = Front::<SchemaCheck>::open(r#"{"fields": {"id": "date"}}"#);
        assert_eq!(
            opened.err().as_deref(),
            Some("field 'id' has no known type")
        );
    }
}
