//! What happens when a call fails: told apart, rebuilt, tried again, and at last left alone.

use std::time::Duration;

use super::fixture::*;
use crate::plugin::{FaultKind, Limits, PluginState};
use crate::vhost::exchange_type::{BindRefusal, OpenRefusal};

fn count(bench: &Bench, kind: FaultKind) -> u64 {
    let status = &bench.host.plugins()[0];
    let found = status.faults.iter().find(|(known, _)| *known == kind);
    found.expect("is counted").1
}

/// Two attempts of one message, each counted; the exchange serves the next message.
fn fails_and_recovers(letter: &str, kind: FaultKind) {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    let text = fault(exchange.route_anyhow(letter));
    assert!(text.contains(kind.name()), "{text}");
    assert!(text.contains("probe"), "names the plugin: {text}");
    assert_eq!(count(&bench, kind), 2);
    assert_eq!(slots(exchange.route_anyhow("key")), [1]);
    assert!(bench.host.plugins()[0].rebuilds >= 2);
}

#[test]
fn a_trap_fails_the_publish_after_one_more_try() {
    fails_and_recovers("t", FaultKind::Trap);
}

#[test]
fn an_endless_loop_is_ended() {
    fails_and_recovers("l", FaultKind::Timeout);
}

#[test]
fn the_stack_has_an_end() {
    fails_and_recovers("s", FaultKind::Stack);
}

#[test]
fn memory_has_an_end() {
    fails_and_recovers("m", FaultKind::Memory);
}

#[test]
fn an_answer_has_an_end() {
    fails_and_recovers("b", FaultKind::ResultTooLarge);
}

#[test]
fn a_header_that_is_not_amqp_is_a_fault() {
    fails_and_recovers("q", FaultKind::BadAnswer);
}

#[test]
fn a_plugin_that_recovers_by_a_rebuild_routes_the_same_message() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    exchange.bind(2, "b").expect("binds");
    exchange.unbind(1);
    assert_eq!(slots(exchange.route_anyhow("key")), [2]);
    // Traps in an instance that has routed before.
    assert_eq!(slots(exchange.route_anyhow("o")), [2]);
    assert_eq!(count(&bench, FaultKind::Trap), 1);
}

#[test]
fn three_strikes_open_the_circuit_and_a_trial_closes_it() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    bench.clock.set(1_000);
    fault(exchange.route_anyhow("t"));
    assert_eq!(bench.host.plugins()[0].state, PluginState::Running);
    fault(exchange.route_anyhow("t"));
    let status = &bench.host.plugins()[0];
    assert_eq!((status.state.name(), status.since), ("tripped", 1_000));
    let reason = status.state.reason().expect("a reason");
    assert!(reason.contains("exchange 'orders': trap"), "{reason}");
    assert_eq!(count(&bench, FaultKind::Trap), 3);
    // Not even a good message is tried while it is open.
    assert!(fault(exchange.route_anyhow("key")).contains("circuit open"));
    assert!(matches!(exchange.bind(2, "b"), Err(BindRefusal::Failed(_))));
    // A trial that fails doubles the pause and is not repeated.
    bench.clock.set(2_000);
    fault(exchange.route_anyhow("t"));
    assert_eq!(count(&bench, FaultKind::Trap), 4);
    bench.clock.set(3_500);
    assert!(fault(exchange.route_anyhow("key")).contains("circuit open"));
    bench.clock.set(4_000);
    assert_eq!(slots(exchange.route_anyhow("key")), [1]);
    assert_eq!(bench.host.plugins()[0].state, PluginState::Running);
}

#[test]
fn one_exchange_s_open_circuit_leaves_the_others_alone() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let (bad, good) = (bench.open("probe", ""), bench.open("probe", ""));
    good.bind(1, "a").expect("binds");
    fault(bad.route_anyhow("t"));
    fault(bad.route_anyhow("t"));
    let state = bench.host.plugins()[0].state.clone();
    assert!(matches!(state, PluginState::Degraded { .. }), "{state:?}");
    assert_eq!(slots(good.route_anyhow("key")), [1]);
    drop(bad);
    assert_eq!(bench.host.plugins()[0].state, PluginState::Running);
}

#[test]
fn a_binding_that_traps_is_refused_and_the_others_survive() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    match exchange.bind(2, "t") {
        Err(BindRefusal::Failed(text)) => assert!(text.contains("in bind"), "{text}"),
        other => panic!("{other:?}"),
    }
    exchange.bind(3, "b").expect("binds");
    assert_eq!(slots(exchange.route_anyhow("key")), [1, 3]);
}

#[test]
fn an_open_that_traps_fails_the_declare() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    match bench.try_open("probe", b"t") {
        Err(OpenRefusal::Failed(text)) => assert!(text.contains("in open"), "{text}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened"),
    }
    match bench.try_open("unheard-of", b"") {
        Err(OpenRefusal::UnknownType) => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn what_may_be_returned_grows_with_the_bindings() {
    let limits = Limits {
        result_bytes: 16,
        memory: 8 << 20,
        ..patient()
    };
    let bench = Bench::with(&[("probe", &probe("probe"))], limits);
    let exchange = bench.open("probe", "");
    for slot in 0..5_000 {
        exchange.bind(slot, "a").expect("binds");
    }
    // 20,000 bytes: more than 16 and the slack, less than that and 8 for each binding.
    assert_eq!(slots(exchange.route_anyhow("key")).len(), 5_000);
    assert!(exchange.instance.inputs() == crate::vhost::exchange_type::Inputs::RoutingKey);
}

#[test]
fn a_call_has_its_whole_time_also_after_a_long_rest() {
    let limits = Limits {
        route_timeout: Duration::from_millis(200),
        ..patient()
    };
    let bench = Bench::with(&[("probe", &probe_with("probe", 3_000_000))], limits);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    // Some milliseconds each, many times: a deadline that is not set anew would end one of them.
    for _ in 0..50 {
        assert_eq!(slots(exchange.route_anyhow("w")), [1]);
    }
    assert_eq!(count(&bench, FaultKind::Timeout), 0);
}
