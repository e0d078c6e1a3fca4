//! Hostile input: a seeded mutator for two seconds over everything that reads octets. The same
//! properties are fuzzed with coverage in `tests/fuzz`.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::frame::{Cut, FrameKind, cut, protocol_header};
use super::method::{self, Method};
use super::properties::Properties;
use super::{BasicProperties, content, properties, table, write};

const FRAME_MAX: u32 = 4096;

/// Reads a buffer as a connection would, and asks everything of what was accepted.
fn read_everything(buffer: &[u8]) -> usize {
    let _ = protocol_header(buffer);
    let mut rest = buffer;
    let mut frames = 0;
    while let Ok(Cut::Frame { frame, length }) = cut(rest, FRAME_MAX) {
        assert_eq!(length, frame.payload.len() + 8);
        frames += 1;
        match frame.kind {
            FrameKind::Method => read_method(frame.payload),
            FrameKind::Header => read_header(frame.payload),
            FrameKind::Body | FrameKind::Heartbeat => {}
        }
        rest = &rest[length..];
    }
    frames
}

fn read_method(payload: &[u8]) {
    let _ = method::parse_deliver(payload);
    if let Ok(Method::Other(class)) = method::parse(payload) {
        let mut again = Vec::new();
        write::method(&mut again, 1, (*class).clone());
        let reparsed = method::parse(&again[7..again.len() - 1]);
        assert!(reparsed.is_ok(), "{class:?}");
    }
}

fn read_header(payload: &[u8]) {
    let Ok(header) = content::parse_header(payload) else {
        return;
    };
    let raw = header.properties;
    let read = Properties::new(raw);
    // Short strings are passed on whatever octets they hold; only text can be decoded.
    let Some(owned) = properties::decode(raw) else {
        return;
    };
    assert_eq!(owned.delivery_mode(), &read.delivery_mode());
    assert_eq!(
        owned.expiration().as_ref().map(|text| text.as_str()),
        read.expiration()
    );
    assert_eq!(owned.headers().is_some(), read.headers().is_some());
    for (_, encoded) in read
        .headers()
        .into_iter()
        .flat_map(|table| table.iter_encoded())
    {
        assert_eq!(table::check_value(encoded), Ok(()));
    }
    let set = [("fuzz".to_owned(), b"V".to_vec())];
    for changed in [
        properties::with_headers(raw, &set),
        properties::without_headers(raw, &["fuzz", "a"]),
        properties::without_expiration(raw),
    ] {
        assert!(properties::check(&changed).is_some());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = super::samples::every_method()
        .into_iter()
        .map(|class| {
            let mut out = Vec::new();
            write::method(&mut out, 1, class);
            out
        })
        .collect();
    let mut headers = super::FieldTable::default();
    headers.insert("a".into(), super::AMQPValue::LongString("text".into()));
    headers.insert("t".into(), super::AMQPValue::FieldTable(headers.clone()));
    let full = BasicProperties::default()
        .with_content_type("t".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_expiration("10".into())
        .with_timestamp(5)
        .with_cluster_id("c".into());
    let raw = properties::encode(&full);
    let mut out = Vec::new();
    write::publish(&mut out, FRAME_MAX, 1, "x", "key", true, &raw, &[1; 100]);
    write::deliver(&mut out, FRAME_MAX, 1, "c", 1, true, "x", "k", &raw, b"");
    write::heartbeat(&mut out);
    seeds.push(out);
    seeds
}

fn mutate(random: &mut SmallRng, buffer: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        if buffer.is_empty() {
            return;
        }
        let at = random.random_range(0..buffer.len());
        match random.random_range(0..6) {
            0 => buffer[at] = random.random(),
            1 => buffer[at] ^= 1 << random.random_range(0..8),
            2 => buffer[at] = [0, 1, 127, 128, 255, 206][random.random_range(0..6)],
            3 => buffer.truncate(at),
            4 => buffer.insert(at, b"FASVlx\x00\xff"[random.random_range(0..8)]),
            _ => {
                let end = random.random_range(at..buffer.len());
                let part = buffer[at..end].to_vec();
                buffer.splice(at..at, part);
            }
        }
    }
}

/// Most mutations break the frame around the payload: mend it, so that they get further.
fn mend(buffer: &mut [u8]) {
    if let Some(size) = buffer.len().checked_sub(8) {
        buffer[3..7].copy_from_slice(&(size as u32).to_be_bytes());
        if let Some(end) = buffer.last_mut() {
            *end = 206;
        }
    }
}

#[test]
fn mutated_input_is_refused_or_read_but_never_panics() {
    let seeds = seeds();
    let mut random = SmallRng::seed_from_u64(0x0009_0001);
    let end = Instant::now() + Duration::from_secs(2);
    let mut frames = 0;
    while Instant::now() < end {
        for seed in &seeds {
            let mut buffer = seed.clone();
            mutate(&mut random, &mut buffer);
            frames += read_everything(&buffer);
            mend(&mut buffer);
            frames += read_everything(&buffer);
        }
    }
    assert!(frames > 1000, "only {frames} frames were ever cut");
}

#[test]
fn every_prefix_of_every_seed_is_read_without_a_panic() {
    for seed in seeds() {
        for end in 0..=seed.len() {
            read_everything(&seed[..end]);
            let mut mended = seed[..end].to_vec();
            mend(&mut mended);
            read_everything(&mended);
        }
    }
}
