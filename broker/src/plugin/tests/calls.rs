//! What an exchange type is asked and what comes back when all is well.

use super::fixture::*;
use crate::vhost::exchange_type::{
    Answer, BindRefusal, Decision, Inputs, Moment, OpenRefusal, Routing,
};

fn answer(routing: Routing) -> Answer {
    match routing {
        Routing::Now(answer) => answer,
        other => panic!("not decided: {other:?}"),
    }
}

#[test]
fn a_bound_slot_is_answered_until_it_is_unbound() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    assert_eq!(slots(exchange.route_anyhow("key")), Vec::<u32>::new());
    exchange.bind(4, "a").expect("binds");
    exchange.bind(9, "b").expect("binds");
    assert_eq!(slots(exchange.route_anyhow("key")), [4, 9]);
    exchange.unbind(4);
    exchange.unbind(77);
    assert_eq!(slots(exchange.route_anyhow("key")), [9]);
}

#[test]
fn two_exchanges_of_one_type_share_nothing() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let (first, second) = (bench.open("probe", ""), bench.open("probe", ""));
    first.bind(1, "a").expect("binds");
    second.bind(2, "a").expect("binds");
    assert_eq!(slots(first.route_anyhow("key")), [1]);
    assert_eq!(slots(second.route_anyhow("key")), [2]);
}

#[test]
fn every_kind_of_decision_comes_back() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    let decision = |key| answer(exchange.route_anyhow(key)).decision;
    assert_eq!(decision("h"), Decision::Hold { until: 5000 });
    assert_eq!(decision("d"), Decision::Delegate);
    assert_eq!(decision("x"), Decision::Reject("not this one".to_owned()));
    let stamped = answer(exchange.route_anyhow("p"));
    assert_eq!(
        stamped.set_headers,
        [("x-colour".to_owned(), b"t\x01".to_vec())]
    );
}

#[test]
fn a_due_message_is_asked_about_with_due() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(3, "a").expect("binds");
    let held = message("h", &[0, 0], b"");
    assert_eq!(
        slots(exchange.route_message_anyhow(&held, Moment::Due)),
        [3]
    );
}

#[test]
fn the_plugin_refuses_with_its_own_text() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    match bench.try_open("probe", b"r") {
        Err(OpenRefusal::Refused(text)) => assert_eq!(text, "not this one"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened"),
    }
    let exchange = bench.open("probe", "");
    match exchange.bind(1, "r") {
        Err(BindRefusal::Refused(text)) => assert_eq!(text, "not this one"),
        other => panic!("{other:?}"),
    }
    exchange.bind(2, "a").expect("still binds");
    assert_eq!(slots(exchange.route_anyhow("key")), [2]);
}

#[test]
fn an_inner_type_is_passed_on() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "i");
    assert_eq!(exchange.inner_type.as_deref(), Some("inner"));
    assert_eq!(bench.open("probe", "").inner_type, None);
}

#[test]
fn inputs_are_what_the_plugin_said() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let inputs = |mode| bench.open("probe", mode).instance.inputs();
    assert_eq!(inputs("n"), Inputs::Nothing);
    assert_eq!(inputs(""), Inputs::RoutingKey);
    assert_eq!(inputs("a"), Inputs::Anything);
    let colour = Inputs::Headers(["x-colour".to_owned()].into());
    assert_eq!(inputs("h"), colour);
}

/// content-type "a/b", then the headers n = 1 and x-colour = the slots 7 and 8.
const COLOURED: &[u8] =
    b"\xa0\x00\x03a/b\x00\x00\x00\x1d\x01nI\x00\x00\x00\x01\x08x-colourA\x00\x00\x00\x08bbbbbbbb";

#[test]
fn a_header_and_the_body_reach_the_plugin_unchanged() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "a");
    let coloured = message("y", COLOURED, b"");
    let Decision::To(found) =
        answer(exchange.route_message_anyhow(&coloured, Moment::Publish)).decision
    else {
        panic!("no slots");
    };
    // The value as it stands, type octet first, four bytes to a slot.
    let value = b"A\x00\x00\x00\x08bbbbbbbb";
    let expected: Vec<u32> = value
        .chunks_exact(4)
        .map(|slot| u32::from_le_bytes(slot.try_into().expect("four")))
        .collect();
    assert_eq!(found.to_vec(), expected);
    let with_body = message("z", &[0, 0], &[5, 0, 0, 0, 6, 0, 0, 0]);
    let routed = exchange.route_message_anyhow(&with_body, Moment::Publish);
    assert_eq!(slots(routed), [5, 6]);
}

#[test]
fn an_answer_is_pure_only_while_the_call_reads_what_inputs_name() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let pure = |mode, key: &str| {
        let message = message(key, COLOURED, b"");
        let exchange = bench.open("probe", mode);
        answer(exchange.route_message_anyhow(&message, Moment::Publish)).pure
    };
    assert!(pure("", "key"), "the routing key is named");
    assert!(pure("n", "key"), "nothing is read");
    assert!(!pure("", "y"), "a header is not named");
    assert!(!pure("", "z"), "the body is not named");
    assert!(!pure("", "c"), "the clock never is");
    assert!(!pure("a", "c"), "not even by `anything`");
    assert!(pure("a", "z"), "`anything` names the body");
    assert!(!pure("h", "y"), "the key is not named beside a header");
}

#[test]
fn an_impure_call_does_not_taint_the_next_one() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    assert!(!answer(exchange.route_anyhow("c")).pure);
    assert!(answer(exchange.route_anyhow("key")).pure);
}

#[test]
fn log_lines_over_the_limit_are_dropped_and_counted() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.route_anyhow("g");
    let status = &bench.host.plugins()[0];
    assert_eq!((status.log_lines, status.log_lines_dropped), (100, 50));
}

#[test]
fn calls_are_counted_and_timed() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    for _ in 0..3 {
        exchange.route_anyhow("key");
    }
    let status = &bench.host.plugins()[0];
    assert_eq!(status.calls, 3);
    assert!(status.time >= status.longest_call && !status.longest_call.is_zero());
    assert_eq!(status.live_instances, 1);
}
