//! AMQP values as RabbitMQ prints them in trace files and in the headers of its events: Erlang terms.
//! For plugins whose output is compared with RabbitMQ's. Not a format that anything is read from.

use crate::{Table, Value};

/// As wide as Erlang makes its lines.
const WIDTH: usize = 80;

/// A term of those kinds that AMQP values become.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A number or a name, as it is printed.
    Word(String),
    Binary(Vec<u8>),
    List(Vec<Term>),
    Tuple(Vec<Term>),
}

impl Term {
    pub fn text(text: &str) -> Term {
        Term::Binary(text.as_bytes().to_vec())
    }

    /// `[{Name,Type,Value}]`, as RabbitMQ keeps a field table.
    pub fn table(table: Table<'_>) -> Term {
        let fields = table.fields();
        Term::List(
            fields
                .map(|(name, value)| Term::field(name, value))
                .collect(),
        )
    }

    /// `{Name,Type,Value}`
    pub fn field(name: &str, value: Value<'_>) -> Term {
        let (type_name, term) = typed(value);
        Term::Tuple(vec![
            Term::text(name),
            Term::Word(type_name.to_owned()),
            term,
        ])
    }

    /// On one line.
    pub fn flat(&self) -> String {
        let joined = |terms: &[Term]| {
            let terms: Vec<String> = terms.iter().map(Term::flat).collect();
            terms.join(",")
        };
        match self {
            Term::Word(word) => word.clone(),
            Term::Binary(octets) => binary(octets),
            Term::List(terms) => format!("[{}]", joined(terms)),
            Term::Tuple(terms) => format!("{{{}}}", joined(terms)),
        }
    }

    /// On as many lines as it takes, when it begins in this column.
    pub fn pretty(&self, column: usize) -> String {
        self.within(column, 1)
    }

    /// `behind` is how many characters follow on its last line.
    fn within(&self, column: usize, behind: usize) -> String {
        let flat = self.flat();
        let fits = flat.chars().count() < WIDTH.saturating_sub(column + behind);
        let (open, terms, close) = match self {
            Term::Word(_) | Term::Binary(_) => return flat,
            Term::List(_) | Term::Tuple(_) if fits => return flat,
            Term::List(terms) => ('[', terms, ']'),
            Term::Tuple(terms) => ('{', terms, '}'),
        };
        let mut lines = Lines::new(open, column + 1);
        for (index, term) in terms.iter().enumerate() {
            let last = index + 1 == terms.len();
            let behind = if last { behind + 1 } else { 1 };
            lines.add(term, last, behind);
        }
        lines.text.push(close);
        lines.text
    }
}

struct Lines {
    text: String,
    indent: usize,
    /// Where the next term would stand.
    column: usize,
    after_compound: bool,
}

impl Lines {
    fn new(open: char, indent: usize) -> Lines {
        Lines {
            text: open.to_string(),
            indent,
            column: indent,
            after_compound: false,
        }
    }

    /// What is short and simple goes on in its line, anything else has one of its own.
    fn add(&mut self, term: &Term, last: bool, behind: usize) {
        let compound = matches!(term, Term::List(_) | Term::Tuple(_));
        let length = term.flat().chars().count();
        let first = self.column == self.indent && !self.after_compound;
        let fits = !compound && self.column + length + behind < WIDTH;
        if !first && (self.after_compound || !fits) {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', self.indent));
            self.column = self.indent;
        }
        self.text.push_str(&term.within(self.column, behind));
        self.column += length;
        if !last {
            self.text.push(',');
            self.column += 1;
        }
        self.after_compound = compound;
    }
}

fn typed(value: Value<'_>) -> (&'static str, Term) {
    let word = |word: String| Term::Word(word);
    match value {
        Value::Bool(flag) => ("bool", word(flag.to_string())),
        Value::Int8(int) => ("byte", word(int.to_string())),
        Value::UInt8(int) => ("unsignedbyte", word(int.to_string())),
        Value::Int16(int) => ("short", word(int.to_string())),
        Value::UInt16(int) => ("unsignedshort", word(int.to_string())),
        Value::Int32(int) => ("signedint", word(int.to_string())),
        Value::UInt32(int) => ("unsignedint", word(int.to_string())),
        Value::Int64(int) => ("long", word(int.to_string())),
        Value::Float(float) => ("float", word(format!("{float:?}"))),
        Value::Double(float) => ("double", word(format!("{float:?}"))),
        Value::Decimal { scale, value } => ("decimal", word(format!("{{{scale},{value}}}"))),
        Value::LongString(octets) => ("longstr", Term::Binary(octets.to_vec())),
        Value::Bytes(octets) => ("binary", Term::Binary(octets.to_vec())),
        Value::Timestamp(seconds) => ("timestamp", word(seconds.to_string())),
        Value::Void => ("void", word("undefined".to_owned())),
        Value::Table(table) => ("table", Term::table(table)),
        Value::Array(array) => {
            let items = array.items().map(|item| {
                let (type_name, term) = typed(item);
                Term::Tuple(vec![word(type_name.to_owned()), term])
            });
            ("array", Term::List(items.collect()))
        }
    }
}

/// A printed term as the octets that Erlang writes: it prints in Latin-1, so that text in UTF-8 comes
/// out as it was.
pub fn latin1(printed: &str) -> Vec<u8> {
    let octets = printed.chars().map(u8::try_from);
    octets.map(|octet| octet.unwrap_or(b'?')).collect()
}

/// Latin-1 as text, other octets as numbers.
fn binary(octets: &[u8]) -> String {
    let is_text = |octet: &u8| matches!(octet, b' '..=b'~' | 8..=13 | 27 | 0xA0..);
    if !octets.iter().all(is_text) {
        let numbers: Vec<String> = octets.iter().map(u8::to_string).collect();
        return format!("<<{}>>", numbers.join(","));
    }
    if octets.is_empty() {
        return "<<>>".to_owned();
    }
    let mut text = String::from("<<\"");
    for octet in octets {
        match octet {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            8 => text.push_str("\\b"),
            9 => text.push_str("\\t"),
            10 => text.push_str("\\n"),
            11 => text.push_str("\\v"),
            12 => text.push_str("\\f"),
            13 => text.push_str("\\r"),
            27 => text.push_str("\\e"),
            other => text.push(char::from(*other)),
        }
    }
    text.push_str("\">>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArrayBuf, TableBuf};

    #[test]
    fn terms_are_printed_as_erlang_prints_them() {
        let list = ArrayBuf::new().with(1i32).with("b\"");
        let table = TableBuf::new().with("l", list.as_array()).with("z", true);
        assert_eq!(
            Term::table(table.as_table()).flat(),
            r#"[{<<"l">>,array,[{signedint,1},{longstr,<<"b\"">>}]},{<<"z">>,bool,true}]"#
        );
        assert_eq!(Term::Binary(vec![1, 128]).flat(), "<<1,128>>");
        let in_utf8 = Term::text("é").flat();
        assert_eq!(latin1(&in_utf8), "<<\"é\">>".as_bytes());
        assert_eq!(Term::List(Vec::new()).pretty(14), "[]");
    }

    /// As RabbitMQ 3.10 has written them behind `Properties:   `.
    #[test]
    fn what_is_too_long_for_a_line_is_broken_as_erlang_breaks_it() {
        let nested = TableBuf::new().with("z", true);
        let list = ArrayBuf::new().with(1i32).with("b");
        let headers = TableBuf::new()
            .with("a", 1i32)
            .with("n", nested.as_table())
            .with("l", list.as_array())
            .with("big", 1_099_511_627_776i64);
        let all = TableBuf::new()
            .with("app_id", "app")
            .with("headers", headers.as_table());
        let expected = "[{<<\"app_id\">>,longstr,<<\"app\">>},
               {<<\"headers\">>,table,
                [{<<\"a\">>,signedint,1},
                 {<<\"n\">>,table,[{<<\"z\">>,bool,true}]},
                 {<<\"l\">>,array,[{signedint,1},{longstr,<<\"b\">>}]},
                 {<<\"big\">>,long,1099511627776}]}]";
        assert_eq!(Term::table(all.as_table()).pretty(14), expected);
    }
}
