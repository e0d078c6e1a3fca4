//! Headers found in raw property bytes, and bytes that make no sense.

use crate::plugin::message_access::{header, headers, is_field_value};

/// content-type, content-encoding, three headers, delivery mode.
const FULL: &[u8] = b"\xf0\x00\x03a/b\x04gzip\x00\x00\x00\x1f\x01aS\x00\x00\x00\x01z\x02bbF\x00\x00\x00\x04\x01xt\x01\x01cl\0\0\0\0\0\0\0\x07\x02";

fn with_table(table: &[u8]) -> Vec<u8> {
    let mut properties = vec![0x20, 0];
    properties.extend_from_slice(&u32::try_from(table.len()).expect("short").to_be_bytes());
    properties.extend_from_slice(table);
    properties
}

#[test]
fn headers_are_found_behind_other_properties() {
    let table = b"\x01aS\x00\x00\x00\x01z\x02bbF\x00\x00\x00\x04\x01xt\x01\x01cl\0\0\0\0\0\0\0\x07";
    let properties = with_table(table);
    assert_eq!(headers(&properties), table);
    assert_eq!(header(&properties, "a"), Some(&b"S\x00\x00\x00\x01z"[..]));
    assert_eq!(header(&properties, "c"), Some(&b"l\0\0\0\0\0\0\0\x07"[..]));
    assert_eq!(
        header(&properties, "bb"),
        Some(&b"F\x00\x00\x00\x04\x01xt\x01"[..])
    );
    assert_eq!(
        header(&properties, "x"),
        None,
        "nested ones are not headers"
    );
    assert_eq!(header(FULL, "a"), Some(&b"S\x00\x00\x00\x01z"[..]));
}

#[test]
fn without_a_table_there_is_nothing() {
    assert_eq!(headers(&[]), b"");
    assert_eq!(headers(&[0, 0]), b"");
    assert_eq!(headers(b"\x80\x00\x03a/b"), b"");
    assert_eq!(header(&[0, 0], "a"), None);
}

#[test]
fn no_cut_of_the_bytes_is_anything_but_less() {
    for length in 0..FULL.len() {
        let cut = &FULL[..length];
        assert!(header(cut, "c").is_none() || length >= FULL.len() - 1);
        assert!(headers(cut).len() <= FULL.len());
    }
    let lying = b"\x20\x00\xff\xff\xff\xff\x01at\x01";
    assert_eq!(headers(lying), b"");
}

#[test]
fn a_field_value_is_checked_to_its_end_and_its_depth() {
    assert!(is_field_value(b"V"));
    assert!(is_field_value(b"S\x00\x00\x00\x02hi"));
    assert!(is_field_value(b"A\x00\x00\x00\x04t\x01t\x00"));
    assert!(is_field_value(b"F\x00\x00\x00\x04\x01xt\x01"));
    for bad in [
        &b""[..],
        b"?",
        b"t",
        b"t\x01\x00",
        b"S\x00\x00\x00\x03hi",
        b"A\x00\x00\x00\x03t\x01t",
        b"F\x00\x00\x00\x02xt",
        b"F\x00\x00\x00\x04\x01\xfft\x01",
    ] {
        assert!(!is_field_value(bad), "{bad:?}");
    }
    let mut deep = b"V".to_vec();
    for _ in 0..1000 {
        let mut outer = b"A".to_vec();
        outer.extend_from_slice(&u32::try_from(deep.len()).expect("short").to_be_bytes());
        outer.extend_from_slice(&deep);
        deep = outer;
    }
    assert!(!is_field_value(&deep));
}
