//! What was published and is not settled yet, by sequence number. Knows nothing of the messages.

use std::collections::VecDeque;

/// A window over sequence numbers: everything up to `upto` is settled.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    upto: u64,
    /// What follows `upto`: settled or not.
    open: VecDeque<bool>,
    /// The last number of earlier channels, where the peer's count begins anew.
    base: u64,
    failed: Vec<u64>,
    told: u64,
}

/// What has become of what was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirms {
    pub upto: u64,
    /// Since the last time; they count as settled.
    pub failed: Vec<u64>,
}

pub(super) struct Taken {
    pub confirms: Confirms,
    is_news: bool,
}

impl Taken {
    pub fn is_empty(&self) -> bool {
        !self.is_news
    }
}

impl Unconfirmed {
    pub fn last(&self) -> u64 {
        self.upto + self.open.len() as u64
    }

    /// One more; its number.
    pub fn publish(&mut self) -> u64 {
        self.open.push_back(false);
        self.last()
    }

    /// `tag` is the peer's count.
    pub fn settle(&mut self, tag: u64, multiple: bool, stored: bool) {
        let last = self.last();
        let number = match tag {
            // All there are.
            0 if multiple => last,
            tag => self.base.saturating_add(tag).min(last),
        };
        let first = if multiple { self.upto + 1 } else { number };
        for number in first..=number {
            let place = usize::try_from(number.saturating_sub(self.upto + 1));
            let place = place.ok().filter(|_| number > self.upto);
            let Some(settled) = place.and_then(|place| self.open.get_mut(place)) else {
                continue;
            };
            if !*settled {
                *settled = true;
                if !stored {
                    self.failed.push(number);
                }
            }
        }
        while self.open.front() == Some(&true) {
            self.open.pop_front();
            self.upto += 1;
        }
    }

    /// The channel is a new one: what was open is not going to be answered.
    pub fn begin_anew(&mut self) {
        self.base = self.last();
    }

    pub fn has_news(&self) -> bool {
        self.upto > self.told || !self.failed.is_empty()
    }

    pub fn take(&mut self) -> Taken {
        let is_news = self.has_news();
        self.told = self.upto;
        let confirms = Confirms {
            upto: self.upto,
            failed: std::mem::take(&mut self.failed),
        };
        Taken { confirms, is_news }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_out_of_order_count_once_all_before_them_are_there() {
        let mut open = Unconfirmed::default();
        for number in 1..=5 {
            assert_eq!(open.publish(), number);
        }
        open.settle(3, false, true);
        assert_eq!(open.take().confirms.upto, 0);
        open.settle(2, true, true);
        assert_eq!(open.take().confirms.upto, 3);
        open.settle(4, false, false);
        open.settle(9, true, true);
        let expected = Confirms {
            upto: 5,
            failed: vec![4],
        };
        assert_eq!(open.take().confirms, expected);
        assert!(open.take().is_empty());
    }

    #[test]
    fn a_new_channel_counts_from_one_again() {
        let mut open = Unconfirmed::default();
        open.publish();
        open.settle(1, false, true);
        open.begin_anew();
        assert_eq!(open.publish(), 2);
        open.settle(1, false, true);
        assert_eq!(open.take().confirms.upto, 2);
    }
}
