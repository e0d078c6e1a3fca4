//! Presets played by turns: every round goes over all presets, every preset over all brokers.
//! Keeps figures; runs loads, and prints nothing but warnings.

use anyhow::{Context, Result};

use super::client::Client;
use super::load;
use super::options::Options;
use super::presets::{Preset, Scope, Through};
use super::report::Report;
use super::target::{self, Target};
use super::topology;

/// What one broker did in one preset, round by round.
#[derive(Default)]
pub struct Played {
    pub rates: Vec<f64>,
    /// Microseconds a message.
    pub cpu: Vec<f64>,
    pub reports: Vec<Report>,
    /// Messages that came in and did not come out again.
    pub missing: u64,
}

pub struct Row {
    pub name: String,
    pub summary: String,
    /// In the order of the brokers.
    pub played: Vec<Played>,
}

/// One load with a name.
pub struct Play {
    pub name: String,
    pub summary: String,
    pub options: Options,
    /// What must lie in the queue before, and is published unmeasured when it does not.
    pub backlog: Option<Options>,
    /// The next play wants the queue as this one leaves it.
    pub leaves: bool,
}

pub fn of_presets(presets: &[Preset], scope: &Scope) -> Vec<Play> {
    let mut plays = Vec::new();
    for (place, preset) in presets.iter().enumerate() {
        let next = presets.get(place + 1);
        plays.push(Play {
            name: preset.name().to_owned(),
            summary: preset.summary().to_owned(),
            options: preset.options(scope),
            backlog: (*preset == Preset::I).then(|| Preset::H.options(scope)),
            leaves: *preset == Preset::H && next == Some(&Preset::I),
        });
    }
    plays
}

/// A itself, and then A through each exchange.
pub fn of_exchanges(exchanges: &[Through], scope: &Scope) -> Vec<Play> {
    let mut plays = of_presets(&[Preset::A], scope);
    plays.extend(exchanges.iter().map(|through| Play {
        name: through.name(),
        summary: through.summary(),
        options: through.options(scope),
        backlog: None,
        leaves: false,
    }));
    plays
}

/// Whose turn is first changes with every round.
pub fn play(targets: &[Target], plays: &[Play], rounds: usize) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = plays
        .iter()
        .map(|play| Row {
            name: play.name.clone(),
            summary: play.summary.clone(),
            played: targets.iter().map(|_| Played::default()).collect(),
        })
        .collect();
    for round in 0..rounds {
        let mut start = 0;
        while start < plays.len() {
            // What leaves a queue to the next is played together with it.
            let chained = plays.iter().skip(start).take_while(|play| play.leaves);
            let end = start + chained.count() + 1;
            for turn in 0..targets.len() {
                let place = (turn + round) % targets.len();
                let Some(target) = targets.get(place) else {
                    continue;
                };
                for at in start..end.min(plays.len()) {
                    let (Some(play), Some(row)) = (plays.get(at), rows.get_mut(at)) else {
                        continue;
                    };
                    let (report, missing) = turn_of(target, play, targets)
                        .with_context(|| format!("{} against {}", play.name, target.name))?;
                    if let Some(played) = row.played.get_mut(place) {
                        played.add(report, missing);
                    }
                }
            }
            start = end;
        }
    }
    Ok(rows)
}

/// What was measured, and how many messages came in and did not come out.
fn turn_of(target: &Target, play: &Play, all: &[Target]) -> Result<(Report, u64)> {
    let options = Options {
        uri: target.uri.clone(),
        pid: target.pids.clone(),
        ..play.options.clone()
    };
    let mut control = Client::connect(&target.uri)?;
    if play.backlog.is_none() {
        // What an earlier run left that was stopped.
        topology::delete(&mut control, &options)?;
    }
    topology::declare(&mut control, &options)?;
    if let Some(backlog) = &play.backlog {
        fill(&mut control, target, backlog)?;
    }
    target::wait_until_quiet(all)?;
    if options.progress {
        eprintln!("{} against {}", play.name, target.name);
    }
    let report = load::under_load(&options);
    let played = report.and_then(|report| {
        let ready = topology::ready(&mut control, &options)?;
        let missing = missing(&report, &options, ready);
        Ok((report, missing))
    });
    if !play.leaves || played.is_err() {
        topology::delete(&mut control, &options)?;
    }
    control.close();
    played
}

/// A load without consumers leaves all that it publishes in the queues.
fn missing(report: &Report, options: &Options, ready: u64) -> u64 {
    let published = match options.publishers {
        0 => options.messages.unwrap_or(0),
        _ => report.published * options.copies(),
    };
    let found = match options.consumers {
        0 => ready,
        _ => report.consumed,
    };
    published.saturating_sub(found)
}

/// As many as are missing.
fn fill(control: &mut Client, target: &Target, backlog: &Options) -> Result<()> {
    let ready = topology::ready(control, backlog)?;
    let missing = backlog.messages.unwrap_or(0).saturating_sub(ready);
    if missing > 0 {
        load::under_load(&Options {
            uri: target.uri.clone(),
            messages: Some(missing),
            ..backlog.clone()
        })?;
    }
    Ok(())
}

impl Played {
    fn add(&mut self, report: Report, missing: u64) {
        self.rates.push(report.headline());
        if let Some((user, system)) = report.cpu_per_message() {
            self.cpu.push(user + system);
        }
        self.missing += missing;
        self.reports.push(report);
    }
}
