//! The delayed message exchange on a bench.

use warren_plugin_sdk::bench::{Bench, TestMessage};
use warren_plugin_sdk::{Answer, Inputs, TableBuf, Value};

use crate::DelayedMessage;

const NOW: u64 = 1_700_000_000_000;

fn bench() -> Bench<DelayedMessage> {
    let arguments = TableBuf::new().with("x-delayed-type", "direct");
    let mut bench = Bench::<DelayedMessage>::open(&arguments).expect("opens");
    bench.set_now(NOW);
    bench
}

fn route<'v>(delay: impl Into<Value<'v>>) -> Answer {
    bench().route(&TestMessage::new("k").header("x-delay", delay))
}

fn due<'v>(delay: impl Into<Value<'v>>) -> Answer {
    bench().due(&TestMessage::new("k").header("x-delay", delay))
}

#[test]
fn the_inner_type_is_required_and_another_one() {
    let refusal = |arguments: TableBuf| match Bench::<DelayedMessage>::open(&arguments) {
        Ok(_) => panic!("opened"),
        Err(reason) => reason,
    };
    let missing = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
    assert_eq!(refusal(TableBuf::new()), missing);
    assert_eq!(refusal(TableBuf::new().with("x-delayed-type", 5)), missing);
    let itself = TableBuf::new().with("x-delayed-type", "x-delayed-message");
    assert_eq!(
        refusal(itself),
        "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
    );
    assert_eq!(bench().inner_type(), Some("direct".to_owned()));
}

#[test]
fn numbers_of_every_kind_but_the_signed_octet_delay() {
    let later = Answer::hold(NOW + 100);
    assert_eq!(route(100u8), later);
    assert_eq!(route(100i16), later);
    assert_eq!(route(100u16), later);
    assert_eq!(route(100i32), later);
    assert_eq!(route(100u32), later);
    assert_eq!(route(100i64), later);
    assert_eq!(route(100.9f32), later);
    assert_eq!(route(100.9f64), later);
    assert_eq!(route("100"), later);
    assert_eq!(route(Value::Bytes(b"+100")), later);
    assert_eq!(route(100i8), Answer::delegate());
}

#[test]
fn what_is_no_delay_is_routed_at_once() {
    let empty = TableBuf::new();
    let table = Value::Table(empty.as_table());
    let others = [true.into(), Value::Timestamp(100), table, Value::Void];
    let outside = [
        0.into(),
        (-5).into(),
        4_294_967_296i64.into(),
        0.5f64.into(),
    ];
    let floats = [f64::NAN.into(), f64::INFINITY.into(), 1e300.into()];
    let texts = ["0", "-7", "4294967296", "99999999999999999999999"].map(Value::from);
    for value in [&others[..], &outside, &floats, &texts].concat() {
        assert_eq!(route(value), Answer::delegate(), "{value:?}");
    }
    assert_eq!(route(4_294_967_295i64), Answer::hold(NOW + 4_294_967_295));
    assert_eq!(route(1), Answer::hold(NOW + 1));
}

#[test]
fn a_text_that_is_no_number_is_refused() {
    let refused = "Invalid header, 'x-delay' must be an integer, not \"soon\"";
    assert_eq!(route("soon"), Answer::reject(refused));
    let refused = "Invalid header, 'x-delay' must be an integer, not \"\"";
    assert_eq!(route(""), Answer::reject(refused));
    assert!(matches!(
        route(Value::LongString(b"\xff5")).decision,
        warren_plugin_sdk::Decision::Reject(_)
    ));
}

#[test]
fn a_due_message_carries_its_delay_negative() {
    let past = |delay: i32| Answer::delegate().with_header("x-delay", delay);
    assert_eq!(due(5000u16), past(-5000));
    assert_eq!(due("5000"), past(-5000));
    assert_eq!(due(2_147_483_648i64), past(i32::MIN));
    let longest = Answer::delegate().with_header("x-delay", -4_294_967_295i64);
    assert_eq!(due(4_294_967_295u32), longest);
    assert_eq!(due(-5000), Answer::delegate());
}

#[test]
fn only_messages_without_a_delay_are_remembered() {
    let mut bench = bench();
    assert_eq!(bench.inputs(), Inputs::Headers(vec!["x-delay".to_owned()]));
    assert_eq!(bench.route(&TestMessage::new("k")), Answer::delegate());
    assert!(bench.was_remembered());
    let _ = bench.route(&TestMessage::new("k").header("x-delay", 5));
    assert!(!bench.was_remembered());
}
