//! Keeps the house as `broker/ARCHITECTURE.md` draws it: imports run down the floors, what belongs
//! into one room stays there, files and functions stay short, no file is dead.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use source::{Module, code_of, functions, line_of, modules, rooms_named, test_code, words};

/// The floors, as `broker/ARCHITECTURE.md` draws them.
const FLOORS: [(&str, u8); 29] = [
    ("amqp", 0),
    ("client", 1),
    ("web", 1),
    ("error", 1),
    ("message", 1),
    ("names", 1),
    ("nearer", 1),
    ("outbox", 1),
    ("clock", 1),
    ("confirms", 1),
    ("protection", 1),
    ("trace", 1),
    ("tally", 1),
    ("store", 2),
    ("queue", 3),
    ("vhost", 4),
    ("auth", 5),
    ("session", 5),
    ("plugin", 5),
    ("tls", 5),
    ("net", 6),
    ("http", 6),
    ("config", 7),
    ("server", 7),
    ("cli", 7),
    ("perf", 7),
    ("ctl", 7),
    ("plugin_command", 7),
    ("main", 7),
];

/// Whose files may know each other: single files that together are a floor.
const OPEN_FLOORS: [u8; 2] = [1, 7];

/// The one import between rooms of one floor.
const NEIGHBOURS: [(&str, &str); 1] = [("session", "auth")];

/// Crates that only one room knows.
const ONLY_IN: [(&str, &str); 4] = [
    ("wasmtime", "plugin"),
    ("fjall", "store"),
    ("tokio_rustls", "tls"),
    ("x509_cert", "protection"),
];

/// Rooms that do not wait.
const WITHOUT_TOKIO: [&str; 3] = ["amqp", "queue", "store"];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 4] = ["util", "common", "manager", "helper"];

struct File {
    path: PathBuf,
    /// Below `src`, for messages.
    name: String,
    source: String,
    code: String,
    /// All of it, when the module itself is behind `#[cfg(test)]`.
    tests: Vec<Range<usize>>,
}

impl File {
    /// Of `store/row.rs` as of `store.rs`: store.
    fn room(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    fn place(&self, at: usize) -> String {
        format!("broker/src/{}:{}", self.name, line_of(&self.code, at))
    }

    fn modules(&self) -> Vec<Module<'_>> {
        modules(&self.source, &self.code)
    }

    fn is_test_only(&self) -> bool {
        self.tests.contains(&(0..self.code.len()))
    }

    /// Lines outside test code.
    fn lines(&self) -> usize {
        let lines = |code: &str| code.matches('\n').count();
        let tests = self
            .tests
            .iter()
            .map(|range| lines(&self.code[range.clone()]));
        lines(&self.code).saturating_sub(tests.sum())
    }

    /// Where the files of its modules are.
    fn folder(&self) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        match self.path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") | None => folder,
            Some(stem) => folder.join(stem),
        }
    }
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../broker/src")
}

fn paths(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("broker/src") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(paths(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
    found
}

fn read(path: &Path, is_test: bool) -> File {
    let source = std::fs::read_to_string(path).expect("source");
    let code = code_of(&source);
    let tests = match is_test {
        true => std::iter::once(0..code.len()).collect(),
        false => test_code(&code),
    };
    let name = path.strip_prefix(source_folder()).expect("below src");
    File {
        path: path.to_owned(),
        name: name.display().to_string(),
        source,
        code,
        tests,
    }
}

/// The files that a build reads, and nothing else.
fn reachable() -> BTreeMap<PathBuf, File> {
    let mut files = BTreeMap::new();
    let roots = ["lib.rs", "main.rs"].map(|root| (source_folder().join(root), false));
    let mut open = Vec::from(roots);
    while let Some((path, is_test)) = open.pop() {
        let file = read(&path, is_test);
        for module in file.modules() {
            let Some(declared) = module.file else {
                continue;
            };
            let below = file.folder().join(module.name);
            let beside = file.path.with_file_name(declared.path.unwrap_or_default());
            let candidates = match declared.path {
                Some(_) => vec![beside],
                None => vec![below.with_extension("rs"), below.join("mod.rs")],
            };
            if let Some(found) = candidates.into_iter().find(|path| path.is_file()) {
                open.push((found, is_test || declared.is_test));
            }
        }
        files.insert(path, file);
    }
    files
}

#[track_caller]
fn nothing(violations: Vec<String>) {
    let count = violations.len();
    assert!(count == 0, "{count} found:\n{}", violations.join("\n"));
}

fn floor(room: &str) -> Option<u8> {
    let found = FLOORS.iter().find(|(name, _)| *name == room);
    found.map(|(_, floor)| *floor)
}

fn may_import(room: &str, other: &str) -> bool {
    let (Some(from), Some(to)) = (floor(room), floor(other)) else {
        return false;
    };
    let neighbours = NEIGHBOURS.contains(&(room, other));
    room == other || to < from || neighbours || (to == from && OPEN_FLOORS.contains(&from))
}

#[test]
fn imports_run_down_the_floors() {
    let mut violations = Vec::new();
    for file in reachable().values().filter(|file| file.name != "lib.rs") {
        let room = file.room();
        if floor(room).is_none() {
            violations.push(format!("{}: {room} is on no floor", file.place(0)));
            continue;
        }
        for (at, other) in rooms_named(&file.code) {
            if !may_import(room, other) {
                violations.push(format!("{}: {room} knows {other}", file.place(at)));
            }
        }
    }
    nothing(violations);
}

#[test]
fn each_large_crate_is_known_to_its_room_alone() {
    let mut violations = Vec::new();
    for file in reachable().values() {
        let forbidden = |word: &str| {
            let only = ONLY_IN.iter().any(|(name, room)| {
                let same = word == *name || word.starts_with(&format!("{name}_"));
                same && file.room() != *room
            });
            only || (word == "tokio" && WITHOUT_TOKIO.contains(&file.room()))
        };
        for (at, word) in words(&file.code).filter(|(_, word)| forbidden(word)) {
            violations.push(format!("{}: {} knows {word}", file.place(at), file.room()));
        }
    }
    nothing(violations);
}

#[test]
fn files_and_functions_are_short() {
    let files = reachable();
    let files: Vec<&File> = files.values().filter(|file| !file.is_test_only()).collect();
    let mut violations = Vec::new();
    let mut file_lines = Vec::new();
    let mut function_lines = Vec::new();
    for file in &files {
        let lines = file.lines();
        if lines > FILE_LINES {
            violations.push(format!("{}: {lines} lines", file.place(0)));
        }
        file_lines.push((lines, file.name.clone()));
        for function in functions(&file.code, &file.tests) {
            let name = format!("{}:{} {}", file.name, function.line, function.name);
            if function.lines > FUNCTION_LINES {
                violations.push(format!("broker/src/{name}: {} lines", function.lines));
            }
            function_lines.push((function.lines, name));
        }
    }
    figures("file", file_lines);
    figures("function", function_lines);
    nothing(violations);
}

fn figures(what: &str, mut lengths: Vec<(usize, String)>) {
    lengths.sort();
    let at = |share: usize| {
        lengths
            .get(lengths.len() * share / 100)
            .map_or(0, |found| found.0)
    };
    println!(
        "{} {what}s: median {} lines, nine in ten at most {}; the longest:",
        lengths.len(),
        at(50),
        at(90)
    );
    for (lines, name) in lengths.iter().rev().take(5) {
        println!("  {lines} {name}");
    }
}

#[test]
fn every_file_is_part_of_the_build() {
    let reachable = reachable();
    let dead = paths(&source_folder())
        .into_iter()
        .filter(|path| !reachable.contains_key(path));
    let dead = dead.map(|path| read(&path, false).place(0));
    nothing(dead.collect());
}

#[test]
fn names_say_what_a_module_is() {
    let empty = |name: &str| {
        let mut parts = name.split(['_', '-']);
        parts.any(|part| EMPTY_NAMES.contains(&part.trim_end_matches('s')))
    };
    let mut violations = Vec::new();
    for file in reachable().values() {
        let parts = file.name.split('/');
        let parts = parts.map(|part| part.trim_end_matches(".rs"));
        let inner = file.modules().into_iter().map(|module| module.name);
        for name in parts.chain(inner).filter(|name| empty(name)) {
            violations.push(format!("broker/src/{}: {name}", file.name));
        }
    }
    nothing(violations);
}
