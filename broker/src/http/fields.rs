//! AMQP's tables, arguments and properties as JSON and back, with the types that RabbitMQ gives
//! them: a whole number becomes a long, a text a long string.

use serde_json::{Map, Value as Json, json};

use super::answer::Failure;
use crate::amqp::SHORT_STRING_MAX;
use crate::amqp::properties::Properties;
use crate::amqp::table::{MAX_TABLE_DEPTH, Table, Value, elements};

pub(super) fn table(raw: &[u8]) -> Json {
    object(Table::new(raw))
}

fn object(table: Table<'_>) -> Json {
    let pairs = table
        .iter()
        .map(|(name, value)| (name.to_owned(), json(value)));
    Json::Object(pairs.collect())
}

fn json(value: Value<'_>) -> Json {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::I8(number) => json!(number),
        Value::U8(number) => json!(number),
        Value::I16(number) => json!(number),
        Value::U16(number) => json!(number),
        Value::I32(number) => json!(number),
        Value::U32(number) => json!(number),
        Value::I64(number) => json!(number),
        Value::F32(number) => json!(number),
        Value::F64(number) => json!(number),
        Value::Decimal { scale, value } => {
            json!(f64::from(value) / 10f64.powi(i32::from(scale)))
        }
        Value::Str(octets) | Value::Bytes(octets) => json!(String::from_utf8_lossy(octets)),
        Value::Array(octets) => Json::Array(elements(octets).map(json).collect()),
        Value::Timestamp(seconds) => json!(seconds),
        Value::Table(table) => object(table),
        Value::Void => Json::Null,
    }
}

/// Without the length octets in front.
pub(super) fn encode(map: &Map<String, Json>) -> Result<Vec<u8>, Failure> {
    encode_within(map, MAX_TABLE_DEPTH)
}

fn encode_within(map: &Map<String, Json>, depth: usize) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    for (name, value) in map {
        if name.len() > SHORT_STRING_MAX {
            return Err(Failure::bad("a name in a table is longer than 255 octets"));
        }
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&encode_value(value, depth)?);
    }
    Ok(out)
}

fn encode_value(value: &Json, depth: usize) -> Result<Vec<u8>, Failure> {
    let depth = depth.checked_sub(1);
    let depth = depth.ok_or_else(|| Failure::bad("a table nests too deep"))?;
    let encoded = match value {
        Json::Null => Value::Void.encoded(),
        Json::Bool(flag) => Value::Bool(*flag).encoded(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::I64(number).encoded(),
            None => Value::F64(number.as_f64().unwrap_or(f64::NAN)).encoded(),
        },
        Json::String(text) => Value::Str(text.as_bytes()).encoded(),
        Json::Array(list) => {
            let mut octets = Vec::new();
            for element in list {
                octets.extend_from_slice(&encode_value(element, depth)?);
            }
            Value::Array(&octets).encoded()
        }
        Json::Object(map) => {
            let octets = encode_within(map, depth)?;
            Value::Table(Table::new(&octets)).encoded()
        }
    };
    Ok(encoded)
}

/// Of a message, by RabbitMQ's names; what it does not have is not there.
pub(super) fn properties(raw: &[u8]) -> Json {
    let properties = Properties::new(raw);
    let mut map = Map::new();
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.type_()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
        ("cluster_id", properties.cluster_id()),
    ];
    let numbers = [
        ("delivery_mode", properties.delivery_mode().map(u64::from)),
        ("priority", properties.priority().map(u64::from)),
        ("timestamp", properties.timestamp()),
    ];
    for (name, text) in texts {
        map.extend(text.map(|text| (name.to_owned(), json!(text))));
    }
    for (name, number) in numbers {
        map.extend(number.map(|number| (name.to_owned(), json!(number))));
    }
    if let Some(headers) = properties.headers() {
        map.insert("headers".to_owned(), object(headers));
    }
    // RabbitMQ writes a message without properties so.
    if map.is_empty() {
        return json!([]);
    }
    Json::Object(map)
}

/// In the order of the flags, highest bit first.
const PROPERTIES: [&str; 14] = [
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
];

/// As they stand in a content header. Names that are no properties are passed over.
pub(super) fn encode_properties(map: &Map<String, Json>) -> Result<Vec<u8>, Failure> {
    let mut flags: u16 = 0;
    let mut list = Vec::new();
    for (index, name) in PROPERTIES.iter().enumerate() {
        let Some(value) = map.get(*name).filter(|value| !value.is_null()) else {
            continue;
        };
        flags |= 0x8000 >> index;
        let wrong = || Failure::bad(format!("property {name} has a wrong type"));
        match *name {
            "headers" => {
                let headers = value.as_object().ok_or_else(wrong)?;
                let octets = encode(headers)?;
                list.extend_from_slice(&(octets.len() as u32).to_be_bytes());
                list.extend_from_slice(&octets);
            }
            "delivery_mode" | "priority" => {
                let number = value.as_u64().and_then(|number| u8::try_from(number).ok());
                list.push(number.ok_or_else(wrong)?);
            }
            "timestamp" => {
                let seconds = value.as_u64().ok_or_else(wrong)?;
                list.extend_from_slice(&seconds.to_be_bytes());
            }
            _ => {
                let text = value.as_str().filter(|text| text.len() <= SHORT_STRING_MAX);
                let text = text.ok_or_else(wrong)?;
                list.push(text.len() as u8);
                list.extend_from_slice(text.as_bytes());
            }
        }
    }
    let mut out = flags.to_be_bytes().to_vec();
    out.extend_from_slice(&list);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Json) -> Map<String, Json> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_table_comes_back_as_it_was() {
        let value = json!({
            "text": "ä", "number": -3, "half": 0.5, "yes": true, "none": null,
            "list": [1, "two", {"three": 3}], "table": {"x": {}},
        });
        let raw = encode(&map(value.clone())).unwrap();
        assert_eq!(table(&raw), value);
    }

    #[test]
    fn properties_come_back_as_they_were() {
        let value = json!({
            "content_type": "text/plain", "headers": {"a": 1}, "delivery_mode": 2,
            "priority": 3, "timestamp": 1_700_000_000, "type": "t", "cluster_id": "c",
        });
        let raw = encode_properties(&map(value.clone())).unwrap();
        assert_eq!(properties(&raw), value);
        assert_eq!(
            properties(&encode_properties(&Map::new()).unwrap()),
            json!([])
        );
        assert!(encode_properties(&map(json!({"priority": 300}))).is_err());
        assert!(encode_properties(&map(json!({"type": 1}))).is_err());
    }

    #[test]
    fn what_nests_too_deep_is_refused() {
        let mut value = json!(1);
        for _ in 0..MAX_TABLE_DEPTH + 2 {
            value = json!([value]);
        }
        assert!(encode(&map(json!({"deep": value}))).is_err());
    }
}
