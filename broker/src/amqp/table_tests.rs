//! The view against amq-protocol's generator and parser.

use amq_protocol::types::DecimalValue;

use super::*;
use crate::amqp::{AMQPValue, FieldArray};

fn every_type() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("k".into(), AMQPValue::Boolean(true));
    let mut table = FieldTable::default();
    for (name, value) in [
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(208)),
        ("i16", AMQPValue::ShortInt(-16)),
        ("u16", AMQPValue::ShortUInt(61_000)),
        ("i32", AMQPValue::LongInt(-32)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(-64)),
        ("f32", AMQPValue::Float(1.5)),
        ("f64", AMQPValue::Double(-2.25)),
        (
            "decimal",
            AMQPValue::DecimalValue(DecimalValue {
                scale: 2,
                value: 314,
            }),
        ),
        ("str", AMQPValue::LongString("text".into())),
        (
            "array",
            AMQPValue::FieldArray(FieldArray::from(vec![
                AMQPValue::LongInt(1),
                AMQPValue::LongString("two".into()),
            ])),
        ),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("table", AMQPValue::FieldTable(inner)),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("void", AMQPValue::Void),
    ] {
        table.insert(name.into(), value);
    }
    table
}

#[test]
fn every_type_is_read_back() {
    let raw = encode(&every_type());
    check(&raw, 2).expect("a table");
    let table = Table::new(&raw);
    for (name, value) in [
        ("bool", Value::Bool(true)),
        ("i8", Value::I8(-8)),
        ("u8", Value::U8(208)),
        ("i16", Value::I16(-16)),
        ("u16", Value::U16(61_000)),
        ("i32", Value::I32(-32)),
        ("u32", Value::U32(4_000_000_000)),
        ("i64", Value::I64(-64)),
        ("f32", Value::F32(1.5)),
        ("f64", Value::F64(-2.25)),
        (
            "decimal",
            Value::Decimal {
                scale: 2,
                value: 314,
            },
        ),
        ("str", Value::Str(b"text")),
        ("time", Value::Timestamp(1_700_000_000)),
        ("table", Value::Table(Table::new(b"\x01kt\x01"))),
        ("bytes", Value::Bytes(&[0, 255])),
        ("void", Value::Void),
    ] {
        assert_eq!(table.get(name), Some(value), "{name}");
    }
    let Some(Value::Array(array)) = table.get("array") else {
        panic!("no array");
    };
    let found: Vec<Value<'_>> = elements(array).collect();
    assert_eq!(found, [Value::I32(1), Value::Str(b"two")]);
    assert_eq!(table.iter().count(), 17);
    assert_eq!(table.get("nothing"), None);
}

#[test]
fn encoded_values_are_the_octets_of_the_table() {
    let raw = encode(&every_type());
    let table = Table::new(&raw);
    for (name, encoded) in table.iter_encoded() {
        assert_eq!(check_value(encoded), Ok(()), "{name}");
        assert_eq!(table.get(name).expect(name).encoded(), encoded, "{name}");
    }
}

#[test]
fn owned_tables_survive_the_way_there_and_back() {
    let table = every_type();
    assert_eq!(decode(&encode(&table)), Ok(table));
    assert_eq!(decode(&[]), Ok(FieldTable::default()));
    assert!(encode(&FieldTable::default()).is_empty());
}

#[test]
fn type_letters_are_rabbitmqs() {
    let raw = b"\x01as\xff\xff\x01bl\xff\xff\xff\xff\xff\xff\xff\xff\x01cL\xff\xff\xff\xff\xff\xff\xff\xff";
    let found: Vec<_> = Table::new(raw).iter().collect();
    assert_eq!(
        found,
        [
            ("a", Value::I16(-1)),
            ("b", Value::I64(-1)),
            ("c", Value::I64(-1))
        ]
    );
}

#[test]
fn every_truncation_is_malformed_or_ends_between_entries() {
    let raw = encode(&every_type());
    let mut boundaries = vec![0];
    for (name, encoded) in Table::new(&raw).iter_encoded() {
        boundaries.push(boundaries.last().expect("not empty") + 1 + name.len() + encoded.len());
    }
    for end in 0..=raw.len() {
        let checked = check(&raw[..end], MAX_TABLE_DEPTH);
        assert_eq!(checked.is_ok(), boundaries.contains(&end), "{end}");
        Table::new(&raw[..end]).iter().count();
    }
}

fn nested(depth: usize) -> Vec<u8> {
    let mut raw = Vec::new();
    for _ in 1..depth {
        raw = [
            b"\x01tF".as_slice(),
            &(raw.len() as u32).to_be_bytes(),
            &raw,
        ]
        .concat();
    }
    raw
}

#[test]
fn depth_is_bounded_exactly() {
    assert_eq!(check(&nested(MAX_TABLE_DEPTH), MAX_TABLE_DEPTH), Ok(()));
    assert_eq!(
        check(&nested(MAX_TABLE_DEPTH + 1), MAX_TABLE_DEPTH),
        Err(TableError::TooDeep)
    );
    assert_eq!(check(&nested(1), 1), Ok(()));
    assert_eq!(check(&nested(2), 1), Err(TableError::TooDeep));
    assert!(decode(&nested(MAX_TABLE_DEPTH)).is_ok());
}

#[test]
fn what_stands_behind_a_nested_table_is_checked_too() {
    let good = b"\x01tF\x00\x00\x00\x03\x01kV\x01xV";
    assert_eq!(check(good, 2), Ok(()));
    let bad = b"\x01tF\x00\x00\x00\x03\x01kV\x01xQ";
    assert_eq!(check(bad, 2), Err(TableError::Malformed));
    let overlong = b"\x01tF\x00\x00\x00\x09\x01kV\x01xV";
    assert_eq!(check(overlong, 2), Err(TableError::Malformed));
    let huge = b"\x01tF\xff\xff\xff\xff\x01kV";
    assert_eq!(check(huge, 2), Err(TableError::Malformed));
}

#[test]
fn a_value_is_one_value() {
    assert_eq!(check_value(b"V"), Ok(()));
    assert_eq!(check_value(b"VV"), Err(TableError::Malformed));
    assert_eq!(check_value(b""), Err(TableError::Malformed));
    assert_eq!(
        check_value(b"S\x00\x00\x00\x02a"),
        Err(TableError::Malformed)
    );
}
