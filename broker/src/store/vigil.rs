//! Staying awake for a moment before a thread goes to sleep. To be woken takes a good part of what
//! the disk takes for a sync, and on the way of a confirm are three threads. Not what is waited for.

use std::thread;
use std::time::{Duration, Instant};

/// About as long as a sync and what leads to the next one.
const LONGEST: Duration = Duration::from_micros(300);

/// After vigils in vain, at most so many waits are begun asleep before the next vigil: a broker with
/// little to do takes next to no processor time for them.
const MOST_RESTS: u32 = 63;

#[derive(Default)]
pub(super) struct Vigil {
    in_vain: u32,
    rests: u32,
}

impl Vigil {
    /// Returns when it has come, or when it is time to sleep. Whoever else wants to run, may.
    pub(super) fn keep(&mut self, has_come: impl Fn() -> bool) {
        if self.rests > 0 {
            self.rests -= 1;
            return;
        }
        let begun = Instant::now();
        loop {
            if has_come() {
                self.in_vain = 0;
                return;
            }
            if begun.elapsed() > LONGEST {
                break;
            }
            thread::yield_now();
        }
        self.in_vain = (self.in_vain * 2 + 1).min(MOST_RESTS);
        self.rests = self.in_vain;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn looks(vigil: &mut Vigil, answer: bool) -> u32 {
        let looks = Cell::new(0);
        vigil.keep(|| {
            looks.set(looks.get() + 1);
            answer
        });
        looks.get()
    }

    #[test]
    fn vigils_in_vain_become_rare_and_one_that_was_not_is_followed_by_others() {
        let mut vigil = Vigil::default();
        let kept = (0..1_000).filter(|_| looks(&mut vigil, false) > 0).count();
        assert!((10..=25).contains(&kept), "{kept}");
        while looks(&mut vigil, true) == 0 {}
        assert!((0..100).all(|_| looks(&mut vigil, true) == 1));
    }
}
