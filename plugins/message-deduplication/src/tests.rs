//! What is a duplicate and what is not.

use super::*;
use warren_plugin_sdk::bench::{Bench, TestMessage};
use warren_plugin_sdk::{Lifetime, TableBuf, Value};

fn open(arguments: TableBuf) -> Bench<MessageDeduplication> {
    let mut bench = Bench::open(&arguments).expect("opens");
    bench.bind(4, "", &TableBuf::new()).expect("binds");
    bench.bind(2, "any", &TableBuf::new()).expect("binds");
    bench
}

fn sized(size: i32) -> TableBuf {
    TableBuf::new().with(SIZE, size)
}

fn passes<'v>(bench: &mut Bench<MessageDeduplication>, value: impl Into<Value<'v>>) -> bool {
    let message = TestMessage::new("k").header(HEADER, value);
    let slots = bench.slots(&message).expect("slots");
    assert!(slots == [2, 4] || slots.is_empty());
    assert!(!bench.was_remembered());
    !slots.is_empty()
}

#[test]
fn each_value_passes_once_and_messages_without_it_always() {
    let mut bench = open(sized(10));
    assert!(passes(&mut bench, "a"));
    assert!(!passes(&mut bench, "a"));
    assert!(passes(&mut bench, "b"));
    for _ in 0..2 {
        assert_eq!(bench.slots(&TestMessage::new("k")), Some(vec![2, 4]));
        assert!(bench.was_remembered());
    }
}

#[test]
fn integers_are_the_same_whatever_their_width_and_not_the_same_as_text() {
    let mut bench = open(sized(10));
    assert!(passes(&mut bench, 7_i32));
    assert!(!passes(&mut bench, 7_u8));
    assert!(!passes(&mut bench, 7_i64));
    assert!(passes(&mut bench, "7"));
    assert!(passes(&mut bench, 7.0_f64));
    assert!(passes(&mut bench, Value::Void));
    assert!(!passes(&mut bench, Value::Void));
}

#[test]
fn the_oldest_value_is_forgotten_when_there_are_too_many() {
    let mut bench = open(sized(2));
    for value in ["a", "b", "c"] {
        assert!(passes(&mut bench, value));
    }
    assert!(!passes(&mut bench, "b") && !passes(&mut bench, "c"));
    assert!(passes(&mut bench, "a"));
    assert!(passes(&mut bench, "b"), "the oldest of b and c");
    assert_eq!(bench.state().len(), 4);
}

#[test]
fn a_value_expires_by_its_own_time_or_the_exchange_s() {
    let mut bench = open(sized(10).with(TTL, "100"));
    bench.set_now(1_000);
    assert!(passes(&mut bench, "a"));
    let own = TestMessage::new("k")
        .header(HEADER, "own")
        .header(TTL, 1_000);
    assert_eq!(bench.slots(&own), Some(vec![2, 4]));
    bench.set_now(1_099);
    assert!(!passes(&mut bench, "a"));
    bench.set_now(1_100);
    assert!(passes(&mut bench, "a"));
    assert!(!passes(&mut bench, "own"));
    bench.set_now(2_000);
    assert!(passes(&mut bench, "own"));
}

#[test]
fn a_value_that_came_again_after_it_expired_is_not_forgotten_with_its_old_place() {
    let mut bench = open(sized(2).with(TTL, 100));
    assert!(passes(&mut bench, "a"));
    bench.set_now(150);
    assert!(passes(&mut bench, "a"));
    assert!(passes(&mut bench, "b"));
    assert!(!passes(&mut bench, "a"));
}

#[test]
fn another_instance_goes_on_where_the_last_one_ended() {
    let arguments = sized(2).with(PERSISTENCE, "disk");
    let mut bench = open(arguments.clone());
    assert!(passes(&mut bench, "a") && passes(&mut bench, "b"));
    assert!(
        bench
            .state()
            .iter()
            .all(|(_, kept)| *kept == Lifetime::Durable)
    );
    let mut bench = bench.reopen(&arguments).expect("opens");
    bench.bind(2, "", &TableBuf::new()).expect("binds");
    bench.bind(4, "", &TableBuf::new()).expect("binds");
    assert!(!passes(&mut bench, "a") && !passes(&mut bench, "b"));
    assert!(passes(&mut bench, "c") && passes(&mut bench, "a"));
    assert!(!passes(&mut bench, "c"));
}

#[test]
fn long_values_are_told_apart_by_all_of_their_octets() {
    let mut bench = open(sized(10));
    let long = "x".repeat(5_000);
    assert!(passes(&mut bench, long.as_str()));
    assert!(!passes(&mut bench, long.as_str()));
    assert!(passes(&mut bench, format!("{long}y").as_str()));
    assert!(!passes(&mut bench, long.as_str()));
}

#[test]
fn what_finds_no_room_passes() {
    let mut bench = open(sized(10));
    bench.limit_keys(3);
    assert!(passes(&mut bench, "a") && !passes(&mut bench, "a"));
    for _ in 0..2 {
        assert!(passes(&mut bench, "b"));
    }
    assert!(!passes(&mut bench, "a"));
    assert_eq!(bench.state().len(), 2);
    assert_eq!(bench.log().len(), 2);
}

#[test]
fn wrong_arguments_are_refused_in_the_words_of_rabbitmq_s_plugin() {
    let refused = |arguments: TableBuf| {
        let bench = Bench::<MessageDeduplication>::open(&arguments);
        bench.err().unwrap_or_default()
    };
    let size = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
    assert_eq!(refused(TableBuf::new()), size);
    assert_eq!(refused(sized(0)), size);
    assert_eq!(refused(TableBuf::new().with(SIZE, "many")), size);
    assert_eq!(refused(TableBuf::new().with(SIZE, "5")), "");
    let ttl = "Invalid argument, 'x-cache-ttl' must be an integer greater than 0";
    assert_eq!(refused(sized(1).with(TTL, -1)), ttl);
    let persistence = "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'";
    assert_eq!(refused(sized(1).with(PERSISTENCE, "tape")), persistence);
    assert_eq!(refused(sized(1).with(PERSISTENCE, "memory")), "");
}

#[test]
fn another_header_may_tell_messages_apart() {
    let mut bench = open(sized(10).with(HEADER, "id"));
    let with = |name| TestMessage::new("k").header(name, "a");
    assert_eq!(bench.slots(&with("id")), Some(vec![2, 4]));
    assert_eq!(bench.slots(&with("id")), Some(vec![]));
    assert_eq!(bench.slots(&with(HEADER)), Some(vec![2, 4]));
    assert_eq!(bench.slots(&with(HEADER)), Some(vec![2, 4]));
}
