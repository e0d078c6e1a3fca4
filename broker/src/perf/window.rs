//! Which publishes were confirmed. Pure: tags in, counts out.

use std::collections::VecDeque;

/// Confirms come singly or for all up to a tag, and not always in order.
#[derive(Default)]
pub struct Window {
    /// Every tag up to this one is settled.
    base: u64,
    /// Of the tags after `base`, those settled out of order.
    ahead: VecDeque<bool>,
}

impl Window {
    pub fn base(&self) -> u64 {
        self.base
    }

    /// How many publishes this ack or nack settled that were open. `sent` bounds what a broker can
    /// make us believe.
    pub fn settle(&mut self, tag: u64, multiple: bool, sent: u64) -> u64 {
        let last = if multiple && tag == 0 { sent } else { tag };
        if last <= self.base || last > sent {
            return 0;
        }
        let offset = (last - self.base - 1) as usize;
        if self.ahead.len() <= offset {
            self.ahead.resize(offset + 1, false);
        }
        let first = if multiple { 0 } else { offset };
        let mut settled = 0;
        for place in self.ahead.range_mut(first..=offset) {
            settled += u64::from(!*place);
            *place = true;
        }
        while self.ahead.front() == Some(&true) {
            self.ahead.pop_front();
            self.base += 1;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_and_multiple_confirms_settle_each_publish_once() {
        let mut window = Window::default();
        assert_eq!(window.settle(2, false, 10), 1);
        assert_eq!(window.base(), 0);
        assert_eq!(window.settle(2, false, 10), 0);
        assert_eq!(window.settle(1, false, 10), 1);
        assert_eq!(window.base(), 2);
        assert_eq!(window.settle(5, false, 10), 1);
        assert_eq!(window.settle(6, true, 10), 3);
        assert_eq!(window.base(), 6);
        assert_eq!(window.settle(0, true, 10), 4);
        assert_eq!(window.base(), 10);
    }

    #[test]
    fn confirms_for_what_was_never_sent_count_nothing() {
        let mut window = Window::default();
        assert_eq!(window.settle(u64::MAX, true, 10), 0);
        assert_eq!(window.settle(11, false, 10), 0);
        assert_eq!(window.base(), 0);
    }
}
