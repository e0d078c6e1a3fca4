//! Medians, spreads and ratios of a few rounds. Pure: numbers in, numbers out.

use std::fmt;

/// The middle of some figures with the lowest and the highest of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

impl Spread {
    /// None of no figures. Of an even number the median is the mean of the two in the middle.
    pub fn of(figures: &[f64]) -> Option<Spread> {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Spread {
            median: (lower + upper) / 2.0,
            lowest,
            highest,
        })
    }
}

/// How many times the second the first is: over the medians, and round by round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub of_medians: f64,
    pub lowest: f64,
    pub highest: f64,
}

impl Ratio {
    /// Figures of the same round stand at the same place. None without a round, or against zero.
    pub fn of(first: &[f64], second: &[f64]) -> Option<Ratio> {
        let rounds: Vec<f64> = first
            .iter()
            .zip(second)
            .filter(|(_, second)| **second > 0.0)
            .map(|(first, second)| first / second)
            .collect();
        let rounds = Spread::of(&rounds)?;
        let of_medians = Spread::of(first)?.median / Spread::of(second)?.median;
        of_medians.is_finite().then_some(Ratio {
            of_medians,
            lowest: rounds.lowest,
            highest: rounds.highest,
        })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ratio {
            of_medians,
            lowest,
            highest,
        } = self;
        write!(formatter, "{of_medians:.2} [{lowest:.2}..{highest:.2}]")
    }
}

/// Messages a second, in thousands from 1,000 on.
pub fn rate(spread: Spread) -> String {
    let Spread {
        median,
        lowest,
        highest,
    } = spread;
    if median >= 100_000.0 {
        let [median, lowest, highest] = [median, lowest, highest].map(|rate| rate / 1000.0);
        format!("{median:.0} k [{lowest:.0}..{highest:.0}]")
    } else if median >= 1000.0 {
        let [median, lowest, highest] = [median, lowest, highest].map(|rate| rate / 1000.0);
        format!("{median:.1} k [{lowest:.1}..{highest:.1}]")
    } else {
        format!("{median:.0} [{lowest:.0}..{highest:.0}]")
    }
}

/// Microseconds, or whatever is small.
pub fn small(spread: Spread) -> String {
    let Spread {
        median,
        lowest,
        highest,
    } = spread;
    if median >= 10.0 {
        format!("{median:.1} [{lowest:.1}..{highest:.1}]")
    } else {
        format!("{median:.2} [{lowest:.2}..{highest:.2}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_and_the_spread_its_ends() {
        let spread = Spread::of(&[3.0, 9.0, 1.0]).expect("three figures");
        assert_eq!(
            (spread.lowest, spread.median, spread.highest),
            (1.0, 3.0, 9.0)
        );
        let spread = Spread::of(&[4.0, 1.0, 2.0, 8.0]).expect("four figures");
        assert_eq!(spread.median, 3.0);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_of_medians_and_round_by_round() {
        let ratio = Ratio::of(&[10.0, 30.0, 20.0], &[5.0, 10.0, 20.0]).expect("three rounds");
        assert_eq!(ratio.of_medians, 2.0);
        assert_eq!((ratio.lowest, ratio.highest), (1.0, 3.0));
        assert_eq!(ratio.to_string(), "2.00 [1.00..3.00]");
    }

    #[test]
    fn nothing_is_a_multiple_of_zero() {
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
        assert_eq!(Ratio::of(&[], &[]), None);
    }

    #[test]
    fn figures_are_short() {
        let spread = |median| Spread {
            median,
            lowest: median / 2.0,
            highest: median,
        };
        assert_eq!(rate(spread(1_300_400.0)), "1300 k [650..1300]");
        assert_eq!(rate(spread(17_000.0)), "17.0 k [8.5..17.0]");
        assert_eq!(rate(spread(12.0)), "12 [6..12]");
        assert_eq!(small(spread(0.76)), "0.76 [0.38..0.76]");
        assert_eq!(small(spread(15.8)), "15.8 [7.9..15.8]");
    }
}
