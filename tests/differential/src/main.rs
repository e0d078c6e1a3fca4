//! `differential run` and `differential replay`.

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use warren_differential::compare::{Difference, Verdict};
use warren_differential::connection::Address;
use warren_differential::deliberate::DELIBERATE;
use warren_differential::duel::Duel;
use warren_differential::generate::{Features, Profile, script};
use warren_differential::run::{Audience, Kind, Plan, Report, run};
use warren_differential::script::Script;
use warren_differential::side::Pace;
use warren_differential::text;

const USAGE: &str = "\
differential run    [--seeds A..B] [--sessions N] [--left URL] [--right URL]
                    [--profile ordinary|hostile|all] [--features all|today|NAME,-NAME,...]
                    [--jobs K] [--seconds S] [--minimise M]
differential replay FILE [--left URL] [--right URL] [--minimise 1]
differential show   SEED SESSION [--profile ...] [--features ...]
differential deliberate

RabbitMQ is on the left (amqp://guest:guest@127.0.0.1:5673), Warren on the right (port 5672).";

struct Arguments {
    words: Vec<String>,
    options: Vec<(String, String)>,
}

impl Arguments {
    fn read() -> Result<Arguments> {
        let mut given = std::env::args().skip(1);
        let mut arguments = Arguments {
            words: Vec::new(),
            options: Vec::new(),
        };
        while let Some(word) = given.next() {
            match word.strip_prefix("--") {
                Some(name) => {
                    let value = given
                        .next()
                        .with_context(|| format!("--{name} needs a value"))?;
                    arguments.options.push((name.to_owned(), value));
                }
                None => arguments.words.push(word),
            }
        }
        Ok(arguments)
    }

    fn get<'a>(&'a self, name: &str, without: &'a str) -> &'a str {
        let mut options = self.options.iter();
        let found = options.find(|(option, _)| option == name);
        found.map_or(without, |(_, value)| value)
    }

    fn left(&self) -> Result<Address> {
        Address::parse(self.get("left", "amqp://guest:guest@127.0.0.1:5673"))
    }

    fn right(&self) -> Result<Address> {
        Address::parse(self.get("right", "amqp://guest:guest@127.0.0.1:5672"))
    }

    fn profiles(&self) -> Result<Vec<Profile>> {
        Ok(match self.get("profile", "all") {
            "ordinary" => vec![Profile::Ordinary],
            "hostile" => vec![Profile::Hostile],
            "all" => vec![Profile::Ordinary, Profile::Hostile],
            other => bail!("there is no profile {other}"),
        })
    }

    fn features(&self) -> Result<Features> {
        Features::parse(self.get("features", "all")).context("an unknown feature")
    }

    fn seeds(&self) -> Result<Range<u64>> {
        let (first, end) = self
            .get("seeds", "1..101")
            .split_once("..")
            .context("--seeds A..B")?;
        Ok(first.parse()?..end.parse()?)
    }
}

fn main() -> ExitCode {
    match command() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn command() -> Result<ExitCode> {
    let arguments = Arguments::read()?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words[..] {
        ["run"] => play_many(&arguments),
        ["replay", file] => replay(&arguments, file),
        ["show", seed, session] => {
            let profiles = arguments.profiles()?;
            let session: u64 = session.parse()?;
            let profile = profiles.get(session as usize % profiles.len());
            let profile = profile.copied().context("a profile")?;
            print!(
                "{}",
                script(seed.parse()?, session, profile, &arguments.features()?)
            );
            Ok(ExitCode::SUCCESS)
        }
        ["deliberate"] => {
            for entry in &DELIBERATE {
                println!("{}: {}", entry.name, entry.reason);
            }
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("{USAGE}"),
    }
}

fn play_many(arguments: &Arguments) -> Result<ExitCode> {
    let seconds: u64 = arguments.get("seconds", "0").parse()?;
    let plan = Plan {
        left: arguments.left()?,
        right: arguments.right()?,
        seeds: arguments.seeds()?,
        sessions: arguments.get("sessions", "4").parse()?,
        profiles: arguments.profiles()?,
        features: arguments.features()?,
        jobs: arguments.get("jobs", "4").parse()?,
        limit: (seconds > 0).then(|| Duration::from_secs(seconds)),
        minimised: arguments.get("minimise", "30").parse()?,
    };
    let teller = Teller {
        begun: Instant::now(),
    };
    let report = run(&plan, &teller);
    teller.tell(&report);
    Ok(match report.kinds.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

struct Teller {
    begun: Instant,
}

impl Audience for Teller {
    fn found(&self, kind: &Kind) {
        println!("---- seed {} session {}", kind.seed, kind.session);
        show(&kind.script, &kind.difference);
    }

    fn progress(&self, report: &Report) {
        println!("{}", self.totals(report));
    }

    fn doubt(&self, seed: u64, session: u64, difference: &Difference) {
        eprintln!("seed {seed} session {session}: {difference:#?}");
    }
}

impl Teller {
    fn totals(&self, report: &Report) -> String {
        format!(
            "{} sessions of {} seeds, {} steps, {} differences of {} kinds, {} doubtful, {} the same \
             only when played again, {} in which RabbitMQ differs from itself, {} deliberate, {:.1} s",
            report.sessions,
            report.seeds,
            report.steps,
            report.differences(),
            report.kinds.len(),
            report.doubtful.len(),
            report.late,
            report.torn.len(),
            report.parted.values().sum::<u64>(),
            self.begun.elapsed().as_secs_f64()
        )
    }

    fn tell(&self, report: &Report) {
        for (signature, kind) in &report.kinds {
            println!(
                "{:6} x {signature} (seed {} session {})",
                kind.count, kind.seed, kind.session
            );
        }
        for (name, count) in &report.parted {
            println!("{count:6} x deliberate: {name}");
        }
        for (seed, session) in &report.torn {
            println!("RabbitMQ differs from itself: seed {seed} session {session}");
        }
        println!("{}", self.totals(report));
    }
}

fn show(script: &Script, difference: &Difference) {
    print!("{script}");
    if let Some(step) = difference.step.and_then(|step| script.steps.get(step)) {
        println!("# differs at: {step}");
    }
    for (side, lines) in [("left", &difference.left), ("right", &difference.right)] {
        println!("# {side}:");
        for line in lines {
            println!("#   {line}");
        }
    }
}

fn replay(arguments: &Arguments, file: &str) -> Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
    let script = text::parse(&text)?;
    let mut duel = Duel::new(arguments.left()?, arguments.right()?);
    match duel.play(&script, Pace::Slow) {
        Verdict::Same => println!("no difference in {} steps", script.steps.len()),
        Verdict::Parted(name) => println!("deliberate: {name}"),
        Verdict::Different(difference) => {
            let minimise = arguments.get("minimise", "0") != "0";
            let (script, difference) = match minimise {
                true => duel.minimise(&script, &difference),
                false => (script, difference),
            };
            show(&script, &difference);
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
