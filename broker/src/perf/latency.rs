//! How long messages and confirms take at shares of the highest rate. The highest is found by a
//! load without a rate; what is stamped under a rate is the time that was meant.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::load;
use super::options::Options;
use super::presets::{Preset, Scope};
use super::report::{Report, percentile_text};
use super::target::{self, Target};

const SHARES: [f64; 3] = [0.1, 0.5, 0.8];

pub struct Level {
    preset: Preset,
    /// Messages a second that were asked for; none is as fast as it goes.
    asked: Option<f64>,
    share: f64,
    report: Report,
}

pub fn run(target: &Target, presets: &[Preset], scope: &Scope) -> Result<Vec<Level>> {
    let mut levels = Vec::new();
    for preset in presets.iter().copied() {
        let options = Options {
            uri: target.uri.clone(),
            pid: target.pids.clone(),
            ..preset.options(scope)
        };
        target::wait_until_quiet(std::slice::from_ref(target))?;
        let report = load::run(&options)?;
        let highest = report.headline();
        levels.push(Level {
            preset,
            asked: None,
            share: 1.0,
            report,
        });
        for share in SHARES {
            target::wait_until_quiet(std::slice::from_ref(target))?;
            let asked = highest * share;
            let each = (asked / options.publishers.max(1) as f64) as u64;
            let report = load::run(&Options {
                rate: each.max(1),
                ..options.clone()
            })?;
            levels.push(Level {
                preset,
                asked: Some(asked),
                share,
                report,
            });
        }
    }
    Ok(levels)
}

pub fn to_text(levels: &[Level]) -> String {
    let mut out = String::new();
    for level in levels {
        let (name, summary) = (level.preset.name(), level.preset.summary());
        let _ = match level.asked {
            None => writeln!(
                out,
                "{name}, {summary}: highest {:.0} a second",
                level.report.headline()
            ),
            Some(asked) => writeln!(
                out,
                "{name} at {:.0} %: {:.0} a second of {asked:.0} asked",
                level.share * 100.0,
                level.report.headline()
            ),
        };
        for (what, latency) in [
            ("latency", &level.report.latency),
            ("confirms", &level.report.confirm_latency),
        ] {
            if !latency.is_empty() {
                let _ = writeln!(out, "    {what:<10}{}", percentile_text(latency));
            }
        }
    }
    out
}

/// `[{"preset", "share", "asked", "load"}]`, the load as that of `warren perf`.
pub fn to_json(levels: &[Level]) -> Value {
    levels
        .iter()
        .map(|level| {
            json!({
                "preset": level.preset.name(),
                "share": level.share,
                "asked": level.asked,
                "load": level.report.to_json(),
            })
        })
        .collect()
}
