//! What is counted for statistics. Counters that one thread writes and any may read, and sums that a
//! lock protects anyway. Nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Written by one thread only: two would lose counts. So it costs what a plain number does.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, count: u64) {
        self.set(self.get() + count);
    }

    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Written by many threads, rarely.
#[derive(Debug, Default)]
pub struct Shared(AtomicU64);

impl Shared {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection's octets and how often the socket was asked, and what it has published by size.
#[derive(Debug, Default)]
pub struct Traffic {
    pub sizes: SizeCounters,
    pub received: Counter,
    pub reads: Counter,
    pub sent: Counter,
    pub writes: Counter,
}

impl Traffic {
    pub fn octets(&self) -> Octets {
        Octets {
            received: self.received.get(),
            sent: self.sent.get(),
        }
    }
}

/// What went through sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Octets {
    pub received: u64,
    pub sent: u64,
}

impl std::ops::AddAssign for Octets {
    fn add_assign(&mut self, other: Octets) {
        self.received += other.received;
        self.sent += other.sent;
    }
}

/// RabbitMQ's steps, in octets of body; what is above the last stands by itself.
pub const SIZE_STEPS: [u64; 8] = [
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
];

/// How many messages of which size, and their octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub octets: u64,
    pub counts: [u64; SIZE_STEPS.len() + 1],
}

impl Sizes {
    #[inline]
    pub fn count(&mut self, octets: u64) {
        self.octets += octets;
        let above = SIZE_STEPS.iter().take_while(|step| octets > **step);
        if let Some(count) = self.counts.get_mut(above.count()) {
            *count += 1;
        }
    }
}

impl std::ops::AddAssign for Sizes {
    fn add_assign(&mut self, other: Sizes) {
        self.octets += other.octets;
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
    }
}

/// The same for others to read.
#[derive(Debug, Default)]
pub struct SizeCounters {
    octets: Counter,
    counts: [Counter; SIZE_STEPS.len() + 1],
}

impl SizeCounters {
    pub fn add(&self, sizes: &Sizes) {
        self.octets.add(sizes.octets);
        for (counter, count) in self.counts.iter().zip(sizes.counts) {
            counter.add(count);
        }
    }

    pub fn get(&self) -> Sizes {
        Sizes {
            octets: self.octets.get(),
            counts: std::array::from_fn(|step| self.counts.get(step).map_or(0, Counter::get)),
        }
    }
}

/// What a channel's client has done. Deliveries are counted where they are made (`Deliveries`).
#[derive(Debug, Default)]
pub struct Requests {
    pub published: Counter,
    pub returned: Counter,
    pub dropped: Counter,
    pub acked: Counter,
    pub get_empty: Counter,
}

/// What was handed out, to a channel or by a queue; and, of a channel, what was confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    pub delivered: u64,
    pub delivered_no_ack: u64,
    pub got: u64,
    pub got_no_ack: u64,
    pub redelivered: u64,
    pub confirmed: u64,
}

impl Deliveries {
    #[inline]
    pub fn deliver(&mut self, no_ack: bool, redelivered: bool) {
        self.delivered += u64::from(!no_ack);
        self.delivered_no_ack += u64::from(no_ack);
        self.redelivered += u64::from(redelivered);
    }

    pub fn get(&mut self, no_ack: bool, redelivered: bool) {
        self.got += u64::from(!no_ack);
        self.got_no_ack += u64::from(no_ack);
        self.redelivered += u64::from(redelivered);
    }
}

/// Everything that is counted about messages at one place; nought where it is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    pub published: u64,
    pub returned: u64,
    pub dropped: u64,
    pub acked: u64,
    pub get_empty: u64,
    pub out: Deliveries,
}

impl Messages {
    pub fn of(requests: &Requests, out: Deliveries) -> Messages {
        Messages {
            published: requests.published.get(),
            returned: requests.returned.get(),
            dropped: requests.dropped.get(),
            acked: requests.acked.get(),
            get_empty: requests.get_empty.get(),
            out,
        }
    }
}

impl std::ops::AddAssign for Messages {
    fn add_assign(&mut self, other: Messages) {
        self.published += other.published;
        self.returned += other.returned;
        self.dropped += other.dropped;
        self.acked += other.acked;
        self.get_empty += other.get_empty;
        self.out.delivered += other.out.delivered;
        self.out.delivered_no_ack += other.out.delivered_no_ack;
        self.out.got += other.out.got;
        self.out.got_no_ack += other.out.got_no_ack;
        self.out.redelivered += other.out.redelivered;
        self.out.confirmed += other.out.confirmed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_counts_up_to_its_step_and_with_it() {
        let mut sizes = Sizes::default();
        for octets in [0, 100, 101, 1_000, 100_000_000, 100_000_001] {
            sizes.count(octets);
        }
        assert_eq!(sizes.counts, [2, 2, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sizes.octets, 200_001_202);
        let counters = SizeCounters::default();
        counters.add(&sizes);
        counters.add(&sizes);
        let mut twice = sizes;
        twice += sizes;
        assert_eq!(counters.get(), twice);
    }
}
