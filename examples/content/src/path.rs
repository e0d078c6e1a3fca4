//! The part of JSONPath that names places: `$.name`, `$['any name']`, `$[0]`, `$[-1]` and `$[*]`, one
//! behind the other. No filters and no `..`: a call has five milliseconds.

use serde_json::Value as Json;

pub struct Path(Vec<Step>);

enum Step {
    Name(String),
    /// Counted from the end where it is negative.
    Place(i64),
    Each,
}

impl Path {
    pub fn parse(text: &str) -> Result<Path, String> {
        let mut rest = text.strip_prefix('$').ok_or("it begins with $")?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| format!("cannot read '{rest}'"))?;
            steps.push(step);
            rest = after;
        }
        Ok(Path(steps))
    }

    /// Whether something that the path leads to is as asked.
    pub fn any(&self, json: &Json, asked: &dyn Fn(&Json) -> bool) -> bool {
        any(&self.0, json, asked)
    }
}

fn any(steps: &[Step], json: &Json, asked: &dyn Fn(&Json) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return asked(json);
    };
    match (step, json) {
        (Step::Name(name), Json::Object(fields)) => fields
            .get(name)
            .is_some_and(|field| any(rest, field, asked)),
        (Step::Place(place), Json::Array(items)) => {
            let from_end = items.len() as i64 + place;
            let place = if *place < 0 { from_end } else { *place };
            let item = usize::try_from(place).ok().and_then(|at| items.get(at));
            item.is_some_and(|item| any(rest, item, asked))
        }
        (Step::Each, Json::Array(items)) => items.iter().any(|item| any(rest, item, asked)),
        (Step::Each, Json::Object(fields)) => fields.values().any(|field| any(rest, field, asked)),
        (Step::Name(_) | Step::Place(_) | Step::Each, _) => false,
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(name) = text.strip_prefix('.') {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (name, rest) = name.split_at_checked(end)?;
        return match name {
            "" => None,
            "*" => Some((Step::Each, rest)),
            name => Some((Step::Name(name.to_owned()), rest)),
        };
    }
    let inner = text.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            return Some((Step::Name(name.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (inner, rest) = inner.split_once(']')?;
    match inner {
        "*" => Some((Step::Each, rest)),
        number => Some((Step::Place(number.parse().ok()?), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_to_its_places() {
        let json = json!({"a": {"b c": [{"d": 1}, {"d": 2}]}});
        let leads = |path: &str, to: i64| {
            let path = Path::parse(path).unwrap_or_else(|reason| panic!("{reason}"));
            path.any(&json, &|found| found.as_i64() == Some(to))
        };
        assert!(leads("$.a['b c'][0].d", 1) && !leads("$.a['b c'][0].d", 2));
        assert!(leads("$.a[\"b c\"][-1].d", 2) && leads("$['a'].*[1].d", 2));
        assert!(leads("$.a['b c'][*].d", 1) && leads("$.a['b c'][*].d", 2));
        assert!(!leads("$.a['b c'][7].d", 1) && !leads("$.a['b c'][-3].d", 1));
        assert!(!leads("$.a.d", 1));
    }

    #[test]
    fn what_is_no_path_is_said() {
        for wrong in ["", "a", "$a", "$.", "$..a", "$[", "$[x]", "$['a", "$[1"] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Path::parse("$").is_ok());
    }
}
