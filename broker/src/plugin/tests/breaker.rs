//! The breaker as data in, data out.

use crate::plugin::breaker::{Admission, Breaker, LONGEST_PAUSE};

fn opened(at: u64) -> Breaker {
    let mut breaker = Breaker::new();
    assert!(!breaker.strike(at));
    assert!(!breaker.strike(at));
    assert!(breaker.strike(at));
    breaker
}

#[test]
fn strikes_far_apart_never_open_it() {
    let mut breaker = Breaker::new();
    for at in (0..100).map(|strike| strike * 5_000) {
        assert!(!breaker.strike(at), "at {at}");
    }
    assert!(breaker.is_closed());
}

#[test]
fn the_third_strike_in_ten_seconds_opens_it() {
    let mut breaker = Breaker::new();
    assert!(!breaker.strike(0));
    assert!(!breaker.strike(6_000));
    assert!(!breaker.strike(10_000), "the first one is too old");
    assert!(breaker.strike(15_999), "6,000 and 10,000 are not");
    assert_eq!(
        breaker,
        Breaker::Open {
            until: 16_999,
            pause: 1_000
        }
    );
}

#[test]
fn a_success_in_between_does_not_forgive_strikes() {
    let mut breaker = Breaker::new();
    breaker.strike(0);
    breaker.strike(1);
    assert!(!breaker.success());
    assert!(breaker.strike(2));
}

#[test]
fn pauses_double_up_to_a_minute() {
    let mut breaker = opened(0);
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let Breaker::Open { until, pause } = breaker else {
            panic!("{breaker:?}");
        };
        pauses.push(pause);
        assert_eq!(breaker.admit(until - 1), Admission::Refused { retry_in: 1 });
        now = now.max(until);
        assert_eq!(breaker.admit(now), Admission::Trial);
        assert!(breaker.strike(now), "a failed trial ends the trying");
    }
    assert_eq!(
        pauses,
        [
            1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000
        ]
    );
}

#[test]
fn a_good_trial_closes_it_with_a_clean_slate() {
    let mut breaker = opened(0);
    assert_eq!(breaker.admit(1_000), Admission::Trial);
    assert!(breaker.success());
    assert_eq!(breaker, Breaker::new());
    assert_eq!(breaker.admit(1_000), Admission::Call);
}

#[test]
fn a_clock_set_back_does_not_keep_it_open() {
    let mut breaker = opened(10_000_000);
    assert_eq!(breaker.admit(10_000_000 - 1), Admission::Trial);
    let mut breaker = opened(10_000_000);
    assert_eq!(breaker.admit(10_000_000 - LONGEST_PAUSE), Admission::Trial);
}
