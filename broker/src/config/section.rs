//! Reads the keys of one table and remembers what is wrong, so that a user sees all of it at once.
//! Which keys there are is said by whoever reads (see `config.rs`).

use super::Problem;
use super::tree::{Entries, Entry, Node, Origin};

/// What is wrong so far.
#[derive(Default)]
pub struct Problems {
    pub list: Vec<Problem>,
    pub unknown_variables: Vec<String>,
}

pub struct Section<'a> {
    path: String,
    entries: Entries,
    known: Vec<&'static str>,
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// `path` is empty for the file itself.
    pub fn new(path: String, entries: Entries, problems: &'a mut Problems) -> Self {
        Section {
            path,
            entries,
            known: Vec::new(),
            problems,
        }
    }

    /// Reads a key into its place, which keeps its default when the key is absent or wrong.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        place: &mut T,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) {
        if let Some(entry) = self.take(key) {
            match parse(&entry.node) {
                Ok(value) => *place = value,
                Err(text) => self.problem(key, entry.origin, text),
            }
        }
    }

    /// A key without which the table means nothing.
    pub fn require<T>(
        &mut self,
        key: &'static str,
        origin: &Origin,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        if !self.entries.contains_key(key) {
            self.known.push(key);
            self.problem(key, origin.clone(), "is missing".to_owned());
            return None;
        }
        let mut value = None;
        self.read(key, &mut value, |node| parse(node).map(Some));
        value
    }

    /// Reads a table within this one.
    pub fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>)) {
        let Some(entry) = self.take(key) else {
            return;
        };
        let path = self.path_of(key);
        self.inner(path, entry, |section, _| read(section));
    }

    /// Reads a table of tables whose names are the user's.
    pub fn named(&mut self, key: &'static str, mut read: impl FnMut(&str, &mut Section<'_>)) {
        let Some(entry) = self.take(key) else {
            return;
        };
        let path = self.path_of(key);
        let Node::Table(entries) = entry.node else {
            let text = format!("expected a table, found {}", entry.node.kind());
            return self.problem(key, entry.origin, text);
        };
        for (name, entry) in entries {
            let path = format!("{path}.{name}");
            self.inner(path, entry, |section, _| read(&name, section));
        }
    }

    /// Reads a list of tables; whether the key was there at all.
    pub fn list(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>, &Origin),
    ) -> bool {
        let Some(entry) = self.take(key) else {
            return false;
        };
        let path = self.path_of(key);
        let Node::Array(entries) = entry.node else {
            let text = format!("expected [[{path}]], found {}", entry.node.kind());
            self.problem(key, entry.origin, text);
            return true;
        };
        for (position, entry) in entries.into_iter().enumerate() {
            self.inner(format!("{path}[{position}]"), entry, &mut read);
        }
        true
    }

    pub fn problem(&mut self, key: &str, origin: Origin, text: String) {
        let key = self.path_of(key);
        self.problems.list.push(Problem {
            origin: Some(origin),
            key,
            text,
        });
    }

    /// Whatever was not read is not a key.
    pub fn finish(self) {
        for (key, entry) in self.entries {
            if let Origin::Variable(name) = entry.origin {
                self.problems.unknown_variables.push(name);
                continue;
            }
            let text = match nearest(&key, &self.known) {
                Some(known) => format!("unknown key, did you mean '{known}'?"),
                None => format!("unknown key, known here: {}", self.known.join(", ")),
            };
            self.problems.list.push(Problem {
                origin: Some(entry.origin),
                key: join(&self.path, &key),
                text,
            });
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        self.entries.remove(key)
    }

    fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn inner(&mut self, path: String, entry: Entry, read: impl FnOnce(&mut Section<'_>, &Origin)) {
        match entry.node {
            Node::Table(entries) => {
                let mut section = Section::new(path, entries, self.problems);
                read(&mut section, &entry.origin);
                section.finish();
            }
            Node::Text(_)
            | Node::Integer(_)
            | Node::Float(_)
            | Node::Boolean(_)
            | Node::Array(_)
            | Node::Raw(_) => self.problems.list.push(Problem {
                origin: Some(entry.origin),
                key: path,
                text: format!("expected a table, found {}", entry.node.kind()),
            }),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Below this a suggestion confuses more than it helps.
const ALIKE: f64 = 0.7;

fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(key, known), *known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
