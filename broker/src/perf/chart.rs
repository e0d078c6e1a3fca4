//! Bars as SVG: for each group one bar of each series, as long as its median, with a line from the
//! lowest to the highest. Text in, text out.

use std::fmt::Write as _;

use super::statistics::Spread;

pub struct Group {
    pub name: String,
    /// In the order of the series; a series may lack a figure.
    pub bars: Vec<Option<Spread>>,
}

const COLOURS: [&str; 4] = ["#2f6f9f", "#c98a2b", "#6a994e", "#8a6bb1"];

/// Pixels.
const WIDTH: f64 = 560.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 14.0;
const GAP: f64 = 10.0;
const TOP: f64 = 54.0;
/// Of a character, on the average and rounded up: nothing here knows the fonts.
const CHARACTER: f64 = 7.0;

/// Bars of one unit.
pub struct Chart {
    pub title: &'static str,
    pub groups: Vec<Group>,
}

impl Chart {
    fn group_height(series: usize) -> f64 {
        BAR * series.max(1) as f64 + GAP
    }

    fn height(&self, series: usize) -> f64 {
        TOP + Chart::group_height(series) * self.groups.len() as f64 + GAP
    }

    /// What the names of groups take.
    fn left(&self) -> f64 {
        let names = self.groups.iter().map(|group| group.name.chars().count());
        CHARACTER * names.max().unwrap_or_default() as f64 + 2.0 * GAP
    }

    fn draw(&self, out: &mut String, series: &[String], (left, top): (f64, f64)) {
        let highest = self
            .groups
            .iter()
            .flat_map(|group| group.bars.iter().flatten())
            .map(|spread| spread.highest)
            .fold(0.0, f64::max);
        let scale = if highest > 0.0 { WIDTH / highest } else { 0.0 };
        let group_height = Chart::group_height(series.len());
        let _ = writeln!(
            out,
            "<text x=\"{GAP}\" y=\"{}\" font-size=\"14\">{}</text>",
            top + 20.0,
            escaped(self.title)
        );
        legend(out, series, (left, top));
        for (place, group) in self.groups.iter().enumerate() {
            let top = top + TOP + group_height * place as f64;
            let middle = top + (group_height - GAP) / 2.0 + 4.0;
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                escaped(&group.name)
            );
            for (number, spread) in group.bars.iter().enumerate() {
                if let Some(spread) = spread {
                    let at = (left, top + BAR * number as f64);
                    bar(out, number, at, *spread, scale);
                }
            }
        }
    }
}

/// One below the other, all with the same series.
pub fn page(series: &[String], charts: &[Chart]) -> String {
    let height: f64 = charts.iter().map(|chart| chart.height(series.len())).sum();
    let left = charts.iter().map(Chart::left).fold(0.0, f64::max);
    let width = left + WIDTH + RIGHT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut top = 0.0;
    for chart in charts {
        chart.draw(&mut out, series, (left, top));
        top += chart.height(series.len());
    }
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String, series: &[String], (mut left, top): (f64, f64)) {
    for (number, name) in series.iter().enumerate() {
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            top + 32.0,
            colour(number),
            left + 14.0,
            top + 41.0,
            escaped(name)
        );
        left += 40.0 + CHARACTER * name.chars().count() as f64;
    }
}

fn bar(out: &mut String, number: usize, (left, top): (f64, f64), spread: Spread, scale: f64) {
    let end = left + spread.median * scale;
    let (from, to) = (left + spread.lowest * scale, left + spread.highest * scale);
    let line = top + BAR / 2.0;
    let _ = writeln!(
        out,
        "<rect x=\"{left}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
         <path d=\"M{from:.1} {line:.1}H{to:.1}\" stroke=\"#222222\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        top + 1.0,
        end - left,
        BAR - 2.0,
        colour(number),
        to + 4.0,
        top + BAR - 3.0,
        short(spread.median)
    );
}

fn colour(number: usize) -> &'static str {
    COLOURS
        .get(number % COLOURS.len())
        .copied()
        .unwrap_or("#000000")
}

fn short(figure: f64) -> String {
    match figure {
        figure if figure >= 100_000.0 => format!("{:.0} k", figure / 1000.0),
        figure if figure >= 1000.0 => format!("{:.1} k", figure / 1000.0),
        figure => format!("{figure:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_spread_fills_the_width_and_names_are_escaped() {
        let spread = |median| {
            Some(Spread {
                median,
                lowest: median / 2.0,
                highest: median,
            })
        };
        let groups = vec![
            Group {
                name: "A<B".into(),
                bars: vec![spread(2000.0), spread(500.0)],
            },
            Group {
                name: "C".into(),
                bars: vec![None, spread(1000.0)],
            },
        ];
        let title = "rates";
        let svg = page(&["one".into(), "two".into()], &[Chart { title, groups }]);
        assert!(svg.contains("width=\"560.0\""), "{svg}");
        assert!(svg.contains("width=\"140.0\""), "{svg}");
        assert!(svg.contains("A&lt;B"), "{svg}");
        assert!(svg.contains("2.0 k"), "{svg}");
        // The ground, two of the legend, three bars.
        assert_eq!(svg.matches("<rect").count(), 6);
    }

    #[test]
    fn no_figures_are_an_empty_chart() {
        let (title, groups) = ("nothing", Vec::new());
        let svg = page(&["one".into()], &[Chart { title, groups }]);
        assert!(
            svg.starts_with("<svg") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
