//! Prometheus' text format: families with their help, and samples with labels.

use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Untyped,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Untyped => "untyped",
        }
    }
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// One page of metrics. Samples of a family come one after the other, as the format wants it.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = kind.name();
        // Writing into a string cannot fail.
        let _ = write!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}\n");
    }

    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A family of one sample.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    pub fn into_octets(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted_and_whole_numbers_have_no_point() {
        let mut page = Page::default();
        page.family("a_total", Kind::Counter, "All of them");
        page.sample("a_total", &[("queue", "x\"\\\n"), ("vhost", "/")], 3.0);
        page.one("b", Kind::Gauge, "B", 0.5);
        let text = String::from_utf8(page.into_octets()).unwrap();
        let expected = "# TYPE a_total counter\n# HELP a_total All of them\n\
                        a_total{queue=\"x\\\"\\\\\\n\",vhost=\"/\"} 3\n\
                        # TYPE b gauge\n# HELP b B\nb 0.5\n";
        assert_eq!(text, expected);
    }
}
