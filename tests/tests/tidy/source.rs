//! Reading Rust source as far as tidiness needs it: without comments and texts, with the places of
//! functions and of test code. Not a parser: it counts braces.

use std::ops::Range;

/// The source with comments, texts and characters blanked out: every offset and line stays.
pub fn code_of(source: &str) -> String {
    let octets = source.as_bytes();
    let mut code = octets.to_vec();
    let mut at = 0;
    while at < octets.len() {
        let end = skip(octets, at);
        if end == at {
            // Identifiers go as a whole, so that the r of `for"..."` begins no raw text.
            let word = octets[at..].iter().take_while(|octet| is_word(**octet));
            at += word.count().max(1);
            continue;
        }
        for octet in &mut code[at..end] {
            if *octet != b'\n' {
                *octet = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("blanking leaves UTF-8")
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

/// The end of the comment, text or character that begins here; `at` when none does.
fn skip(octets: &[u8], at: usize) -> usize {
    let rest = &octets[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|octet| *octet == b'\n');
        return at + length.unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment(rest);
    }
    let prefix = rest
        .iter()
        .take_while(|octet| b"brc".contains(octet))
        .count();
    let after = &rest[prefix..];
    let hashes = after.iter().take_while(|octet| **octet == b'#').count();
    let raw = rest[..prefix].contains(&b'r');
    match after.get(hashes) {
        Some(b'"') if raw => {
            let closing = [&b"\""[..], &vec![b'#'; hashes]].concat();
            let begin = prefix + hashes + 1;
            let length = rest[begin..].windows(closing.len());
            let length = length.take_while(|window| *window != closing).count();
            (at + begin + length + closing.len()).min(octets.len())
        }
        Some(b'"') if hashes == 0 => at + prefix + 1 + quoted(&after[1..], b'"'),
        Some(b'\'') if hashes == 0 && is_character(&after[1..]) => {
            at + prefix + 1 + quoted(&after[1..], b'\'')
        }
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Up to and with the closing quote.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A character and not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    match rest {
        [b'\\', ..] => true,
        [first, ..] if !first.is_ascii() => true,
        [_, second, ..] => *second == b'\'',
        _ => false,
    }
}

pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Every word with its offset.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let octets = code.as_bytes();
        while at < octets.len() && !is_word(octets[at]) {
            at += 1;
        }
        let begin = at;
        while at < octets.len() && is_word(octets[at]) {
            at += 1;
        }
        (begin < at).then(|| (begin, &code[begin..at]))
    })
}

/// From the first brace at or after `at` to the one that closes it; none for an item that ends with a
/// semicolon.
fn block(code: &str, at: usize) -> Option<Range<usize>> {
    let mut depth = 0;
    let mut begin = None;
    let mut brackets = 0;
    for (offset, octet) in code.bytes().enumerate().skip(at) {
        match octet {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if depth == 0 && brackets == 0 => return None,
            b'{' => {
                begin = begin.or(Some(offset));
                depth += 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(begin?..offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Items behind `#[cfg(test)]`, with their attribute.
pub fn test_code(code: &str) -> Vec<Range<usize>> {
    let attribute = "#[cfg(test)]";
    let begins = code.match_indices(attribute).map(|(at, _)| at);
    let items = begins.filter_map(|at| {
        let item = block(code, at + attribute.len())?;
        Some(at..item.end)
    });
    items.collect()
}

pub struct Function<'a> {
    pub name: &'a str,
    pub line: usize,
    pub lines: usize,
}

/// Functions outside test code.
pub fn functions<'a>(code: &'a str, tests: &[Range<usize>]) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    let mut words = words(code).peekable();
    while let Some((at, word)) = words.next() {
        let Some((next, name)) = words.peek().copied() else {
            break;
        };
        // `fn(` is a type.
        let named = code[at + word.len()..next]
            .bytes()
            .all(|octet| octet.is_ascii_whitespace());
        if word != "fn" || !named || tests.iter().any(|range| range.contains(&at)) {
            continue;
        }
        if let Some(body) = block(code, at) {
            let line = line_of(code, at);
            let lines = line_of(code, body.end) - line + 1;
            found.push(Function { name, line, lines });
        }
    }
    found
}

pub struct Module<'a> {
    pub name: &'a str,
    /// None for a module that stands in the same file.
    pub file: Option<ModuleFile<'a>>,
}

pub struct ModuleFile<'a> {
    /// Behind `#[cfg(test)]`.
    pub is_test: bool,
    /// Of `#[path = "..."]`.
    pub path: Option<&'a str>,
}

/// `code` is `source` without its texts.
pub fn modules<'a>(source: &'a str, code: &'a str) -> Vec<Module<'a>> {
    let mut found = Vec::new();
    let mut words = words(code).peekable();
    while let Some((begin, word)) = words.next() {
        let Some((at, name)) = words.peek().copied().filter(|_| word == "mod") else {
            continue;
        };
        let after = code[at + name.len()..].trim_start();
        if after.starts_with(';') {
            let file = Some(module_file(source, code, begin));
            found.push(Module { name, file });
        } else if after.starts_with('{') {
            found.push(Module { name, file: None });
        }
    }
    found
}

/// What the attributes before the `mod` at `begin` say.
fn module_file<'a>(source: &'a str, code: &str, begin: usize) -> ModuleFile<'a> {
    let item = code[..begin].rfind([';', '}']).map_or(0, |at| at + 1);
    let attributes = &source[item..begin];
    let path = attributes.split_once("#[path = \"");
    let path = path.and_then(|(_, rest)| rest.split_once('"'));
    ModuleFile {
        is_test: attributes.contains("#[cfg(test)]"),
        path: path.map(|(path, _)| path),
    }
}

/// The rooms that code names by `crate::room`, with offsets.
pub fn rooms_named(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let own = at > 0 && (is_word(code.as_bytes()[at - 1]) || code.as_bytes()[at - 1] == b'$');
        let begin = at + "crate::".len();
        match code[begin..].strip_prefix('{') {
            _ if own => {}
            None => found.extend(words(&code[begin..]).next().map(|(_, room)| (at, room))),
            Some(_) => found.extend(group(code, begin).map(|room| (at, room))),
        }
    }
    found
}

/// First words of the members of `{a::b, c::{d, e}}`.
fn group(code: &str, begin: usize) -> impl Iterator<Item = &str> {
    let range = block(code, begin).unwrap_or(begin..begin);
    let mut depth = 0;
    let mut members = Vec::new();
    let mut from = begin + 1;
    for at in range.clone() {
        match code.as_bytes()[at] {
            b'{' => depth += 1,
            b',' if depth == 1 => {
                members.push(from..at);
                from = at + 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    members.push(from..at);
                }
            }
            _ => {}
        }
    }
    let first = move |member| words(&code[member]).next().map(|(_, word)| word);
    members.into_iter().filter_map(first)
}

#[test]
fn blanking_leaves_code_and_lines() {
    let source = "let a = \"x{\\\"\"; // {\nlet b = r#\"{\"\"#; /* { /* */ { */ let c = '{'; <'a>";
    let code = code_of(source);
    assert_eq!(code.len(), source.len());
    assert!(!code.contains('{'), "{code}");
    let words: Vec<_> = words(&code).map(|(_, word)| word).collect();
    assert_eq!(words, ["let", "a", "let", "b", "let", "c", "a"]);
    assert_eq!(line_of(&code, code.find("b =").expect("b")), 2);
}

#[test]
fn functions_modules_and_rooms_are_found() {
    let code = "mod a;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod b;\nmod c {\n}\n\
                use crate::{net::Gate, amqp::{self, x}};\n\
                fn one(f: fn(u8) -> [u8; 2]) -> crate::store::Store {\n  1\n}\n\
                #[cfg(test)]\nmod tests {\n  fn two() {}\n}\n";
    let blanked = code_of(code);
    let modules = modules(code, &blanked);
    let modules = modules.iter().map(|module| {
        let file = module.file.as_ref();
        (module.name, file.map(|file| (file.is_test, file.path)))
    });
    let expected = [
        ("a", Some((false, None))),
        ("b", Some((true, Some("b_tests.rs")))),
        ("c", None),
        ("tests", None),
    ];
    assert!(modules.eq(expected));
    let functions = functions(code, &test_code(code));
    let found: Vec<_> = functions
        .iter()
        .map(|one| (one.name, one.line, one.lines))
        .collect();
    assert_eq!(found, [("one", 8, 3)]);
    let rooms: Vec<_> = rooms_named(code)
        .into_iter()
        .map(|(_, room)| room)
        .collect();
    assert_eq!(rooms, ["net", "amqp", "store"]);
}
