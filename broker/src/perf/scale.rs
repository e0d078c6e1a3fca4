//! What many of something cost: each at sizes a factor of ten apart, with rates and the broker's
//! resident memory, and how both grow. A broker that refuses a size is told, and the next comes.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::client::Client;
use super::crowd::{Crowd, raise_descriptor_limit};
use super::load;
use super::options::Options;
use super::process;
use super::target::{self, Target};
use super::topology;

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    IdleConnections,
    ActiveConnections,
    /// Through the default exchange, all of them in turn
    Queues,
    /// Of one topic exchange, one of which matches
    Bindings,
    /// On one queue
    Consumers,
    /// To one queue
    Publishers,
    /// Queues that each message goes to
    Fanout,
    /// One message's octets
    Large,
    /// Persistent messages in one queue, and their drain
    Waiting,
}

pub struct Scale {
    pub what: Vec<Many>,
    /// Multiplies the largest size.
    pub factor: f64,
    /// How many sizes.
    pub steps: u32,
    pub duration: Duration,
    pub name: String,
}

/// One size of one thing.
pub struct Point {
    what: Many,
    size: u64,
    /// Octets before; none without a process.
    before: Option<u64>,
    outcome: std::result::Result<Figures, String>,
}

#[derive(Default)]
struct Figures {
    rates: Vec<(&'static str, f64)>,
    resident: Option<u64>,
}

impl Many {
    pub const ALL: [Many; 9] = [
        Many::IdleConnections,
        Many::ActiveConnections,
        Many::Queues,
        Many::Bindings,
        Many::Consumers,
        Many::Publishers,
        Many::Fanout,
        Many::Large,
        Many::Waiting,
    ];

    fn name(self) -> &'static str {
        match self {
            Many::IdleConnections => "idle connections",
            Many::ActiveConnections => "active connections",
            Many::Queues => "queues",
            Many::Bindings => "bindings",
            Many::Consumers => "consumers of one queue",
            Many::Publishers => "publishers to one queue",
            Many::Fanout => "queues of one fanout",
            Many::Large => "octets of a message",
            Many::Waiting => "waiting messages",
        }
    }

    fn largest(self) -> u64 {
        match self {
            Many::IdleConnections | Many::ActiveConnections => 10_000,
            Many::Queues => 100_000,
            Many::Bindings => 1_000_000,
            Many::Consumers | Many::Publishers | Many::Fanout => 1000,
            Many::Large => 64 << 20,
            Many::Waiting => 10_000_000,
        }
    }
}

pub fn run(target: &Target, scale: &Scale) -> Result<Vec<Point>> {
    raise_descriptor_limit();
    let mut points = Vec::new();
    for what in scale.what.iter().copied() {
        for step in (0..scale.steps).rev() {
            let size = what.largest() as f64 * scale.factor / 10f64.powi(step as i32);
            let size = (size as u64).max(1);
            target::wait_until_quiet(std::slice::from_ref(target))?;
            let before = resident(target);
            eprintln!("{size} {}", what.name());
            let outcome = one(target, what, size, scale).map_err(|error| format!("{error:#}"));
            points.push(Point {
                what,
                size,
                before,
                outcome,
            });
        }
    }
    Ok(points)
}

fn resident(target: &Target) -> Option<u64> {
    let resident = process::resident_memory(&target.pids).ok();
    resident.filter(|octets| *octets > 0)
}

fn one(target: &Target, what: Many, size: u64, scale: &Scale) -> Result<Figures> {
    let count = size as usize;
    let base = Options {
        uri: target.uri.clone(),
        pid: target.pids.clone(),
        queue: scale.name.clone(),
        duration: Some(scale.duration),
        size: 16,
        ..Options::default()
    };
    match what {
        Many::IdleConnections | Many::ActiveConnections => crowd(target, what, count, scale),
        Many::Queues
        | Many::Bindings
        | Many::Consumers
        | Many::Publishers
        | Many::Fanout
        | Many::Large => {
            let (how, created, options) = declaring(what, size, scale, base);
            declared(how, created, &options)
        }
        Many::Waiting => waiting(Options {
            size: 100,
            persistent: true,
            durable: true,
            messages: Some(size),
            duration: None,
            ..base
        }),
    }
}

/// What a load is called that declares many of something, how many, and how it goes on then.
fn declaring(what: Many, size: u64, scale: &Scale, base: Options) -> (&'static str, u64, Options) {
    let count = size as usize;
    let options = match what {
        Many::Queues => Options {
            queues: count,
            keys: size,
            ..base
        },
        Many::Bindings => Options {
            exchange: Some("topic".into()),
            bindings: size,
            ..base
        },
        Many::Consumers => Options {
            consumers: count.min(10),
            consumers_each: count / count.clamp(1, 10),
            ..base
        },
        Many::Publishers => Options {
            publishers: count,
            ..base
        },
        Many::Fanout => Options {
            exchange: Some("fanout".into()),
            queues: count,
            consumers: 0,
            confirms: 10,
            messages: Some(((FANNED_OUT * scale.factor) as u64 / size).max(1)),
            duration: None,
            ..base
        },
        Many::Large => Options {
            size: count,
            confirms: 2,
            ack: 1,
            prefetch: 2,
            ..base
        },
        Many::IdleConnections | Many::ActiveConnections | Many::Waiting => base,
    };
    match what {
        Many::Queues | Many::Fanout => ("declared", size, options),
        Many::Bindings => ("bound", size, options),
        Many::Consumers
        | Many::Publishers
        | Many::Large
        | Many::IdleConnections
        | Many::ActiveConnections
        | Many::Waiting => ("declared", 1, options),
    }
}

/// Copies that a fan-out leaves in its queues, at full scale.
const FANNED_OUT: f64 = 2e6;

fn crowd(target: &Target, what: Many, count: usize, scale: &Scale) -> Result<Figures> {
    let mut figures = Figures::default();
    let start = Instant::now();
    let mut crowd = Crowd::connect(&target.uri, count, &scale.name)?;
    figures.rate("connected", count as f64, start.elapsed());
    if what == Many::ActiveConnections {
        crowd.prepare()?;
        let start = Instant::now();
        let messages = crowd.go_round(scale.duration)?;
        figures.rate("messages", messages as f64, start.elapsed());
    }
    figures.resident = resident(target);
    crowd.close()?;
    Ok(figures)
}

/// Declares, measures what stands, runs a load on it, and takes it away again whatever happened.
fn declared(word: &'static str, count: u64, options: &Options) -> Result<Figures> {
    let mut figures = Figures::default();
    let figures = (|| {
        let mut control = Client::connect(&options.uri)?;
        let start = Instant::now();
        topology::declare(&mut control, options)?;
        if count > 1 {
            figures.rate(word, count as f64, start.elapsed());
            figures.resident = process::resident_memory(&options.pid).ok();
        }
        let report = load::under_load(options)?;
        figures
            .rates
            .push(("messages", report.headline() * options.copies() as f64));
        figures.resident = figures.resident.max(report.resident);
        control.close();
        anyhow::Ok(figures)
    })();
    let mut control = Client::connect(&options.uri)?;
    topology::delete(&mut control, options)?;
    control.close();
    figures
}

fn waiting(options: Options) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut control = Client::connect(&options.uri)?;
    topology::declare(&mut control, &options)?;
    let played = (|| {
        let fill = load::under_load(&Options {
            consumers: 0,
            ..options.clone()
        })?;
        figures.rates.push(("published", fill.headline()));
        figures.resident = fill.resident;
        let drain = load::under_load(&Options {
            publishers: 0,
            ack: 100,
            prefetch: 1000,
            ..options.clone()
        })?;
        figures.rates.push(("drained", drain.headline()));
        anyhow::Ok(figures)
    })();
    topology::delete(&mut control, &options)?;
    control.close();
    played
}

impl Figures {
    fn rate(&mut self, name: &'static str, count: f64, time: Duration) {
        let seconds = time.as_secs_f64().max(1e-9);
        self.rates.push((name, count / seconds));
    }

    fn find(&self, name: &str) -> Option<f64> {
        let found = self.rates.iter().find(|(own, _)| *own == name);
        found.map(|(_, rate)| *rate)
    }
}

impl Point {
    /// What this size has more than nothing.
    fn grown(&self) -> Option<u64> {
        let after = self.outcome.as_ref().ok()?.resident?;
        Some(after.saturating_sub(self.before?))
    }

    /// Of memory, against a smaller size of the same.
    fn memory_factor(&self, smaller: &Point) -> Option<f64> {
        let (larger, smaller) = (self.grown()?, smaller.grown()?);
        (smaller > 0).then(|| larger as f64 / smaller as f64)
    }
}

/// The size before it, when there is one that went well.
fn smaller(points: &[Point], place: usize) -> Option<(&Point, &Figures)> {
    let (point, before) = (points.get(place)?, points.get(place.checked_sub(1)?)?);
    let figures = before.outcome.as_ref().ok()?;
    (point.what == before.what).then_some((before, figures))
}

pub fn to_text(points: &[Point]) -> String {
    let mut out = String::new();
    for (place, point) in points.iter().enumerate() {
        let _ = write!(out, "{:>12} {:<26}", point.size, point.what.name());
        let figures = match &point.outcome {
            Ok(figures) => figures,
            Err(error) => {
                let _ = writeln!(out, "refused: {error}");
                continue;
            }
        };
        for (name, rate) in &figures.rates {
            let _ = write!(out, "{name} {rate:.0}/s");
            let before = smaller(points, place).and_then(|(_, figures)| figures.find(name));
            if let Some(before) = before.filter(|before| *before > 0.0) {
                let _ = write!(out, " (x{:.2})", rate / before);
            }
            out.push_str("  ");
        }
        if let (Some(resident), Some(grown)) = (figures.resident, point.grown()) {
            let mebibytes = |octets: u64| octets as f64 / f64::from(1 << 20);
            let _ = write!(
                out,
                "RSS {:.1} MiB, {:.1} more",
                mebibytes(resident),
                mebibytes(grown)
            );
            let factor = smaller(points, place).and_then(|(before, _)| point.memory_factor(before));
            if let Some(factor) = factor {
                let _ = write!(out, " (x{factor:.2})");
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// `[{"what", "size", "rates": {..}, "resident_bytes", "resident_bytes_before", "memory_factor",
/// "error"}]`
pub fn to_json(points: &[Point]) -> Value {
    let one = |(place, point): (usize, &Point)| {
        let figures = point.outcome.as_ref().ok();
        let rates: serde_json::Map<String, Value> = figures
            .iter()
            .flat_map(|figures| &figures.rates)
            .map(|(name, rate)| ((*name).to_owned(), Value::from(*rate)))
            .collect();
        let factor = smaller(points, place).and_then(|(before, _)| point.memory_factor(before));
        json!({
            "what": point.what.name(),
            "size": point.size,
            "rates": rates,
            "resident_bytes": figures.and_then(|figures| figures.resident),
            "resident_bytes_before": point.before,
            "memory_factor": factor,
            "error": point.outcome.as_ref().err(),
        })
    };
    points.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(size: u64, resident: u64, rate: f64) -> Point {
        Point {
            what: Many::Queues,
            size,
            before: Some(1 << 20),
            outcome: Ok(Figures {
                rates: vec![("declared", rate)],
                resident: Some(resident),
            }),
        }
    }

    #[test]
    fn growth_is_against_the_size_before() {
        let mut points = vec![point(10, 3 << 20, 100.0), point(100, 21 << 20, 50.0)];
        let text = to_text(&points);
        assert!(text.contains("declared 50/s (x0.50)"), "{text}");
        assert!(text.contains("20.0 more (x10.00)"), "{text}");
        assert_eq!(to_json(&points)[1]["memory_factor"], 10.0);
        if let Some(first) = points.first_mut() {
            first.outcome = Err("no".into());
        }
        let text = to_text(&points);
        assert!(text.contains("refused: no"), "{text}");
        assert!(!text.contains("(x"), "{text}");
    }
}
