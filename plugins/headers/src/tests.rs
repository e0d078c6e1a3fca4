//! The headers exchange on a bench.

use warren_plugin_sdk::bench::{Bench, TestMessage};
use warren_plugin_sdk::{ArrayBuf, Inputs, TableBuf, Value};

use crate::{Headers, NAMED};

fn bench(bindings: &[TableBuf]) -> Bench<Headers> {
    let mut bench = Bench::open(&TableBuf::new()).expect("opens");
    for (slot, arguments) in (0..).zip(bindings) {
        bench.bind(slot, "", arguments).expect("binds");
    }
    bench
}

fn args() -> TableBuf {
    TableBuf::new()
}

fn message() -> TestMessage {
    TestMessage::new("ignored")
}

/// Whether a binding that wants `a` to be this matches a message whose `a` is that.
fn equal<'a>(wanted: impl Into<Value<'a>>, sent: impl Into<Value<'a>>) -> bool {
    let mut bench = bench(&[args().with("a", wanted)]);
    bench.slots(&message().header("a", sent)) == Some(vec![0])
}

#[test]
fn all_is_the_default_and_any_wants_one() {
    let both = || args().with("a", 1).with("b", "x");
    let mut bench = bench(&[
        both(),
        both().with("x-match", "all"),
        both().with("x-match", "any"),
    ]);
    let mut to = |message| bench.slots(&message).expect("routed");
    assert_eq!(to(message().header("a", 1).header("b", "x")), [0, 1, 2]);
    assert_eq!(to(message().header("a", 1).header("b", "y")), [2]);
    assert_eq!(to(message().header("b", "x")), [2]);
    assert_eq!(to(message().header("c", "x")), []);
    assert!(bench.was_remembered());
}

#[test]
fn no_arguments_match_everything_with_all_and_nothing_with_any() {
    let mut bench = bench(&[
        args(),
        args().with("x-match", "any"),
        args().with("x-other", 1),
    ]);
    assert_eq!(bench.inputs(), Inputs::Nothing);
    assert_eq!(bench.slots(&message()), Some(vec![0, 2]));
    assert!(bench.was_remembered());
}

#[test]
fn headers_that_start_with_x_count_only_with_x() {
    let wanted = || args().with("x-a", 1);
    let mut bench = bench(&[
        wanted().with("x-match", "all").with("b", 2),
        wanted().with("x-match", "all-with-x"),
        wanted().with("x-match", "any-with-x"),
        wanted().with("x-match", "any"),
    ]);
    let mut to = |message| bench.slots(&message).expect("routed");
    assert_eq!(to(message().header("b", 2)), [0]);
    assert_eq!(to(message().header("x-a", 1)), [1, 2]);
    assert_eq!(to(message().header("x-a", 2)), []);
    let names = vec!["b".to_owned(), "x-a".to_owned()];
    assert_eq!(bench.inputs(), Inputs::Headers(names));
}

#[test]
fn void_wants_presence_only() {
    assert!(equal(Value::Void, 5));
    assert!(equal(Value::Void, Value::Void));
    assert!(!equal(5, Value::Void));
    let mut bench = bench(&[args().with("a", Value::Void)]);
    assert_eq!(bench.slots(&message()), Some(vec![]));
}

#[test]
fn values_are_compared_without_their_width() {
    assert!(equal(5i8, 5i64));
    assert!(equal(5u32, 5i16));
    assert!(equal(-1i8, -1i32));
    assert!(!equal(255u8, -1i8));
    assert!(!equal(5, 5.0f64));
    assert!(equal(1.5f32, 1.5f64));
    assert!(equal(Value::Bytes(b"t"), "t"));
    assert!(!equal("5", 5));
    assert!(!equal(true, 1));
    assert!(equal(Value::Timestamp(7), Value::Timestamp(7)));
    assert!(equal(Value::Timestamp(7), 7000));
    assert!(!equal(Value::Timestamp(7), 7));
    assert!(!equal(f64::NAN, f64::NAN));
}

#[test]
fn tables_and_arrays_are_compared_by_what_is_in_them_and_not_without_end() {
    let (narrow, wide) = (args().with("n", 1i8), args().with("n", 1i64));
    assert!(equal(narrow.as_table(), wide.as_table()));
    assert!(!equal(narrow.as_table(), args().as_table()));
    let (short, long) = (ArrayBuf::new().with(1), ArrayBuf::new().with(1).with(2));
    assert!(equal(short.as_array(), short.as_array()));
    assert!(!equal(short.as_array(), long.as_array()));
    let mut deep = ArrayBuf::new();
    for _ in 0..5_000 {
        deep = ArrayBuf::new().with(deep.as_array());
    }
    assert!(!equal(deep.as_array(), deep.as_array()));
}

#[test]
fn another_x_match_is_refused_with_rabbitmqs_words() {
    let mut bench = bench(&[]);
    let mut refusal = |x_match: Value| {
        let refused = bench.bind(0, "", &args().with("x-match", x_match));
        refused.expect_err("refused")
    };
    assert_eq!(
        refusal("some".into()),
        "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"
    );
    assert_eq!(
        refusal(5.into()),
        "Invalid x-match field type signedint (value 5); expected longstr"
    );
}

#[test]
fn many_different_headers_are_read_at_once_and_not_remembered() {
    let bindings: Vec<_> = (0..=NAMED)
        .map(|at| args().with(&format!("h{at}"), 1))
        .collect();
    let mut bench = bench(&bindings);
    assert_eq!(bench.inputs(), Inputs::Anything);
    let twice = message().header("h3", 1).header("h7", 1).header("h3", 2);
    assert_eq!(bench.slots(&twice), Some(vec![3, 7]));
    bench.unbind(0);
    assert!(matches!(bench.inputs(), Inputs::Headers(names) if names.len() == NAMED));
    assert_eq!(bench.slots(&twice), Some(vec![3, 7]));
    assert!(bench.was_remembered());
}

#[test]
fn a_header_is_forgotten_with_its_last_binding() {
    let mut bench = bench(&[args().with("a", 1), args().with("a", 2)]);
    bench.unbind(0);
    assert_eq!(bench.inputs(), Inputs::Headers(vec!["a".to_owned()]));
    bench.unbind(1);
    bench.unbind(1);
    assert_eq!(bench.inputs(), Inputs::Nothing);
    assert_eq!(bench.slots(&message().header("a", 1)), Some(vec![]));
}

#[test]
fn many_bindings_of_one_header_are_told_apart_by_their_values() {
    let wanted = |value: i32| args().with("a", value).with("b", "same");
    let mut bench = bench(&(0..1000).map(wanted).collect::<Vec<_>>());
    let mut to = |value: i64| {
        let message = message().header("a", value).header("b", "same");
        bench.slots(&message).expect("routed")
    };
    assert_eq!(to(0), [0]);
    assert_eq!(to(999), [999]);
    assert_eq!(to(1000), []);
}

#[test]
fn who_matches_by_several_headers_is_answered_once_and_gone_when_unbound() {
    let any = || {
        args()
            .with("x-match", "any")
            .with("a", 1)
            .with("b", Value::Void)
    };
    let mut bench = bench(&[any(), args(), any()]);
    let both = || message().header("a", 1).header("b", 2);
    assert_eq!(bench.slots(&both()), Some(vec![0, 1, 2]));
    bench.unbind(0);
    bench.unbind(1);
    assert_eq!(bench.slots(&both()), Some(vec![2]));
    bench.unbind(2);
    assert_eq!(bench.slots(&both()), Some(vec![]));
}
