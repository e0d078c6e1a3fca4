//! A series of presets as text for people and as JSON for scripts. Measures nothing.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::chart::{self, Chart, Group};
use super::report::{Report, latency_json, new_histogram};
use super::rounds::{Played, Row};
use super::statistics::{Ratio, Spread, rate, small};
use super::target::Target;

/// Figures with their headings; a column of ratios when there are two brokers.
struct Figures {
    heading: &'static str,
    title: &'static str,
    of: fn(&Played) -> &[f64],
    show: fn(Spread) -> String,
}

const FIGURES: [Figures; 2] = [
    Figures {
        heading: "messages a second, median [lowest..highest]",
        title: "Messages a second",
        of: |played| &played.rates,
        show: rate,
    },
    Figures {
        heading: "broker CPU, microseconds a message",
        title: "Processor time of the broker, microseconds a message",
        of: |played| &played.cpu,
        show: small,
    },
];

pub fn to_text(targets: &[Target], rows: &[Row]) -> String {
    let mut out = String::new();
    for figures in FIGURES {
        let any = rows.iter().flat_map(|row| &row.played);
        if any.clone().all(|played| (figures.of)(played).is_empty()) {
            continue;
        }
        let _ = write!(out, "{:<66}", figures.heading);
        for target in targets {
            let _ = write!(out, "{:<26}", target.name);
        }
        out.push_str(if targets.len() == 2 { "ratio" } else { "" });
        out.truncate(out.trim_end().len());
        out.push('\n');
        for row in rows {
            let name = format!("{:<6} {}", row.name, row.summary);
            let _ = write!(out, "{name:<66}");
            for played in &row.played {
                let spread = Spread::of((figures.of)(played)).map(figures.show);
                let _ = write!(out, "{:<26}", spread.unwrap_or_else(|| "-".into()));
            }
            if let [first, second] = row.played.as_slice()
                && let Some(ratio) = Ratio::of((figures.of)(first), (figures.of)(second))
            {
                let _ = write!(out, "{ratio}");
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        out.push('\n');
    }
    latencies(&mut out, targets, rows);
    for row in rows {
        for (target, played) in targets.iter().zip(&row.played) {
            if played.missing > 0 {
                let _ = writeln!(
                    out,
                    "{} against {}: {} messages did not come",
                    row.name, target.name, played.missing
                );
            }
        }
    }
    out
}

/// Rates of one broker against those of A and of the same messages through a fanout; `names` are the
/// fanout rows to compare with, row by row.
pub fn against(rows: &[Row], names: &[Option<String>]) -> String {
    let mut out = format!("{:<40}{:<26}{}\n", "ratio of rates", "to A", "to fanout");
    let rates = |row: &Row| row.played.first().map(|played| played.rates.clone());
    let base = rows.first().and_then(rates).unwrap_or_default();
    for (row, name) in rows.iter().zip(names).skip(1) {
        let own = rates(row).unwrap_or_default();
        let fanout = rows.iter().find(|row| Some(&row.name) == name.as_ref());
        let fanout = fanout.and_then(rates).unwrap_or_default();
        let text = |base: &[f64]| {
            Ratio::of(&own, base).map_or_else(|| "-".to_owned(), |ratio| ratio.to_string())
        };
        let (to_a, to_fanout) = (text(&base), text(&fanout));
        let _ = write!(out, "{:<40}{to_a:<26}{to_fanout}", row.name);
        out.push('\n');
    }
    out
}

/// Of all rounds together.
fn latencies(out: &mut String, targets: &[Target], rows: &[Row]) {
    for (heading, which) in LATENCIES {
        let measured = |row: &&Row| {
            row.played
                .iter()
                .any(|played| !all(played, which).is_empty())
        };
        let rows: Vec<&Row> = rows.iter().filter(measured).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(out, "{heading:<66}");
        for target in targets {
            let _ = write!(out, "{:<26}", target.name);
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        for row in rows {
            let name = format!("{:<6} {}", row.name, row.summary);
            let _ = write!(out, "{name:<66}");
            for played in &row.played {
                let latency = all(played, which);
                let [p50, p99, p999] = [0.5, 0.99, 0.999]
                    .map(|quantile| latency.value_at_quantile(quantile) as f64 / 1000.0);
                let text = format!("{p50:.2} / {p99:.2} / {p999:.2}");
                let _ = write!(out, "{text:<26}");
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        out.push('\n');
    }
}

type Which = fn(&Report) -> &Histogram<u64>;

const LATENCIES: [(&str, Which); 2] = [
    ("latency, ms: p50 / p99 / p99.9", |report| &report.latency),
    ("confirms, ms: p50 / p99 / p99.9", |report| {
        &report.confirm_latency
    }),
];

fn all(played: &Played, which: Which) -> Histogram<u64> {
    let mut sum = new_histogram();
    for report in &played.reports {
        // All have the same bounds.
        let _ = sum.add(which(report));
    }
    sum
}

/// Rates as bars, and processor time where it was measured.
pub fn to_svg(targets: &[Target], rows: &[Row]) -> String {
    let series: Vec<String> = targets
        .iter()
        .map(|target| format!("{} ({})", target.broker, target.name))
        .collect();
    let charts = FIGURES.map(|figures| Chart {
        title: figures.title,
        groups: rows
            .iter()
            .map(|row| Group {
                name: row.name.clone(),
                bars: row
                    .played
                    .iter()
                    .map(|played| Spread::of((figures.of)(played)))
                    .collect(),
            })
            .collect(),
    });
    let measured = |chart: &Chart| {
        let mut bars = chart.groups.iter().flat_map(|group| &group.bars);
        bars.any(Option::is_some)
    };
    let charts: Vec<Chart> = charts.into_iter().filter(measured).collect();
    chart::page(&series, &charts)
}

/// `{"brokers":[..], "presets":[{"preset", "summary", "brokers":[..], "rate_ratio",
/// "cpu_ratio"}]}`; see docs/benchmarks.md.
pub fn to_json(targets: &[Target], rows: &[Row]) -> Value {
    let brokers: Vec<Value> = targets
        .iter()
        .map(|target| json!({"name": target.name, "pids": target.pids}))
        .collect();
    let presets: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut out = json!({
                "preset": row.name,
                "summary": row.summary,
                "brokers": row.played.iter().map(played_json).collect::<Vec<_>>(),
            });
            if let [first, second] = row.played.as_slice() {
                out["rate_ratio"] = ratio_json(&first.rates, &second.rates);
                out["cpu_ratio"] = ratio_json(&first.cpu, &second.cpu);
            }
            out
        })
        .collect();
    json!({"brokers": brokers, "presets": presets})
}

fn played_json(played: &Played) -> Value {
    let sum = |count: fn(&Report) -> u64| played.reports.iter().map(count).sum::<u64>();
    json!({
        "rate": spread_json(&played.rates),
        "cpu_us_per_message": spread_json(&played.cpu),
        "latency_us": latency_json(&all(played, |report| &report.latency)),
        "confirm_latency_us": latency_json(&all(played, |report| &report.confirm_latency)),
        "resident_bytes": played.reports.iter().filter_map(|report| report.resident).max(),
        "published": sum(|report| report.published),
        "confirmed": sum(|report| report.confirmed),
        "consumed": sum(|report| report.consumed),
        "nacked": sum(|report| report.nacked),
        "missing": played.missing,
    })
}

fn spread_json(figures: &[f64]) -> Value {
    Spread::of(figures).map_or(Value::Null, |spread| {
        json!({
            "median": spread.median,
            "lowest": spread.lowest,
            "highest": spread.highest,
            "rounds": figures,
        })
    })
}

fn ratio_json(first: &[f64], second: &[f64]) -> Value {
    Ratio::of(first, second).map_or(Value::Null, |ratio| {
        json!({
            "of_medians": ratio.of_medians,
            "lowest": ratio.lowest,
            "highest": ratio.highest,
        })
    })
}
