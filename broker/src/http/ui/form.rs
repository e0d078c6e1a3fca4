//! What a form sends: names and values, and the small notations that its fields are written in.

use serde_json::{Map, Value};

use super::super::request::{Method, Request};
use super::visit::Failed;

pub(super) struct Form(Request);

impl Form {
    /// As browsers send it: like a query.
    pub fn read(request: &Request) -> Form {
        let body = String::from_utf8_lossy(&request.body);
        let target = format!("/?{body}");
        Form(Request::new(
            Method::Post,
            &target,
            Vec::new(),
            request.peer,
        ))
    }

    pub fn text(&self, name: &str) -> &str {
        self.0.query(name).unwrap_or_default()
    }

    /// All values of this name, where several boxes may be ticked.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.queries(name)
    }

    pub fn is_ticked(&self, name: &str) -> bool {
        self.0.query(name).is_some()
    }

    pub fn required(&self, name: &str) -> Result<&str, Failed> {
        match self.text(name) {
            "" => Err(Failed::wrong(format!("{name} is missing"))),
            text => Ok(text),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Failed> {
        match self.text(name).trim() {
            "" => Ok(None),
            text => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Failed::wrong(format!("{name} is no whole number"))),
            },
        }
    }

    /// A table, one `key = value` a line; or all of it as JSON.
    pub fn table(&self, name: &str) -> Result<Map<String, Value>, Failed> {
        table(self.text(name)).map_err(|text| Failed::wrong(format!("{name}: {text}")))
    }
}

/// A value is a number, true, false, a list or an object if it reads like one, and text otherwise;
/// in quotes it is text in any case.
pub(super) fn table(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let mut table = Map::new();
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty()) {
        let Some((key, value)) = line.split_once('=') else {
            return Err(format!("'{line}' is not of the form key = value"));
        };
        let value = value.trim();
        let read = serde_json::from_str(value);
        let value = read.unwrap_or_else(|_| Value::String(value.to_owned()));
        table.insert(key.trim().to_owned(), value);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Peer;
    use serde_json::json;

    #[test]
    fn a_table_is_lines_or_json() {
        let lines = "x-max-length = 10\nx-queue-mode=lazy\r\n\n a = \"7\" \nb= = ";
        let expected = json!({"x-max-length": 10, "x-queue-mode": "lazy", "a": "7", "b": "="});
        assert_eq!(table(lines).map(Value::Object), Ok(expected));
        assert_eq!(table("{\"a\": 1}").map(Value::Object), Ok(json!({"a": 1})));
        assert!(table("nonsense").is_err());
        assert!(table("{nonsense").is_err());
    }

    #[test]
    fn a_form_is_read_like_a_query() {
        let mut request = Request::new(Method::Post, "/", Vec::new(), Peer::nearby());
        request.body = b"a=1+2&b=%3Cscript%3E&tag=x&tag=y&durable=on&n=7".to_vec();
        let form = Form::read(&request);
        assert_eq!(form.text("a"), "1 2");
        assert_eq!(form.text("b"), "<script>");
        assert_eq!(form.texts("tag").collect::<Vec<_>>(), ["x", "y"]);
        assert!(form.is_ticked("durable") && !form.is_ticked("auto_delete"));
        assert!(form.required("nothing").is_err());
        assert!(matches!(form.number("n"), Ok(Some(7))));
        assert!(form.number("a").is_err());
    }
}
