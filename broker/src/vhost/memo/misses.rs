//! Whether it is worth to look at the messages behind one that was not remembered. Not the looking
//! (see `router/foresight.rs`).

/// Keys that come once in a while are not worth it; where two in a row are new, more are.
const IN_A_ROW: u32 = 2;

/// After a look that was in vain so many misses pass before the next, and twice as many after each
/// further one: a type may have no list of slots for any key, and every look is a call.
const FIRST_REST: u32 = 256;
const LONGEST_REST: u32 = 1 << 16;

#[derive(Default)]
pub struct Misses {
    in_a_row: u32,
    /// Misses that are not worth a look.
    rest: u32,
    last_rest: u32,
    /// The last message was one.
    now: bool,
    /// Answers that nobody has recalled yet: their first use is no hit.
    foreseen: usize,
}

impl Misses {
    /// Somebody had to be asked, and the answer is remembered now.
    pub fn missed(&mut self) {
        if let Some(rest) = self.rest.checked_sub(1) {
            self.rest = rest;
            return;
        }
        self.now = true;
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// Something was recalled: true where it had been remembered before its first use.
    pub fn recalled(&mut self) -> bool {
        if let Some(left) = self.foreseen.checked_sub(1) {
            self.foreseen = left;
            return false;
        }
        self.in_a_row = 0;
        true
    }

    /// Once after each miss.
    pub fn take(&mut self) -> bool {
        std::mem::take(&mut self.now) && self.in_a_row >= IN_A_ROW
    }

    /// Of so many messages that were seen, so many were asked about, and so many of those answered.
    pub fn foresaw(&mut self, seen: usize, asked: usize, answered: usize) {
        self.foreseen = answered;
        if answered * 2 < seen || answered == 0 {
            self.in_a_row = 0;
        }
        if answered * 2 < asked {
            self.last_rest = (self.last_rest * 2).clamp(FIRST_REST, LONGEST_REST);
            self.rest = self.last_rest;
        } else if asked > 0 {
            self.last_rest = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_miss_looks_no_further_and_two_in_a_row_do() {
        let mut misses = Misses::default();
        misses.missed();
        assert!(!misses.take());
        assert!(misses.recalled());
        misses.missed();
        assert!(!misses.take());
        misses.missed();
        assert!(misses.take());
        assert!(!misses.take(), "once a miss");
    }

    #[test]
    fn what_was_foreseen_is_no_hit_and_the_next_miss_looks_ahead_at_once() {
        let mut misses = Misses::default();
        misses.missed();
        misses.missed();
        assert!(misses.take());
        misses.foresaw(64, 60, 60);
        assert_eq!((0..61).filter(|_| misses.recalled()).count(), 1);
        misses.foresaw(64, 60, 60);
        assert_eq!((0..60).filter(|_| misses.recalled()).count(), 0);
        misses.missed();
        assert!(!misses.take(), "a hit came between");
        misses.missed();
        misses.foresaw(64, 60, 60);
        assert_eq!((0..60).filter(|_| misses.recalled()).count(), 0);
        misses.missed();
        assert!(misses.take(), "none came between");
    }

    #[test]
    fn a_type_that_answers_no_key_by_itself_is_asked_ever_more_seldom() {
        let mut misses = Misses::default();
        let mut looks = Vec::new();
        for message in 0..10_000 {
            misses.missed();
            if misses.take() {
                misses.foresaw(64, 64, 0);
                looks.push(message);
            }
        }
        assert_eq!(looks, [1, 259, 773, 1_799, 3_849, 7_947]);
        misses.foresaw(64, 64, 64);
        misses.missed();
        assert!(!misses.take(), "it still rests");
    }

    #[test]
    fn where_most_was_remembered_already_two_misses_are_needed_again() {
        let mut misses = Misses::default();
        misses.missed();
        misses.missed();
        misses.foresaw(64, 10, 10);
        misses.missed();
        assert!(!misses.take());
    }
}
