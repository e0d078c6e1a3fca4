//! Shares, stability, refusals.

use super::*;
use warren_plugin_sdk::TableBuf;
use warren_plugin_sdk::bench::{Bench, TestMessage};

fn bench(arguments: &TableBuf, weights: &[&str]) -> Bench<ConsistentHash> {
    let mut bench = Bench::open(arguments).expect("opens");
    for (slot, weight) in weights.iter().enumerate() {
        let bound = bench.bind(slot as u32, weight, &TableBuf::new());
        bound.expect("binds");
    }
    bench
}

/// How many of 20,000 keys each slot gets.
fn shares(bench: &mut Bench<ConsistentHash>, slots: usize) -> Vec<usize> {
    let mut shares = vec![0; slots];
    for key in 0..20_000 {
        let routed = bench.slots(&TestMessage::new(&format!("key-{key}")));
        let [slot] = routed.expect("slots")[..] else {
            panic!("not one binding");
        };
        shares[slot as usize] += 1;
    }
    shares
}

#[test]
fn every_binding_gets_messages_by_its_weight() {
    let mut bench = bench(&TableBuf::new(), &["1", "1", "2", "4"]);
    for (share, weight) in shares(&mut bench, 4).into_iter().zip([1, 1, 2, 4]) {
        let expected = 20_000 * weight / 8;
        assert!(
            share.abs_diff(expected) < expected / 10,
            "{share} of {expected}"
        );
    }
    assert!(bench.was_remembered());
}

#[test]
fn a_new_binding_takes_only_its_own_share_and_gives_it_back() {
    let mut bench = bench(&TableBuf::new(), &["1", "1", "1"]);
    let where_to = |bench: &mut Bench<ConsistentHash>| -> Vec<_> {
        let keys = 0..5_000;
        keys.map(|key| bench.slots(&TestMessage::new(&key.to_string())))
            .collect()
    };
    let before = where_to(&mut bench);
    bench.bind(3, "1", &TableBuf::new()).expect("binds");
    let with = where_to(&mut bench);
    let moved = before.iter().zip(&with).filter(|(old, new)| old != new);
    let moved: Vec<_> = moved.map(|(_, new)| new.clone()).collect();
    assert!(moved.iter().all(|new| *new == Some(vec![3])));
    assert!(moved.len().abs_diff(1_250) < 150, "{}", moved.len());
    bench.unbind(3);
    assert_eq!(where_to(&mut bench), before);
}

#[test]
fn a_header_or_a_property_decides_where_it_is_named() {
    for name in [HEADER, HASH_ON] {
        let arguments = TableBuf::new().with(name, "tenant");
        let mut bench = bench(&arguments, &["1", "1", "1", "1"]);
        assert_eq!(bench.inputs(), Inputs::Headers(vec!["tenant".to_owned()]));
        let of = |bench: &mut Bench<ConsistentHash>, tenant: &str, key: &str| {
            bench.slots(&TestMessage::new(key).header("tenant", tenant))
        };
        let tenants = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let first = tenants.map(|tenant| of(&mut bench, tenant, "k1"));
        assert_eq!(tenants.map(|tenant| of(&mut bench, tenant, "k2")), first);
        assert!(first.iter().any(|slots| *slots != first[0]));
        assert!(bench.was_remembered());
    }
    // Flags for correlation-id and message-id, then both.
    let message = |id: &str| {
        let mut properties = vec![0x04, 0x80, 1, b'c', id.len() as u8];
        properties.extend(id.as_bytes());
        TestMessage::new("k").properties(&properties)
    };
    let arguments = TableBuf::new().with(PROPERTY, "message_id");
    let mut bench = bench(&arguments, &["1", "1", "1", "1"]);
    let routed: Vec<_> = (0..64)
        .map(|id| bench.slots(&message(&id.to_string())))
        .collect();
    assert!(routed.iter().any(|slots| *slots != routed[0]));
    assert_eq!(bench.slots(&message("7")), routed[7]);
}

#[test]
fn what_rabbitmq_refuses_is_refused_with_its_words() {
    let refused = |arguments: TableBuf| Bench::<ConsistentHash>::open(&arguments).err();
    let both = TableBuf::new()
        .with(HEADER, "a")
        .with(PROPERTY, "message_id");
    let text = "hash-header and hash-property are mutually exclusive";
    assert_eq!(refused(both).as_deref(), Some(text));
    let odd = TableBuf::new().with(PROPERTY, "app_id");
    assert_eq!(
        refused(odd).as_deref(),
        Some("Unsupported property: app_id")
    );
    let mut bench = bench(&TableBuf::new(), &[]);
    let mut bind = |key| bench.bind(0, key, &TableBuf::new()).expect_err("refused");
    assert_eq!(
        bind("much"),
        "The binding key must be an integer: <<\"much\">>"
    );
    assert_eq!(bind("0"), "The binding key must be greater than 0");
    assert_eq!(bind("-5"), "The binding key must be greater than 0");
}

#[test]
fn without_bindings_nothing_is_routed() {
    let mut bench = bench(&TableBuf::new(), &[]);
    assert_eq!(bench.slots(&TestMessage::new("k")), Some(vec![]));
}

#[test]
fn a_cut_off_property_list_has_no_property() {
    let whole = [0x04, 0x80, 1, b'c', 2, b'i', b'd'];
    assert_eq!(Property::MessageId.of(&whole), Some(&b"id"[..]));
    assert_eq!(Property::CorrelationId.of(&whole), Some(&b"c"[..]));
    assert_eq!(Property::Timestamp.of(&whole), None);
    for end in 0..whole.len() {
        assert_eq!(Property::MessageId.of(&whole[..end]), None);
    }
}
