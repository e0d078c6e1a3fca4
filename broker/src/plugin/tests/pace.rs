//! The pace as data in, data out.

use std::time::Duration;

use crate::plugin::pace::Pace;

const FAST: Duration = Duration::from_nanos(400);

fn fast() -> Pace {
    let mut pace = Pace::default();
    for _ in 0..100 {
        pace.called(FAST);
    }
    pace
}

#[test]
fn a_few_lost_time_slices_do_not_make_a_fast_type_slow() {
    let mut pace = fast();
    for _ in 0..3 {
        pace.called(Duration::from_millis(30));
    }
    assert!(!pace.calls_are_slow());
}

#[test]
fn most_calls_of_a_fast_type_are_not_timed_until_one_was_long() {
    let mut pace = Pace::default();
    let timed = |pace: &mut Pace, ticks| {
        (0..80)
            .filter(|_| {
                let timed = pace.is_next_timed();
                match timed {
                    true => pace.called(FAST),
                    false => assert_eq!(pace.guess(ticks), FAST),
                }
                timed
            })
            .count()
    };
    assert_eq!(timed(&mut pace, 0), 10);
    assert!(pace.is_next_timed(), "ten rounds of eight are over");
    pace.called(FAST);
    assert!(!pace.is_next_timed());
    assert_eq!(pace.guess(5), Duration::from_millis(4), "at least");
    assert!(pace.is_next_timed());
    pace.called(FAST);
    assert!(timed(&mut pace, 0) > 30);
    assert_eq!(timed(&mut pace, 0), 10);
}

#[test]
fn a_type_that_turns_slow_is_noticed_though_it_is_not_timed() {
    let mut pace = fast();
    let calls = (1..1000).find(|_| {
        match pace.is_next_timed() {
            true => pace.called(Duration::from_millis(4)),
            false => drop(pace.guess(4)),
        }
        pace.calls_are_slow()
    });
    assert!(calls.is_some_and(|calls| calls < 10), "{calls:?}");
}

#[test]
fn steady_slowness_does_and_steady_speed_ends_it() {
    let mut pace = fast();
    let calls = (1..1000).find(|_| {
        pace.called(Duration::from_micros(200));
        pace.calls_are_slow()
    });
    assert!(calls.is_some_and(|calls| calls < 64), "{calls:?}");
    let calls = (1..1000).find(|_| {
        pace.called(FAST);
        !pace.calls_are_slow()
    });
    assert!(calls.is_some_and(|calls| calls < 64), "{calls:?}");
}

#[test]
fn a_timeout_is_slow_at_once() {
    let mut pace = fast();
    pace.timed_out(Duration::from_millis(5));
    assert!(pace.calls_are_slow());
}

#[test]
fn a_rebuild_is_expected_to_take_what_opening_and_binding_took() {
    let mut pace = Pace::default();
    pace.opened(Duration::from_micros(100));
    for _ in 0..50 {
        pace.bound(Duration::from_nanos(900));
    }
    assert!(!pace.rebuild_is_slow(100));
    assert!(pace.rebuild_is_slow(10_000));
    pace.rebuilt(Duration::from_micros(500), 10_000);
    assert!(!pace.rebuild_is_slow(10_000));
    pace.opened(Duration::from_millis(2));
    assert!(pace.rebuild_is_slow(0));
}
