//! How long to wait after a failure, and after the next one.

/// As many failures are answered by the delay as it was set; from then on it doubles.
const SAME: u32 = 10;
const LONGEST_DELAY: u64 = 300_000;

pub struct Patience {
    /// Milliseconds.
    delay: u64,
    failures: u32,
}

impl Patience {
    pub fn new(delay: u64) -> Patience {
        Patience { delay, failures: 0 }
    }

    pub fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// So many milliseconds until it is worth another try.
    pub fn failed(&mut self) -> u64 {
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.saturating_sub(SAME).min(10);
        let doubled = self.delay.saturating_mul(1 << doublings);
        doubled.clamp(self.delay, LONGEST_DELAY.max(self.delay))
    }

    pub fn recovered(&mut self) {
        self.failures = 0;
    }
}

#[test]
fn a_delay_stays_for_ten_failures_and_then_doubles_up_to_five_minutes() {
    let mut patience = Patience::new(5_000);
    let delays: Vec<u64> = (0..18).map(|_| patience.failed()).collect();
    assert!(delays.iter().take(10).all(|delay| *delay == 5_000));
    let later = delays.get(10..).unwrap_or_default();
    let expected = [10, 20, 40, 80, 160, 300, 300, 300].map(|seconds| seconds * 1_000);
    assert_eq!(later, expected);
    patience.recovered();
    assert_eq!(patience.failed(), 5_000);
}
