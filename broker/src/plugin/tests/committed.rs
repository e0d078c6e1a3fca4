//! The components that are committed: the built-in plugins, and the fixtures that must be refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::fixture::*;
use crate::plugin::{Limits, Outcome, PluginKind, PluginState};
use crate::vhost::exchange_type::{
    Answer, Decision, ExchangeTypes as _, Inputs, Moment, Opening, Routing,
};
use crate::vhost::kept::Kept;

pub fn committed(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read(root.join(path)).expect(path)
}

fn builtin(name: &str) -> Bench {
    let bytes = committed(&format!("broker/builtin/{name}.wasm"));
    Bench::new(&[(name, &bytes)])
}

#[test]
fn direct_compares_keys() {
    let bench = builtin("direct");
    let exchange = bench.open("direct", "");
    exchange.bind(0, "a").expect("binds");
    exchange.bind(1, "b").expect("binds");
    exchange.bind(2, "a").expect("binds");
    assert_eq!(slots(exchange.route_anyhow("a")), [0, 2]);
    assert_eq!(slots(exchange.route_anyhow("c")), Vec::<u32>::new());
    assert_eq!(exchange.instance.inputs(), Inputs::RoutingKey);
}

#[test]
fn topic_matches_patterns_and_its_answers_are_pure() {
    let bench = builtin("topic");
    let exchange = bench.open("topic", "");
    for (slot, pattern) in (0..).zip(["a.*.c", "a.#", "#", "a.b", "*.b.*"]) {
        exchange.bind(slot, pattern).expect("binds");
    }
    assert_eq!(slots(exchange.route_anyhow("a.b.c")), [0, 1, 2, 4]);
    assert_eq!(slots(exchange.route_anyhow("a")), [1, 2]);
    exchange.unbind(2);
    assert_eq!(slots(exchange.route_anyhow("x")), Vec::<u32>::new());
    let Routing::Now(Answer { pure, .. }) = exchange.route_anyhow("a.b") else {
        panic!("not decided");
    };
    assert!(pure);
    assert_eq!(exchange.instance.inputs(), Inputs::RoutingKey);
}

#[test]
fn fanout_depends_on_nothing() {
    let bench = builtin("fanout");
    let exchange = bench.open("fanout", "");
    exchange.bind(5, "ignored").expect("binds");
    assert_eq!(slots(exchange.route_anyhow("any")), [5]);
    assert_eq!(exchange.instance.inputs(), Inputs::Nothing);
}

/// `x-fault` as an AMQP table: one long string.
fn fault_argument(kind: &str) -> Vec<u8> {
    let mut table = b"\x07x-faultS".to_vec();
    table.extend_from_slice(&u32::try_from(kind.len()).expect("short").to_be_bytes());
    table.extend_from_slice(kind.as_bytes());
    table
}

#[test]
fn the_fault_plugin_fails_in_every_way_and_never_takes_the_host_along() {
    let bytes = committed("tests/fixtures/fault.wasm");
    // Enough to make the huge result in, also on a busy machine.
    let limits = Limits {
        route_timeout: Duration::from_millis(500),
        ..patient()
    };
    let bench = Bench::with(&[("fault", &bytes)], limits);
    for (kind, expected) in [
        ("trap", "trap"),
        ("loop", "timeout"),
        ("huge-result", "result_too_large"),
        ("memory", "memory"),
    ] {
        let exchange = bench
            .try_open("x-fault", &fault_argument(kind))
            .expect("opens");
        exchange.bind(1, "a").expect("binds");
        let text = fault(exchange.route_anyhow("a"));
        assert!(text.contains(expected), "{kind}: {text}");
    }
    let good = bench
        .try_open("x-fault", &fault_argument("none"))
        .expect("opens");
    good.bind(1, "a").expect("binds");
    assert_eq!(slots(good.route_anyhow("a")), [1]);
    let flood = bench
        .try_open("x-fault", &fault_argument("log-flood"))
        .expect("opens");
    flood.bind(1, "a").expect("binds");
    flood.route_anyhow("a");
    assert!(bench.host.plugins()[0].log_lines <= 100);
}

/// Built once, when its version of the contract was the newest, and never again.
#[test]
fn components_of_every_released_contract_are_served() {
    for (version, language) in [
        ("0.1.0", "rust"),
        ("0.1.0", "c"),
        ("0.1.0", "zig"),
        ("0.1.0", "assemblyscript"),
    ] {
        let file = format!("tests/fixtures/released/exchange-{version}-{language}.wasm");
        let bytes = committed(&file);
        let bench = Bench::new(&[("old", &bytes)]);
        assert_eq!(bench.reports[0].version.as_deref(), Some(version));
        let exchange = bench.open("x-exact", "");
        exchange.bind(3, "a").expect("binds");
        exchange.bind(1, "b").expect("binds");
        assert_eq!(slots(exchange.route_anyhow("a")), [3]);
        exchange.unbind(3);
        assert_eq!(slots(exchange.route_anyhow("a")), Vec::<u32>::new());
        assert_eq!(exchange.instance.inputs(), Inputs::RoutingKey);
    }
}

/// Likewise.
#[test]
fn interceptors_of_every_released_contract_are_asked() {
    let bytes = committed("tests/fixtures/released/interceptor-0.1.0-rust.wasm");
    let bench = Bench::new(&[("old", &bytes)]);
    assert_eq!(bench.reports[0].version.as_deref(), Some("0.1.0"));
    assert_eq!(bench.reports[0].kind, Some(PluginKind::Interceptor));
    let opening = Opening {
        vhost: "/",
        exchange: "x",
        type_name: "interceptor old",
        arguments: &[],
        kept: &Kept::nowhere(),
    };
    let interceptor = Exchange {
        instance: bench
            .host
            .intercept("old", &opening)
            .instance
            .expect("in force"),
        inner_type: None,
        table: Arc::default(),
    };
    let ask = |body: &[u8]| {
        let message = message("k", &[0, 0], body);
        match interceptor.route_message_anyhow(&message, Moment::Publish) {
            Routing::Now(answer) => answer,
            other => panic!("not asked: {other:?}"),
        }
    };
    let stamped = vec![("x-length".to_owned(), b"l\0\0\0\0\0\0\0\x02".to_vec())];
    assert_eq!(ask(b"12").set_headers, stamped);
    let rejected = ask(&[0; 1025]).decision;
    let text = "1025 bytes; 1024 are allowed".to_owned();
    assert_eq!(rejected, Decision::Reject(text));
    let status = &bench.host.plugins()[0];
    // A call that a busy machine has cut short is made once more.
    assert!(status.calls >= 2, "{}", status.calls);
    assert_eq!(status.rejected, 1);
}

#[test]
fn fixtures_that_are_no_exchange_types_are_refused_with_a_reason() {
    for (file, expected) in [
        ("core-module", "core WebAssembly module"),
        ("truncated", "not a valid component"),
        ("exports-nothing", "does not export"),
        ("imports-sockets", "which was not granted"),
        ("imports-unknown", "which was not granted"),
        ("other-version", "built against warren:exchange@"),
    ] {
        let bytes = committed(&format!("tests/fixtures/{file}.wasm"));
        let bench = Bench::new(&[(file, &bytes)]);
        match &bench.reports[0].outcome {
            Outcome::Refused(reason) => assert!(reason.contains(expected), "{file}: {reason}"),
            other => panic!("{file}: {other:?}"),
        }
        let state = &bench.host.plugins()[0].state;
        assert!(matches!(state, PluginState::Refused { .. }), "{state:?}");
    }
}
