//! Raw property octets against amq-protocol's owned property list.

use super::*;
use crate::amqp::table::Value;
use crate::amqp::{AMQPValue, FieldTable};

fn full() -> AMQPProperties {
    let mut headers = FieldTable::default();
    headers.insert("a".into(), AMQPValue::LongInt(1));
    headers.insert("b".into(), AMQPValue::LongString("two".into()));
    AMQPProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("corr".into())
        .with_reply_to("reply".into())
        .with_expiration("60000".into())
        .with_message_id("id".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into())
}

fn header(value: &Value<'_>, name: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.encoded())
}

#[test]
fn every_property_is_read_from_a_full_list() {
    let raw = encode(&full());
    assert!(check(&raw).is_some());
    let properties = Properties::new(&raw);
    assert_eq!(properties.content_type(), Some("text/plain"));
    assert_eq!(properties.content_encoding(), Some("gzip"));
    assert_eq!(
        properties.headers().expect("headers").get("b"),
        Some(Value::Str(b"two"))
    );
    assert_eq!(properties.delivery_mode(), Some(2));
    assert!(properties.is_persistent());
    assert_eq!(properties.priority(), Some(7));
    assert_eq!(properties.correlation_id(), Some("corr"));
    assert_eq!(properties.reply_to(), Some("reply"));
    assert_eq!(properties.expiration(), Some("60000"));
    assert_eq!(properties.message_id(), Some("id"));
    assert_eq!(properties.timestamp(), Some(1_700_000_000));
    assert_eq!(properties.type_(), Some("kind"));
    assert_eq!(properties.user_id(), Some("guest"));
    assert_eq!(properties.app_id(), Some("app"));
    assert_eq!(properties.cluster_id(), Some("cluster"));
    assert_eq!(decode(&raw), Some(full()));
}

#[test]
fn absent_properties_are_none() {
    for raw in [&[][..], &[0], &[0, 0]] {
        let properties = Properties::new(raw);
        assert_eq!(properties.delivery_mode(), None);
        assert_eq!(properties.headers(), None);
        assert_eq!(properties.expiration(), None);
        assert!(!properties.is_persistent());
    }
    let transient = encode(&AMQPProperties::default().with_delivery_mode(1));
    assert!(!Properties::new(&transient).is_persistent());
}

#[test]
fn a_continued_flag_word_is_refused() {
    assert!(check(&[0, 1, 0, 0]).is_none());
    assert!(check(&[0, 0]).is_some());
    assert!(check(&[]).is_none());
}

#[test]
fn a_header_is_replaced_in_place_and_a_new_one_appended() {
    let raw = encode(&full());
    let set = [
        header(&Value::I64(9), "c"),
        header(&Value::Bool(true), "a"),
        header(&Value::I64(10), "c"),
    ];
    let changed = with_headers(&raw, &set);
    assert!(check(&changed).is_some());
    let found: Vec<_> = Properties::new(&changed)
        .headers()
        .expect("headers")
        .iter()
        .collect();
    assert_eq!(
        found,
        [
            ("a", Value::Bool(true)),
            ("b", Value::Str(b"two")),
            ("c", Value::I64(10)),
        ]
    );
    let removed = without_headers(&changed, &["a", "c"]);
    let back = with_headers(&removed, &[header(&Value::I32(1), "a")]);
    let mut ours = decode(&back).expect("a list");
    assert_eq!(ours, full());
    ours = decode(&with_headers(&raw, &[])).expect("a list");
    assert_eq!(ours, full());
}

#[test]
fn a_first_header_leaves_the_other_properties_as_they_are() {
    let bare = AMQPProperties::default()
        .with_content_type("t".into())
        .with_priority(3);
    let raw = with_headers(&encode(&bare), &[header(&Value::Void, "h")]);
    assert_eq!(raw, b"\xa8\x00\x01t\x00\x00\x00\x03\x01hV\x03");
    let raw = with_headers(&[], &[header(&Value::Void, "h")]);
    assert_eq!(raw, b"\x20\x00\x00\x00\x00\x03\x01hV");
}

#[test]
fn a_header_given_twice_is_one_header_after_it_is_set() {
    let raw = b"\x20\x00\x00\x00\x00\x09\x01hV\x01iV\x01hV";
    let changed = with_headers(raw, &[header(&Value::Bool(false), "h")]);
    assert_eq!(changed, b"\x20\x00\x00\x00\x00\x07\x01ht\x00\x01iV");
}

#[test]
fn what_cannot_be_encoded_is_left_out() {
    let long = "n".repeat(256);
    let set = [
        (long, Value::Void.encoded()),
        ("broken".to_owned(), b"S\xff\xff\xff\xff".to_vec()),
        ("empty".to_owned(), Vec::new()),
    ];
    assert_eq!(with_headers(&[0, 0], &set), [0, 0]);
    let raw = encode(&full());
    assert_eq!(with_headers(&raw, &set), raw);
}

#[test]
fn the_expiration_goes_and_the_rest_stays() {
    let raw = encode(&full());
    let without = without_expiration(&raw);
    assert_eq!(Properties::new(&without).expiration(), None);
    assert_eq!(without.len(), raw.len() - 6);
    assert!(check(&without).is_some());
    assert_eq!(Properties::new(&without).message_id(), Some("id"));
    assert_eq!(without_expiration(&without), without);
    assert_eq!(without_headers(&[], &["x"]), [0, 0]);
}

#[test]
fn truncated_octets_never_panic() {
    let raw = encode(&full());
    for end in 0..raw.len() {
        let part = &raw[..end];
        assert!(check(part).is_none(), "{end}");
        let properties = Properties::new(part);
        let _ = (properties.cluster_id(), properties.timestamp());
        let _ = properties.headers().map(|headers| headers.iter().count());
        with_headers(part, &[header(&Value::Void, "h")]);
        without_headers(part, &["a"]);
        without_expiration(part);
    }
}

#[test]
fn properties_that_are_set_replace_and_the_others_stay() {
    let properties = |content_type: &str, mode: Option<u8>, app: Option<&str>| {
        let mut owned = crate::amqp::BasicProperties::default();
        if !content_type.is_empty() {
            owned = owned.with_content_type(content_type.into());
        }
        if let Some(mode) = mode {
            owned = owned.with_delivery_mode(mode);
        }
        if let Some(app) = app {
            owned = owned.with_app_id(app.into());
        }
        encode(&owned)
    };
    let base = properties("text/plain", Some(1), None);
    let over = properties("", Some(2), Some("me"));
    let expected = properties("text/plain", Some(2), Some("me"));
    assert_eq!(with_properties(&base, &over), expected);
    assert_eq!(with_properties(&[], &over), over);
    assert_eq!(with_properties(&base, &[0x80]), base, "no property list");
}

#[test]
fn what_a_broker_acts_upon_is_seen_by_the_flags() {
    let plain = crate::amqp::BasicProperties::default;
    let asks = |owned: crate::amqp::BasicProperties| Properties::new(&encode(&owned)).may_ask();
    assert!(!asks(plain()));
    assert!(!asks(
        plain().with_delivery_mode(2).with_app_id("me".into())
    ));
    assert!(asks(plain().with_headers(Default::default())));
    assert!(asks(plain().with_reply_to("amq.rabbitmq.reply-to".into())));
    assert!(asks(plain().with_expiration("100".into())));
    assert!(asks(plain().with_user_id("guest".into())));
    assert!(!Properties::new(&[0x80]).may_ask(), "no property list");
}
