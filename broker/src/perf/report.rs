//! What a load measured, as a table or as JSON. Measures nothing itself.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::process::CpuTime;

/// Microseconds, from one to an hour, three digits exact.
pub fn new_histogram() -> Histogram<u64> {
    const HOUR: u64 = 3_600_000_000;
    Histogram::new_with_bounds(1, HOUR, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are constants and good"))
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub at: Duration,
    pub published: u64,
    pub confirmed: u64,
    pub consumed: u64,
}

impl Sample {
    /// Nothing moved.
    pub fn counts_like(&self, other: &Sample) -> bool {
        (self.published, self.confirmed, self.consumed)
            == (other.published, other.confirmed, other.consumed)
    }

    /// Messages that went the whole way since then, or as much of it as the load has.
    pub fn whole_way_since(&self, first: Sample) -> u64 {
        match (
            self.published - first.published,
            self.consumed - first.consumed,
        ) {
            (0, consumed) => consumed,
            (published, 0) => published,
            (published, consumed) => published.min(consumed),
        }
    }

    /// The line of one second: what moved since the sample before.
    pub fn progress(&self, before: &Sample, first: &Sample) -> String {
        let seconds = (self.at - before.at).as_secs_f64();
        let mut line = format!("{:>5.0} s", (self.at - first.at).as_secs_f64());
        for (name, now, then) in [
            ("published", self.published, before.published),
            ("confirmed", self.confirmed, before.confirmed),
            ("consumed", self.consumed, before.consumed),
        ] {
            if now > 0 {
                let rate = (now - then) as f64 / seconds;
                let _ = write!(line, "  {name} {rate:.0}/s");
            }
        }
        line
    }
}

pub struct Report {
    /// First and last are start and end of the load, those between are a second apart.
    pub samples: Vec<Sample>,
    pub confirm_latency: Histogram<u64>,
    pub latency: Histogram<u64>,
    pub cpu: Option<CpuTime>,
    /// What that time was spent on.
    pub cpu_messages: u64,
    /// Octets of the broker's processes at the end of the load.
    pub resident: Option<u64>,
    /// Totals, with what came after the load was over.
    pub published: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub returned: u64,
    pub consumed: u64,
}

/// Messages a second: over the whole load, and the median of its seconds.
struct Rate {
    name: &'static str,
    mean: f64,
    median: f64,
    total: u64,
}

impl Report {
    /// Messages a second: consumed, or published when this load consumes nothing.
    pub fn headline(&self) -> f64 {
        let [published, _, consumed] = self.rates();
        match self.consumed {
            0 => published.mean,
            _ => consumed.mean,
        }
    }

    fn rates(&self) -> [Rate; 3] {
        [
            self.rate("published", self.published, |sample| sample.published),
            self.rate("confirmed", self.confirmed, |sample| sample.confirmed),
            self.rate("consumed", self.consumed, |sample| sample.consumed),
        ]
    }

    fn rate(&self, name: &'static str, total: u64, count: fn(&Sample) -> u64) -> Rate {
        let between = |from: &Sample, to: &Sample| {
            let seconds = to.at.saturating_sub(from.at).as_secs_f64();
            (seconds > 0.0).then(|| count(to).saturating_sub(count(from)) as f64 / seconds)
        };
        let mean = match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => between(first, last).unwrap_or(0.0),
            (_, _) => 0.0,
        };
        let mut seconds: Vec<f64> = self
            .samples
            .windows(2)
            .filter_map(|pair| match pair {
                // A short last second is no second.
                [from, to] if to.at - from.at > Duration::from_millis(500) => between(from, to),
                _ => None,
            })
            .collect();
        seconds.sort_unstable_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or(mean);
        Rate {
            name,
            mean,
            median,
            total,
        }
    }

    fn seconds(&self) -> f64 {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => (last.at - first.at).as_secs_f64(),
            (_, _) => 0.0,
        }
    }

    /// Microseconds of CPU a message: user, system. A message is one that went the whole way, or
    /// as much of it as this load has.
    pub fn cpu_per_message(&self) -> Option<(f64, f64)> {
        let each = |seconds: f64| seconds * 1e6 / self.cpu_messages.max(1) as f64;
        self.cpu.map(|cpu| (each(cpu.user), each(cpu.system)))
    }

    pub fn to_table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<12}{:>14}{:>14}{:>14}",
            "", "msg/s", "median", "total"
        );
        for rate in self.rates() {
            if rate.total > 0 {
                let (mean, median) = (rate.mean.round(), rate.median.round());
                let _ = writeln!(
                    out,
                    "{:<12}{mean:>14}{median:>14}{:>14}",
                    rate.name, rate.total
                );
            }
        }
        for (name, count) in [("nacked", self.nacked), ("returned", self.returned)] {
            if count > 0 {
                let _ = writeln!(out, "{name:<12}{:>14}{:>14}{count:>14}", "", "");
            }
        }
        let latencies = [
            ("latency", &self.latency),
            ("confirms", &self.confirm_latency),
        ];
        for (name, latency) in latencies.into_iter().filter(|(_, of)| !of.is_empty()) {
            let _ = writeln!(out, "{name:<14}{}", percentile_text(latency));
        }
        if let Some((user, system)) = self.cpu_per_message() {
            let _ = writeln!(
                out,
                "broker CPU    {:.2} us a message (user {user:.2}, system {system:.2})",
                user + system
            );
        }
        if let Some(resident) = self.resident {
            let _ = writeln!(out, "broker RSS    {} MiB at the end", resident >> 20);
        }
        let _ = writeln!(out, "load        {:.1} s", self.seconds());
        out
    }

    pub fn to_json(&self) -> Value {
        let mut out = json!({
            "seconds": self.seconds(),
            "resident_bytes": self.resident,
            "nacked": self.nacked,
            "returned": self.returned,
            "latency_us": latency_json(&self.latency),
            "confirm_latency_us": latency_json(&self.confirm_latency),
            "cpu_us_per_message": self.cpu_per_message().map(|(user, system)| json!({
                "total": user + system,
                "user": user,
                "system": system,
            })),
        });
        for rate in self.rates() {
            out[rate.name] = json!({
                "rate": rate.mean,
                "median_rate": rate.median,
                "total": rate.total,
            });
        }
        out
    }
}

fn percentiles(latency: &Histogram<u64>) -> [(&'static str, u64); 4] {
    [
        ("p50", latency.value_at_quantile(0.5)),
        ("p99", latency.value_at_quantile(0.99)),
        ("p99.9", latency.value_at_quantile(0.999)),
        ("max", latency.max()),
    ]
}

pub fn percentile_text(latency: &Histogram<u64>) -> String {
    percentiles(latency)
        .map(|(label, micros)| format!("{label} {}", millis(micros)))
        .join("  ")
}

pub fn latency_json(latency: &Histogram<u64>) -> Value {
    if latency.is_empty() {
        return Value::Null;
    }
    percentiles(latency)
        .into_iter()
        .map(|(label, micros)| (label.to_owned(), Value::from(micros)))
        .collect()
}

fn millis(micros: u64) -> String {
    format!("{:.3} ms", micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(millis: u64, published: u64, consumed: u64) -> Sample {
        Sample {
            at: Duration::from_millis(millis),
            published,
            confirmed: 0,
            consumed,
        }
    }

    fn report() -> Report {
        let mut latency = new_histogram();
        for micros in 1..=1000 {
            latency.saturating_record(micros);
        }
        Report {
            samples: vec![
                sample(500, 0, 0),
                sample(1500, 100, 90),
                sample(2500, 400, 300),
                sample(3500, 600, 590),
                sample(3600, 600, 600),
            ],
            confirm_latency: new_histogram(),
            latency,
            cpu: Some(CpuTime {
                user: 0.003,
                system: 0.0015,
            }),
            cpu_messages: 600,
            resident: Some(3 << 20),
            published: 600,
            confirmed: 0,
            nacked: 0,
            returned: 0,
            consumed: 600,
        }
    }

    #[test]
    fn rates_are_of_the_load_and_medians_of_its_seconds() {
        let json = report().to_json();
        assert_eq!(json["published"]["median_rate"], 200.0);
        assert_eq!(json["published"]["total"], 600);
        let mean = json["published"]["rate"].as_f64().expect("a number");
        assert!((mean - 600.0 / 3.1).abs() < 0.001, "{mean}");
        assert_eq!(json["consumed"]["median_rate"], 210.0);
    }

    #[test]
    fn what_never_came_out_is_not_counted_with_the_cpu_time() {
        let whole_way = |published, consumed| {
            sample(2000, published, consumed).whole_way_since(sample(1000, 10, 5))
        };
        assert_eq!(whole_way(110, 55), 50);
        assert_eq!(whole_way(110, 5), 100);
        assert_eq!(whole_way(10, 55), 50);
    }

    #[test]
    fn cpu_time_is_per_message() {
        let json = report().to_json();
        assert_eq!(json["cpu_us_per_message"]["user"], 5.0);
        assert_eq!(json["cpu_us_per_message"]["total"], 7.5);
    }

    #[test]
    fn latencies_are_percentiles_in_microseconds() {
        let json = report().to_json();
        assert_eq!(json["latency_us"]["p50"], 500);
        assert_eq!(json["latency_us"]["max"], 1000);
        assert_eq!(json["confirm_latency_us"], Value::Null);
    }

    #[test]
    fn the_table_leaves_out_what_was_not_measured() {
        let table = report().to_table();
        assert!(table.contains("published"), "{table}");
        assert!(table.contains("p99.9 0.999 ms"), "{table}");
        assert!(!table.contains("confirm"), "{table}");
    }
}
