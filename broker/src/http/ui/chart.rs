//! Charts as SVG: lines over the last minutes, bars for how long calls took. Colours are classes of
//! the style sheet, so that there is no style in the page itself.

use maud::{Markup, html};
use serde_json::Value;

use super::show::{at, count, list, number, per_second};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 150.0;

struct Line {
    name: &'static str,
    /// Times in milliseconds, the oldest first.
    points: Vec<(u64, f64)>,
}

/// What becomes of messages: how many there are (`depths`), and how many went through a second
/// (`stats`); both as the API tells them with samples.
pub(super) fn messages(depths: &Value, stats: &Value, rates: [(&'static str, &str); 4]) -> Markup {
    let line = |of: &Value, name, field: &str, as_rate| Line {
        name,
        points: samples(at(of, &format!("{field}_details")), as_rate),
    };
    let depths = [
        ("Ready", "messages_ready"),
        ("Unacknowledged", "messages_unacknowledged"),
        ("Total", "messages"),
    ]
    .map(|(name, field)| line(depths, name, field, false));
    let rates = rates.map(|(name, field)| line(stats, name, field, true));
    html! {
        div.charts {
            (lines("Messages", &depths, |value| count(value as u64)))
            (lines("Messages per second", &rates, per_second))
        }
    }
}

/// `samples` of one of the API's `_details`: as they are, or as a rate between them.
fn samples(details: &Value, as_rate: bool) -> Vec<(u64, f64)> {
    let samples = list(at(details, "samples"));
    let newest_last = samples.iter().rev();
    let points = newest_last.map(|one| (number(one, "timestamp"), number(one, "sample")));
    let points: Vec<(u64, u64)> = points.collect();
    if !as_rate {
        return points
            .iter()
            .map(|(at, value)| (*at, *value as f64))
            .collect();
    }
    let pairs = points.iter().zip(points.iter().skip(1));
    let rates = pairs.map(|((before, low), (after, high))| {
        let seconds = after.saturating_sub(*before).max(1) as f64 / 1000.0;
        let more = high.saturating_sub(*low);
        (*after, more as f64 / seconds)
    });
    let mut rates: Vec<(u64, f64)> = rates.collect();
    // Of the newest step there may be no sample yet, which is no standstill.
    if rates.len() > 1 && rates.last().is_some_and(|(_, rate)| *rate == 0.0) {
        rates.pop();
    }
    rates
}

/// The next larger number that reads well.
fn ceiling(value: f64) -> f64 {
    if value <= 1.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let fits = steps.iter().find(|step| *step * power >= value);
    fits.unwrap_or(&10.0) * power
}

fn lines(title: &str, lines: &[Line], shown: impl Fn(f64) -> String) -> Markup {
    let points = lines.iter().flat_map(|line| &line.points);
    let most = points.clone().map(|(_, value)| *value).fold(0.0, f64::max);
    let top = ceiling(most);
    let first = points.clone().map(|(at, _)| *at).min().unwrap_or(0);
    let last = points.map(|(at, _)| *at).max().unwrap_or(0);
    let span = last.saturating_sub(first).max(1) as f64;
    let place = |(at, value): &(u64, f64)| {
        let x = at.saturating_sub(first) as f64 / span * WIDTH;
        let y = HEIGHT - value / top * HEIGHT;
        format!("{x:.0},{y:.1}")
    };
    let newest = |line: &Line| line.points.last().map_or(0.0, |(_, value)| *value);
    let summary: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line.name, shown(newest(line))))
        .collect();
    let summary = format!("{title}, now: {}", summary.join(", "));
    html! {
        figure.chart {
            figcaption { (title) span.dim { " up to " (shown(top)) ", last " (((last - first) / 60_000).max(1)) " min" } }
            svg viewBox="0 0 600 150" preserveAspectRatio="none" role="img" aria-label=(summary) {
                @for quarter in 0..=4 {
                    @let y = f64::from(quarter) * HEIGHT / 4.0;
                    line.grid x1="0" x2="600" y1=(y) y2=(y) {}
                }
                @for (index, line) in lines.iter().enumerate() {
                    polyline class=(format!("line c{index}")) points=(line.points.iter().map(place).collect::<Vec<_>>().join(" ")) {}
                }
            }
            ul.legend {
                @for (index, line) in lines.iter().enumerate() {
                    li { span class=(format!("key c{index}")) aria-hidden="true" {} (line.name) ": " strong { (shown(newest(line))) } }
                }
            }
        }
    }
}

/// Names and how many of each.
pub(super) fn bars(title: &str, bars: &[(String, u64)]) -> Markup {
    let top = bars
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1) as f64;
    let width = WIDTH / bars.len().max(1) as f64;
    html! {
        figure.chart {
            figcaption { (title) }
            svg viewBox="0 0 600 150" preserveAspectRatio="none" role="img" aria-label=(title) {
                @for (index, (name, count)) in bars.iter().enumerate() {
                    // What has happened at all is to be seen.
                    @let height = if *count == 0 { 0.0 } else { (*count as f64 / top * HEIGHT).max(2.0) };
                    rect.bar x=(format!("{:.1}", index as f64 * width + 1.0)) width=(format!("{:.1}", width - 2.0))
                        y=(format!("{:.1}", HEIGHT - height)) height=(format!("{height:.1}")) {
                        title { (name) ": " (count) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let tops = [0.0, 1.0, 1.5, 7.0, 10.0, 11.0, 499.0, 501.0].map(ceiling);
        assert_eq!(tops, [1.0, 1.0, 2.0, 10.0, 10.0, 20.0, 500.0, 1000.0]);
    }

    #[test]
    fn a_rate_is_between_two_samples() {
        let details = json!({"samples": [
            {"timestamp": 10_000, "sample": 110},
            {"timestamp": 5_000, "sample": 10},
        ]});
        assert_eq!(samples(&details, true), [(10_000, 20.0)]);
        assert_eq!(samples(&details, false), [(5_000, 10.0), (10_000, 110.0)]);
    }
}
