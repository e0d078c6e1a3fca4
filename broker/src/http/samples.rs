//! Numbers of the last minutes, for rates and charts. Taken every five seconds, and only while
//! somebody asks: a broker that nobody looks at pays nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use crate::clock::Millis;
use crate::names::{ConnectionId, QueueId};

/// RabbitMQ's collect_statistics_interval.
pub(super) const INTERVAL: Millis = 5_000;

/// Nobody has asked for so long: no more samples.
const INTEREST: Millis = 60_000;

/// Ten minutes of the broker and its vhosts, one of everything else: there may be many.
const LONG: usize = 121;
const SHORT: usize = 13;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Broker,
    Node,
    Vhost(Arc<str>),
    Queue(QueueId),
    Exchange(u64),
    DefaultExchange(Arc<str>),
    Connection(ConnectionId),
    /// With its incarnation.
    Channel(ConnectionId, u16, u64),
}

impl Subject {
    fn keeps(&self) -> usize {
        match self {
            Subject::Broker | Subject::Node | Subject::Vhost(_) => LONG,
            Subject::Queue(_)
            | Subject::Exchange(_)
            | Subject::DefaultExchange(_)
            | Subject::Connection(_)
            | Subject::Channel(..) => SHORT,
        }
    }
}

struct Sample {
    at: Millis,
    numbers: Box<[u64]>,
}

#[derive(Default)]
pub(super) struct Samples {
    kept: Mutex<HashMap<Subject, VecDeque<Sample>>>,
    asked_at: AtomicU64,
    taken_at: AtomicU64,
}

impl Samples {
    /// Somebody looks. True: nobody has for a while, so a sample is wanted at once.
    pub fn asked(&self, now: Millis) -> bool {
        self.asked_at.store(now, Ordering::Relaxed);
        now >= self.taken_at.load(Ordering::Relaxed) + 2 * INTERVAL
    }

    pub fn is_wanted(&self, now: Millis) -> bool {
        now < self.asked_at.load(Ordering::Relaxed) + INTEREST
    }

    /// Everything there is at this moment; what is not among it is forgotten.
    pub fn take(&self, now: Millis, numbers: Vec<(Subject, Vec<u64>)>) {
        self.taken_at.store(now, Ordering::Relaxed);
        let there: HashSet<Subject> = numbers.iter().map(|(subject, _)| subject.clone()).collect();
        let mut kept = self.kept.lock();
        kept.retain(|subject, _| there.contains(subject));
        for (subject, numbers) in numbers {
            let most = subject.keeps();
            let samples = kept.entry(subject).or_default();
            let same =
                |sample: Option<&Sample>| sample.is_some_and(|sample| *sample.numbers == *numbers);
            let before = samples
                .len()
                .checked_sub(2)
                .and_then(|index| samples.get(index));
            // Idle ones keep the two ends of their silence.
            if same(samples.back()) && same(before) {
                if let Some(last) = samples.back_mut() {
                    last.at = now;
                }
                continue;
            }
            samples.push_back(Sample {
                at: now,
                numbers: numbers.into_boxed_slice(),
            });
            while samples.len() > most {
                samples.pop_front();
            }
        }
    }

    /// Nobody looks any more.
    pub fn forget(&self) {
        *self.kept.lock() = HashMap::new();
    }

    /// Per second, between the last two samples.
    pub fn rate(&self, subject: &Subject, index: usize) -> f64 {
        let kept = self.kept.lock();
        let Some(samples) = kept.get(subject) else {
            return 0.0;
        };
        let mut last = samples.iter().rev();
        match (last.next(), last.next()) {
            (Some(newer), Some(older)) => per_second(older, newer, index),
            (_, _) => 0.0,
        }
    }

    /// Time and value, the newest first: one for each step back from `now`.
    pub fn series(
        &self,
        subject: &Subject,
        index: usize,
        (now, age, step): (Millis, Millis, Millis),
    ) -> Vec<(Millis, u64)> {
        let kept = self.kept.lock();
        let empty = VecDeque::new();
        let samples = kept.get(subject).unwrap_or(&empty);
        let step = step.max(INTERVAL);
        let newest = now - now % step;
        let steps = (age / step).min(LONG as u64);
        let value = |at: Millis| {
            let until = samples.partition_point(|sample| sample.at <= at + INTERVAL);
            let sample = samples.get(until.saturating_sub(1));
            sample.and_then(|sample| sample.numbers.get(index).copied())
        };
        let times = (0..=steps).map(|back| newest.saturating_sub(back * step));
        times.map(|at| (at, value(at).unwrap_or(0))).collect()
    }
}

fn per_second(older: &Sample, newer: &Sample, index: usize) -> f64 {
    let (Some(before), Some(after)) = (older.numbers.get(index), newer.numbers.get(index)) else {
        return 0.0;
    };
    let seconds = newer.at.saturating_sub(older.at) as f64 / 1000.0;
    if seconds <= 0.0 {
        return 0.0;
    }
    (*after as f64 - *before as f64) / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(samples: &Samples, now: Millis, number: u64) {
        samples.take(now, vec![(Subject::Broker, vec![number])]);
    }

    #[test]
    fn a_rate_is_the_difference_of_the_last_two_samples() {
        let samples = Samples::default();
        assert_eq!(samples.rate(&Subject::Broker, 0), 0.0);
        take(&samples, 5_000, 10);
        assert_eq!(samples.rate(&Subject::Broker, 0), 0.0);
        take(&samples, 10_000, 60);
        assert_eq!(samples.rate(&Subject::Broker, 0), 10.0);
        assert_eq!(samples.rate(&Subject::Broker, 1), 0.0);
        take(&samples, 15_000, 60);
        take(&samples, 20_000, 60);
        take(&samples, 25_000, 60);
        assert_eq!(samples.rate(&Subject::Broker, 0), 0.0);
        take(&samples, 30_000, 50);
        assert_eq!(samples.rate(&Subject::Broker, 0), -2.0);
    }

    #[test]
    fn a_series_goes_back_in_steps() {
        let samples = Samples::default();
        for index in 1..=6 {
            take(&samples, index * 5_000, index);
        }
        let series = samples.series(&Subject::Broker, 0, (30_000, 10_000, 5_000));
        let values: Vec<u64> = series.iter().map(|(_, value)| *value).collect();
        assert_eq!(series.len(), 3);
        assert_eq!(values.first(), Some(&6));
        assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
    }

    #[test]
    fn samples_are_wanted_while_somebody_asks() {
        let samples = Samples::default();
        let now = 1_000_000;
        assert!(!samples.is_wanted(now));
        assert!(samples.asked(now));
        assert!(samples.is_wanted(now + INTEREST - 1));
        assert!(!samples.is_wanted(now + INTEREST));
        take(&samples, now, 1);
        assert!(!samples.asked(now + INTERVAL));
    }
}
