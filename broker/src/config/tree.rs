//! The configuration before it has a meaning: what the file, the environment and the command line
//! say, laid over each other, each value with where it came from. Knows no key.

use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Problem};

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File { name: String, line: usize },
    Variable(String),
    CommandLine(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line } => write!(formatter, "{name}:{line}"),
            Origin::Variable(name) => write!(formatter, "environment variable {name}"),
            Origin::CommandLine(text) => write!(formatter, "--set {text}"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub node: Node,
    pub origin: Origin,
}

pub type Entries = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
pub enum Node {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Entry>),
    Table(Entries),
    /// From the environment or the command line, where everything is text: the reader of the value
    /// decides what it stands for.
    Raw(String),
}

impl Node {
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Text(_) | Node::Raw(_) => "text",
            Node::Integer(_) => "an integer",
            Node::Float(_) => "a number",
            Node::Boolean(_) => "a boolean",
            Node::Array(_) => "a list",
            Node::Table(_) => "a table",
        }
    }

    /// As JSON, for what is handed on as it is.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Node::Text(text) => text.as_str().into(),
            Node::Integer(number) => (*number).into(),
            Node::Float(number) => (*number).into(),
            Node::Boolean(value) => (*value).into(),
            Node::Array(entries) => entries.iter().map(|entry| entry.node.to_json()).collect(),
            Node::Table(entries) => entries
                .iter()
                .map(|(key, entry)| (key.clone(), entry.node.to_json()))
                .collect(),
            Node::Raw(text) => match parse_value(text) {
                Some(node) => node.to_json(),
                None => text.as_str().into(),
            },
        }
    }
}

/// A TOML value out of raw text, such as a list or an inline table.
pub fn parse_value(text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let file = File {
        name: String::new(),
        text,
    };
    convert(value.into_inner(), &file).ok()
}

struct File<'a> {
    name: String,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        Origin::File {
            name: self.name.clone(),
            line: before.iter().filter(|octet| **octet == b'\n').count() + 1,
        }
    }
}

pub fn parse_file(name: &str, text: &str) -> Result<Entries, ConfigError> {
    let file = File {
        name: name.to_owned(),
        text,
    };
    match DeTable::parse(text) {
        Ok(table) => entries(table.into_inner(), &file).map_err(ConfigError::one),
        Err(error) => Err(ConfigError::one(Problem {
            origin: Some(file.origin(error.span().map_or(0, |span| span.start))),
            key: String::new(),
            text: error.message().to_owned(),
        })),
    }
}

fn entries(table: DeTable<'_>, file: &File<'_>) -> Result<Entries, Problem> {
    table
        .into_iter()
        .map(|(key, value)| {
            let entry = entry(key.span().start, value, file)?;
            Ok((key.into_inner().into_owned(), entry))
        })
        .collect()
}

fn entry(offset: usize, value: Spanned<DeValue<'_>>, file: &File<'_>) -> Result<Entry, Problem> {
    let origin = file.origin(offset);
    match convert(value.into_inner(), file) {
        Ok(node) => Ok(Entry { node, origin }),
        Err(problem) => Err(Problem {
            origin: problem.origin.or(Some(origin)),
            ..problem
        }),
    }
}

fn convert(value: DeValue<'_>, file: &File<'_>) -> Result<Node, Problem> {
    let unusable = |text: String| Problem {
        origin: None,
        key: String::new(),
        text,
    };
    Ok(match value {
        DeValue::String(text) => Node::Text(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Node::Integer)
            .map_err(|_| unusable(format!("{number} is too large")))?,
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map(Node::Float)
            .map_err(|_| unusable(format!("{number} is not a number")))?,
        DeValue::Boolean(value) => Node::Boolean(value),
        DeValue::Datetime(time) => Node::Text(time.to_string()),
        DeValue::Array(values) => Node::Array(
            values
                .into_iter()
                .map(|value| entry(value.span().start, value, file))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => Node::Table(entries(table, file)?),
    })
}

/// Lays one value over what is there, making the tables on the way.
pub fn lay_over(entries: &mut Entries, path: &[String], raw: &str, origin: &Origin) {
    let Some((last, tables)) = path.split_last() else {
        return;
    };
    let mut entries = entries;
    for key in tables {
        let entry = entries.entry(key.clone()).or_insert_with(|| Entry {
            node: Node::Table(Entries::new()),
            origin: origin.clone(),
        });
        if !matches!(entry.node, Node::Table(_)) {
            entry.node = Node::Table(Entries::new());
        }
        let Node::Table(inner) = &mut entry.node else {
            return;
        };
        entries = inner;
    }
    entries.insert(
        last.clone(),
        Entry {
            node: Node::Raw(raw.to_owned()),
            origin: origin.clone(),
        },
    );
}
