//! Any octets as a content header: what is accepted stays well formed through every change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::amqp::properties::{self, Properties};
use warren::amqp::{content, table};

fuzz_target!(|payload: &[u8]| {
    let Ok(header) = content::parse_header(payload) else {
        return;
    };
    let raw = header.properties;
    let owned = properties::decode(raw).expect("what was accepted can be decoded");
    let read = Properties::new(raw);
    assert_eq!(owned.delivery_mode(), &read.delivery_mode());
    let encoded = read
        .headers()
        .into_iter()
        .flat_map(|table| table.iter_encoded());
    for (_, encoded) in encoded {
        table::check_value(encoded).expect("a value of a checked table");
    }
    let set = [("fuzz".to_owned(), b"V".to_vec())];
    for changed in [
        properties::with_headers(raw, &set),
        properties::without_headers(raw, &["fuzz"]),
        properties::without_expiration(raw),
    ] {
        properties::decode(&changed).expect("a changed list is still one");
    }
});
