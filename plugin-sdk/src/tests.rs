//! Field tables: both ways, and against bytes that are none.

use crate::bench::{Bench, TestMessage};
use crate::{Answer, ArrayBuf, ExchangeType, FieldValue, Host, Inputs, Level, Message, Opening};
use crate::{Table, TableBuf, Value};

/// A field of every type.
fn all() -> TableBuf {
    let inner = TableBuf::new().with("deep", true);
    let items = ArrayBuf::new().with(1u8).with("two").with(Value::Void);
    TableBuf::new()
        .with("t", true)
        .with("b", -1i8)
        .with("B", 255u8)
        .with("s", -2i16)
        .with("u", 65535u16)
        .with("I", -3i32)
        .with("i", u32::MAX)
        .with("l", i64::MIN)
        .with("f", 1.5f32)
        .with("d", -2.5f64)
        .with(
            "D",
            Value::Decimal {
                scale: 2,
                value: 314,
            },
        )
        .with("S", "text")
        .with("A", items.as_array())
        .with("T", Value::Timestamp(1_700_000_000))
        .with("F", inner.as_table())
        .with("x", Value::Bytes(b"\0\xff"))
        .with("V", Value::Void)
}

#[test]
fn every_type_is_read_as_it_was_written_under_its_own_letter() {
    let table = all();
    let mut names = String::new();
    for (name, value) in table.as_table().fields() {
        names.push_str(name);
        let encoded = FieldValue::from(value);
        assert_eq!(encoded.as_bytes().first(), name.as_bytes().first());
        assert_eq!(encoded.value(), value);
    }
    assert_eq!(names, "tbBsuIilfdDSATFxV");
    let table = table.as_table();
    assert_eq!(table.get("B"), Some(Value::UInt8(255)));
    assert_eq!(
        table.get("i").and_then(|value| value.as_int()),
        Some(4_294_967_295)
    );
    assert_eq!(
        table.get("S").and_then(|value| value.as_str()),
        Some("text")
    );
    assert_eq!(table.get("none"), None);
    let Some(Value::Table(inner)) = table.get("F") else {
        panic!("a table");
    };
    assert_eq!(inner.get("deep"), Some(Value::Bool(true)));
    let Some(Value::Array(items)) = table.get("A") else {
        panic!("an array");
    };
    let items: Vec<_> = items.items().collect();
    assert_eq!(items, [Value::UInt8(1), "two".into(), Value::Void]);
}

#[test]
fn the_specifications_own_letters_are_read_where_they_do_not_clash() {
    let bytes = b"\x01aU\xff\xfe\x01bL\xff\xff\xff\xff\xff\xff\xff\xfd";
    let fields: Vec<_> = Table(bytes).fields().collect();
    assert_eq!(fields, [("a", Value::Int16(-2)), ("b", Value::Int64(-3))]);
}

#[test]
fn a_table_cut_off_anywhere_is_read_up_to_there() {
    let table = all().into_bytes();
    let whole: Vec<_> = Table(&table).fields().collect();
    for end in 0..table.len() {
        let part: Vec<_> = Table(&table[..end]).fields().collect();
        assert!(part.len() < whole.len());
        assert_eq!(part, whole[..part.len()]);
    }
}

#[test]
fn noise_is_read_without_panic_and_without_end() {
    let mut state = 0x5eed_u64;
    for length in 0..2_000 {
        let mut noise = Vec::with_capacity(length);
        for _ in 0..length {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let letters = b"tbBsuIilfdDSATFxV\0\x01\xff";
            let octet = (state >> 33) as usize;
            noise.push(letters[octet % letters.len()]);
        }
        assert!(Table(&noise).fields().count() <= length);
        let _ = FieldValue::from_bytes(noise);
    }
}

#[test]
fn a_field_value_is_one_value_and_nothing_behind_it() {
    assert_eq!(
        FieldValue::from_bytes(b"V".to_vec()),
        Some(Value::Void.into())
    );
    assert_eq!(FieldValue::from_bytes(b"VV".to_vec()), None);
    assert_eq!(FieldValue::from_bytes(b"S\0\0\0\x02a".to_vec()), None);
    assert_eq!(FieldValue::from_bytes(Vec::new()), None);
}

#[test]
fn names_are_cut_at_255_octets_and_those_that_are_not_utf8_left_out() {
    let long = "é".repeat(200);
    let table = TableBuf::new().with(&long, 1);
    let names: Vec<_> = table.as_table().fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["é".repeat(127)]);
    let table = Table(b"\x01\xffV\x01aV");
    assert_eq!(table.fields().collect::<Vec<_>>(), [("a", Value::Void)]);
}

/// Reads whatever the routing key names.
struct Reader(Host);

impl ExchangeType for Reader {
    const TYPES: &'static [&'static str] = &["x-reader"];

    fn open(exchange: &Opening) -> Result<Self, String> {
        exchange.host.log(Level::Info, exchange.type_name);
        Ok(Reader(exchange.host.clone()))
    }

    fn inputs(&self) -> Inputs {
        Inputs::RoutingKey
    }

    fn route(&mut self, message: &Message) -> Answer {
        match message.routing_key().as_str() {
            "clock" => Answer::to([u32::try_from(self.0.now()).unwrap_or_default()]),
            "body" => Answer::to(message.body(1..3).into_iter().map(u32::from)),
            "rest" => Answer::to(message.body(3..).into_iter().map(u32::from)),
            "header" => Answer::to(message.header("h").map(|_| 1)),
            "stamp" => Answer::nowhere().with_header("h", 1),
            _ => Answer::nowhere(),
        }
    }
}

#[test]
fn the_bench_tells_what_the_broker_would_not_remember() {
    let mut bench = Bench::<Reader>::open(&TableBuf::new()).expect("opens");
    assert_eq!(bench.log(), [(Level::Info, "x-reader".to_owned())]);
    bench.set_now(42);
    let mut ask = |key| {
        let message = TestMessage::new(key).body(b"abcde").header("h", 1);
        (bench.route(&message), bench.was_remembered())
    };
    assert_eq!(ask("plain"), (Answer::nowhere(), true));
    assert_eq!(ask("clock"), (Answer::to([42]), false));
    assert_eq!(ask("body"), (Answer::to([98, 99]), false));
    assert_eq!(ask("rest"), (Answer::to([100, 101]), false));
    assert_eq!(ask("header"), (Answer::to([1]), false));
    assert!(!ask("stamp").1);
}
