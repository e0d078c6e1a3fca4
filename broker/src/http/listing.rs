//! Lists as RabbitMQ gives them: sorted, cut into pages, with the columns that were asked for.

use std::cmp::Ordering;

use regex::RegexBuilder;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Handled, Outcome};
use super::request::Request;

const PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 500;

/// A pattern that is larger once compiled is refused.
const PATTERN_BYTES: usize = 256 * 1024;

struct Page {
    number: usize,
    size: usize,
}

/// A list of things with names. What a page does not show is not put together.
pub(super) fn listed<T>(
    call: &Call,
    items: Vec<T>,
    name: impl Fn(&T) -> &str,
    show: impl Fn(&T) -> Value,
) -> Handled {
    let request = &call.request;
    let page = page(request)?;
    let sort = request.query("sort").filter(|sort| !sort.is_empty());
    let Some(page) = page else {
        let mut rows: Vec<Value> = items.iter().map(show).collect();
        if let Some(sort) = sort {
            sort_by(&mut rows, sort, request.says("sort_reverse"));
        }
        let rows = rows.into_iter().map(|row| columns(request, row));
        return Ok(Outcome::Now(Answer::json(&Value::Array(rows.collect()))));
    };
    let total = items.len();
    let items = filtered(request, items, name)?;
    let filtered = items.len();
    let pages = filtered.div_ceil(page.size).max(1);
    if page.number > pages {
        let Page { number, size } = page;
        let reason =
            format!("Page out of range, page: {number} page size: {size}, len: {filtered}");
        return Err(Failure::Other(
            400,
            json!({"error": "page_out_of_range", "reason": reason}),
        ));
    }
    let from = (page.number - 1) * page.size;
    let rows: Vec<Value> = match sort {
        None => items.iter().skip(from).take(page.size).map(show).collect(),
        Some(sort) => {
            let mut rows: Vec<Value> = items.iter().map(show).collect();
            sort_by(&mut rows, sort, request.says("sort_reverse"));
            rows.into_iter().skip(from).take(page.size).collect()
        }
    };
    let rows: Vec<Value> = rows.into_iter().map(|row| columns(request, row)).collect();
    Ok(Outcome::Now(Answer::json(&json!({
        "filtered_count": filtered,
        "item_count": rows.len(),
        "page": page.number,
        "page_count": pages,
        "page_size": page.size,
        "total_count": total,
        "items": rows,
    }))))
}

/// A list of objects that is not cut into pages.
pub(super) fn all(call: &Call, rows: Vec<Value>) -> Handled {
    listed(
        call,
        rows,
        |row| row.get("name").and_then(Value::as_str).unwrap_or_default(),
        Value::clone,
    )
}

/// One object, with the columns that were asked for.
pub(super) fn one(call: &Call, row: Value) -> Handled {
    let row = columns(&call.request, row);
    Ok(Outcome::Now(Answer::json(&row)))
}

fn page(request: &Request) -> Result<Option<Page>, Failure> {
    let Some(number) = request.query("page") else {
        return Ok(None);
    };
    let size = request.query("page_size");
    let wrong = || {
        let size = size.unwrap_or("undefined");
        let reason =
            format!("Invalid pagination parameters: page number {number}, page size {size}");
        let error = "invalid_pagination_parameters";
        Failure::Other(400, json!({"error": error, "reason": reason}))
    };
    let page = Page {
        number: number.parse().map_err(|_| wrong())?,
        size: match size {
            None => PAGE_SIZE,
            Some(size) => size.parse().map_err(|_| wrong())?,
        },
    };
    match page {
        Page { number: 0, .. } | Page { size: 0, .. } => Err(wrong()),
        Page { size, .. } if size > MAX_PAGE_SIZE => Err(wrong()),
        page => Ok(Some(page)),
    }
}

fn filtered<T>(
    request: &Request,
    mut items: Vec<T>,
    name: impl Fn(&T) -> &str,
) -> Result<Vec<T>, Failure> {
    let Some(wanted) = request.query("name").filter(|wanted| !wanted.is_empty()) else {
        return Ok(items);
    };
    if request.says("use_regex") {
        let pattern = RegexBuilder::new(wanted)
            .case_insensitive(true)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .build();
        let pattern = pattern.map_err(|error| Failure::bad(error.to_string()))?;
        items.retain(|item| pattern.is_match(name(item)));
    } else {
        let wanted = wanted.to_lowercase();
        items.retain(|item| name(item).to_lowercase().contains(&wanted));
    }
    Ok(items)
}

/// `a.b` is the field b of the object a.
fn field<'a>(row: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(row, |row, name| row.get(name))
}

fn sort_by(rows: &mut [Value], path: &str, reverse: bool) {
    rows.sort_by(|a, b| {
        let order = compare(field(a, path), field(b, path));
        if reverse { order.reverse() } else { order }
    });
}

/// Erlang's order of types: numbers, words, texts.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    fn rank(value: Option<&Value>) -> u8 {
        match value {
            None | Some(Value::Null) => 0,
            Some(Value::Number(_)) => 1,
            Some(Value::Bool(_)) => 2,
            Some(Value::Object(_)) => 3,
            Some(Value::Array(_)) => 4,
            Some(Value::String(_)) => 5,
        }
    }
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            a.total_cmp(&b)
        }
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn columns(request: &Request, row: Value) -> Value {
    let wanted = request.query("columns").filter(|wanted| !wanted.is_empty());
    let (Some(wanted), Value::Object(_)) = (wanted, &row) else {
        return row;
    };
    let mut kept = Value::Object(Map::new());
    for path in wanted.split(',') {
        if let Some(value) = field(&row, path) {
            put(&mut kept, path, value.clone());
        }
    }
    kept
}

fn put(into: &mut Value, path: &str, value: Value) {
    let Value::Object(map) = into else { return };
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = map
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            put(inner, rest, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{Method, Peer};

    fn request(target: &str) -> Request {
        Request::new(Method::Get, target, Vec::new(), Peer::nearby())
    }

    #[test]
    fn columns_may_be_fields_of_fields() {
        let row = json!({"name": "q", "m": {"rate": 1.0, "x": 2}, "other": 3});
        let kept = columns(&request("/?columns=name,m.rate,nothing"), row);
        assert_eq!(kept, json!({"name": "q", "m": {"rate": 1.0}}));
    }

    #[test]
    fn what_has_no_such_field_comes_first() {
        let mut rows = vec![
            json!({"a": "x"}),
            json!({"a": 10}),
            json!({}),
            json!({"a": 9}),
        ];
        sort_by(&mut rows, "a", false);
        assert_eq!(
            rows,
            [
                json!({}),
                json!({"a": 9}),
                json!({"a": 10}),
                json!({"a": "x"})
            ]
        );
    }

    #[test]
    fn pages_are_numbers_from_one_and_not_too_large() {
        assert!(page(&request("/")).unwrap().is_none());
        for wrong in [
            "/?page=0",
            "/?page=x",
            "/?page=1&page_size=501",
            "/?page=1&page_size=0",
        ] {
            assert!(page(&request(wrong)).is_err(), "{wrong}");
        }
        let found = page(&request("/?page=2&page_size=500")).unwrap().unwrap();
        assert_eq!((found.number, found.size), (2, 500));
    }

    #[test]
    fn a_pattern_that_would_explode_is_refused() {
        let names = vec!["alpha".to_owned(), "beta".to_owned()];
        let by = |target| filtered(&request(target), names.clone(), String::as_str);
        assert_eq!(by("/?name=ALP").unwrap(), ["alpha"]);
        assert_eq!(by("/?name=%5Eb.*a%24&use_regex=true").unwrap(), ["beta"]);
        assert!(by("/?name=((a%7B200%7D)%7B200%7D)%7B200%7D&use_regex=true").is_err());
    }
}
