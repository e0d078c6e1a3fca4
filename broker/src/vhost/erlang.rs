//! Values as RabbitMQ prints them in its error texts, which clients and tools compare. Not a format
//! that anything is read from.

use serde_json::{Map, Value};

/// A JSON value as an Erlang term.
pub(super) fn term(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => binary(text),
        Value::Array(values) => list(values.iter().map(term)),
        Value::Object(entries) => proplist(entries.iter()),
    }
}

pub(super) fn binary(text: &str) -> String {
    format!("<<\"{}\">>", escaped(text))
}

pub(super) fn proplist<'a>(entries: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    list(entries.map(|(key, value)| format!("{{{},{}}}", binary(key), term(value))))
}

/// All pairs of a table, keys in their order.
pub(super) fn pairs(entries: &Map<String, Value>, keys: &[&String]) -> String {
    let chosen = entries.iter().filter(|(key, _)| keys.contains(key));
    proplist(chosen)
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// What is wrong with a regular expression, and where: Erlang's words are those of another library.
pub(super) fn regex_error(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let what = escaped(last.trim_start_matches("error: "));
    format!("{{\"{what}\",0}}")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<String>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_look_as_erlang_prints_them() {
        let value = serde_json::json!({"a": 1, "b": "x\"y", "c": [true, null, 1.5]});
        assert_eq!(
            term(&value),
            r#"[{<<"a">>,1},{<<"b">>,<<"x\"y">>},{<<"c">>,[true,null,1.5]}]"#
        );
    }
}
