//! Many routing keys in one call: the answers are those of as many calls, and whoever cannot give them is
//! asked about each message by itself, unharmed.

use super::committed::committed;
use super::fixture::*;
use crate::names::Slot;
use crate::vhost::exchange_type::Destinations;

/// An exchange that fails as `fault` says for the key `bad`, after its first call.
fn faulty(fault: &str) -> (Bench, Exchange) {
    let bytes = committed("tests/fixtures/fault.wasm");
    let bench = Bench::new(&[("fault", &bytes)]);
    let field = |name: &str, value: &str| {
        let mut field = vec![name.len() as u8];
        field.extend_from_slice(name.as_bytes());
        field.push(b'S');
        field.extend_from_slice(&(value.len() as u32).to_be_bytes());
        field.extend_from_slice(value.as_bytes());
        field
    };
    let arguments = [field("x-fault", fault), field("x-fault-key", "bad")].concat();
    let exchange = bench.try_open("x-fault", &arguments).expect("opens");
    exchange.bind(3, "any").expect("binds");
    assert_eq!(slots(exchange.route_anyhow("a")), [3]);
    // A call that was slow on a busy machine makes the next ones be about fewer keys.
    for _ in 0..500 {
        ask(&exchange, &["a"]);
    }
    (bench, exchange)
}

fn ask(exchange: &Exchange, keys: &[&str]) -> Option<Vec<Option<Vec<Slot>>>> {
    let answers = exchange.instance.route_keys(keys, &*exchange.table)?;
    Some(
        answers
            .iter()
            .map(|slots| slots.map(<[Slot]>::to_vec))
            .collect(),
    )
}

#[test]
fn answers_by_key_are_those_of_single_calls() {
    let bytes = committed("broker/builtin/topic.wasm");
    let bench = Bench::new(&[("topic", &bytes)]);
    let exchange = bench.open("topic", "");
    for (slot, pattern) in (0..).zip(["a.*", "#", "*.b"]) {
        exchange.bind(slot, pattern).expect("binds");
    }
    for _ in 0..500 {
        ask(&exchange, &["a.b"]);
    }
    let keys = ["a.b", "", "x", "a.b", "\u{e9}.b"];
    let together = ask(&exchange, &keys).expect("by key");
    let sorted = together.into_iter().map(|slots| {
        let mut slots = slots?;
        slots.sort_unstable();
        Some(slots)
    });
    let alone = keys.map(|key| Some(slots(exchange.route_anyhow(key))));
    assert_eq!(sorted.collect::<Vec<_>>(), alone);
}

#[test]
fn a_key_whose_answer_is_no_list_of_slots_is_asked_about_alone() {
    let (_bench, exchange) = faulty("reject");
    let answers = ask(&exchange, &["a", "bad", "b"]);
    assert_eq!(answers, Some(vec![Some(vec![3]), None, Some(vec![3])]));
    assert!(exchange.instance.may_be_asked_by_key());
}

#[test]
fn a_fault_among_many_keys_costs_no_strike_and_none_of_the_others() {
    for fault in ["trap", "loop", "memory", "huge-result"] {
        let (_bench, exchange) = faulty(fault);
        assert_eq!(ask(&exchange, &["a", "bad", "b"]), None, "{fault}");
        assert!(!exchange.instance.may_be_asked_by_key(), "{fault}");
        for key in ["a", "b", "c"] {
            assert_eq!(slots(exchange.route_anyhow(key)), [3], "{fault}");
        }
        // Two for its own two attempts: with a third the circuit would be open.
        let text = super::fixture::fault(exchange.route_anyhow("bad"));
        assert!(!text.contains("circuit"), "{fault}: {text}");
    }
}

#[test]
fn answers_that_read_the_clock_are_thrown_away() {
    let (_bench, exchange) = faulty("hold-now");
    assert_eq!(ask(&exchange, &["a", "bad"]), None);
    assert!(!exchange.instance.may_be_asked_by_key());
    assert_eq!(slots(exchange.route_anyhow("a")), [3]);
}

#[test]
fn a_component_without_answers_by_key_is_asked_one_by_one() {
    let bench = Bench::new(&[("probe", &probe("probe"))]);
    let exchange = bench.open("probe", "");
    exchange.bind(1, "a").expect("binds");
    assert_eq!(slots(exchange.route_anyhow("key")), [1]);
    assert_eq!(ask(&exchange, &["key"]), None);
    assert!(!exchange.instance.may_be_asked_by_key());
}

#[test]
fn answers_must_be_as_many_as_keys_and_in_order() {
    let of = |keys, ends: &[u32], alone: &[u32]| {
        Destinations::of(keys, (vec![7, 8, 9], ends.to_vec(), alone.to_vec()))
    };
    let answers = of(3, &[1, 1, 3], &[2]).expect("answers");
    let answers: Vec<_> = answers.iter().collect();
    assert_eq!(answers, [Some(&[7][..]), Some(&[][..]), None]);
    assert!(of(3, &[1, 1], &[]).expect_err("few").contains("2 answers"));
    assert!(
        of(2, &[2, 1], &[])
            .expect_err("falling")
            .contains("outside")
    );
    assert!(of(1, &[4], &[]).expect_err("far").contains("3 slots"));
    assert!(
        of(3, &[1, 2, 3], &[2, 1])
            .expect_err("wild")
            .contains("order")
    );
    assert!(of(3, &[1, 2, 3], &[9]).is_ok(), "a key that is not there");
}
