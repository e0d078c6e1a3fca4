//! A plugin's lines in the broker's log, bounded in length and rate. Not the broker's own lines
//! about plugins.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bindings::warren::exchange::host::Level;
use super::limits::DEFAULT_LOG_LINES;
use crate::clock::Millis;

/// `host.log` promises plugin authors this much.
const MAX_LINE: usize = 1024;
const WINDOW: Millis = 1000;

pub(super) struct PluginLog {
    plugin: String,
    window: Mutex<Window>,
    lines: AtomicU64,
    dropped: AtomicU64,
    /// Lines a second.
    limit: AtomicU32,
    recent: Mutex<VecDeque<LogLine>>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<Level> for Severity {
    fn from(level: Level) -> Severity {
        match level {
            Level::Error => Severity::Error,
            Level::Warn => Severity::Warn,
            Level::Info => Severity::Info,
            Level::Debug => Severity::Debug,
        }
    }
}

/// One of a plugin's last lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub at: Millis,
    pub level: &'static str,
    pub exchange: String,
    pub line: String,
}

/// So many are kept, to be looked at beside the plugin.
const RECENT: usize = 100;

#[derive(Default)]
struct Window {
    since: Millis,
    lines: u32,
    dropped: u64,
}

/// Whether a line is kept, and how many were lost in the window before this one.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    keep: bool,
    lost_before: u64,
}

impl Window {
    fn line(&mut self, now: Millis, limit: u32) -> Verdict {
        let mut lost_before = 0;
        // `since` in the future: the wall clock was set back.
        if now < self.since || now - self.since >= WINDOW {
            lost_before = self.dropped;
            *self = Window {
                since: now,
                ..Window::default()
            };
        }
        let keep = self.lines < limit;
        if keep {
            self.lines += 1;
        } else {
            self.dropped += 1;
        }
        Verdict { keep, lost_before }
    }
}

impl PluginLog {
    pub fn new(plugin: &str) -> PluginLog {
        PluginLog {
            plugin: plugin.to_owned(),
            window: Mutex::new(Window::default()),
            lines: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            limit: AtomicU32::new(DEFAULT_LOG_LINES),
            recent: Mutex::default(),
        }
    }

    pub fn limit_to(&self, lines_a_second: u32) {
        self.limit.store(lines_a_second, Ordering::Relaxed);
    }

    /// The newest first.
    pub fn recent(&self) -> Vec<LogLine> {
        self.recent.lock().iter().rev().cloned().collect()
    }

    fn remember(&self, line: LogLine) {
        let mut recent = self.recent.lock();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(line);
    }

    pub fn line(&self, level: impl Into<Severity>, of: &str, line: &str, now: Millis) {
        let (level, exchange) = (level.into(), of);
        let limit = self.limit.load(Ordering::Relaxed);
        let verdict = self.window.lock().line(now, limit);
        let plugin = self.plugin.as_str();
        if verdict.lost_before > 0 {
            tracing::warn!(
                plugin,
                lines = verdict.lost_before,
                "lines over the limit dropped"
            );
        }
        if !verdict.keep {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.lines.fetch_add(1, Ordering::Relaxed);
        let line = printable(line);
        self.remember(LogLine {
            at: now,
            level: match level {
                Severity::Error => "error",
                Severity::Warn => "warning",
                Severity::Info => "info",
                Severity::Debug => "debug",
            },
            exchange: exchange.to_owned(),
            line: line.clone(),
        });
        match level {
            Severity::Error => tracing::error!(plugin, exchange, "{line}"),
            Severity::Warn => tracing::warn!(plugin, exchange, "{line}"),
            Severity::Info => tracing::info!(plugin, exchange, "{line}"),
            Severity::Debug => tracing::debug!(plugin, exchange, "{line}"),
        }
    }

    /// Lines kept and lines dropped so far.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.lines.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
        )
    }
}

/// Cut to length; control characters, which could forge lines of the log, are escaped.
fn printable(line: &str) -> String {
    let mut kept = String::new();
    for character in line.chars() {
        let length = kept.len();
        if character.is_control() {
            kept.extend(character.escape_default());
        } else {
            kept.push(character);
        }
        if kept.len() > MAX_LINE {
            kept.truncate(length);
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_lines_a_second_are_kept_and_the_rest_counted() {
        let mut window = Window::default();
        let kept = (0..250).filter(|_| window.line(5_000, 100).keep).count();
        assert_eq!(kept, 100);
        let next = window.line(6_000, 100);
        assert_eq!(
            next,
            Verdict {
                keep: true,
                lost_before: 150
            }
        );
        assert_eq!(window.line(6_001, 100).lost_before, 0);
    }

    #[test]
    fn a_clock_set_back_does_not_silence_the_plugin() {
        let mut window = Window::default();
        while window.line(50_000, 100).keep {}
        assert!(window.line(10_000, 100).keep);
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_and_controls_are_escaped() {
        let long = "ä".repeat(1000);
        assert_eq!(printable(&long).len(), MAX_LINE);
        assert_eq!(printable("a\nb\u{1b}[0m"), "a\\nb\\u{1b}[0m");
    }
}
