//! The subcommands of `warren perf`: what was asked for, turned into loads and printed.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::churn::{self, Churn};
use super::latency;
use super::load;
use super::options::{DEFAULT_URI, Options};
use super::presets::{BACKLOG, Preset, Scope, Through};
use super::rounds::{self, Row};
use super::scale::{self, Many, Scale};
use super::table;
use super::target::Target;
use crate::cli::{say, say_text};

#[derive(clap::Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Command {
    #[command(subcommand)]
    which: Option<Which>,
    #[command(flatten)]
    load: Options,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Which {
    /// Named workloads against one broker: `warren perf run A,C -d 4s`
    Run(Run),
    /// Named workloads against two brokers by turns, and the ratios
    Compare(Compare),
    /// A through exchange types, few keys and many, against a fanout to the same single queue
    Plugins(Plugins),
    /// Latencies at 10, 50 and 80 % of the highest rate
    Latency(Latency),
    /// Connections, queues, bindings, consumers, backlogs: rate and memory as they grow
    Scale(ScaleFlags),
    /// Connections, channels, queues or bindings that come and go
    Churn(ChurnFlags),
}

#[derive(clap::Args, Clone, Debug)]
struct One {
    /// The broker
    #[arg(long, default_value = DEFAULT_URI)]
    uri: String,
    /// The broker's process, may be given several times; by default who listens on the port here
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
}

#[derive(clap::Args, Clone, Debug)]
struct Run {
    /// A to J, with commas between; J is J100 and J1000
    #[arg(value_name = "PRESETS", required = true)]
    presets: String,
    #[command(flatten)]
    one: One,
    #[arg(long, default_value_t = 1, value_name = "N")]
    rounds: usize,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args, Clone, Debug)]
struct Compare {
    /// The broker that the ratios speak of
    uri_a: String,
    /// The broker that it is compared with
    uri_b: String,
    /// A to J, with commas between; J is J100 and J1000
    #[arg(long, default_value = "A,B,C,D,E,F,G,J", value_name = "PRESETS")]
    presets: String,
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// The first broker's process, may be given several times; by default who listens on its port
    #[arg(long, value_name = "PID")]
    pid_a: Vec<u32>,
    /// The second broker's process
    #[arg(long, value_name = "PID")]
    pid_b: Vec<u32>,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args, Clone, Debug)]
struct Plugins {
    #[command(flatten)]
    one: One,
    /// Exchange types, with commas between
    #[arg(short, long, default_value = "topic,headers", value_name = "TYPES")]
    exchange: String,
    /// Bindings of topic and headers; one matches
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    bindings: u64,
    /// The key of the binding that matches, of the other types
    #[arg(long, value_name = "KEY")]
    binding_key: Option<String>,
    /// The low number of distinct keys
    #[arg(long, default_value_t = 10, value_name = "N")]
    few: u64,
    /// The high number of distinct keys
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    many: u64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args, Clone, Debug)]
struct Latency {
    /// A to J, with commas between; those that publish and consume
    #[arg(default_value = "A,C", value_name = "PRESETS")]
    presets: String,
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args, Clone, Debug)]
struct ScaleFlags {
    #[command(flatten)]
    one: One,
    /// What to make many of, with commas between; by default everything
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Many>,
    /// Multiplies the largest sizes
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    scale: f64,
    /// How many sizes, each ten times the one before
    #[arg(long, default_value_t = 2, value_name = "N")]
    steps: u32,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args, Clone, Debug)]
struct ChurnFlags {
    #[arg(value_enum)]
    what: Churn,
    /// Connections that do it at once
    #[arg(short = 'x', long, default_value_t = 2, value_name = "N")]
    connections: usize,
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    how: How,
}

/// What every series of presets has.
#[derive(clap::Args, Clone, Debug)]
struct How {
    /// How long each turn takes; H and I end with their last message
    #[arg(short, long, default_value = "4s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How many messages H publishes and I drains
    #[arg(long, default_value_t = BACKLOG, value_name = "N")]
    backlog: u64,
    /// The queue that is declared and deleted
    #[arg(short, long, default_value = "warren-perf", value_name = "NAME")]
    queue: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// A line a second to stderr (also when that is a terminal)
    #[arg(long)]
    progress: bool,
    /// Draw the rates of presets as bars
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl One {
    fn target(&self) -> Result<Target> {
        Target::find(&self.uri, &self.pid)
    }
}

impl How {
    fn scope(&self) -> Scope {
        Scope {
            duration: self.duration,
            backlog: self.backlog,
            queue: self.queue.clone(),
            progress: self.progress || std::io::stderr().is_terminal(),
        }
    }

    fn print(&self, targets: &[Target], rows: &[Row]) -> Result<()> {
        self.show(
            || table::to_text(targets, rows),
            || table::to_json(targets, rows),
        );
        match &self.svg {
            None => Ok(()),
            Some(path) => std::fs::write(path, table::to_svg(targets, rows))
                .with_context(|| path.display().to_string()),
        }
    }

    fn show(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) {
        match self.json {
            true => say(json()),
            false => say_text(text()),
        }
    }
}

/// Runs what was asked for and prints what was measured.
pub fn run(command: &Command) -> Result<()> {
    match &command.which {
        None => one_load(&command.load),
        Some(Which::Run(run)) => series(&[run.one.target()?], &run.presets, run.rounds, &run.how),
        Some(Which::Compare(compare)) => {
            let targets = [
                Target::find(&compare.uri_a, &compare.pid_a)?,
                Target::find(&compare.uri_b, &compare.pid_b)?,
            ];
            series(&targets, &compare.presets, compare.rounds, &compare.how)
        }
        Some(Which::Plugins(plugins)) => through_exchanges(plugins),
        Some(Which::Latency(latency)) => {
            let presets = Preset::parse(&latency.presets)?;
            let levels = latency::run(&latency.one.target()?, &presets, &latency.how.scope())?;
            latency
                .how
                .show(|| latency::to_text(&levels), || latency::to_json(&levels));
            Ok(())
        }
        Some(Which::Scale(flags)) => {
            let scale = Scale {
                what: match flags.only.as_slice() {
                    [] => Many::ALL.to_vec(),
                    only => only.to_vec(),
                },
                factor: flags.scale,
                steps: flags.steps,
                duration: flags.how.duration,
                name: flags.how.queue.clone(),
            };
            let points = scale::run(&flags.one.target()?, &scale)?;
            flags
                .how
                .show(|| scale::to_text(&points), || scale::to_json(&points));
            Ok(())
        }
        Some(Which::Churn(flags)) => {
            let (how, target) = (&flags.how, flags.one.target()?);
            let (what, connections) = (flags.what, flags.connections);
            let churned = churn::run(&target, what, connections, how.duration, &how.queue)?;
            how.show(|| churned.to_text(), || churned.to_json());
            Ok(())
        }
    }
}

fn one_load(options: &Options) -> Result<()> {
    options.check()?;
    let target = Target::find(&options.uri, &options.pid)?;
    let options = Options {
        pid: target.pids,
        progress: options.progress || std::io::stderr().is_terminal(),
        ..options.clone()
    };
    let report = load::run(&options)?;
    match options.json {
        true => say(report.to_json()),
        false => say_text(report.to_table()),
    }
    Ok(())
}

fn series(targets: &[Target], presets: &str, rounds: usize, how: &How) -> Result<()> {
    ensure!(rounds > 0, "--rounds 0 measures nothing");
    let plays = rounds::of_presets(&Preset::parse(presets)?, &how.scope());
    let rows = rounds::play(targets, &plays, rounds)?;
    how.print(targets, &rows)
}

fn through_exchanges(plugins: &Plugins) -> Result<()> {
    ensure!(plugins.rounds > 0, "--rounds 0 measures nothing");
    let cardinalities = [plugins.few, plugins.many];
    let kinds = plugins.exchange.split(',').map(str::trim);
    let kinds = kinds.flat_map(|kind| {
        let many_bindings = ["topic", "headers"].contains(&kind);
        cardinalities.map(|keys| Through {
            kind: kind.to_owned(),
            bindings: if many_bindings { plugins.bindings } else { 1 },
            keys,
            headers: 0,
            binding_key: plugins.binding_key.clone().filter(|_| !many_bindings),
        })
    });
    let mut exchanges: Vec<Through> = Vec::new();
    for through in kinds {
        let fanout = through.as_fanout();
        if !exchanges.iter().any(|other| other.name() == fanout.name()) {
            exchanges.push(fanout);
        }
        exchanges.push(through);
    }
    let plays = rounds::of_exchanges(&exchanges, &plugins.how.scope());
    let targets = [plugins.one.target()?];
    let rows = rounds::play(&targets, &plays, plugins.rounds)?;
    plugins.how.print(&targets, &rows)?;
    if !plugins.how.json {
        let fanouts = exchanges.iter().map(|through| match &*through.kind {
            "fanout" => Some(through.name()),
            _ => Some(through.as_fanout().name()),
        });
        let names: Vec<_> = std::iter::once(None).chain(fanouts).collect();
        say_text(table::against(&rows, &names));
    }
    Ok(())
}
