//! The subcommands of `warren perf`: what was asked for, turned into loads and printed.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::load;
use super::options::{DEFAULT_URI, Options};
use super::presets::{BACKLOG, Preset, Scope};
use super::rounds::{self, Row};
use super::table;
use super::target::Target;

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
}

#[derive(clap::Args, Clone, Debug)]
struct Run {
    /// A to J, with commas between; J is J100 and J1000
    #[arg(value_name = "PRESETS", required = true)]
    presets: String,
    /// The broker
    #[arg(long, default_value = DEFAULT_URI)]
    uri: String,
    /// The broker's process, may be given several times; by default who listens on the port here
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
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

    fn print(&self, targets: &[Target], rows: &[Row]) {
        match self.json {
            true => println!("{}", table::to_json(targets, rows)),
            false => print!("{}", table::to_text(targets, rows)),
        }
    }
}

/// Runs what was asked for and prints what was measured.
pub fn run(command: &Command) -> Result<()> {
    match &command.which {
        None => one_load(&command.load),
        Some(Which::Run(run)) => {
            let target = Target::find(&run.uri, &run.pid)?;
            series(&[target], &run.presets, run.rounds, &run.how)
        }
        Some(Which::Compare(compare)) => {
            let targets = [
                Target::find(&compare.uri_a, &compare.pid_a)?,
                Target::find(&compare.uri_b, &compare.pid_b)?,
            ];
            series(&targets, &compare.presets, compare.rounds, &compare.how)
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
        true => println!("{}", report.to_json()),
        false => print!("{}", report.to_table()),
    }
    Ok(())
}

fn series(targets: &[Target], presets: &str, rounds: usize, how: &How) -> Result<()> {
    ensure!(rounds > 0, "--rounds 0 measures nothing");
    let plays = rounds::of_presets(&Preset::parse(presets)?, &how.scope());
    let rows = rounds::play(targets, &plays, rounds)?;
    how.print(targets, &rows);
    Ok(())
}
