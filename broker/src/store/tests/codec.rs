//! Rows and packs read back as they were written, and damage is an error.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::Expiry;

use super::*;
use crate::store::layout::PACK_SPAN;
use crate::store::pack::{Body, LastExchange, PackReader, PackWriter};
use crate::store::row::Row;

fn encoded(row: &Row) -> Vec<u8> {
    let mut out = Vec::new();
    row.encode(&mut out);
    out
}

fn random_row(random: &mut StdRng) -> Row {
    let mut row = Row::new(random.random_range(0..3));
    let (same, density) = (random.random_bool(0.5), random.random_range(0.001..1.0));
    for offset in 0..PACK_SPAN {
        if offset == 0 || random.random_bool(density) {
            let size = if same {
                100
            } else {
                random.random_range(0..70_000)
            };
            let body = random.random_bool(0.01).then(|| random.random());
            row.push(offset, size, random.random_bool(0.01), body);
        }
    }
    for offset in 0..PACK_SPAN {
        if random.random_bool(0.3) {
            row.settle(offset);
        }
    }
    row
}

#[test]
fn rows_read_back_as_they_were_written() {
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..50 {
        let row = random_row(&mut random);
        let bytes = encoded(&row);
        let again = Row::decode(&bytes).unwrap();
        assert_eq!(encoded(&again), bytes);
        assert!(row.live().eq(again.live()));
        assert_eq!((row.count(), row.bytes()), (again.count(), again.bytes()));
        assert!(row.live().all(|at| row.size(at) == again.size(at)));
        assert!(
            row.live()
                .all(|at| row.is_redelivered(at) == again.is_redelivered(at))
        );
    }
}

#[test]
fn damaged_rows_and_packs_are_errors_not_panics() {
    let mut random = StdRng::seed_from_u64(2);
    let row = encoded(&random_row(&mut random));
    let mut writer = PackWriter::default();
    writer.begin();
    for offset in 0..20 {
        writer.push(
            offset,
            &message(&[1; 30]),
            Expiry::NEVER,
            (offset % 3 == 0).then_some(7),
        );
    }
    let pack = writer.bytes().to_vec();
    for length in 0..row.len() {
        assert!(Row::decode(&row[..length]).is_err());
    }
    for _ in 0..20_000 {
        let mut row = row.clone();
        let at = random.random_range(0..row.len().min(40));
        row[at] = random.random();
        let _ = Row::decode(&row);
        let mut pack = pack.clone();
        let at = random.random_range(0..pack.len());
        pack[at] = random.random();
        let _ = read(&pack);
    }
    assert_eq!(read(&pack).unwrap(), 20);
}

fn read(pack: &[u8]) -> Result<usize, StoreError> {
    let mut reader = PackReader::new(pack)?;
    let (mut count, mut exchanges) = (0, LastExchange::default());
    while let Some(packed) = reader.next()? {
        if let Body::Here(body) = packed.body {
            packed.to_message(body, &mut exchanges)?;
        }
        count += 1;
    }
    Ok(count)
}
