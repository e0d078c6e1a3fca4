//! The named workloads, A to J, and those that compare exchange types. Data, and nothing that runs.

use std::time::Duration;

use anyhow::{Result, bail};

use super::options::Options;

/// What H publishes and I drains.
pub const BACKLOG: u64 = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    /// With the confirm window of 100.
    J100,
    J1000,
}

/// What a preset leaves open.
#[derive(Clone, Debug)]
pub struct Scope {
    pub duration: Duration,
    pub backlog: u64,
    pub queue: String,
    pub progress: bool,
}

impl Preset {
    pub const ALL: [Preset; 11] = [
        Preset::A,
        Preset::B,
        Preset::C,
        Preset::D,
        Preset::E,
        Preset::F,
        Preset::G,
        Preset::H,
        Preset::I,
        Preset::J100,
        Preset::J1000,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Preset::A => "A",
            Preset::B => "B",
            Preset::C => "C",
            Preset::D => "D",
            Preset::E => "E",
            Preset::F => "F",
            Preset::G => "G",
            Preset::H => "H",
            Preset::I => "I",
            Preset::J100 => "J100",
            Preset::J1000 => "J1000",
        }
    }

    pub fn summary(self) -> &'static str {
        match self {
            Preset::A => "transient, auto-ack, 16 B",
            Preset::B => "transient, auto-ack, 1 KiB",
            Preset::C => "persistent, 1 KiB, confirms 100, ack 10, prefetch 200",
            Preset::D => "persistent, 1 KiB, confirms 1000, ack 100, prefetch 1000",
            Preset::E => "persistent, 16 B, no confirms, ack 100, prefetch 1000",
            Preset::F => "publish only, transient, durable queue, 16 B",
            Preset::G => "A with 2 publishers, 2 consumers",
            Preset::H => "publish only, persistent, 100 B, no confirms",
            Preset::I => "drain what H left, ack 100, prefetch 1000",
            Preset::J100 => "publish only, persistent, 1 KiB, confirms 100",
            Preset::J1000 => "publish only, persistent, 1 KiB, confirms 1000",
        }
    }

    /// Letters, also several with commas between; J is both of its windows.
    pub fn parse(text: &str) -> Result<Vec<Preset>> {
        let mut found = Vec::new();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            let before = found.len();
            found.extend(Preset::ALL.into_iter().filter(|preset| {
                let own = preset.name();
                own.eq_ignore_ascii_case(name)
                    || (name.eq_ignore_ascii_case("J") && own.starts_with('J'))
            }));
            if found.len() == before {
                bail!("no preset is called {name}: there are A to J, J100 and J1000");
            }
        }
        Ok(found)
    }

    pub fn options(self, scope: &Scope) -> Options {
        let transient = |size| Options {
            size,
            queue: scope.queue.clone(),
            duration: Some(scope.duration),
            progress: scope.progress,
            ..Options::default()
        };
        let persistent = |size| Options {
            persistent: true,
            durable: true,
            ..transient(size)
        };
        let windows = |options, confirms, ack, prefetch| Options {
            confirms,
            ack,
            prefetch,
            ..options
        };
        let published = |options| Options {
            consumers: 0,
            ..options
        };
        let backlog = Options {
            duration: None,
            messages: Some(scope.backlog),
            ..persistent(100)
        };
        match self {
            Preset::A => transient(16),
            Preset::B => transient(1024),
            Preset::C => windows(persistent(1024), 100, 10, 200),
            Preset::D => windows(persistent(1024), 1000, 100, 1000),
            Preset::E => windows(persistent(16), 0, 100, 1000),
            Preset::F => published(Options {
                durable: true,
                ..transient(16)
            }),
            Preset::G => Options {
                publishers: 2,
                consumers: 2,
                ..transient(16)
            },
            Preset::H => published(backlog),
            Preset::I => Options {
                publishers: 0,
                ..windows(backlog, 0, 100, 1000)
            },
            Preset::J100 => published(windows(persistent(1024), 100, 0, 0)),
            Preset::J1000 => published(windows(persistent(1024), 1000, 0, 0)),
        }
    }
}

/// A through an exchange, to one queue.
#[derive(Clone, Debug)]
pub struct Through {
    pub kind: String,
    pub bindings: u64,
    pub keys: u64,
    /// Besides what the exchange's type needs.
    pub headers: usize,
    pub binding_key: Option<String>,
}

impl Through {
    pub fn name(&self) -> String {
        let headers = if self.headers > 0 { ", a header" } else { "" };
        format!("{} of {} keys{headers}", self.kind, self.keys)
    }

    /// The same messages through a fanout.
    pub fn as_fanout(&self) -> Through {
        Through {
            kind: "fanout".to_owned(),
            bindings: 1,
            headers: usize::from(self.kind == "headers"),
            ..self.clone()
        }
    }

    pub fn summary(&self) -> String {
        format!("{} bindings", self.bindings)
    }

    pub fn options(&self, scope: &Scope) -> Options {
        Options {
            exchange: Some(self.kind.clone()),
            bindings: self.bindings,
            keys: self.keys,
            headers: self.headers,
            binding_key: self.binding_key.clone(),
            ..Preset::A.options(scope)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope {
            duration: Duration::from_secs(4),
            backlog: 1000,
            queue: "q".into(),
            progress: false,
        }
    }

    #[test]
    fn presets_are_named_by_their_letters() {
        let found = Preset::parse("a, C,j").expect("presets");
        assert_eq!(found, [Preset::A, Preset::C, Preset::J100, Preset::J1000]);
        assert_eq!(Preset::parse("J100").expect("one"), [Preset::J100]);
        let error = Preset::parse("A,X").expect_err("X").to_string();
        assert!(error.contains("X"), "{error}");
    }

    #[test]
    fn every_preset_is_a_load_that_can_be_run() {
        for preset in Preset::ALL {
            let options = preset.options(&scope());
            assert!(options.check().is_ok(), "{}", preset.name());
            assert_eq!(options.queue, "q");
        }
    }

    #[test]
    fn the_backlog_is_counted_and_not_timed() {
        for preset in [Preset::H, Preset::I] {
            let options = preset.options(&scope());
            assert_eq!(options.messages, Some(1000));
            assert_eq!(options.time_limit(), None);
        }
        let drain = Preset::I.options(&scope());
        assert_eq!((drain.publishers, drain.consumers), (0, 1));
    }
}
