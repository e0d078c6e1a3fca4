//! Fast calls on the caller's thread, slow ones on the plugin's own, and how many instances live.

use std::sync::mpsc::channel;

use super::fixture::*;
use crate::plugin::Limits;
use crate::vhost::exchange_type::{Answer, Fault, Moment, Routing};

#[test]
fn an_exchange_that_became_slow_is_sent_to_the_lane_and_comes_back_when_fast() {
    let limits = Limits {
        route_timeout: std::time::Duration::from_secs(5),
        ..patient()
    };
    let bench = Bench::with(&[("probe", &probe_with("probe", 3_000_000))], limits);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    let mut tries = 0;
    while !matches!(exchange.route("w"), Routing::Later) {
        tries += 1;
        assert!(tries < 100, "milliseconds a call, and still on the worker");
    }
    assert!(matches!(exchange.route("key"), Routing::Later));
    tries = 0;
    while matches!(exchange.route("key"), Routing::Later) {
        exchange.route_later("key").expect("answers");
        tries += 1;
        assert!(tries < 10_000, "microseconds a call, and still in the lane");
    }
}

#[test]
fn a_call_that_timed_out_is_finished_in_the_lane() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    assert!(matches!(exchange.route("l"), Routing::Later));
    assert!(matches!(exchange.route("key"), Routing::Later));
    let Err(Fault(text)) = exchange.route_later("l") else {
        panic!("came back");
    };
    assert!(text.contains("timeout"), "{text}");
}

#[test]
fn a_long_rebuild_is_left_to_the_lane() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    for slot in 0..10_000 {
        exchange.bind(slot, "a").expect("binds");
    }
    exchange.route_later("key").expect("answers");
    // Traps on its second call: the rebuild of 10,000 bindings takes more than a millisecond.
    assert!(matches!(exchange.route("o"), Routing::Later));
    let answer: Result<Answer, Fault> = exchange.route_later("o");
    answer.expect("the rebuilt instance answers");
    assert_eq!(slots(exchange.route_anyhow("key")).len(), 10_000);
}

#[test]
fn while_one_thread_is_in_a_call_the_others_are_told_later() {
    let limits = Limits {
        route_timeout: std::time::Duration::from_secs(5),
        ..patient()
    };
    let bench = Bench::with(&[("probe", &probe_with("probe", 300_000_000))], limits);
    let exchange = bench.open("probe", "");
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        let exchange = &exchange;
        scope.spawn(move || {
            sender.send(()).expect("somebody listens");
            // It may find the other thread in a call itself.
            while matches!(exchange.route("w"), Routing::Later) {}
        });
        receiver.recv().expect("starts");
        while !matches!(exchange.route("key"), Routing::Later) {}
    });
}

#[test]
fn every_job_is_answered_once_also_when_the_owner_is_gone() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    let (sender, receiver) = channel();
    for _ in 0..50 {
        let sender = sender.clone();
        exchange.instance.route_later(
            Moment::Publish,
            message("key", &[0, 0], b""),
            exchange.table.clone(),
            Box::new(move |result| {
                let _ = sender.send(result.is_ok());
            }),
        );
    }
    drop((sender, exchange, bench));
    assert_eq!(receiver.iter().filter(|answered| *answered).count(), 50);
}

#[test]
fn a_panic_in_a_callback_does_not_end_the_lane() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.instance.route_later(
        Moment::Publish,
        message("key", &[0, 0], b""),
        exchange.table.clone(),
        Box::new(|_| panic!("on purpose, in a test")),
    );
    exchange.route_later("key").expect("answers");
}

#[test]
fn only_so_many_instances_live_and_the_others_are_rebuilt_when_needed() {
    let limits = Limits {
        max_instances: 2,
        ..patient()
    };
    let bench = Bench::with(&[("probe", &probe("probe"))], limits);
    let exchanges: Vec<_> = (0..5).map(|_| bench.open("probe", "")).collect();
    for (slot, exchange) in (0..).zip(&exchanges) {
        exchange.bind(slot, "a").expect("binds");
    }
    for _ in 0..3 {
        for (slot, exchange) in (0..).zip(&exchanges) {
            assert_eq!(slots(exchange.route_anyhow("key")), [slot]);
        }
    }
    let status = &bench.host.plugins()[0];
    assert!(status.live_instances <= 2, "{}", status.live_instances);
    assert!(status.evictions >= 3 && status.rebuilds >= 3);
    assert!(status.faults.iter().all(|(_, count)| *count == 0));
}

#[test]
fn many_threads_at_one_exchange_all_get_answers() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert_eq!(slots(exchange.route_anyhow("key")), [1]);
                }
            });
        }
    });
    assert_eq!(bench.host.plugins()[0].calls, 2_000);
}
